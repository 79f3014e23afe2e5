"""Typed REST endpoints: where input comes from, what is refused and how, what comes back."""

import datetime
from decimal import Decimal

import pytest
from rest_harness import Api

from gateway.core.errors import Detail, NotFound
from gateway.core.findings import DocumentsRefused
from gateway.snapshot.spec import StepSpec

INT = {"type": "integer", "format": "int64"}
TEXT = {"type": "string"}
LINE = {"type": "object", "properties": {"sku": TEXT, "quantity": INT}, "required": ["sku", "quantity"]}


async def test_a_path_parameter_reaches_the_call_typed() -> None:
    api = Api("GET /orders/{id}", {"id": INT}, TEXT, result="paid")
    answer = await api.send(b"42")
    assert (answer.status, answer.body, answer.media_type) == (200, b'"paid"', b"application/json")
    assert api.input == {"id": 42}


async def test_the_call_knows_where_it_comes_from() -> None:
    api = Api("GET /orders/{id}", {"id": INT}, TEXT, result="paid")
    await api.send(b"42")
    context = api.calls[0].context
    assert (context.call_id, context.component, context.version) == ("req-1", "shop", "v2")
    assert (context.operation, context.protocol, context.identity.method) == ("find", "rest", "anonymous")


async def test_a_path_segment_is_decoded_as_utf8_after_it_was_cut() -> None:
    api = Api("GET /files/{name}", {"name": TEXT}, TEXT, result="")
    await api.send(b"a%2Fb%20%C3%A9+")
    assert api.input == {"name": "a/b é+"}


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (b"%zz", "has a % that is not followed by two hexadecimal digits; write % itself as %25"),
        (b"%C0%AF", "must be UTF-8, percent-encoded"),
        (b"\xff", "must be UTF-8, percent-encoded"),
        (b"a%00", "must not hold a NUL character"),
    ],
)
async def test_a_malformed_path_segment_is_refused(segment: bytes, message: str) -> None:
    """CASES P29."""
    answer = await Api("GET /files/{name}", {"name": TEXT}, TEXT).send(segment)
    assert (answer.status, answer.errors) == (400, {"path.name": message})


async def test_everything_that_is_wrong_is_told_at_once_with_its_place() -> None:
    api = Api(
        "POST /orders/{id}",
        {"id": INT, "trace": INT, "limit": INT, "lines": {"type": "array", "items": LINE}, "note": TEXT},
        query={"limit": "limit"},
        headers={"trace": "X-Trace"},
    )
    body = b'{"lines": [{"sku": "a", "quantity": 1}, {"sku": 7, "quantity": 1}], "nots": "x"}'
    answer = await api.send(b"x", query=b"limit=ten&limt=3", body=body, fields={"X-Trace": "y"})
    assert answer.status == 400
    assert answer.media_type == b"application/problem+json"
    assert answer.errors == {
        "path.id": "must be an integer of 64 bits",
        "query.limit": "must be an integer of 64 bits",
        "query.limt": "is not a known query parameter (did you mean limit?)",
        "header.X-Trace": "must be an integer of 64 bits",
        "$.lines[1].sku": "must be a string",
        "$.note": "is required",
        "$.nots": "is not a known field (known: lines, note)",
    }
    assert answer.json["code"] == "invalid_input"
    assert answer.json["target"] == "path.id"
    assert answer.json["detail"] == "path.id must be an integer of 64 bits (and 6 more)."
    assert api.calls == []


async def test_query_names_and_values_are_form_decoded() -> None:
    api = Api("GET /find", {"größe": TEXT, "b c": TEXT}, TEXT, result="")
    assert (await api.send(query=b"gr%C3%B6%C3%9Fe=a+b%2Bc&&b+c=")).status == 200
    assert api.input == {"größe": "a b+c", "b c": ""}


async def test_a_list_in_the_query_is_a_repeated_name() -> None:
    api = Api("GET /find", {"tag": {"type": "array", "items": INT}}, TEXT, result="")
    await api.send(query=b"tag=1&tag=2")
    assert api.input == {"tag": [1, 2]}


async def test_a_required_list_that_is_not_there_is_empty() -> None:
    api = Api("GET /find", {"tag": {"type": "array", "items": INT}}, TEXT, result="")
    await api.send()
    assert api.input == {"tag": []}


async def test_a_list_in_the_query_keeps_its_limits_and_places() -> None:
    api = Api("GET /find", {"tag": {"type": "array", "items": INT, "minItems": 1, "maxItems": 2}}, TEXT)
    assert (await api.send()).errors == {"query.tag": "is required"}
    assert (await api.send(query=b"tag=1&tag=2&tag=3")).errors == {"query.tag": "must be given at most 2 times"}
    assert (await api.send(query=b"tag=1&tag=x")).errors == {"query.tag[1]": "must be an integer of 64 bits"}


async def test_a_repeated_scalar_is_refused() -> None:
    api = Api("GET /find", {"limit": INT, "trace": TEXT}, TEXT, headers={"trace": "X-Trace"})
    answer = await api.send(query=b"limit=1&limit=2", fields={"X-Trace": "a", "x-trace": "b"})
    assert answer.errors == {
        "query.limit": "is given 2 times; give it once",
        "header.X-Trace": "is a header field that stands 2 times; send it once",
    }


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
async def test_a_boolean_is_a_word(text: str, value: bool) -> None:
    api = Api("GET /find", {"open": {"type": "boolean"}}, TEXT, result="")
    await api.send(query=f"open={text}".encode())
    assert api.input == {"open": value}


@pytest.mark.parametrize("text", ["1", "0", "TRUE", "", "yes"])
async def test_another_word_is_no_boolean(text: str) -> None:
    answer = await Api("GET /find", {"open": {"type": "boolean"}}, TEXT).send(query=f"open={text}".encode())
    assert answer.errors == {"query.open": "must be true or false"}


async def test_a_number_with_a_plus_sign_is_refused() -> None:
    answer = await Api("GET /find", {"limit": INT}, TEXT).send(query=b"limit=%2B5")
    assert answer.errors == {"query.limit": "must be an integer of 64 bits"}


async def test_absent_parameters_take_their_defaults_or_stay_out() -> None:
    api = Api("GET /find", {"limit": INT | {"default": 10}, "after": TEXT}, TEXT, required=[], result="")
    await api.send()
    assert api.input == {"limit": 10}


async def test_a_nullable_parameter_that_is_not_sent_is_null() -> None:
    api = Api("GET /find", {"after": {"type": ["string", "null"]}}, TEXT, result="")
    await api.send()
    assert api.input == {"after": None}


async def test_an_unknown_query_parameter_is_refused_where_there_are_none() -> None:
    answer = await Api("GET /all", {}, TEXT).send(query=b"x=1")
    assert answer.errors == {"query.x": "is not a known query parameter (there are none here)"}


async def test_a_query_parameter_that_a_step_reads_is_let_through() -> None:
    step = StepSpec(id="keys", use="api-key", config={"query": "api_key"}, scope="shop@v2")
    assert (await Api("GET /all", {}, TEXT, result="", steps=(step,)).send(query=b"api_key=x")).status == 200


async def test_a_header_that_is_not_ascii_is_refused() -> None:
    api = Api("GET /all", {"trace": TEXT}, TEXT, headers={"trace": "X-Trace"})
    assert (await api.send(fields={"X-Trace": "é"})).errors == {"header.X-Trace": "must be ASCII text"}


async def test_the_body_can_be_one_parameter_and_the_rest_comes_from_the_query() -> None:
    api = Api("POST /orders", {"order": LINE, "dry": {"type": "boolean"}}, body="order", required=["order"])
    answer = await api.send(query=b"dry=true", body=b'{"sku": "a", "quantity": 2}')
    assert (answer.status, answer.body) == (204, b"")
    assert api.input == {"order": {"sku": "a", "quantity": 2}, "dry": True}


async def test_a_required_body_that_is_not_there_is_refused() -> None:
    answer = await Api("POST /orders", {"order": LINE}, body="order").send()
    assert (answer.status, answer.errors) == (400, {"$": "is required: send a JSON body"})


async def test_an_optional_body_may_be_left_out() -> None:
    api = Api("POST /orders", {"note": TEXT, "size": INT | {"default": 3}}, required=[])
    assert (await api.send()).status == 204
    assert api.input == {"size": 3}


async def test_a_body_that_is_not_json_is_refused_with_line_and_column() -> None:
    answer = await Api("POST /orders", {"order": LINE}, body="order").send(body=b'{"sku":\n nope}')
    assert answer.json["detail"] == "The body is not valid JSON: expecting value at line 2, column 2."
    assert answer.json["target"] == "$"


async def test_a_body_where_none_is_taken_is_refused() -> None:
    answer = await Api("GET /all", {}, TEXT).send(body=b"{}")
    assert (answer.status, answer.json["detail"]) == (
        400,
        "This endpoint takes no body. Send the request without one.",
    )


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/vnd.x+json",
    ],
)
async def test_json_media_types_are_taken(media_type: str) -> None:
    api = Api("POST /notes", {"note": TEXT})
    assert (await api.send(body=b'{"note": "a"}', fields={"Content-Type": media_type})).status == 204


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/xml", "application/jsonx", "application/json; charset=utf-16", "json", "", "a/b, c/d"],
)
async def test_another_media_type_is_415_and_told_the_right_one(media_type: str) -> None:
    """PROTOCOLS R1."""
    answer = await Api("POST /notes", {"note": TEXT}).send(body=b"{}", fields={"Content-Type": media_type})
    assert (answer.status, answer.reply.get(b"accept")) == (415, b"application/json")
    assert "Send JSON with Content-Type: application/json." in answer.json["detail"]


async def test_a_compressed_body_is_415() -> None:
    answer = await Api("POST /notes", {"note": TEXT}).send(body=b"{}", fields={"Content-Encoding": "gzip"})
    assert (answer.status, answer.reply.get(b"accept-encoding")) == (415, b"identity")


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "application/*",
        "application/json",
        "text/html, application/json;q=0.5",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "APPLICATION/JSON;charset=utf-8",
        "nonsense",
        "",
    ],
)
async def test_a_client_that_takes_json_gets_it(accept: str) -> None:
    assert (await Api("GET /all", {}, TEXT, result="").send(fields={"Accept": accept})).status == 200


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml",
        "application/json;q=0, */*",
        "application/json;q=0.000",
        "*/*;q=0",
        "text/*, nonsense",
    ],
)
async def test_a_client_that_does_not_take_json_gets_406_as_problem_details(accept: str) -> None:
    """PROTOCOLS R1, R3; RFC 9110 section 12.5.1."""
    answer = await Api("GET /all", {}, TEXT, result="").send(fields={"Accept": accept})
    assert (answer.status, answer.media_type) == (406, b"application/problem+json")


async def test_an_answer_is_written_by_its_type() -> None:
    day = {"type": "object", "properties": {"on": {"type": "string", "format": "date"}, "sum": INT}, "required": ["on"]}
    api = Api("GET /all", {}, {"$ref": "#/types/Day"}, types={"Day": day}, result={"on": datetime.date(2024, 5, 1)})
    assert (await api.send()).body == b'{"on":"2024-05-01"}'


async def test_an_answer_that_does_not_fit_is_a_500_with_the_id_that_the_log_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """PROTOCOLS R3."""
    answer = await Api("GET /all", {}, INT, result="seven").send()
    assert (answer.status, answer.json["id"], answer.json["instance"]) == (500, "req-1", "urn:penstock:request:req-1")
    assert "seven" not in str(answer.json)
    assert "request req-1 answered 500" in caplog.text


async def test_null_is_an_answer_where_the_output_may_be_null() -> None:
    answer = await Api("GET /all", {}, {"type": ["string", "null"]}, result=None).send()
    assert (answer.status, answer.body) == (200, b"null")


async def test_the_binding_sets_the_status() -> None:
    assert (await Api("POST /all", {}, TEXT, result="", status=201).send()).status == 201
    assert (await Api("POST /all", {}, status=202).send()).status == 202


async def test_a_topic_endpoint_answers_202_with_its_status_url() -> None:
    receipt = {"type": "object", "properties": {"id": TEXT, "status_url": TEXT}, "required": ["id", "status_url"]}
    api = Api(
        "POST /order-events",
        {"payload": {}},
        receipt,
        result={"id": "1-0", "status_url": "/status/1-0"},
        location=lambda _exchange, value: value["status_url"].encode(),
        body="payload",
        status=202,
    )
    answer = await api.send(body=b'{"any": [1, 2.5, null]}')
    assert (answer.status, answer.reply.get(b"location")) == (202, b"/status/1-0")
    assert answer.json == {"id": "1-0", "status_url": "/status/1-0"}
    assert api.input == {"payload": {"any": [1, 2.5, None]}}


async def test_a_decimal_keeps_its_digits() -> None:
    api = Api("GET /tax", {"amount": {"type": "string", "format": "decimal"}}, TEXT, result="")
    await api.send(query=b"amount=12.50")
    assert str(api.input["amount"]) == str(Decimal("12.50"))


async def test_a_problem_of_the_operation_keeps_its_members_and_headers() -> None:
    problem = NotFound(
        "No order 42.",
        target="path.id",
        details=[Detail("path.id", "is unknown", "unknown")],
        headers=[(b"retry-after", b"5")],
        hint="look again",
        status="overridden",
        sum=Decimal("1.50"),
    )
    answer = await Api("GET /all", {}, TEXT, result=problem).send()
    assert answer.reply.get(b"retry-after") == b"5"
    assert answer.json == {
        "type": "urn:penstock:problem:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "No order 42.",
        "instance": "urn:penstock:request:req-1",
        "code": "not_found",
        "id": "req-1",
        "target": "path.id",
        "errors": [{"target": "path.id", "code": "unknown", "message": "is unknown"}],
        "hint": "look again",
        "sum": "1.50",
    }


async def test_a_problem_that_strict_json_cannot_carry_is_rendered_all_the_same() -> None:
    answer = await Api("GET /all", {}, TEXT, result=NotFound("\ud800", huge=2**70)).send()
    assert answer.status == 404


async def test_a_header_that_could_break_the_message_is_left_out_of_a_problem() -> None:
    """CASES F22."""
    answer = await Api("GET /all", {}, TEXT, result=NotFound(headers=[(b"x-a", b"1\r\nx-b: 2")])).send()
    assert (answer.status, answer.reply.headers) == (404, [(b"content-type", b"application/problem+json")])


@pytest.mark.parametrize(
    ("key", "input_", "binding", "message"),
    [
        ("GET /a/{id}", {}, {}, "GET /a/{id}: its path names id, which find does not take. Parameters of find: none."),
        ("GET /a", {"x": TEXT}, {"query": {"y": "y"}}, "its query names y, which find does not take."),
        ("GET /a", {"x": TEXT}, {"headers": {"y": "Y"}}, "its headers names y, which find does not take."),
        ("POST /a", {"x": TEXT}, {"body": "y"}, "its body names y, which find does not take."),
        ("GET /a/{x}", {"x": TEXT}, {"query": {"x": "y"}}, "the parameter x comes from two places."),
        ("GET /a", {"x": TEXT}, {"body": "x"}, "a GET request has no body."),
        ("ANY /a", {"x": TEXT}, {}, "ANY is for relays."),
        ("GET /a", {"x": TEXT}, {"headers": {"x": "Content-Type"}}, "which HTTP itself uses."),
        ("GET /a", {"x": LINE}, {}, "The parameter x is a record, which a query does not carry."),
        ("GET /a", {"x": {"type": "array", "items": LINE}}, {}, "x is a list of lists or records, which a query"),
        ("GET /a/{x}", {"x": {"type": "array", "items": TEXT}}, {}, "x is a list, which the path does not carry."),
        ("GET /a", {"x": TEXT, "y": TEXT}, {"query": {"x": "y"}}, "Two parameters come from the query parameter y."),
    ],
)
def test_a_binding_that_cannot_work_is_refused_at_publish(
    key: str, input_: dict[str, object], binding: dict[str, object], message: str
) -> None:
    with pytest.raises(DocumentsRefused) as refused:
        Api(key, input_, TEXT, **binding)  # type: ignore[arg-type]
    assert message in str(refused.value)
