"""People on the admin REST, by tokens of an identity provider on a loopback port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.admin.access import Access
from gateway.admin.people import People, Provider, SignIn
from gateway.core.settings import Settings
from gateway.relay.network import Network
from gateway.relay.outside import Outside
from tests.admin.admin_harness import Bench, bench, problem, shop
from tests.policy.issuer import Service, claims, issuer, rsa_key, token

ROLES = [("team", "publisher"), ("ops", "operator"), ("ops", "policy-editor")]


@asynccontextmanager
async def signed_in(folder: Path) -> AsyncIterator[tuple[Bench, Service]]:
    async with bench(folder) as node, issuer() as service:
        network = Network(clock=node.clock)
        outside = Outside(network)
        provider = Provider(service.url, "penstock", "/realm/roles", ROLES, "apis")
        people = People(provider, outside, node.clock)
        object.__setattr__(node.admin.access, "people", people)
        assert isinstance(node.admin.access, Access)
        yield node, service
        await outside.close()
        await network.close()


def person(service: Service, *roles: str, key: Any = None, **more: Any) -> str:
    said = {"iss": service.url, "aud": "penstock", "email": "ann@example.com", "apis": ["shop"]} | more
    return token(claims(realm={"roles": list(roles)}, **said), key).decode()


async def test_a_person_has_the_roles_of_the_claim_on_the_components_of_the_claim(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as (node, service):
        shown = person(service, "team", "other")
        assert (await node.apply(shop(), token=shown)).status_code == 200
        problem(await node.apply(shop("books"), token=shown), 403)
        problem(await node.send("GET", "/tokens", shown), 403)
        problem(await node.apply(shop(), token=person(service, "team", apis=None)), 403)
        (entry,) = [each for each in await node.store.audit() if each["action"] == "apply"]
        assert entry["actor"] == "ann@example.com"
        assert shown not in await node.dump()


async def test_an_address_that_the_provider_did_not_verify_names_nobody(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as (node, service):
        shown = person(service, "ops", email_verified=False)
        assert (await node.send("GET", "/whoami", shown)).json()["name"] == "ann"


async def test_a_person_without_a_role_gets_in_nowhere(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as (node, service):
        for shown in (person(service), person(service, "admin")):
            problem(await node.send("GET", "/versions", shown), 403)


@pytest.mark.parametrize(
    "more",
    [{"aud": "shop"}, {"iss": "https://other.example"}, {"exp": 1}, {"exp": None}, {"key": rsa_key(7)}, {"sub": ""}],
)
async def test_a_token_that_does_not_hold_is_unauthorised(tmp_path: Path, more: dict[str, Any]) -> None:
    async with signed_in(tmp_path) as (node, service):
        problem(await node.send("GET", "/versions", person(service, "ops", **more)), 401)


async def test_while_the_keys_cannot_be_had_nothing_is_decided_and_admin_tokens_go_on(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as (node, service):
        service.answers.clear()
        problem(await node.send("GET", "/versions", person(service, "ops")), 503)
        assert (await node.send("GET", "/versions", "viewer")).status_code == 200


@pytest.mark.parametrize(
    "given",
    [
        {"admin_oidc_issuer": "https://id.example"},
        {"admin_oidc_issuer": "https://id.example", "admin_oidc_audience": "a", "admin_oidc_roles": ("x=king",)},
        {"admin_oidc_issuer": "http://id.example", "admin_oidc_audience": "a", "admin_oidc_roles": ("x=admin",)},
    ],
)
def test_settings_that_would_let_in_anybody_or_nobody_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate(given)


async def test_anybody_is_told_how_people_sign_in_and_nothing_secret(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as (node, service):
        assert (await node.send("GET", "/sign-in", None)).json() == {"openid": None}
        people = node.admin.access.people
        assert people is not None
        people.sign_in = SignIn(service.url, "terminal", ("openid",))
        told = (await node.send("GET", "/sign-in", None)).json()
        about = {"issuer": service.url, "client_id": "terminal", "scopes": ["openid"], "resource": None}
        assert told == {"openid": about}


async def test_who_asks_is_told_who_it_is(tmp_path: Path) -> None:
    async with signed_in(tmp_path) as (node, service):
        who = (await node.send("GET", "/whoami", person(service, "ops"))).json()
        assert (who["name"], who["by"], who["components"]) == ("ann@example.com", "provider", ["shop"])
        assert who["roles"] == ["operator", "policy-editor"]
        assert (await node.send("GET", "/whoami", "viewer")).json()["by"] == "token"


@pytest.mark.parametrize(
    "given",
    [
        {"admin_oidc_client_id": "console"},
        {"admin_oidc_client_secret": "hidden"},
        {"admin_oidc_scopes": ("profile",)},
    ],
)
def test_a_client_without_its_provider_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(given)
    assert "hidden" not in str(caught.value)
