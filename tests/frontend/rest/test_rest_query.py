"""Query binding by property: what a client writes is what the operation gets, and nothing makes it fail."""

from urllib.parse import quote, urlencode

from hypothesis import given
from hypothesis import strategies as st
from rest_harness import Api

from gateway.core.errors import Detail
from gateway.frontend.rest.negotiation import accepts
from gateway.frontend.rest.parameters import parse_query

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=8))
def test_what_urlencode_writes_is_read_back(pairs: list[tuple[str, str]]) -> None:
    errors: list[Detail] = []
    expected: dict[str, list[str]] = {}
    for name, value in pairs:
        expected.setdefault(name, []).append(value)
    assert parse_query(urlencode(pairs).encode(), errors) == expected
    assert parse_query(urlencode(pairs, quote_via=quote).encode(), errors) == expected
    assert errors == []


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_with_a_place(raw: bytes) -> None:
    errors: list[Detail] = []
    parse_query(raw, errors)
    assert all(error.target.startswith("query") for error in errors)


@given(st.binary(max_size=60))
def test_any_accept_value_is_understood_or_left_out(raw: bytes) -> None:
    assert accepts(raw) in (True, False)


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.lists(TEXTS, min_size=1, max_size=5),
    st.floats(allow_nan=False, allow_infinity=False),
)
async def test_typed_query_values_arrive_as_they_left(number: int, tags: list[str], weight: float) -> None:
    schema = {
        "number": {"type": "integer", "format": "int64"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "weight": {"type": "number", "format": "double"},
    }
    api = Api("GET /find", schema, {"type": "string"}, result="")
    query = urlencode({"number": number, "tags": tags, "weight": repr(weight)}, doseq=True)
    assert (await api.send(query=query.encode())).status == 200
    assert api.input == {"number": number, "tags": tags, "weight": weight}
