"""Typed HTTP calls: the request that is made of the input, and what becomes of each answer."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.backend.http import HttpCall, bind, http_kind
from gateway.core.call import Call, Context
from gateway.core.errors import BadGateway, GatewayTimeout, InvalidInput, Problem
from gateway.core.findings import DocumentsRefused
from gateway.core.kinds import Services
from gateway.manifest.documents import HttpBackend
from gateway.relay.settings import IN_TURN, Settings
from gateway.relay.upstream import Fetched
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types

TEXT = {"type": "string"}
INT = {"type": "integer", "format": "int64"}
DECIMAL = {"type": "string", "format": "decimal", "x-precision": 12, "x-scale": 2}
TAX = {"type": "object", "properties": {"rate": DECIMAL, "note": TEXT}, "required": ["rate"]}
LOST = {"status": 404, "title": "Unknown country", "detail": {"type": "object", "properties": {"country": TEXT}}}


class FakeUpstream:
    """Answers the same to everything, and keeps what it was asked."""

    def __init__(
        self, status: int = 200, body: bytes = b"null", failure: Exception | None = None, retry_after: bytes = b""
    ) -> None:
        self.answer = Fetched(status, [(b"retry-after", retry_after)], body)
        self.failure = failure
        self.asked: list[tuple[bytes, bytes, dict[bytes, bytes], bytes]] = []

    async def fetch(
        self,
        method: bytes,
        target: bytes,
        fields: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        limit: int = 8 * 1024 * 1024,
        application: str | None = None,
    ) -> Fetched:
        self.asked.append((method, target, dict(fields), body))
        if self.failure is not None:
            raise self.failure
        return self.answer

    def relay(self, template: str | None, parameters: tuple[str, ...]) -> Any:
        raise AssertionError("a typed call relays nothing")

    async def close(self) -> None: ...


class Service:
    """One operation over a fake upstream."""

    def __init__(
        self,
        config: dict[str, Any],
        input: dict[str, Any],
        output: Any = None,
        upstream: FakeUpstream | None = None,
        required: list[str] | None = None,
        errors: dict[str, Any] | None = None,
        types: dict[str, Any] | None = None,
    ) -> None:
        named = read_types(types or {})
        schema = {"type": "object", "properties": input, "required": list(input) if required is None else required}
        contract = {"effect": "safe", "input": schema, "output": output, "errors": errors or {}}
        self.upstream = upstream or FakeUpstream()
        self.operation = read_operation("find_tax", contract, named)
        self.backend = bind(HttpCall(**config), self.upstream, self.operation, named, Services())

    async def call(self, **input: Any) -> Any:
        return await self.backend.invoke(Call("find_tax", input, Context("req-1")))

    async def target(self, **input: Any) -> bytes:
        await self.call(**input)
        return self.upstream.asked[-1][1]


async def test_a_call_is_made_of_path_query_and_headers() -> None:
    service = Service(
        {"request": "GET /tax/{country}", "query": {"amt": "amount"}, "headers": {"X-For": "shop {who}", "X-A": "b"}},
        {"country": TEXT, "amount": DECIMAL, "who": TEXT},
    )
    await service.call(country="fr", amount=Decimal("12.50"), who="me")
    assert service.upstream.asked == [
        (b"GET", b"/tax/fr?amt=12.50", {b"X-A": b"b", b"X-For": b"shop me", b"accept": b"application/json"}, b"")
    ]


@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text not in (".", "..")))
async def test_any_text_is_one_path_segment(text: str) -> None:
    target = await Service({"request": "GET /a/{x}/b"}, {"x": TEXT}).target(x=text)
    assert target.count(b"/") == 3
    assert unquote(target.split(b"/")[2].decode()) == text


@given(st.text(st.characters(codec="utf-8")))
async def test_any_text_is_one_query_value(text: str) -> None:
    target = await Service({"request": "GET /a", "query": {"q&": "x"}}, {"x": TEXT}).target(x=text)
    assert parse_qsl(target.partition(b"?")[2].decode(), keep_blank_values=True) == [("q&", text)]


@pytest.mark.parametrize("text", ["", ".", ".."])
async def test_a_value_that_would_make_another_path_is_refused(text: str) -> None:
    """CASES P26, P30."""
    service = Service({"request": "GET /a/{x}"}, {"x": TEXT})
    with pytest.raises(InvalidInput, match="x must not be empty") as refused:
        await service.call(x=text)
    assert refused.value.target == "x"
    assert service.upstream.asked == []


async def test_absent_and_null_parameters_are_left_out_of_query_and_headers() -> None:
    service = Service(
        {"request": "GET /a", "query": {"x": "x", "y": "y"}, "headers": {"X-Z": "{z}"}},
        {"x": TEXT, "y": {"type": ["string", "null"]}, "z": TEXT},
        required=["y"],
    )
    assert await service.target(y=None) == b"/a"
    assert b"X-Z" not in service.upstream.asked[0][2]


async def test_a_list_is_repeated_in_the_query() -> None:
    service = Service({"request": "GET /a", "query": {"x": "x"}}, {"x": {"type": "array", "items": INT}})
    assert await service.target(x=[1, 2]) == b"/a?x=1&x=2"


@pytest.mark.parametrize("text", ["a\r\nX-Admin: 1", "a\nb", "a\0"])
async def test_a_value_that_could_break_the_message_is_refused(text: str) -> None:
    """CASES F22."""
    service = Service({"request": "GET /a", "headers": {"X-A": "{x}"}}, {"x": TEXT})
    with pytest.raises(InvalidInput, match="x must not hold control characters: it is sent as the header X-A"):
        await service.call(x=text)


async def test_the_body_is_json_by_its_type() -> None:
    service = Service({"request": "POST /a", "body": "tax"}, {"tax": {"$ref": "#/types/Tax"}}, types={"Tax": TAX})
    await service.call(tax={"rate": Decimal("0.20")})
    _, _, fields, body = service.upstream.asked[0]
    assert (fields[b"content-type"], body) == (b"application/json", b'{"rate":"0.20"}')


async def test_an_absent_body_sends_none() -> None:
    service = Service({"request": "POST /a", "body": "x"}, {"x": TEXT}, required=[])
    await service.call()
    assert service.upstream.asked[0][3] == b""
    assert b"content-type" not in service.upstream.asked[0][2]


async def test_the_output_is_found_at_its_path_and_typed() -> None:
    upstream = FakeUpstream(body=b'{"data": {"tax": [{"rate": "0.20", "note": "x", "since": 1990}]}, "more": 1}')
    service = Service({"request": "GET /a", "result": "data.tax.0"}, {}, TAX, upstream)
    assert await service.call() == {"rate": Decimal("0.20"), "note": "x"}


async def test_fields_that_are_not_declared_are_dropped_at_every_depth() -> None:
    node = {"type": "object", "properties": {"id": INT, "next": {"$ref": "#/types/Node"}}, "required": ["id"]}
    upstream = FakeUpstream(body=b'[{"id": 1, "x": 1, "next": {"id": 2, "x": {"id": 3}}}]')
    output = {"type": "array", "items": {"$ref": "#/types/Node"}}
    service = Service({"request": "GET /a"}, {}, output, upstream, types={"Node": node})
    assert await service.call() == [{"id": 1, "next": {"id": 2}}]


@pytest.mark.parametrize(
    ("status", "body", "message", "target"),
    [
        (200, b'{"data": {"rate": 5}, "x": 1}', "The backend's answer has no $.data.tax.", "$.data.tax"),
        (
            200,
            b'{"data": {"tax": {"rate": "s3cret"}}}',
            "does not fit the contract: $.data.tax.rate must be",
            None,
        ),
        (200, b'{"data": {"tax": {}}}', "does not fit the contract: $.data.tax.rate is required.", "$.data.tax.rate"),
        (200, b'{"data": s3cret', "The backend's answer is not valid JSON ($).", None),
        (200, b"<html>s3cret", "The backend's answer is not valid JSON ($).", None),
        (204, b"", "The backend answered 204 without a body.", None),
        (302, b"s3cret", "The backend answered 302.", None),
        (404, b'{"detail": "s3cret"}', "The backend answered 404.", None),
        (500, b"s3cret", "The backend answered 500.", None),
    ],
)
async def test_an_answer_that_does_not_fit_is_a_bad_gateway_without_its_text(
    status: int, body: bytes, message: str, target: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service({"request": "GET /a", "result": "data.tax"}, {}, TAX, FakeUpstream(status, body))
    with pytest.raises(BadGateway) as failed:
        await service.call()
    assert message in failed.value.detail
    assert target is None or failed.value.target == target
    assert "s3cret" not in failed.value.detail + caplog.text
    assert "call req-1: The backend" in caplog.text


async def test_a_declared_error_is_raised_with_the_service_s_detail() -> None:
    upstream = FakeUpstream(404, b'{"message": "no such country", "country": "xx", "trace": "s3cret"}')
    config = {"request": "GET /a", "errors": {404: "UnknownCountry"}}
    service = Service(config, {}, TAX, upstream, errors={"UnknownCountry": LOST})
    with pytest.raises(Problem) as failed:
        await service.call()
    problem = failed.value
    assert (problem.code, problem.status, problem.title) == ("UnknownCountry", 404, "Unknown country")
    assert (problem.detail, problem.extensions) == ("no such country", {"country": "xx"})


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"country": 5}'])
async def test_a_declared_error_needs_no_readable_detail(body: bytes) -> None:
    config = {"request": "GET /a", "errors": {410: "UnknownCountry"}}
    service = Service(config, {}, TAX, FakeUpstream(410, body), errors={"UnknownCountry": LOST})
    with pytest.raises(Problem) as failed:
        await service.call()
    assert (failed.value.code, failed.value.status, failed.value.extensions) == ("UnknownCountry", 404, {})


@pytest.mark.parametrize(("given", "kept"), [(b"30", ((b"retry-after", b"30"),)), (b"soon", ()), (b"9" * 400, ())])
async def test_a_declared_error_tells_when_to_come_back(given: bytes, kept: tuple[object, ...]) -> None:
    config = {"request": "GET /a", "errors": {429: "Busy"}}
    service = Service(config, {}, TAX, FakeUpstream(429, b"", retry_after=given), errors={"Busy": {"status": 429}})
    with pytest.raises(Problem) as failed:
        await service.call()
    assert failed.value.headers == kept


async def test_an_operation_without_output_ignores_the_answer_s_body() -> None:
    assert await Service({"request": "POST /a"}, {}, None, FakeUpstream(200, b"<ok/>")).call() is None


async def test_an_empty_answer_is_null_where_the_output_may_be_null() -> None:
    assert await Service({"request": "GET /a"}, {}, {"type": ["string", "null"]}, FakeUpstream(204, b"")).call() is None


@pytest.mark.parametrize(
    ("failure", "expected"),
    [(TimeoutError(), GatewayTimeout), (ConnectionResetError(), BadGateway), (GatewayTimeout(), GatewayTimeout)],
)
async def test_a_backend_that_fails_is_502_or_504(failure: Exception, expected: type[Problem]) -> None:
    """CASES A58."""
    with pytest.raises(expected):
        await Service({"request": "GET /a"}, {}, TEXT, FakeUpstream(failure=failure)).call()


@pytest.mark.parametrize(
    ("config", "input_", "required", "message"),
    [
        ({"request": "GET /a/{y}"}, {"x": TEXT}, None, "The request names y, which is no input. Inputs: x."),
        ({"request": "GET /a"}, {"x": TEXT}, None, "The input x goes nowhere."),
        ({"request": "GET /a/{x}"}, {"x": TEXT}, [], "x may be left out, and a path needs it."),
        (
            {"request": "GET /a/{x}"},
            {"x": {"type": ["string", "null"]}},
            None,
            "x may be null, which a path",
        ),
        ({"request": "GET /a?b=1"}, {}, None, "holds what a path cannot hold."),
        ({"request": "GET /a/../b"}, {}, None, "has a dot segment."),
        ({"request": "GET /a", "body": "x"}, {"x": TEXT}, None, "A GET request has no body."),
        ({"request": "GET /a", "headers": {"Host": "x"}}, {}, None, "The header Host is set by the gateway itself."),
        ({"request": "GET /a", "headers": {"X-A": "a\r\nb"}}, {}, None, "The header X-A cannot be sent"),
        ({"request": "GET /a", "errors": {404: "Lost"}}, {}, None, "The status 404 stands for Lost, which is not"),
        ({"request": "GET /a", "query": {"x": "x"}}, {"x": TAX}, None, "x is a record, which does not travel as text."),
    ],
)
def test_a_call_that_cannot_work_is_refused_at_publish(
    config: dict[str, Any], input_: dict[str, Any], required: list[str] | None, message: str
) -> None:
    with pytest.raises(DocumentsRefused) as refused:
        Service(config, input_, required=required)
    assert message in str(refused.value)


def test_a_connection_is_opened_with_times_in_seconds() -> None:
    opened: dict[str, Any] = {}

    def opener(targets: list[tuple[str, int]], **options: Any) -> FakeUpstream:
        opened.update(options, targets=targets)
        return FakeUpstream()

    kind = http_kind(opener)
    assert kind.open is not None
    kind.open(HttpBackend(targets=["http://127.0.0.1:9000"], timeout="250ms", retries=2), Services())
    balancing, tls, network = opened.pop("balancing"), opened.pop("tls"), opened.pop("network")
    assert (opened.pop("targets"), balancing, tls, network) == ([("http://127.0.0.1:9000", 1)], IN_TURN, None, None)
    assert Settings(**opened) == Settings(timeout=0.25, idle_timeout=60.0, retries=2)
