"""`scopes`, `roles` and `access-list`: who may run what."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.core.exchange import Exchange
from gateway.core.identity import Identity
from gateway.core.kinds import Built
from gateway.core.memory_wire import Answer
from gateway.policy import access_list, anonymous, roles, scopes
from gateway.policy.access_list import network
from tests.policy.policy_harness import Gateway, json_of


def known(**fields: Any) -> Built:
    """A step that has proved who calls."""
    identity = Identity(**({"subject": "ann", "method": "test"} | fields))

    def admit(exchange: Exchange) -> None:
        exchange.identity = identity

    return Built(step=admit)


async def scoped(gateway: Gateway, config: dict[str, Any], held: set[str], facts: dict[str, str]) -> Answer:
    step = gateway.build(scopes.KIND, config)
    chain = gateway.chain(known(scopes=frozenset(held)), step, facts=facts)
    return await gateway.request(chain)


@pytest.mark.parametrize(
    ("config", "held", "status"),
    [
        ({"all": ["a", "b"]}, {"a", "b", "c"}, 200),
        ({"all": ["a", "b"]}, {"a"}, 403),
        ({"any": ["a", "b"]}, {"b"}, 200),
        ({"any": ["a", "b"]}, {"c"}, 403),
        ({"all": ["a"], "any": ["b", "c"]}, {"a"}, 403),
        ({"operations": {"get_order": ["read"]}}, {"read"}, 200),
        ({"operations": {"get_order": ["read"]}}, {"write"}, 403),
        ({"operations": {"other": ["read"]}}, {"read"}, 403),
        ({"operations": {"other": ["read"]}, "others": "allow"}, set(), 200),
        ({"operations": {"other": ["read"]}, "all": ["base"]}, {"base"}, 200),
        ({"operations": {"get_order": ["read"]}, "all": ["base"]}, {"base"}, 403),
        ({"operations": {"get_order": ["read"]}, "endpoints": {"GET /orders/{id}": ["rest"]}}, {"rest"}, 200),
        ({"operations": {"get_order": {"any": ["x", "y"]}}}, {"y"}, 200),
        ({"operations": {"get_order": []}, "all": ["base"]}, set(), 200),
    ],
)
async def test_the_scopes_of_the_operation_that_runs_decide(
    gateway: Gateway, config: dict[str, Any], held: set[str], status: int
) -> None:
    facts = {"operation": "get_order", "endpoint": "GET /orders/{id}"}
    assert (await scoped(gateway, config, held, facts)).status == status
    assert len(gateway.seen) == (status == 200)


async def test_a_credential_that_does_not_reach_hears_which_scopes_would(gateway: Gateway) -> None:
    """RFC 6750 section 3.1"""
    answer = await scoped(gateway, {"all": ["orders:read"], "any": ["eu", "us"]}, {"eu"}, {})
    assert (answer.status, json_of(answer)["code"]) == (403, "insufficient_scope")
    expected = b'Bearer realm="shop", error="insufficient_scope", scope="orders:read eu us"'
    assert answer.get(b"www-authenticate") == expected


@pytest.mark.parametrize("first", [Built(step=lambda _exchange: None), None])
async def test_who_is_nobody_is_asked_for_a_credential_rather_than_for_scopes(
    gateway: Gateway, first: Built | None
) -> None:
    chain = gateway.chain(first or gateway.build(anonymous.KIND), gateway.build(scopes.KIND, {"all": ["a"]}))
    answer = await gateway.request(chain)
    assert (answer.status, answer.get(b"www-authenticate")) == (401, b'Bearer realm="shop"')


@pytest.mark.parametrize(
    ("config", "held", "status"),
    [({"any": ["clerk", "admin"]}, {"admin"}, 200), ({"any": ["clerk"]}, {"guest"}, 403), ({"all": ["a"]}, set(), 403)],
)
async def test_the_roles_of_the_caller_decide(
    gateway: Gateway, config: dict[str, Any], held: set[str], status: int
) -> None:
    chain = gateway.chain(known(roles=frozenset(held)), gateway.build(roles.KIND, config))
    answer = await gateway.request(chain)
    assert answer.status == status


async def test_nobody_has_a_role(gateway: Gateway) -> None:
    assert (await gateway.request(gateway.chain(gateway.build(roles.KIND, {"any": ["a"]})))).status == 403


@pytest.mark.parametrize(
    "config",
    [{}, {"all": []}, {"all": ["a"], "others": "allow"}, {"all": [""]}, {"all": ["a"], "operation": {}}],
)
def test_what_requires_nothing_or_is_not_understood_is_refused(config: dict[str, Any]) -> None:
    for kind in (scopes.KIND, roles.KIND):
        with pytest.raises(ValidationError):
            kind.config.model_validate(config)


# access lists


async def listed(gateway: Gateway, config: dict[str, Any], client: str = "10.1.2.3", **fields: Any) -> int:
    chain = gateway.chain(known(**fields), gateway.build(access_list.KIND, config))
    return (await gateway.request(chain, client=client)).status


@pytest.mark.parametrize(
    ("config", "client", "status"),
    [
        ({"allow": {"clients": ["10.0.0.0/8"]}}, "10.1.2.3", 200),
        ({"allow": {"clients": ["10.0.0.0/8"]}}, "::ffff:10.1.2.3", 200),
        ({"allow": {"clients": ["::ffff:10.0.0.0/104"]}}, "10.1.2.3", 200),
        ({"allow": {"clients": ["10.0.0.0/8"]}}, "11.1.2.3", 403),
        ({"allow": {"clients": ["10.1.2.3"]}}, "10.1.2.3", 200),
        ({"allow": {"clients": ["2001:db8::/32"]}}, "2001:db8:1::7", 200),
        ({"allow": {"clients": ["2001:db8::/32"]}}, "10.1.2.3", 403),
        ({"deny": {"clients": ["10.0.0.0/8"]}}, "10.1.2.3", 403),
        ({"deny": {"clients": ["10.0.0.0/8"]}}, "::ffff:a01:203", 403),
        ({"deny": {"clients": ["10.0.0.0/8"]}}, "192.0.2.1", 200),
        ({"allow": {"clients": ["10.0.0.0/8"]}, "deny": {"clients": ["10.1.0.0/16"]}}, "10.1.2.3", 403),
        ({"allow": {"clients": ["10.0.0.0/8"]}, "deny": {"clients": ["10.1.0.0/16"]}}, "10.2.2.3", 200),
        ({"deny": {"clients": ["10.0.0.0/8"]}}, "not an address", 403),
        ({"allow": {"clients": ["0.0.0.0/0", "::/0"]}}, "not an address", 403),
    ],
)
async def test_addresses_decide_and_what_is_none_is_refused(
    gateway: Gateway, config: dict[str, Any], client: str, status: int
) -> None:
    """CASES H35"""
    assert await listed(gateway, config, client) == status


@pytest.mark.parametrize(
    ("list_name", "field"),
    [("applications", "application"), ("plans", "plan"), ("subjects", "subject"), ("credentials", "credential")],
)
async def test_names_decide(gateway: Gateway, list_name: str, field: str) -> None:
    assert await listed(gateway, {"allow": {list_name: ["x"]}}, **{field: "x"}) == 200
    assert await listed(gateway, {"allow": {list_name: ["x"]}}, **{field: "y"}) == 403
    assert await listed(gateway, {"deny": {list_name: ["x"]}}, **{field: "x"}) == 403
    assert await listed(gateway, {"deny": {list_name: ["x"]}}, **{field: "y"}) == 200


async def test_one_match_of_those_that_are_allowed_is_enough(gateway: Gateway) -> None:
    config = {"allow": {"clients": ["192.0.2.0/24"], "applications": ["partner"]}}
    assert await listed(gateway, config, application="partner") == 200
    assert await listed(gateway, config, application="other") == 403


@pytest.mark.parametrize("config", [{"allow": {"plans": ["gold"]}}, {"deny": {"plans": ["gold"]}}])
async def test_names_decide_nothing_before_anybody_is_known(gateway: Gateway, config: dict[str, Any]) -> None:
    answer = await gateway.request(gateway.chain(gateway.build(access_list.KIND, config)))
    assert answer.status == 403


@pytest.mark.parametrize(
    "config", [{}, {"allow": {}}, {"allow": {"clients": ["10.0.0.1/8"]}}, {"deny": {"clients": ["host"]}}]
)
def test_a_list_that_lists_nobody_or_no_network_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        access_list.KIND.config.model_validate(config)


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_a_network_of_ipv4_is_the_same_when_it_is_written_as_ipv6(address: Any, bits: int) -> None:
    plain = ip_network((int(address) >> (32 - bits) << (32 - bits), bits))
    assert isinstance(plain, IPv4Network)
    assert network(f"::ffff:{plain.network_address}/{96 + bits}") == network(str(plain)) == plain
