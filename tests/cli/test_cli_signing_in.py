"""`penstock login`, `logout` and `whoami`: what is sent, what is kept, and every way in which it goes wrong. A provider
and a gateway stand on loopback ports; the person's browser is a thread."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.admin.people import People, SignIn
from gateway.admin.people import Provider as About
from gateway.cli import logins, renewing
from gateway.cli.failures import REFUSED, UNREACHABLE, USAGE, Failed
from gateway.cli.logins import Login
from gateway.cli.provider import Client, Provider
from gateway.core.clock import SystemClock
from gateway.relay.network import Network
from gateway.relay.outside import Outside
from tests.admin.admin_server import Served, serving
from tests.cli.cli_harness import Ran, penstock
from tests.cli.fake_provider import Browser, FakeProvider, Form, fake_provider
from tests.policy.issuer import claims, token

REFRESH = "planted-refresh-token"


@dataclass
class World:
    served: Served
    provider: FakeProvider
    patch: pytest.MonkeyPatch

    def gives(self, *roles: str, aud: str = "penstock", **more: Any) -> str:
        """What the token endpoint gives from now on: the access token."""
        said = claims(iss=self.provider.url, aud=aud, email="ann@example.com", roles=list(roles), exp=time.time() + 600)
        access = token(said).decode()
        content = {"access_token": access, "expires_in": 600, "refresh_token": REFRESH} | more
        self.provider.answers["/token"] = (200, content)
        return access

    def login(self, browser: Browser | None = None, *words: str) -> Ran:
        person = browser or Browser()
        self.patch.setenv("DISPLAY", ":0")
        self.patch.setattr("webbrowser.open", person.open)
        ran = penstock("login", "--url", self.served.url, *words)
        if person.asked:
            person.wait()
        return ran

    def kept(self) -> dict[str, Any] | None:
        path = logins.file()
        return json.loads(path.read_text()).get(self.served.url) if path.exists() else None

    def keeps(self, **more: Any) -> None:
        about = Login(self.provider.url, "terminal", f"{self.provider.url}/token", "old", time.time() - 1, REFRESH)
        with logins.turn():
            logins.keep(self.served.url, replace(about, **more))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("node")) as made:
        yield made


@pytest.fixture
def world(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The gateway's people are those of a provider of the test's own."""
    monkeypatch.setenv("PENSTOCK_URL", served.url)
    with fake_provider() as found:
        network = Network(clock=SystemClock())
        outside = Outside(network)
        about = About(found.url, "penstock", "roles", [("ops", "operator")])
        people = People(about, outside, SystemClock(), SignIn(found.url, "terminal", ("openid", "email")))
        object.__setattr__(served.node.admin.access, "people", people)
        yield World(served, found, monkeypatch)
        object.__setattr__(served.node.admin.access, "people", None)
        served.run(outside.close())
        served.run(network.close())


# by a browser


def test_the_provider_is_asked_with_a_challenge_and_told_the_verifier(world: World) -> None:
    world.gives("ops")
    person = Browser()
    ran = world.login(person)
    assert ran.code == 0, ran.err
    assert "You are ann@example.com" in ran.out
    asked, (form,) = person.asked, world.provider.forms("/token")
    assert (asked["response_type"], asked["client_id"], asked["scope"]) == ("code", "terminal", "openid email")
    assert asked["code_challenge_method"] == "S256"
    digest = hashlib.sha256(form["code_verifier"].encode()).digest()
    assert asked["code_challenge"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert form["redirect_uri"] == asked["redirect_uri"]
    assert urlsplit(form["redirect_uri"]).hostname == "127.0.0.1"
    assert "Almost done" in person.seen[0][1]


def test_the_page_is_printed_where_there_is_no_browser_to_open(world: World) -> None:
    person, opened = Browser(), Browser()
    world.gives("ops")
    world.patch.setattr("gateway.cli.output.told", person.open)
    assert world.login(opened, "--no-browser").code == 0
    assert not opened.asked
    person.wait()


def test_tokens_are_kept_for_the_user_alone_and_never_printed(world: World) -> None:
    logins.file().write_text("{}")
    logins.file().chmod(0o644)
    access = world.gives("ops")
    ran = world.login()
    assert stat.S_IMODE(logins.file().stat().st_mode) == 0o600
    assert (world.kept() or {})["refresh"] == REFRESH
    whoami = penstock("whoami", "--json")
    for secret in (access, REFRESH):
        assert secret not in ran.out + ran.err + whoami.out + whoami.err
        assert secret not in repr(logins.find(world.served.url))


@pytest.mark.parametrize(
    "stray",
    [
        {"code": "eve", "state": "guessed"},
        {"code": "eve"},
        {"error": "access_denied", "state": ""},
        {f"n{number}": "1" for number in range(60)},
    ],
)
def test_a_visit_that_is_not_ours_is_told_so_and_changes_nothing(world: World, stray: Form) -> None:
    world.gives("ops")
    person = Browser(lambda asked: [stray, {"code": "c", "state": asked["state"]}])
    assert world.login(person).code == 0
    assert [status for status, _ in person.seen] == [400, 200]
    (form,) = world.provider.forms("/token")
    assert form["code"] == "c"


def test_a_connection_without_a_request_keeps_nobody_waiting(world: World) -> None:
    """Browsers open such ones ahead."""
    world.gives("ops")
    idle = socket.socket()

    def visits(asked: Form) -> list[Form]:
        idle.connect(("127.0.0.1", urlsplit(asked["redirect_uri"]).port or 0))
        return [{"code": "c", "state": asked["state"]}]

    with idle:
        person = Browser(visits)
        assert world.login(person).code == 0
    assert person.seen, "the page came within the browser's patience"


@pytest.mark.parametrize(
    ("says", "iss"), [(False, "https://other.example"), (True, "https://other.example"), (True, None)]
)
def test_an_answer_of_another_provider_is_refused(world: World, says: bool, iss: str | None) -> None:
    """RFC 9207 section 2.4"""
    world.gives("ops")
    world.provider.metadata["authorization_response_iss_parameter_supported"] = says
    more = {} if iss is None else {"iss": iss}
    ran = world.login(Browser(lambda asked: [{"code": "c", "state": asked["state"]} | more]))
    assert (ran.code, "Another provider" in ran.err) == (REFUSED, True)
    assert not world.provider.forms("/token"), "the code went nowhere"
    assert world.kept() is None


def test_who_says_no_at_the_provider_is_told_so(world: World) -> None:
    said = {"error": "access_denied", "error_description": "\x1b[31mno"}
    ran = world.login(Browser(lambda asked: [said | {"state": asked["state"]}]))
    assert (ran.code, "access_denied" in ran.err, "penstock login" in ran.err) == (REFUSED, True, True)
    assert "\x1b" not in ran.err


def test_who_waits_too_long_is_told_how_to_begin_again(world: World) -> None:
    world.patch.setattr("gateway.cli.loopback.PATIENCE", 0.01)
    ran = world.login(Browser(lambda _asked: []))
    assert (ran.code, "Begin again" in ran.err) == (REFUSED, True)


# what stands in the way


def test_a_gateway_without_a_provider_names_the_settings(world: World) -> None:
    people = world.served.node.admin.access.people
    assert people is not None
    people.sign_in = None
    ran = world.login()
    assert (ran.code, "admin_oidc_cli_client_id" in ran.err, "PENSTOCK_TOKEN" in ran.err) == (REFUSED, True, True)


def test_a_provider_that_is_away_is_named(world: World) -> None:
    people = world.served.node.admin.access.people
    assert people is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{probe.getsockname()[1]}"
        people.sign_in = SignIn(nobody, "terminal", ("openid",))
        ran = world.login()
    assert (ran.code, nobody.removeprefix("http://") in ran.err) == (UNREACHABLE, True)


@pytest.mark.parametrize(
    "more", [{"issuer": "https://other.example"}, {"authorization_endpoint": "http://id.example/a"}]
)
def test_metadata_of_another_or_without_tls_is_not_believed(world: World, more: dict[str, str]) -> None:
    world.provider.metadata |= more
    ran = world.login()
    assert ran.code in {REFUSED, UNREACHABLE}
    assert world.kept() is None


def test_a_token_for_another_audience_is_not_kept_and_the_settings_are_named(world: World) -> None:
    world.gives("ops", aud="another")
    ran = world.login()
    assert (ran.code, "admin_oidc_audience" in ran.err, "admin_oidc_resource" in ran.err) == (REFUSED, True, True)
    assert world.kept() is None
    assert [form["token"] for form in world.provider.forms("/revoke")] == [REFRESH]


def test_who_has_no_role_is_told_which_value_was_seen_and_nothing_lives_on(world: World) -> None:
    world.gives("guests")
    ran = world.login()
    assert (ran.code, "`guests`" in ran.err, "admin_oidc_roles" in ran.err) == (REFUSED, True, True)
    assert world.kept() is None
    assert [form["token"] for form in world.provider.forms("/revoke")] == [REFRESH]


# by a code


def device(world: World, *answers: Any) -> tuple[Login, list[float]]:
    world.provider.answers["/token"] = [*answers, (200, {"access_token": "a", "expires_in": 600})]
    slept: list[float] = []
    client = Client(world.provider.url, "terminal", ("openid",))
    return Provider(client).by_device(lambda *_: None, slept.append), slept


PENDING = (400, {"error": "authorization_pending"})
SLOW = (400, {"error": "slow_down"})


def test_a_code_is_asked_about_as_slowly_as_the_provider_says(world: World) -> None:
    """RFC 8628 section 3.5"""
    world.provider.answers["/device"][1]["interval"] = 2
    login, slept = device(world, PENDING, SLOW, PENDING, SLOW)
    assert login.access == "a"
    assert slept == [2, 2, 7, 7, 12]


def test_a_provider_that_stumbles_meanwhile_is_asked_again_more_slowly(world: World) -> None:
    login, slept = device(world, (503, {}), (429, {}), PENDING)
    assert login.access == "a"
    assert slept == [5, 10, 20, 20]


@pytest.mark.parametrize(("error", "text"), [("access_denied", "access_denied"), ("expired_token", "in time")])
def test_a_code_that_is_refused_or_has_expired_ends_it(world: World, error: str, text: str) -> None:
    with pytest.raises(Failed, match=text):
        device(world, PENDING, (400, {"error": error}))


def test_a_code_is_not_asked_about_beyond_its_time(world: World) -> None:
    world.provider.answers["/device"][1]["expires_in"] = 1e-9
    with pytest.raises(Failed, match="in time"):
        device(world)
    assert not world.provider.forms("/token")


@pytest.mark.parametrize("more", [{"interval": "soon"}, {"expires_in": [1]}, {"verification_uri_complete": 7}])
def test_what_the_provider_tells_wrongly_is_left_out(world: World, more: dict[str, Any]) -> None:
    world.provider.answers["/device"][1].update(more)
    assert device(world)[1] == [5]


@pytest.mark.parametrize("answer", [(400, {"error": "unauthorized_client"}), (200, b"<html>")])
def test_a_provider_that_gives_no_code_is_told(world: World, answer: Any) -> None:
    world.provider.answers["/device"] = answer
    ran = penstock("login", "--device")
    assert (ran.code, "device_code" in ran.err or "verification_uri" in ran.err) == (REFUSED, True)


# afterwards


def test_an_invalid_grant_ends_the_sign_in(world: World) -> None:
    world.keeps()
    world.provider.answers["/token"] = (400, {"error": "invalid_grant"})
    ran = penstock("list")
    assert (ran.code, "has ended" in ran.err) == (REFUSED, True)
    assert world.kept() is None


@pytest.mark.parametrize("answer", [(500, {}), (429, {}), (400, {"error": "temporarily_unavailable"}), (200, {})])
def test_a_provider_that_cannot_renew_now_ends_nothing(world: World, answer: Any) -> None:
    world.keeps()
    world.provider.answers["/token"] = answer
    assert penstock("list").code == UNREACHABLE
    assert (world.kept() or {})["refresh"] == REFRESH


def test_a_token_that_still_holds_is_used_while_the_provider_is_away(world: World) -> None:
    access = world.gives("ops")
    world.keeps(access=access, ends=time.time() + renewing.AHEAD / 2)
    world.provider.answers["/token"] = (503, {})
    assert penstock("list").code == 0


def test_a_renewal_keeps_the_refresh_token_that_it_was_given_last(world: World) -> None:
    for given, kept in (("next", "next"), (None, "next")):
        world.keeps(refresh="next" if given is None else REFRESH)
        world.gives("ops", refresh_token=given)
        assert penstock("list").code == 0
        assert (world.kept() or {})["refresh"] == kept


def test_a_token_never_goes_to_a_revocation_endpoint_without_tls(world: World) -> None:
    world.keeps(issuer="https://id.example", revocation_endpoint=f"{world.provider.url}/revoke")
    assert penstock("logout", "--json").json["revoked"] is False
    assert not world.provider.forms("/revoke")
    assert world.kept() is None


def test_signing_out_forgets_even_while_the_provider_is_away(world: World) -> None:
    world.keeps(revocation_endpoint=f"{world.provider.url}/revoke")
    world.provider.answers["/revoke"] = (503, {})
    told = penstock("logout", "--json").json
    assert told == {"url": world.served.url, "signed_out": True, "revoked": False}
    assert world.kept() is None
    assert penstock("logout", "--json").json["signed_out"] is False


# which credential


def test_the_flag_goes_before_the_variable_before_who_signed_in_before_the_context(
    world: World, tmp_path: Path
) -> None:
    tokens = world.served.node.tokens
    context = tmp_path / "context.json"
    context.write_text(json.dumps({"url": world.served.url, "token": tokens["viewer"]}))
    world.patch.setenv("PENSTOCK_CONTEXT", str(context))
    assert penstock("whoami", "--json").json["credential"] == "the context file"
    world.gives("ops")
    assert world.login().code == 0
    assert penstock("whoami", "--json").json["credential"] == "penstock login"
    world.patch.setenv("PENSTOCK_TOKEN", tokens["publisher"])
    assert penstock("whoami", "--json").json["credential"] == "PENSTOCK_TOKEN"
    told = penstock("whoami", "--json", "--token", tokens["admin"]).json
    assert (told["credential"], told["by"], told["roles"]) == ("--token", "token", ["admin"])


def test_who_signs_in_while_a_variable_goes_first_is_told(world: World) -> None:
    world.gives("ops")
    world.patch.setenv("PENSTOCK_TOKEN", world.served.node.tokens["viewer"])
    assert "PENSTOCK_TOKEN is set, and goes first" in world.login().err


@pytest.mark.parametrize("content", ["{", "[]", '{"URL": {"access": "a"}}'])
def test_a_file_that_is_damaged_is_named(world: World, content: str) -> None:
    logins.file().write_text(content.replace("URL", world.served.url))
    ran = penstock("list")
    assert (ran.code, str(logins.file()) in ran.err) == (USAGE, True)


def test_a_place_where_nothing_can_be_written_is_named(world: World) -> None:
    world.gives("ops")
    (logins.file().parent / "file").write_text("")
    world.patch.setenv("PENSTOCK_LOGINS", str(logins.file().parent / "file" / "logins.json"))
    ran = world.login()
    assert (ran.code, "PENSTOCK_LOGINS" in ran.err) == (REFUSED, True)
