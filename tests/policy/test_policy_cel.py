"""`cel`: an expression that must hold; whatever goes wrong, nobody gets in by it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core import expressions
from gateway.core.call import Call, Context
from gateway.core.exchange import Exchange
from gateway.core.expressions import _evaluate
from gateway.core.kinds import Built, Stage
from gateway.policy import cel
from tests.policy.policy_harness import Gateway, json_of
from tests.policy.test_policy_authorisation import known


async def asked(gateway: Gateway, expression: str, headers: Any = (), target: str = "/orders/1", **fields: Any) -> Any:
    step = gateway.build(cel.KIND, {"expression": expression})
    chain = gateway.chain(known(**fields), step, facts={"operation": "get_order"})
    return await gateway.request(chain, headers, target)


@pytest.mark.parametrize(
    "expression",
    [
        'request.method == "GET" && request.path == "/orders/1"',
        'request.client == "127.0.0.1" && request.scheme == "http"',
        '"orders:read" in identity.scopes && "clerk" in identity.roles',
        'identity.claims.level >= 3 && identity.claims.groups.exists(group, group == "eu")',
        'identity.application == "partner" && identity.plan == null',
        'request.headers["x-mode"] == "dry"',
        '!("x-other" in request.headers)',
        "!has(identity.claims.absent)",
        'operation == "get_order"',
        'request.path.matches("^/orders/[0-9]+$")',
        'identity.credential == "k1" || identity.credential == "k2"',
        "request.query == {}",
    ],
)
async def test_what_holds_lets_in(gateway: Gateway, expression: str) -> None:
    fields = {
        "application": "partner",
        "credential": "k1",
        "scopes": frozenset(["orders:read"]),
        "roles": frozenset(["clerk"]),
        "claims": {"level": 3, "groups": ["us", "eu"]},
    }
    assert (await asked(gateway, expression, [(b"X-Mode", b"dry")], **fields)).status == 200


@pytest.mark.parametrize(
    "expression",
    [
        "false",
        'request.method == "POST"',
        'request.headers["x-mode"] == "dry"',
        "identity.claims.level > 3",
        'request.query["debug"] == ["1"]',
    ],
)
async def test_what_does_not_hold_or_asks_for_what_is_absent_is_refused(gateway: Gateway, expression: str) -> None:
    answer = await asked(gateway, expression)
    assert (answer.status, json_of(answer)["code"]) == (403, "forbidden")
    assert not gateway.seen


@pytest.mark.parametrize(
    "expression",
    [
        "1",
        '"true"',
        "request.method",
        "identity.claims",
        "1 / 0 == 1",
        "request.method < 5",
        "null",
        "identity.subject.size",
    ],
)
async def test_what_errs_or_is_neither_true_nor_false_cannot_be_decided(gateway: Gateway, expression: str) -> None:
    """CASES C49"""
    answer = await asked(gateway, expression)
    assert answer.status in {403, 503}
    assert json_of(answer)["code"] in {"undecidable", "forbidden"}
    assert not gateway.seen


async def test_an_expression_that_would_look_at_too_much_is_not_begun(gateway: Gateway) -> None:
    many = {"l": list(range(2000))}
    nested = "identity.claims.l.all(a, identity.claims.l.all(b, a + b >= 0))"
    answer = await asked(gateway, nested, claims=many)
    assert (answer.status, json_of(answer)["code"]) == (503, "undecidable")
    once = "identity.claims.l.all(a, a >= 0) && identity.claims.l.exists(b, b == 7)"
    assert (await asked(gateway, once, claims=many)).status == 200


async def test_a_query_that_cannot_be_decoded_is_the_clients_fault(gateway: Gateway) -> None:
    assert (await asked(gateway, 'request.query["a"] == ["b"]', target="/orders/1?a=%ff")).status == 400


async def test_every_value_of_a_repeated_parameter_is_seen(gateway: Gateway) -> None:
    expression = 'request.query["role"] == ["user"]'
    assert (await asked(gateway, expression, target="/orders/1?role=user")).status == 200
    assert (await asked(gateway, expression, target="/orders/1?role=user&role=admin")).status == 403


async def test_an_answer_is_remembered_for_the_same_path_and_the_same_caller_alone(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluated: list[object] = []

    def counting(*given: Any) -> bool:
        evaluated.append(given)
        return _evaluate(*given)

    monkeypatch.setattr(expressions, "_evaluate", counting)
    step = gateway.build(cel.KIND, {"expression": 'identity.claims.level > 1 && request.path == "/orders/1"'})
    junior, senior = known(claims={"level": 1}), known(claims={"level": 2})

    async def ask(who: Built, target: str = "/orders/1") -> int:
        return (await gateway.request(gateway.chain(who, step), target=target)).status

    assert [await ask(senior), await ask(senior), await ask(junior), await ask(junior)] == [200, 200, 403, 403]
    assert len(evaluated) == 2
    assert [await ask(senior, "/orders/2"), await ask(senior)] == [403, 200]


async def test_an_answer_to_header_fields_is_not_remembered(gateway: Gateway) -> None:
    step = gateway.build(cel.KIND, {"expression": '"x-mode" in request.headers && request.path == "/orders/1"'})
    chain = gateway.chain(step)
    asked = [await gateway.request(chain, fields) for fields in ([(b"X-Mode", b"dry")], [], [(b"X-Mode", b"dry")])]
    assert [answer.status for answer in asked] == [200, 403, 200]


async def test_a_refusal_says_what_the_step_says(gateway: Gateway) -> None:
    step = gateway.build(cel.KIND, {"expression": "false", "detail": "Only on weekdays."})
    assert json_of(await gateway.request(gateway.chain(step)))["detail"] == "Only on weekdays."


@pytest.mark.parametrize(("amount", "status"), [(10.0, 200), (5000.0, 403)])
async def test_the_calls_arguments_decide_where_it_is_decoded(gateway: Gateway, amount: float, status: int) -> None:
    def decode(exchange: Exchange) -> None:
        exchange.call = Call("pay", {"amount": amount}, Context("1"))

    step = gateway.build(cel.KIND, {"expression": "arguments.amount <= 1000.0", "stage": "call"})
    assert (await gateway.request(gateway.chain(Built(step=decode), step))).status == status


def test_a_step_that_asks_for_arguments_runs_at_the_call() -> None:
    assert cel.KIND.stage_of is not None
    assert cel.KIND.stage_of({"stage": "call"}) is Stage.CALL
    assert cel.KIND.stage_of({}) is Stage.HEAD


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("1 +", "not CEL"),
        ("", "at least 1"),
        ("nobody == 1", "asks for nobody"),
        ("nobody() == 1", "calls nobody"),
        ("arguments.a == 1", "stage: call"),
        ("(" * 900 + "true" + ")" * 900, "not CEL"),
        ("[1].all(a, true)" + " && [1].all(a, true)" * 8, "at most 8 macros"),
        ("true || " * 300 + "true", "at most 2000"),
        ("request.path.matches('(')", "cannot be read"),
        (r"request.path.matches('(\\w{100}){100}')", "cannot be read, or is too large"),
        ('request.path.matches(request.headers["x"])', "a pattern is written out"),
        ('matches(request.path, "a")', "a pattern is written out"),
        ("[request.path].map(x, x + x + x + x + x)" + ".map(x, x + x + x + x + x)" * 5 + ".size() == 1", "too large"),
    ],
)
def test_an_expression_that_cannot_be_meant_is_refused_when_it_is_published(expression: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        cel.KIND.config.model_validate({"expression": expression})
