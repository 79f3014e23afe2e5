"""The kinds that change bodies, queries and paths, before a relay: what the upstream and the client get."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from gateway.core.kinds import Services
from gateway.core.secrets import KeyHasher, Secret
from gateway.frontend.rest.problems import render
from gateway.live.chains import Ending, Frame, endpoint_chain
from gateway.live.slots import Builder, Shared, build_slots, passes
from gateway.policy import redact
from gateway.policy.content import content_type
from gateway.server.kinds import POLICY_KINDS
from tests.policy.body_harness import Relaying, relaying, response, step
from tests.upstreams import always

XML = "application/xml"
ORDER_XML = b'<order id="7"><line>a</line><line>b</line></order>'
ORDER_JSON = b'{"order":{"@id":"7","line":["a","b"]}}'
SHEET = (
    '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:param name="who"/>'
    '<xsl:template match="/"><o who="{$who}"><xsl:value-of select="/order/@id"/></o></xsl:template></xsl:stylesheet>'
)


async def sent(relay: Relaying, body: bytes = b"{}", **fields: Any) -> Any:
    """What the upstream got of a request that was let through."""
    answer = await relay.request(body=body, **fields)
    assert answer.status == 200, answer.body
    return relay.upstream.received[-1]


async def refused(relay: Relaying, body: bytes = b"{}", **fields: Any) -> tuple[int, str]:
    """A refusal, which reaches no upstream."""
    answer = await relay.request(body=body, **fields)
    assert not relay.upstream.received
    return answer.status, answer.problem["code"]


@pytest.mark.parametrize(
    ("use", "config", "body", "media_type", "expected", "made"),
    [
        (
            "json-to-xml",
            {},
            ORDER_JSON,
            "application/json",
            b"<?xml version='1.0' encoding='UTF-8'?>\n" + ORDER_XML,
            XML,
        ),
        ("xml-to-json", {"arrays": ["line"]}, ORDER_XML, "text/xml; charset=utf-8", ORDER_JSON, "application/json"),
        ("xml-to-json", {"unwrap": True}, b"<a><b>1</b></a>", XML, b'{"b":"1"}', "application/json"),
        (
            "jmespath",
            {"expression": "{n: sum(l[].p)}"},
            b'{"l":[{"p":1.1},{"p":12345678901234567890123}]}',
            "a/b+json",
            b'{"n":1.2345678901234568e+22}',
            "a/b+json",
        ),
        (
            "jmespath",
            {"expression": "l[].p"},
            b'{"l":[{"p":12345678901234567890123},{"p":0.10000000000000000001}]}',
            "application/json",
            b"[12345678901234567890123,0.10000000000000000001]",
            "application/json",
        ),
        (
            "body",
            {"set": {"/a/b": 1, "/who": "{header.X-Who}"}, "remove": ["/x"], "rename": {"/y": "z"}},
            b'{"x":1,"y":2}',
            "application/json",
            b'{"z":2,"a":{"b":1},"who":"me"}',
            "application/json",
        ),
        (
            "redact",
            {"paths": ["$..card"], "keep": 4},
            b'{"card":"4111111111111111","a":[{"card":1}]}',
            "application/json",
            b'{"card":"***1111","a":[{"card":"***"}]}',
            "application/json",
        ),
        (
            "redact",
            {"paths": ["$.card"], "action": "remove"},
            b'{"card":1,"b":12345678901234567890123}',
            "application/json",
            b'{"b":12345678901234567890123}',
            "application/json",
        ),
        (
            "redact",
            {"elements": ["//card"]},
            b"<a><p:card xmlns:p='u'>1</p:card></a>",
            XML,
            b"<?xml version='1.0' encoding='UTF-8'?>\n<a><p:card xmlns:p=\"u\">***</p:card></a>",
            XML,
        ),
        (
            "template",
            {"template": '{"n": {{ request.body.n }}, "h": "{{ request.headers["x-who"] | inside }}"}'},
            b'{"n":"a\\"b"}',
            "application/json",
            b'{"n": "a\\"b", "h": "me"}',
            "application/json",
        ),
        (
            "xslt",
            {"stylesheet": SHEET, "parameters": {"who": "{header.X-Who}"}},
            ORDER_XML,
            XML,
            b'<?xml version="1.0"?>\n<o who="me">7</o>\n',
            XML,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
async def test_a_request_is_transformed(
    use: str, config: dict[str, Any], body: bytes, media_type: str, expected: bytes, made: str
) -> None:
    async with relaying(step(use, {"request": config})) as relay:
        received = await sent(relay, body, media_type=media_type, X_Who="me")
    assert received.body == expected
    assert received.all(b"content-type") == [made.encode()]
    assert received.all(b"content-length") == [b"%d" % len(expected)]


@pytest.mark.parametrize(
    ("use", "config", "body", "media_type", "expected"),
    [
        (
            "json-to-xml",
            {"root": "r"},
            b"[1]",
            "application/json",
            b"<?xml version='1.0' encoding='UTF-8'?>\n<r><item>1</item></r>",
        ),
        ("xml-to-json", {}, ORDER_XML, XML, ORDER_JSON),
        ("jmespath", {"expression": "a"}, b'{"a":1}', "application/json", b"1"),
        ("body", {"set": {"/id": "{request_id}"}}, b"{}", "application/json", b'{"id":"id-1"}'),
        ("redact", {"paths": ["$.a"]}, b'{"a":1}', "application/json", b'{"a":"***"}'),
        (
            "template",
            {"template": "<s>{{ reply.status }}{{ reply.body.a }}</s>", "output": "xml"},
            b'{"a":"<&"}',
            "application/json",
            b"<s>200&lt;&amp;</s>",
        ),
        ("xslt", {"stylesheet": SHEET}, ORDER_XML, XML, b'<?xml version="1.0"?>\n<o who="">7</o>\n'),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 12 else "",
)
async def test_a_reply_is_transformed(
    use: str, config: dict[str, Any], body: bytes, media_type: str, expected: bytes
) -> None:
    coded = response(gzip.compress(body), 'ETag: "1"', "Content-Encoding: gzip", media_type=media_type)
    async with relaying(step(use, {"response": config}), answering=always(coded)) as relay:
        answer = await relay.request("GET")
    assert (answer.status, answer.body) == (200, expected)
    assert (answer.fields.get(b"etag"), answer.fields.get(b"content-encoding")) == (b'W/"1"', None)


BROKEN = {
    "json-to-xml": ({}, b'{"a":', "application/json"),
    "xml-to-json": ({}, b"<!DOCTYPE a><a/>", XML),
    "jmespath": ({"expression": "sum(a)"}, b'{"a":["x"]}', "application/json"),
    "body": ({"set": {"/a/b": 1}}, b'{"a":"text"}', "application/json"),
    "redact": ({"paths": ["$.card"]}, b'{"card":1,"card":2}', "application/json"),
    "template": ({"template": "{{ request.body.none }}"}, b"{}", "application/json"),
    "xslt": ({"stylesheet": SHEET}, b"<a", XML),
}


@pytest.mark.parametrize("use", BROKEN)
async def test_a_request_that_cannot_be_transformed_is_the_clients_mistake(use: str) -> None:
    config, body, media_type = BROKEN[use]
    async with relaying(step(use, {"request": config})) as relay:
        status, code = await refused(relay, body, media_type=media_type)
    assert status == 400
    assert code in ("invalid_input", "not_transformable")


@pytest.mark.parametrize("use", BROKEN)
async def test_a_reply_that_cannot_be_transformed_is_not_passed_on(use: str) -> None:
    config, body, media_type = BROKEN[use]
    if use == "template":
        config = {"template": "{{ reply.body.none }}"}
    answering = always(response(body + b"SECRET" * (use == "redact"), media_type=media_type))
    async with relaying(step(use, {"response": config}), answering=answering) as relay:
        answer = await relay.request("GET")
    assert (answer.status, answer.problem["code"]) == (502, "reply_not_transformable")
    assert b"SECRET" not in answer.body


@pytest.mark.parametrize("use", BROKEN)
async def test_another_media_type_is_refused_unless_it_may_pass(use: str) -> None:
    config = BROKEN[use][0]
    answering = always(response(b"x", media_type="image/png"))
    if use == "template":
        config = {"template": "1"}
    async with relaying(step(use, {"request": config, "response": config}), answering=answering) as relay:
        assert await refused(relay, b"x", media_type="image/png") == (415, "unsupported_media_type")
        assert await refused(relay, b"x", media_type="") == (415, "unsupported_media_type")
    async with relaying(step(use, {"response": config}), answering=answering) as relay:
        assert (await relay.request("GET")).status == 502
    skipping = config | {"other": "skip"}
    async with relaying(step(use, {"request": skipping, "response": skipping}), answering=answering) as relay:
        received = await sent(relay, b"x", media_type="image/png")
        assert received.body == b"x"


@pytest.mark.parametrize("use", BROKEN)
async def test_a_body_beyond_the_limit_is_never_skipped(use: str) -> None:
    """CASES H38"""
    large = b'{"a":"' + b"x" * 100_001 + b'"}'
    async with relaying(step(use, {"request": BROKEN[use][0]}), answering=always(response(large))) as relay:
        assert (await refused(relay, large))[0] == 413
        assert (await refused(relay, b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large), Transfer_Encoding="chunked"))[
            0
        ] == 413
    config = {"template": "1"} if use == "template" else BROKEN[use][0]
    async with relaying(step(use, {"response": config}), answering=always(response(large))) as relay:
        assert (await relay.request("GET")).status == 502


@pytest.mark.parametrize("use", ["redact", "body", "json-to-xml"])
async def test_a_bomb_is_refused_before_it_is_read(use: str) -> None:
    """CASES B55"""
    bomb = gzip.compress(bytes(30_000_000))
    async with relaying(step(use, {"request": BROKEN[use][0]})) as relay:
        assert (await refused(relay, bomb, Content_Encoding="gzip"))[0] == 413
    answering = always(response(bomb, "Content-Encoding: gzip"))
    async with relaying(step(use, {"response": BROKEN[use][0]}), answering=answering) as relay:
        assert (await relay.request("GET")).status == 502


@pytest.mark.parametrize("use", BROKEN)
async def test_a_refusal_of_the_gateway_reaches_the_client_as_it_is(use: str) -> None:
    config = {"template": "1"} if use == "template" else BROKEN[use][0]
    async with relaying(
        step(use, {"response": config}), step("body", {"request": {"set": {"/a": "{query.b}"}}})
    ) as relay:
        answer = await relay.request(body=b"{}", target="/orders?b=%zz")
    assert (answer.status, answer.problem["code"]) == (400, "bad_request")


async def test_what_a_refusal_of_the_gateway_tells_is_redacted() -> None:
    async with relaying(
        step("redact", {"response": {"paths": ["$.detail"]}}), step("body", {"request": {"set": {"/a": "{query.b}"}}})
    ) as relay:
        answer = await relay.request(body=b"{}", target="/orders?b=%zz")
    assert (answer.status, answer.problem["detail"]) == (400, "***")


async def test_replies_of_other_statuses_are_left_as_they_are() -> None:
    answering = always(response(b'{"a":1}', status="404 Not Found"))
    for use, config in (("jmespath", {"expression": "b"}), ("body", {"set": {"/b": 1}, "statuses": ["2xx", "410"]})):
        async with relaying(step(use, {"response": config}), answering=answering) as relay:
            assert (await relay.request("GET")).body == b'{"a":1}'


async def test_a_large_body_is_transformed_off_the_loop() -> None:
    body = b'{"card":"1","l":[' + b",".join(b"%d" % at for at in range(15_000)) + b"]}"
    async with relaying(
        step("redact", {"request": {"paths": ["$.card"]}, "response": {"paths": ["$.card"]}}),
        answering=always(response(body)),
    ) as relay:
        answer = await relay.request(body=body)
    assert answer.body == relay.upstream.received[0].body == body.replace(b'"card":"1"', b'"card":"***"')


def test_hashes_of_equal_values_are_equal_and_keyed() -> None:
    config = redact.KIND.config.model_validate({"request": {"paths": ["$.*"], "action": "hash"}}).request
    made = []
    for secret in ("one cluster", "another"):
        rewrite = redact._rewrite(config, KeyHasher(Secret(secret)))
        made.append(
            orjson.loads(rewrite.apply(None, b'{"a":"x","b":"x","c":"y"}', content_type.read(b"application/json"))[0])
        )
    assert made[0]["a"] == made[0]["b"] != made[0]["c"]
    assert len(made[0]["a"]) == 32
    assert made[0]["a"] != made[1]["a"]


async def test_a_part_of_a_reply_is_not_asked_for_and_not_redacted() -> None:
    partial = response(b"1111", "Content-Range: bytes 4-7/16", status="206 Partial Content")
    async with relaying(step("redact", {"response": {"paths": ["$.card"]}}), answering=always(partial)) as relay:
        answer = await relay.request("GET", Range="bytes=4-7")
        assert answer.status == 502
        assert relay.upstream.received[0].get(b"range") is None


async def test_a_template_that_never_ends_is_ended() -> None:
    endless = "{% for a in range(9999) %}{% for b in range(9999) %}{{ a * b }}{% endfor %}{% endfor %}"
    async with relaying(step("template", {"request": {"template": endless, "output": "text"}})) as relay:
        assert await refused(relay) == (500, "transformation_failed")
    async with relaying(
        step("template", {"response": {"template": endless, "output": "text", "input": "none"}})
    ) as relay:
        assert (await relay.request("GET")).status == 502


async def test_a_template_that_needs_more_than_a_moment_is_rendered_in_a_thread() -> None:
    template = "{% for a in range(2000) %}{{ a }},{% endfor %}"
    async with relaying(step("template", {"request": {"template": template, "output": "text"}})) as relay:
        assert (await sent(relay)).body.count(b",") == 2000


async def test_a_template_that_makes_broken_json_is_not_sent() -> None:
    async with relaying(step("template", {"request": {"template": '{"a": {{ request.body.a }} x}'}})) as relay:
        assert await refused(relay, b'{"a":1}') == (500, "transformation_failed")


async def test_a_stylesheet_that_never_ends_is_ended() -> None:
    deep = (
        '<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform"><xsl:template match="/">'
        '<xsl:call-template name="f"><xsl:with-param name="n" select="60"/></xsl:call-template></xsl:template>'
        '<xsl:template name="f"><xsl:param name="n"/><xsl:if test="$n &gt; 0"><xsl:call-template name="f">'
        '<xsl:with-param name="n" select="$n - 1"/></xsl:call-template><xsl:call-template name="f">'
        '<xsl:with-param name="n" select="$n - 1"/></xsl:call-template></xsl:if></xsl:template></xsl:stylesheet>'
    )
    async with relaying(step("xslt", {"request": {"stylesheet": deep, "time": "50ms"}})) as relay:
        assert await refused(relay, b"<a/>", media_type=XML) == (500, "transformation_failed")


# queries and paths


@pytest.mark.parametrize(
    ("config", "query", "expected"),
    [
        ({"set": {"a": "x y&="}}, "b=%c3%A9&a=1&&c", b"b=%c3%A9&&c&a=x%20y%26%3D"),
        ({"add": {"a": "2"}}, "a=1", b"a=1&a=2"),
        ({"remove": ["a b"]}, "a+b=1&a%20b=2&c=%2B+", b"c=%2B+"),
        ({"rename": {"q": "search term"}}, "q=%41+b&p", b"search%20term=%41+b&p"),
        ({"remove": ["a"], "rename": {"b": "a"}, "set": {"c": "3"}, "add": {"d": "4"}}, "a=1&b=2&c=9", b"a=2&c=3&d=4"),
        ({"remove": ["a"]}, "a", b""),
        ({"set": {"u": "{header.X-Who}\u00e9"}}, "", b"u=me%C3%A9"),
    ],
)
async def test_the_query_is_edited_and_the_rest_of_it_goes_on_byte_for_byte(
    config: dict[str, Any], query: str, expected: bytes
) -> None:
    async with relaying(step("query", config)) as relay:
        received = await sent(relay, target=f"/orders?{query}" if query else "/orders", X_Who="me")
    assert received.target == (b"/orders?" + expected if expected else b"/orders")


async def test_a_placeholder_cannot_break_the_query() -> None:
    """CASES F22"""
    async with relaying(step("query", {"set": {"a": "{query.b}"}})) as relay:
        received = await sent(relay, target="/orders?b=1%0d%0aX:%20y%26c%3d2%23")
    assert received.target == b"/orders?b=1%0d%0aX:%20y%26c%3d2%23&a=1%0D%0AX%3A%20y%26c%3D2%23"


async def test_the_path_is_written_anew() -> None:
    async with relaying(step("path", {"to": "/v2/all"})) as relay:
        assert (await sent(relay, target="/orders?a=1")).target == b"/v2/all?a=1"


WRONG = [
    ("query", {}),
    ("query", {"set": {"a": "{password}"}}),
    ("query", {"remove": [""]}),
    ("path", {"to": "v2"}),
    ("body", {}),
    ("body", {"request": {"set": {"a": 1}}}),
    ("body", {"request": {"set": {"/a": {"b": ["{nothing}"]}}}}),
    ("json-to-xml", {}),
    ("json-to-xml", {"request": {"root": "1"}}),
    ("json-to-xml", {"request": {"convention": "typed", "root": "a"}}),
    ("json-to-xml", {"request": {"content_type": "a\r\nb"}}),
    ("xml-to-json", {"response": {"namespaces": {"1": "urn:x"}}}),
    ("xml-to-json", {"request": {"statuses": ["2xx"]}}),
    ("jmespath", {"request": {"expression": "a["}}),
    ("jmespath", {"request": {"expression": "nothing(a)"}}),
    ("jmespath", {"request": {"expression": "sum(a, b)"}}),
    ("jmespath", {"request": {"expression": "a"}, "response": {"expression": "a", "statuses": ["6xx"]}}),
    ("redact", {"response": {}}),
    ("redact", {"response": {"paths": ["card"]}}),
    ("redact", {"response": {"paths": ["$.a"], "action": "remove", "keep": 1}}),
    ("template", {"request": {"template": "{{ reply.status }}"}}),
    ("template", {"request": {"template": "{% if %}"}}),
    ("template", {"request": {"template": "1", "time": "1h"}}),
    ("xslt", {"request": {"stylesheet": "<a/>"}}),
    ("xslt", {"request": {"stylesheet": SHEET, "parameters": {"who": "{nobody}"}}}),
    ("compress", {"types": ["text/event-stream"]}),
    ("compress", {"codings": ["rot13"]}),
]


@pytest.mark.parametrize(("use", "config"), WRONG)
def test_a_wrong_configuration_is_refused(use: str, config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        POLICY_KINDS[use].config.model_validate(config)


@pytest.mark.parametrize("to", ["/a/../b", "/a//b", "/%2e%2e/b", "/{id}/x", "/a b", "/a?b"])
async def test_a_path_that_could_be_read_as_another_is_refused(to: str) -> None:
    """CASES P30"""
    try:
        async with relaying(step("path", {"to": to})) as relay:
            assert (await refused(relay))[0] == 400
    except ValueError:
        pass  # when it is built: it can never be right


# header fields


def edits(id: str, request: Any = None, reply: Any = None, when: Any = None) -> Any:
    return step("headers", {"request": request or {}, "response": reply or {}}, id, when)


RUN = [
    edits("a", {"set": {"X-A": "1", "X-B": "1"}, "add": {"X-C": "1"}}, {"set": {"Server": "a", "X-R": "a"}}),
    edits(
        "b", {"set": {"X-A": "2"}, "add": {"X-C": "2"}, "remove": ["X-D"]}, {"add": {"X-R": "b"}, "remove": ["X-Up"]}
    ),
    edits("c", {"remove": ["X-B"]}, {"set": {"X-R": "c"}}),
]


@pytest.mark.parametrize("apart", [False, True])
async def test_constant_edits_side_by_side_do_what_they_do_apart(apart: bool) -> None:
    when = {"method": "GET"}
    steps = [step(each.use, each.config, each.id, when) for each in RUN] if apart else RUN
    answering = always(response(b"{}", "X-Up: 1", "Server: up"))
    async with relaying(*steps, answering=answering) as relay:
        answer = await relay.request("GET", X_A="0", X_B="0", X_D="0")
    (received,) = relay.upstream.received
    assert (received.all(b"x-a"), received.all(b"x-b"), received.all(b"x-c"), received.all(b"x-d")) == (
        [b"2"],
        [],
        [b"1", b"2"],
        [],
    )
    assert answer.fields[b"x-r"] == b"a"
    assert (answer.fields[b"server"], answer.fields.get(b"x-up")) == (b"a", None)


@pytest.mark.parametrize("value", ["mine", "{header.X-Own}"])
async def test_a_field_that_the_gateway_writes_itself_is_not_doubled(value: str) -> None:
    own = {"set": {"X-Request-Id": value, "Server": value}}
    async with relaying(edits("own", own, own)) as relay:
        relay.client.send(b"GET /orders HTTP/1.1\r\nHost: a\r\nX-Own: mine\r\n\r\n")
        head = (await relay.client.reader.readuntil(b"\r\n\r\n")).lower()
    (received,) = relay.upstream.received
    assert received.all(b"x-request-id") == [b"mine"]
    assert head.count(b"x-request-id") == head.count(b"server:") == 1
    assert b"server: mine" in head
    assert b"x-request-id: mine" in head


async def test_the_gateways_own_fields_can_be_taken_away() -> None:
    async with relaying(edits("own", {"remove": ["X-Request-Id"]}, {"remove": ["Server", "X-Request-Id"]})) as relay:
        answer = await relay.request("GET")
    assert not {b"server", b"x-request-id"} & answer.fields.keys()
    assert relay.upstream.received[0].get(b"x-request-id") is None


async def test_a_field_that_the_gateway_writes_once_cannot_be_added() -> None:
    with pytest.raises(ValidationError, match="under `set`"):
        POLICY_KINDS["headers"].config.model_validate({"response": {"add": {"server": "x"}}})


def test_constant_edits_side_by_side_are_one_step() -> None:
    builder = Builder(POLICY_KINDS, Services(), {})
    filled = edits("filled", {"set": {"X-E": "{client}"}})
    slots = build_slots([*RUN, filled, edits("d", {"set": {"X-D": "4"}})], "shop", "v2", "GET /", builder, Shared())
    chain = endpoint_chain("test", slots, Ending(passes), Frame(), render, {})
    assert len(chain.steps) == 4  # the first three, the one that is filled in, the last, and what answers
    assert {b"x-a", b"x-b", b"x-d"} <= chain.conceals
