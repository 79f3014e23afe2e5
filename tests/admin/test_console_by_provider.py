"""Signing in at the console by an identity provider: what lasts, what is renewed and what is refused. The provider is
a service on a loopback port that answers what each test says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.console.by_provider import ByProvider, NotSignedIn
from gateway.admin.console.gate import Gate
from gateway.admin.console.provider_attempts import ATTEMPT
from gateway.admin.console.provider_client import Client
from gateway.admin.console.sessions import Prove
from gateway.admin.people import Asker, People, Provider
from gateway.core.clock import ManualClock
from gateway.core.errors import Forbidden
from gateway.core.secrets import Secret
from gateway.relay.network import Network
from gateway.relay.outside import DependencyFailed, Outside
from tests.policy.issuer import NOW, Service, answer, claims, issuer, token

LASTS = 600  # seconds of the provider's tokens


@dataclass
class Door:
    """One browser at the console. `proved` are those who were signed in."""

    way: ByProvider
    provider: Service
    clock: ManualClock
    proved: list[Prove]
    cookie: str = ""

    async def visit(self, path: str, query: str = "") -> Response:
        headers = [(b"host", b"127.0.0.1:8081"), (b"cookie", self.cookie.encode())]
        scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": headers}
        made = await self.way.answer(Request(scope | {"server": ("127.0.0.1", 8081), "scheme": "http"}), self.begin)
        self.cookie = made.headers.get("set-cookie", self.cookie).partition(";")[0]
        return made

    def begin(self, _request: Request, prove: Prove, target: str = "", leave: str = "") -> Response:
        self.proved.append(prove)
        return Response(f"{target} {leave}".strip())

    async def away(self) -> dict[str, str]:
        """What the provider is asked for."""
        sent = await self.visit("/console/sign-in/openid", "to=/console/audit")
        query = parse_qs(urlsplit(sent.headers["location"]).query)
        return {name: values[0] for name, values in query.items()}

    async def back(self, state: str, **more: str) -> Response:
        query = "&".join(f"{name}={value}" for name, value in ({"code": "c", "state": state} | more).items())
        return await self.visit("/console/sign-in/openid/back", query)

    def gives(self, nonce: str | None, sub: str = "ann", roles: tuple[str, ...] = ("ops",), **more: Any) -> None:
        """The answer of the token endpoint from now on."""
        now = int(self.clock.time())
        said = {"iss": self.provider.url, "sub": sub, "roles": list(roles), "exp": now + LASTS}
        id_token = token(claims(**said, aud="console", nonce=nonce)).decode()
        self.provider.answers["/token"] = answer({"id_token": id_token, "access_token": "opaque"} | more)

    async def sign_in(self, **more: Any) -> Prove:
        asked = await self.away()
        self.gives(asked["nonce"], **more)
        await self.back(asked["state"])
        return self.proved[-1]


@asynccontextmanager
async def door() -> AsyncIterator[Door]:
    clock = ManualClock()
    network = Network(clock=clock)
    outside = Outside(network)
    ends = {"authorization_endpoint": "/auth", "token_endpoint": "/token", "end_session_endpoint": "/end"}
    async with issuer(**ends, introspection_endpoint="/introspect") as provider:
        provider.answers["/introspect"] = answer({"active": False})
        about, asker = Provider(provider.url, "penstock", "roles", [("ops", "operator")]), Asker("c", Secret("hidden"))
        people = People(about, outside, clock, None, asker)
        client = Client(provider.url, "console", Secret("hidden"), ("openid",), None)
        yield Door(ByProvider(client, people, Gate(()), outside, clock), provider, clock, [])
    await outside.close()
    await network.close()


async def test_the_provider_is_asked_with_state_nonce_and_a_challenge() -> None:
    async with door() as console:
        asked = await console.away()
        assert asked["redirect_uri"] == "http://127.0.0.1:8081/console/sign-in/openid/back"
        assert asked["code_challenge_method"] == "S256"
        assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3
        assert "hidden" not in str(asked)


async def test_who_comes_back_is_somebody_until_the_tokens_end() -> None:
    async with door() as console:
        prove = await console.sign_in()
        found = await prove()
        assert found is not None
        assert (found.name, found.roles) == ("ann", {"operator"})
        console.clock.advance(LASTS + 10)
        assert await prove() is None


async def test_a_refresh_token_renews_who_it_is_and_with_which_roles() -> None:
    async with door() as console:
        prove = await console.sign_in(refresh_token="r1")
        console.clock.advance(LASTS)
        console.gives(None, roles=("ops", "more"), refresh_token="r2")
        found = await prove()
        assert found is not None
        assert found.ends is not None
        assert found.ends > console.clock.time()
        console.clock.advance(LASTS)
        console.gives(None, roles=())
        assert await prove() is None, "who has no role any more is signed out"


async def test_a_renewal_that_is_about_somebody_else_ends_the_session() -> None:
    async with door() as console:
        prove = await console.sign_in(refresh_token="r1")
        console.clock.advance(LASTS)
        console.gives(None, sub="eve", refresh_token="r2")
        assert await prove() is None


async def test_while_the_provider_is_away_nobody_is_renewed_and_nobody_signed_out() -> None:
    async with door() as console:
        prove = await console.sign_in(refresh_token="r1")
        console.clock.advance(LASTS)
        console.provider.answers["/token"] = answer({}, 500)
        with pytest.raises(DependencyFailed):
            await prove()
        console.gives(None, refresh_token="r2")
        assert await prove() is not None


async def test_an_attempt_leads_on_to_its_page_and_to_where_one_signs_out() -> None:
    async with door() as console:
        asked = await console.away()
        console.gives(asked["nonce"])
        answered = await console.back(asked["state"])
        assert bytes(answered.body).decode() == f"/console/audit {console.provider.url}/end?client_id=console"
        assert answered.headers["set-cookie"].startswith("penstock-console-attempt=;")


Change = Callable[[Door, dict[str, str]], Any]


def _late(console: Door, asked: dict[str, str]) -> None:
    console.clock.advance(ATTEMPT + 1)
    console.gives(asked["nonce"])


def _other_nonce(console: Door, _asked: dict[str, str]) -> None:
    console.gives("another")


def _other_browser(console: Door, asked: dict[str, str]) -> None:
    console.gives(asked["nonce"])
    console.cookie = ""


def _other_issuer(console: Door, asked: dict[str, str]) -> dict[str, str]:
    console.gives(asked["nonce"])
    return {"iss": "https://other.example"}


def _refused(console: Door, asked: dict[str, str]) -> None:
    console.gives(asked["nonce"])
    console.provider.answers["/token"] = answer({"error": "invalid_grant"}, 400)


def _no_identity(console: Door, _asked: dict[str, str]) -> None:
    console.provider.answers["/token"] = answer({"access_token": "opaque"})


def _for_another(console: Door, asked: dict[str, str]) -> None:
    said = {"iss": console.provider.url, "aud": "other", "nonce": asked["nonce"], "roles": ["ops"], "exp": NOW + LASTS}
    console.provider.answers["/token"] = answer({"id_token": token(claims(**said)).decode()})


@pytest.mark.parametrize(
    "change", [_late, _other_nonce, _other_browser, _other_issuer, _refused, _no_identity, _for_another]
)
async def test_an_answer_that_does_not_fit_signs_nobody_in(change: Change) -> None:
    async with door() as console:
        asked = await console.away()
        more = change(console, asked) or {}
        with pytest.raises(NotSignedIn):
            await console.back(asked["state"], **more)
        assert not console.proved


async def test_an_answer_counts_once() -> None:
    async with door() as console:
        asked = await console.away()
        console.gives(asked["nonce"])
        cookie = console.cookie
        await console.back(asked["state"])
        console.cookie = cookie
        with pytest.raises(NotSignedIn):
            await console.back(asked["state"])


async def test_who_has_no_role_is_told_what_is_missing() -> None:
    async with door() as console:
        asked = await console.away()
        console.gives(asked["nonce"], roles=("guests",))
        with pytest.raises(Forbidden, match=r"`guests`.*admin_oidc_roles"):
            await console.back(asked["state"])


def says(console: Door, **more: Any) -> None:
    """Of the opaque access token."""
    about = {"active": True, "sub": "ann", "aud": "penstock", "exp": console.clock.time() + LASTS, "roles": ["ops"]}
    console.provider.answers["/introspect"] = answer(about | more)


async def test_roles_that_the_id_token_lacks_are_asked_for_with_the_access_token() -> None:
    async with door() as console:
        says(console)
        found = await (await console.sign_in(roles=()))()
        assert found is not None
        assert found.roles == {"operator"}


async def test_the_provider_is_not_asked_about_the_access_token_where_the_id_token_does() -> None:
    async with door() as console:
        assert await (await console.sign_in())() is not None
        assert "/introspect" not in console.provider.asked


async def test_an_access_token_of_somebody_else_signs_nobody_in() -> None:
    async with door() as console:
        says(console, sub="eve")
        with pytest.raises(NotSignedIn, match="different people"):
            await console.sign_in(roles=())


async def test_a_renewal_without_an_id_token_is_told_by_the_access_token() -> None:
    async with door() as console:
        prove = await console.sign_in(refresh_token="r1")
        console.clock.advance(LASTS)
        says(console)
        console.provider.answers["/token"] = answer({"access_token": "opaque-2", "refresh_token": "r2"})
        assert await prove() is not None
        console.clock.advance(LASTS)
        console.provider.answers["/introspect"] = answer({"active": False})
        assert await prove() is None
