"""`pattern` and `body-pattern`: linear expressions over heads and bodies."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from gateway.policy.pattern import Pattern
from tests.policy.body_harness import relaying, response, step
from tests.upstreams import always


def rules(*given: dict[str, Any], **more: Any) -> Any:
    return step("pattern", {"rules": list(given), **more})


@pytest.mark.parametrize(
    ("rule", "target", "fields", "place"),
    [
        ({"deny": "(?i)<script"}, "/a?x=%3CScript%3E", {}, "query.x"),
        ({"deny": "(?i)<script"}, "/a?%3Cscript=1", {}, "query"),
        ({"deny": "%00"}, "/a?x=%00", {}, "query"),
        ({"deny": "admin", "in": ["path"]}, "/x/admin", {}, "path"),
        ({"deny": "a b", "in": ["path"]}, "/x/a%20b", {}, "path"),
        ({"allow": "^[A-Z]{3}$", "in": ["query:unit"]}, "/a?unit=EURO", {}, "query.unit"),
        ({"allow": "^[0-9]+$", "in": ["header:X-Shop"]}, "/a", {"X_Shop": "seven"}, "header.X-Shop"),
    ],
)
async def test_a_rule_that_is_broken_refuses_with_its_place(
    rule: dict[str, Any], target: str, fields: dict[str, str], place: str
) -> None:
    async with relaying(rules(rule)) as relay:
        answered = await relay.request("GET", target=target, **fields)
    assert (answered.status, answered.places[0], relay.upstream.received) == (400, place, [])


async def test_what_keeps_all_rules_goes_on() -> None:
    given = ({"deny": "<"}, {"allow": "^[A-Z]{3}$", "in": ["query:unit"]}, {"allow": "^a", "in": ["header:X-A"]})
    async with relaying(rules(*given)) as relay:
        for target in ("/a", "/a?unit=EUR", "/a?other=<b"[:9]):
            assert (await relay.request("GET", target=target)).status == 200


async def test_a_rule_may_tell_its_own_message() -> None:
    async with relaying(rules({"deny": "x", "message": "is no size"}, status=422)) as relay:
        answered = await relay.request("GET", target="/a?size=xl")
    assert (answered.status, answered.problem["errors"][0]["message"]) == (422, "is no size")


@pytest.mark.parametrize("expression", ["(?=a)b", r"(a)\1", "(", "a{99999}", "x" * 1001])
def test_an_expression_that_could_backtrack_or_is_none_is_refused_when_published(expression: str) -> None:
    """CASES B56"""
    with pytest.raises(ValidationError):
        Pattern.model_validate({"rules": [{"deny": expression}]})


@pytest.mark.parametrize(
    "rule", [{}, {"deny": "a", "allow": "b"}, {"deny": "a", "in": ["body"]}, {"deny": "a", "in": ["header:a b"]}]
)
def test_a_rule_that_says_nothing_definite_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Pattern.model_validate({"rules": [rule]})


async def test_an_expression_that_makes_others_hang_is_answered_at_once() -> None:
    """CASES B56: the watch over the loop fails this test otherwise."""
    async with relaying(
        rules({"deny": "(a+)+$"}), step("body-pattern", {"request": {"rules": [{"deny": "^(a|a)*$"}]}})
    ) as relay:
        assert (await relay.request(target="/a?x=" + "a" * 10_000 + "!", body=b"a" * 60_000 + b"!")).status == 200


async def test_a_body_that_breaks_a_rule_is_refused_whatever_its_type() -> None:
    config = {"request": {"rules": [{"deny": "(?i)<script"}, {"allow": "order"}]}}
    async with relaying(step("body-pattern", config)) as relay:
        for body, status in ((b"order <Script>", 400), (b"nothing", 400), (b"order \xff", 200), (b"", 200)):
            assert (await relay.request(body=body, media_type="x/y")).status == status
        assert (await relay.request(body=b"order " + b"x" * 70_000 + b"<script>", media_type="x/y")).status == 400


async def test_a_reply_that_breaks_a_rule_is_502() -> None:
    config = {"response": {"rules": [{"deny": "PRIVATE KEY"}]}}
    for body, status in ((b"fine", 200), (b"-----BEGIN PRIVATE KEY-----", 502)):
        async with relaying(step("body-pattern", config), answering=always(response(body))) as relay:
            answered = await relay.request("GET")
        assert (answered.status, b"PRIVATE" in answered.body) == (status, False)
