"""`when:` conditions."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.chain import Chain
from gateway.core.conditions import compile_condition
from gateway.core.edge import problem_details
from gateway.core.errors import BadRequest
from gateway.core.exchange import Exchange, Head
from gateway.core.headers import block
from gateway.core.identity import Identity


def exchange(query: bytes = b"debug=1&name=J%C3%BCrgen+K&tag=a&tag=b") -> Exchange:
    fields = block([(b"X-Mode", b"dry"), (b"X-Tag", b"a"), (b"x-tag", b"b")])
    found = Exchange("1", Head(b"POST", b"/erp/orders", query, fields), None, Chain("", (), problem_details))  # type: ignore[arg-type]
    claims = {"role": ["clerk", "boss"], "staff": True, "level": 3}
    found.identity = Identity("s", "jwt", "partner", "gold", claims=claims)
    return found


@pytest.mark.parametrize(
    ("spec", "holds"),
    [
        ({"method": "POST"}, True),
        ({"method": ["GET", "PUT"]}, False),
        ({"path": {"prefix": "/erp/"}}, True),
        ({"path": {"pattern": "^/erp/[a-z]+$"}}, True),
        ({"path": {"prefix": "/erp/", "pattern": "orders"}}, False),
        ({"header": {"x-mode": "dry"}}, True),
        ({"header": {"X-Tag": "b"}}, True),
        ({"header": {"X-None": {"present": False}}}, True),
        ({"header": {"X-None": {"present": True}}}, False),
        ({"header": {"X-None": "dry"}}, False),
        ({"query": {"debug": 1}}, True),
        ({"query": {"name": "Jürgen K", "tag": {"in": ["b", "c"]}}}, True),
        ({"query": {"name": "J%C3%BCrgen"}}, False),
        ({"claim": {"role": "boss"}}, True),
        ({"claim": {"staff": True, "level": 3}}, True),
        ({"application": "partner", "plan": ["silver", "gold"]}, True),
        ({"application": "partner", "plan": "silver"}, False),
        ({"any": [{"plan": "silver"}, {"method": "POST"}]}, True),
        ({"not": {"method": "POST"}}, False),
        ({"method": "POST", "not": {"plan": {"prefix": "sil"}}}, True),
    ],
)
def test_a_condition_holds_when_all_of_its_parts_do(spec: dict[str, Any], holds: bool) -> None:
    assert compile_condition(spec)(exchange()) is holds


@pytest.mark.parametrize(
    ("spec", "holds"),
    [
        ({"method": "GET"}, True),
        ({"method": ["GET", "POST"]}, True),
        ({"method": {"pattern": "GET|PUT"}}, True),
        ({"method": "HEAD"}, True),
        ({"not": {"method": "GET"}}, False),
        ({"not": {"method": "HEAD"}}, False),
        ({"method": "POST"}, False),
    ],
)
def test_head_is_get_too(spec: dict[str, Any], holds: bool) -> None:
    asked = exchange()
    asked.head = Head(b"HEAD", b"/erp/orders")
    assert compile_condition(spec)(asked) is holds


@pytest.mark.parametrize("query", [b"a=%zz", b"a=%ff", b"%c3=1"])
def test_a_query_that_cannot_be_decoded_errs(query: bytes) -> None:
    with pytest.raises(BadRequest):
        compile_condition({"query": {"a": "b"}})(exchange(query))


def test_nobody_has_neither_application_nor_claims() -> None:
    nobody = exchange()
    nobody.identity = None
    assert not compile_condition({"application": "partner"})(nobody)
    assert compile_condition({"claim": {"role": {"present": False}}})(nobody)


@pytest.mark.parametrize(
    ("spec", "place"),
    [
        ({}, "when"),
        ({"mehtod": "GET"}, "when.mehtod"),
        ({"cel": "1 +"}, "when.cel: the expression is not CEL"),
        ({"any": [{"cel": "nobody == 1"}]}, "when.any[0].cel: the expression asks for nobody"),
        ({"header": {"X Y": "a"}}, "when.header.X Y"),
        ({"header": "X"}, "when.header"),
        ({"header": {"X": {"equal": "a"}}}, "when.header.X.equal"),
        ({"header": {"X": {}}}, "when.header.X"),
        ({"header": {"X": {"present": 1}}}, "when.header.X.present"),
        ({"header": {"X": {"present": False, "equals": "a"}}}, "when.header.X"),
        ({"path": {"pattern": "(a)\\1"}}, "when.path.pattern"),
        ({"path": {"pattern": "("}}, "when.path.pattern"),
        ({"path": {"pattern": "a)|(?:b"}}, "when.path.pattern"),
        ({"path": {"prefix": ""}}, "when.path.prefix"),
        ({"path": None}, "when.path"),
        ({"any": []}, "when.any"),
        ({"any": [{"method": "GET"}, {"x": 1}]}, "when.any[1].x"),
        ({"not": {"plan": {"in": [[]]}}}, "when.not.plan.in[0]"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(spec: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError) as refused:
        compile_condition(spec)
    assert str(refused.value).startswith(place)


@pytest.mark.parametrize("pattern", ["((a+))+", "(a|a)*", "a*a*a*a*a*a*a*a*"])
def test_no_pattern_takes_more_than_linear_time(pattern: str) -> None:
    """CASES B56: with a backtracking engine this would not end."""
    condition = compile_condition({"query": {"a": {"pattern": pattern}}})
    assert not condition(exchange(b"a=" + b"a" * 5000 + b"!"))
    assert condition(exchange(b"a=" + b"a" * 5000))


def test_a_repeated_parameter_cannot_hide_a_value() -> None:
    assert compile_condition({"query": {"mode": "admin"}})(exchange(b"mode=user&mode=admin"))
