"""People sign in at a started gateway, by an OpenID provider that somebody else wrote: at the console, and by
`penstock login` with a browser or with a code."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.cli import provider as command_line
from gateway.cli.logins import Login
from gateway.cli.loopback import Loopback
from gateway.cli.provider import Client
from tests.e2e.openid_provider import INSTALLED, PAGE, SECRET, Provider, browse, free_port, started
from tests.server.nodes import Node

pytestmark = INSTALLED
RESOURCE = "urn:penstock:admin"


@dataclass
class World:
    node: Node
    provider: Provider


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    port = free_port()
    console = {
        "client_id": "console",
        "client_secret": SECRET,
        "redirect_uris": [f"http://127.0.0.1:{port}/console/sign-in/openid/back"],
    }
    terminal = {
        "client_id": "terminal",
        "token_endpoint_auth_method": "none",
        "application_type": "native",
        "redirect_uris": ["http://127.0.0.1/"],
        "grant_types": ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
    }
    with started([console, terminal]) as provider:
        settings = {
            "ISSUER": provider.issuer,
            "AUDIENCE": "penstock",
            "ROLES": "ops=operator,team=publisher",
            "CLIENT_ID": "console",
            "CLIENT_SECRET": SECRET,
            "CLI_CLIENT_ID": "terminal",
            "RESOURCE": RESOURCE,
        }
        variables = {f"PENSTOCK_ADMIN_OIDC_{name}": value for name, value in settings.items()}
        with Node(tmp_path_factory.mktemp("node"), workers=1, **variables) as node:
            node.start("--port", "0", "--admin-port", str(port))
            yield World(node, provider)


# the console


def console(world: World, browser: httpx2.Client, name: str) -> httpx2.Response:
    return browse(browser, f"{world.node.admin_url}/console/sign-in/openid?to=/console/applications", name)


def test_the_console_offers_the_provider_by_name(world: World) -> None:
    page = httpx2.get(f"{world.node.admin_url}/console/sign-in").text
    host = world.provider.issuer.removeprefix("http://")
    assert f"Sign in with {host}" in page


def test_a_person_signs_in_at_the_console_and_is_named_in_the_audit(world: World) -> None:
    with httpx2.Client(timeout=20) as browser:
        answer = console(world, browser, "ops-ann")
        assert (answer.status_code, "Signed in" in answer.text) == (200, True)
        assert 'url=/console/applications"' in answer.text
        cookies = answer.headers.get_list("set-cookie")
        assert any("SameSite=Strict" in each and "HttpOnly" in each for each in cookies)
        page = browser.get(f"{world.node.admin_url}/console/applications")
        assert page.status_code == 200
        assert "ops-ann@example.com" in page.text
        word = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert word is not None
        own = {"Origin": world.node.admin_url}
        made = {"csrf": word[1], "name": "partner", "title": "A partner"}
        assert browser.post(f"{world.node.admin_url}/console/applications", data=made, headers=own).status_code == 303
        audit = world.node.admin("GET", "/audit").json()["items"]
        assert "ops-ann@example.com" in {entry["actor"] for entry in audit if "partner" in str(entry)}
        out = browser.post(f"{world.node.admin_url}/console/sign-out", data={"csrf": word[1]}, headers=own)
        assert f'href="{world.provider.issuer}/session/end?client_id=console"' in out.text
        assert browser.get(f"{world.node.admin_url}/console/applications").status_code == 303


def test_who_has_no_role_is_told_which_claim_lacks_it(world: World) -> None:
    with httpx2.Client(timeout=20) as browser:
        answer = console(world, browser, "guest-eve")
        assert answer.status_code == 403
        assert "admin_oidc_roles" in answer.text
        assert "guest" in answer.text
        assert browser.get(f"{world.node.admin_url}/console").status_code == 303


def test_an_answer_that_another_browser_asked_for_signs_nobody_in(world: World) -> None:
    with httpx2.Client(timeout=20) as attacker, httpx2.Client(timeout=20) as victim:
        back = back_of(world, "ops-mallory", attacker)
        refused = victim.get(back, headers=PAGE)
        assert refused.status_code == 403
        assert "this browser began no such attempt" in refused.text
        assert 'href="/console/sign-in">Sign in again</a>' in refused.text
        assert not [each for each in refused.headers.get_list("set-cookie") if "attempt" not in each]


def test_an_answer_counts_once(world: World) -> None:
    with httpx2.Client(timeout=20) as browser:
        back = back_of(world, "ops-ann", browser)
        kept = {each.name: each.value or "" for each in browser.cookies.jar if each.name.endswith("-attempt")}
        assert "Signed in" in browser.get(back, headers=PAGE).text
        with httpx2.Client(timeout=20, cookies=kept) as again:
            assert again.get(back, headers=PAGE).status_code == 403


def back_of(world: World, name: str, browser: httpx2.Client) -> str:
    """Where the provider sends a browser back to, which does not go there."""
    found: list[str] = []

    def stop(request: httpx2.Request) -> None:
        if "/openid/back" in request.url.path:
            found.append(str(request.url))
            raise InterruptedError

    browser.event_hooks = {"request": [stop]}
    with pytest.raises(InterruptedError):
        browse(browser, f"{world.node.admin_url}/console/sign-in/openid", name)
    browser.event_hooks = {"request": []}
    return found[0]


# the command line


class Terminal:
    """Commands of somebody with a home of their own."""

    def __init__(self, world: World, home: Path) -> None:
        self.file = home / "logins.json"
        self.world = world
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "DISPLAY"))},
            "PENSTOCK_LOGINS": str(self.file),
            "PENSTOCK_URL": world.node.admin_url,
            "COLUMNS": "400",
        }
        self.home = home

    def begin(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "gateway.cli.main", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.variables, cwd=self.home, stdout=pipe, stderr=pipe, text=True)

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.begin(*words)
        out, told = process.communicate(timeout=60)
        return process.returncode, out, told

    def login(self, name: str, *words: str) -> tuple[int, str, str]:
        """`penstock login`, with a person who does what it prints."""
        process = self.begin("login", *words)
        assert process.stderr is not None
        said = [process.stderr.readline().strip() for _ in range(2)]
        with httpx2.Client(timeout=20) as browser:
            if "--device" in words:
                page = re.search(r"open (\S+) and type", said[0])
                assert page is not None
                browse(browser, page[1], name, user_code=said[1])
            else:
                browse(browser, said[1], name)
        out, told = process.communicate(timeout=60)
        return process.returncode, out, "\n".join([*said, told])

    def kept(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.file.read_text())[self.world.node.admin_url]
        return found

    def change(self, **more: Any) -> None:
        self.file.write_text(json.dumps({self.world.node.admin_url: self.kept() | more}))


@pytest.fixture
def terminal(world: World, tmp_path: Path) -> Terminal:
    return Terminal(world, tmp_path)


@pytest.mark.parametrize("way", [(), ("--device",)], ids=["browser", "device"])
def test_a_person_signs_in_at_a_terminal_works_and_signs_out(terminal: Terminal, way: tuple[str, ...]) -> None:
    code, out, told = terminal.login("ops-ann", *way)
    assert code == 0, told
    assert "You are ops-ann@example.com" in out
    assert stat.S_IMODE(terminal.file.stat().st_mode) == 0o600
    who = json.loads(terminal.run("whoami", "--json")[1])
    assert (who["name"], who["roles"], who["by"]) == ("ops-ann@example.com", ["operator"], "provider")
    assert who["credential"] == "penstock login"
    assert terminal.run("list")[0] == 0
    token, refresh = terminal.kept()["access"], terminal.kept()["refresh"]
    code, out, _ = terminal.run("logout", "--json")
    assert (code, json.loads(out)["revoked"]) == (0, True)
    assert token not in terminal.file.read_text()
    spent = {"grant_type": "refresh_token", "refresh_token": refresh, "client_id": "terminal"}
    assert httpx2.post(f"{terminal.world.provider.issuer}/token", data=spent).status_code == 400
    code, _, told = terminal.run("list")
    assert (code, "penstock login" in told) == (2, True)


def test_a_token_that_ends_is_renewed_once_by_commands_at_the_same_time(terminal: Terminal) -> None:
    assert terminal.login("ops-ann")[0] == 0
    before = terminal.kept()
    terminal.change(ends=time.time() - 1)
    running = [terminal.begin("whoami", "--json") for _ in range(3)]
    told = [each.communicate(timeout=60) for each in running]
    assert [each.returncode for each in running] == [0, 0, 0], told
    after = terminal.kept()
    assert after["access"] != before["access"]
    assert after["ends"] > time.time()


def test_a_token_that_the_gateway_does_not_take_is_renewed_and_asked_with_again(terminal: Terminal) -> None:
    assert terminal.login("team-bob")[0] == 0
    terminal.change(access="eyJ.not.it")
    code, out, told = terminal.run("whoami", "--json")
    assert code == 0, told
    assert json.loads(out)["roles"] == ["publisher"]


def test_a_refresh_token_that_the_provider_refuses_ends_the_sign_in(terminal: Terminal) -> None:
    assert terminal.login("ops-ann")[0] == 0
    terminal.change(refresh="another", ends=0)
    code, _, told = terminal.run("whoami")
    assert (code, "has ended" in told, "penstock login" in told) == (1, True, True)
    assert terminal.world.node.admin_url not in terminal.file.read_text()


def test_nothing_is_kept_of_who_has_no_role(terminal: Terminal) -> None:
    code, _, told = terminal.login("guest-eve")
    assert (code, "admin_oidc_roles" in told) == (1, True)
    assert not terminal.file.exists()


def opaque(world: World, name: str) -> Login:
    """Of a person with a program that asks for a resource of which the provider makes no JWT."""
    people: list[threading.Thread] = []

    def person(page: str) -> None:
        with httpx2.Client(timeout=20) as browser:
            browse(browser, page, name)

    def show(page: str) -> None:
        people.append(threading.Thread(target=person, args=(page,)))
        people[0].start()

    with Loopback() as loopback:
        client = Client(world.provider.issuer, "terminal", ("openid",), f"{RESOURCE}:opaque")
        found = command_line.Provider(client).by_browser(loopback, show)
    people[0].join(20)
    assert found.access.count(".") == 0
    return found


def whoami(world: World, token: str | None) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.get(f"{world.node.admin_url}/admin/v1/whoami", headers=headers)


def test_the_provider_is_asked_about_a_token_that_is_no_jwt(world: World) -> None:
    login = opaque(world, "ops-ann")
    who = whoami(world, login.access)
    assert who.status_code == 200, who.text
    assert (who.json()["name"], who.json()["roles"]) == ("ops-ann@example.com", ["operator"])
    assert whoami(world, login.refresh).status_code == 401, "a refresh token is no access token"
    files = b"".join(path.read_bytes() for path in world.node.folder.rglob("*") if path.is_file())
    assert login.access.encode() not in files


def test_a_token_that_was_revoked_before_it_was_shown_is_nobodys(world: World) -> None:
    login = opaque(world, "ops-ann")
    form = {"token": login.access, "client_id": "terminal"}
    assert httpx2.post(f"{world.provider.issuer}/token/revocation", data=form).status_code == 200
    assert whoami(world, login.access).status_code == 401


def test_no_secret_of_signing_in_is_in_any_log(world: World, terminal: Terminal) -> None:
    assert terminal.login("ops-ann")[0] == 0
    kept = terminal.kept()
    files = [path for path in world.node.folder.rglob("*") if path.is_file()]
    found = b"".join(path.read_bytes() for path in files)
    for secret in (SECRET, kept["access"], kept["refresh"]):
        assert secret.encode() not in found
