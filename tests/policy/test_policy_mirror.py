"""Copies of requests to another backend, over real sockets: what they hold, and what never happens because of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.egress import Egress
from gateway.core.exchange import Exchange, Reply
from gateway.core.ids import id_source
from gateway.core.kinds import Built, Services
from gateway.core.live import LiveCell
from gateway.core.memory_wire import Answer, MemoryWire
from gateway.core.secrets import KeyHasher, Secret
from gateway.policy import any_of, headers, jwt, mirror, query
from gateway.policy.mirroring.mark import Marker
from gateway.relay.network import Network
from gateway.relay.outside import Outside
from gateway.relay.pool import HttpUpstream, open_upstream
from gateway.telemetry.counters import render_prometheus
from gateway.telemetry.mirrors import Mirrors
from tests.policy.policy_harness import Gateway, OneChain
from tests.relay.upstream_harness import until
from tests.upstreams import OK, Conversation, RecordingUpstream, always, upstream

PLANTED = "planted-in-the-environment"
BACKEND = {"backend": "shadow"}
FAILING = b"HTTP/1.1 500 Oh\r\nContent-Length: 3\r\n\r\noh!"


class Mirrored:
    """A relay whose requests are copied to `shadow`."""

    def __init__(
        self, up: RecordingUpstream, to: Any, pool: HttpUpstream, config: dict[str, Any], *steps: Built, shadow: Any
    ) -> None:
        self.gateway = Gateway()
        self.upstream = up
        self.mirrors = Mirrors()
        self.outside = Outside(Network())
        site = self.gateway.site()
        services = Services(self.gateway.hasher, self.outside, self.mirrors, clock=self.gateway.clock)
        how = config.pop("how", (None, ()))
        made = mirror.Mirror.model_validate({"to": to, "timeout": "20s", **config})
        self.shadow = open_upstream([shadow])
        site = replace(site, services=services, secrets=[Secret(PLANTED), Secret("key")], backend=lambda _: self.shadow)
        self.built: Built = mirror.build(made, site)
        facts = {"component": "shop", "version": "v2", "endpoint": "GET /a", "revision": "1"}
        chain = self.gateway.chain(*steps, self.built, last=pool.relay(*how), facts=facts)  # type: ignore[arg-type]
        credentials = frozenset[bytes]().union(*(each.credentials for each in steps))
        taps: Any = (self.built.request_tap,)
        chain = replace(chain, request_taps=taps, credentials=credentials, relayed=how)
        self.live = LiveCell(OneChain(chain), id_source("id"))  # type: ignore[arg-type]

    async def ask(self, method: str = "GET", target: str = "/a?b=c", body: Any = b"", **fields: str) -> Answer:
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        async with asyncio.timeout(20):
            return await MemoryWire.request(self.live, method, target, named, body)

    @property
    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for entry in self.mirrors.snapshot():
            found |= entry["statuses"] | entry["dropped"]
        return found

    async def counted(self, what: str, count: int = 1) -> None:
        await until(lambda: self.counts.get(what, 0) >= count)


@contextlib.asynccontextmanager
async def mirrored(
    answering: Any = None, shadow: Any = None, to: Any = "", steps: tuple[Built, ...] = (), **config: Any
) -> AsyncIterator[Any]:
    """`(mirrored, shadow upstream)`; `to` in place of the shadow's URL; `steps` stand before the mirror."""
    async with upstream(answering or always()) as up, upstream(shadow or always(FAILING)) as other:
        pool = open_upstream([up.url])
        made = Mirrored(up, to or other.url, pool, config, *steps, shadow=other.url)
        yield made, other
        await pool.close()
        await made.shadow.close()
        await made.outside.close()


async def test_a_copy_is_what_the_backend_got_and_its_answer_reaches_nobody() -> None:
    async with mirrored() as (made, shadow):
        answer = await made.ask(X_One="1")
        (copy,) = await shadow.heard()
        assert (answer.status, answer.body) == (200, b"ok")
        assert (copy.method, copy.target, copy.get(b"x-one")) == (b"GET", b"/a?b=c", b"1")
        assert copy.get(b"x-mirrored-from").startswith(b"shop@v2; at=")
        await made.counted("200 500")


async def test_credentials_go_along_only_where_that_is_asked_for() -> None:
    for asked, wanted in ((False, (None, None)), (True, (b"Bearer x", b"a=b"))):
        async with mirrored(forward_credentials=asked) as (made, shadow):
            await made.ask(Authorization="Bearer x", Cookie="a=b")
            (copy,) = await shadow.heard()
            assert (copy.get(b"authorization"), copy.get(b"cookie")) == wanted
            assert made.upstream.received[0].get(b"authorization") == b"Bearer x"


async def test_what_changes_something_is_copied_only_where_that_is_asked_for() -> None:
    async with mirrored() as (made, shadow):
        await made.ask("POST", body=b"{}")
        await made.ask()
        assert [each.method for each in await shadow.heard()] == [b"GET"]
    async with mirrored(unsafe=True) as (made, shadow):
        await made.ask("POST", body=b"{}")
        assert (await shadow.heard())[0].body == b"{}"


async def test_a_body_is_copied_as_it_streams_and_the_original_is_framed_as_before() -> None:
    async with mirrored(unsafe=True) as (made, shadow):
        await made.ask("POST", body=b"x" * 5000)
        (copy,) = await shadow.heard()
        assert copy.body == made.upstream.received[0].body == b"x" * 5000
        assert made.upstream.received[0].get(b"content-length") == b"5000"
        assert made.upstream.received[0].get(b"transfer-encoding") is None


async def test_a_body_beyond_the_bound_streams_on_and_is_not_copied() -> None:
    async with mirrored(unsafe=True, max_body=4096) as (made, shadow):
        answer = await made.ask("POST", body=[b"x" * 2048] * 3)
        await made.counted("too_large")
        assert (answer.status, len(made.upstream.received[0].body), shadow.received) == (200, 6144, [])


async def test_the_share_is_exact() -> None:
    async with mirrored(share="25%") as (made, shadow):
        for _ in range(20):
            await made.ask()
        await made.counted("200 500", 5)
        assert len(shadow.received) == 5


async def test_of_more_than_may_be_in_flight_the_others_are_dropped_and_counted() -> None:
    go = asyncio.Event()

    async def slow(conversation: Conversation) -> None:
        await conversation.request()
        await go.wait()
        conversation.send(OK)

    async with mirrored(shadow=slow, max_in_flight=2) as (made, _shadow):
        answers = [await made.ask() for _ in range(5)]
        assert [each.status for each in answers] == [200] * 5, "a slow mirror delays nobody"
        assert made.counts == {"crowded": 3}
        go.set()
        await made.counted("200 200", 2)


async def test_a_client_that_leaves_before_its_answer_leaves_no_copy() -> None:
    async def never(conversation: Conversation) -> None:
        await conversation.request()
        await conversation.closed()

    async with mirrored(answering=never) as (made, shadow):
        wire = MemoryWire.open(made.live, "GET", "/a")
        await made.upstream.heard()
        wire.disconnect()
        assert (made.counts, shadow.received) == ({"incomplete": 1}, [])


async def test_a_copy_outlives_the_client_of_a_long_answer() -> None:
    async def long(conversation: Conversation) -> None:
        await conversation.request()
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin")
        await conversation.closed()

    async with mirrored(answering=long) as (made, shadow):
        wire = MemoryWire.open(made.live, "GET", "/a")
        assert (await wire.head())[0] == 200
        await shadow.heard()
        wire.disconnect()
        await made.counted("200 500")


async def test_a_backend_of_the_version_gets_what_the_relays_own_got() -> None:
    async with mirrored(to=BACKEND, unsafe=True, how=("/to/{x}", ("x",))) as (made, shadow):
        made.live.current.find = lambda _head: (made.live.current.chain, (b"7",))
        await made.ask("POST", "/orders/7?b=c", b"{}", X_One="1", Authorization="Bearer x")
        (copy,) = await shadow.heard()
        assert (copy.method, copy.target, copy.body, copy.get(b"x-one")) == (b"POST", b"/to/7?b=c", b"{}", b"1")
        assert (copy.target, copy.get(b"host")) == (made.upstream.received[0].target, shadow.url[7:].encode())
        assert copy.get(b"authorization") is None
        assert copy.get(b"x-mirrored-from").startswith(b"shop@v2; at=")
        await made.counted("200 500")
        assert made.mirrors.snapshot()[0]["to"] == "backend shadow"


async def test_a_backend_that_cannot_be_asked_is_no_answer_to_compare() -> None:
    async def closing(conversation: Conversation) -> None:
        await conversation.request()
        conversation.close()

    async with mirrored(to=BACKEND, shadow=closing) as (made, _shadow):
        assert (await made.ask()).status == 200
        await made.counted("failed")
        assert set(made.counts) == {"failed"}


def steps() -> tuple[Built, ...]:
    """They put a credential into a field of its own, and secrets into a field and the query."""
    gateway = Gateway()
    own = Built(credentials=frozenset((b"x-token",)))
    fields = {"X-Upstream": f"Key {PLANTED}", "X-Again": "{header.x-token}", "X-Short": "key", "X-Plain": "monkey"}
    edits = gateway.build(headers.KIND, {"request": {"set": fields}})
    return own, edits, gateway.build(query.KIND, {"set": {"secret": PLANTED, "plain": "yes"}})


async def ask_with_credentials(made: Mirrored) -> None:
    await made.ask(X_Token="of-the-client", Cookie="a=b", X_Api_Key="k-of-the-client", X_One="1")


@pytest.mark.parametrize("to", ["", BACKEND], ids=["URL", "backend"])
async def test_no_credential_reaches_a_mirror_under_whatever_name(to: Any) -> None:
    async with mirrored(to=to, steps=steps()) as (made, shadow):
        await ask_with_credentials(made)
        (copy,) = await shadow.heard()
        got = made.upstream.received[0]
        for name in (b"x-token", b"x-again", b"x-upstream", b"x-short", b"cookie", b"x-api-key"):
            assert (got.get(name) is None, copy.get(name)) == (False, None), name
        assert (copy.get(b"x-plain"), copy.get(b"x-one")) == (b"monkey", b"1")
        assert (got.target.count(b"planted"), copy.target.endswith(b"b=c&plain=yes")) == (1, True), copy.target


async def test_where_credentials_go_along_a_url_gets_the_usual_ones_and_a_backend_all() -> None:
    async with mirrored(steps=steps(), forward_credentials=True) as (made, shadow):
        await ask_with_credentials(made)
        (copy,) = await shadow.heard()
        assert copy.get(b"cookie") == b"a=b"
        assert [copy.get(name) for name in (b"x-token", b"x-upstream", b"x-api-key")] == [None] * 3
    async with mirrored(to=BACKEND, steps=steps(), forward_credentials=True) as (made, shadow):
        await ask_with_credentials(made)
        (copy,) = await shadow.heard()
        assert copy.get(b"x-upstream") == f"Key {PLANTED}".encode()
        assert copy.get(b"x-token") == b"of-the-client"


async def test_what_a_client_calls_a_copy_is_copied_and_its_word_reaches_nobody() -> None:
    async with mirrored() as (made, shadow):
        await made.ask(X_Mirrored_From="shop@v1")
        (copy,) = await shadow.heard()
        assert made.upstream.received[0].get(b"x-mirrored-from") is None
        assert copy.get(b"x-mirrored-from").startswith(b"shop@v2; at=")


async def test_a_copy_that_comes_back_is_not_copied_again() -> None:
    async with mirrored() as (made, _shadow):
        gateway = made.gateway
        mark = Marker("shop@v1", gateway.hasher, gateway.clock).value().decode()
        await made.ask(X_Mirrored_From=mark)
        assert made.counts == {}
        other = Marker("shop@v1", KeyHasher(Secret("of another cluster")), gateway.clock).value().decode()
        await made.ask(X_Mirrored_From=other)
        await made.counted("200 500", 1)
        gateway.clock.advance(61)
        await made.ask(X_Mirrored_From=mark)
        await made.counted("200 500", 2)


@pytest.mark.parametrize(
    "edit", [lambda mark: mark[:-1] + b"g", lambda mark: mark.replace(b"v1", b"v3"), lambda _mark: b""]
)
def test_a_mark_that_was_changed_proves_nothing(edit: Any) -> None:
    gateway = Gateway()
    marker = Marker("shop@v1", gateway.hasher, gateway.clock)
    assert marker.holds(marker.line())
    assert not marker.holds(b"\r\nX-Mirrored-From: " + edit(marker.value()))
    assert not marker.holds(marker.line() * 2)


async def test_what_a_step_behind_it_refuses_is_not_copied() -> None:
    async with mirrored() as (made, _shadow):
        refuse = Built(step=lambda _exchange: Reply(403))
        chain = made.gateway.chain(made.built, refuse)
        made.live.current = OneChain(chain)
        assert ((await made.ask()).status, made.counts) == (403, {})
        assert made.built.step is not None


@pytest.mark.parametrize("to", ["http://127.0.0.1:1", "https://nowhere.invalid"])
async def test_a_mirror_that_is_dead_is_counted_and_nothing_else(to: str) -> None:
    async with mirrored(to=to) as (made, _shadow):
        assert (await made.ask()).status == 200
        await made.counted("failed")


async def test_ten_thousand_requests_with_a_dead_mirror_leave_nothing_behind() -> None:
    def last(_exchange: Exchange) -> Reply:
        return Reply(200)

    async with mirrored(to="http://127.0.0.1:1", max_in_flight=8) as (made, _shadow):
        made.live.current = OneChain(made.gateway.chain(made.built, last=last))  # type: ignore[arg-type]
        for _ in range(10_000):
            assert (await made.ask()).status == 200
        mirroring = made.built.request_tap.__self__
        await until(lambda: not mirroring.in_flight and not mirroring.running)
        assert sum(made.counts.values()) == 10_000
        assert set(made.counts) <= {"failed", "crowded"}


async def test_the_metrics_tell_what_became_of_copies() -> None:
    async with mirrored() as (made, _shadow):
        await made.ask()
        await made.counted("200 500")
        page = render_prometheus([{"endpoints": [], "mirrors": made.mirrors.snapshot()}]).decode()
        named = f'component="shop",version="v2",endpoint="GET /a",to="{_shadow.url}"'
        assert f'penstock_mirrored_total{{{named},outcome="different"}} 1' in page
        assert f'penstock_mirror_seconds_total{{{named},of="copy"}}' in page


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"to": "v3", "share": "120%"}, "not a share"),
        ({"to": "ftp://x"}, "ftp"),
        ({"to": "http://x/?a=b"}, "no query"),
        ({"to": "v3", "timeout": "2m"}, "up to 60s"),
        ({"to": "v3", "max_body": "1GB"}, "16MiB"),
        ({"to": "not a version"}, "neither a version"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        mirror.Mirror.model_validate(config)


def test_a_place_that_the_egress_list_forbids_is_refused_at_publish() -> None:
    outside = Outside(Network(Egress.parse(("10.0.0.0/8",), None)))  # type: ignore[arg-type]
    site = replace(Gateway().site(), services=Services(outside, clock=Gateway().clock))
    with pytest.raises(ValueError, match="may not be called"):
        mirror.build(mirror.Mirror(to="http://192.168.1.1"), site)
    with pytest.raises(ValueError, match="itself"):
        mirror.build(mirror.Mirror(to="v2"), site)


def test_the_field_of_a_token_is_known_also_where_the_token_goes_on() -> None:
    gateway = Gateway()
    token = {**jwt.KIND.example, "header": "X-Token", "forward_token": True}
    ways = [{"use": "jwt", "with": token}, {"use": "api-key", "with": {"header": "X-Key"}}]
    built = gateway.build(any_of.KIND, {"steps": ways})
    assert built.credentials == {b"x-token", b"x-key"}
    assert b"x-token" not in built.conceals
