"""The console's gate: sessions, forms, origins, host names, headers (CASES M69)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response

from gateway.admin.attempts import MOST as WRONG
from gateway.admin.console.app import console_beside
from gateway.admin.console.gate import Gate
from gateway.admin.console.sessions import IDLE, LONGEST, MOST, Sessions
from gateway.admin.console.signing_in import Begin, Way
from gateway.admin.console.visit import local
from gateway.consumers.tokens import Token, find_token
from gateway.core.clock import ManualClock
from gateway.core.errors import Problem, Unavailable
from tests.admin.admin_harness import bench, policy, shop
from tests.admin.admin_server import Served, serving
from tests.admin.console_browser import Person, signed_in


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("console")) as made:
        made.apply(shop(), policy())
        yield made


@pytest.fixture(scope="module")
def person(served: Served) -> Person:
    return signed_in(served.url, served.node.tokens["admin"])


APPLICATION = {"name": "made-by-another-site"}


def _none_was_made(served: Served) -> bool:
    return "made-by-another-site" not in served.run(served.node.send("GET", "/applications")).text


def test_the_port_leads_to_the_console_and_to_the_door_first(served: Served) -> None:
    stranger = Person(served.url)
    assert stranger.get("/").headers["location"] == "/console"
    answer = stranger.get("/console/apis/shop@v1?x=1")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/console/sign-in?to=%2Fconsole%2Fapis%2Fshop%40v1%3Fx%3D1"


def test_every_page_wants_a_session(served: Served) -> None:
    stranger = Person(served.url)
    for path in ("/console", "/console/apis", "/console/tokens", "/console/audit", "/console/policies/team/edit"):
        assert stranger.get(path).status_code == 303
    answer = stranger.client.post("/console/tokens", data={}, headers={"Origin": served.url})
    assert answer.status_code == 401


def test_the_session_cookie_is_for_the_console_alone(served: Served) -> None:
    answer = Person(served.url).sign_in(served.node.tokens["viewer"])
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("penstock-console=")
    for part in ("; HttpOnly", "; SameSite=Strict", "; Path=/console"):
        assert part in cookie
    assert served.node.tokens["viewer"] not in answer.text + cookie


def test_behind_tls_the_cookie_is_bound_to_host_and_scheme() -> None:
    gate = Gate(("https://admin.example",))
    cookie = gate.cookie("https://admin.example", gate.cookie_name("https://admin.example"), "x")
    assert cookie == "__Host-penstock-console=x; Path=/; Secure; HttpOnly; SameSite=Strict"


def test_every_answer_has_the_headers_that_guard_a_page(served: Served, person: Person) -> None:
    paths = ("/", "/console", "/console/sign-in", "/console/nowhere", "/console/tokens", "/console/static/none")
    for answer in [person.get(path) for path in paths]:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": ""},
    ],
)
def test_a_form_of_another_site_changes_nothing(served: Served, person: Person, headers: dict[str, str]) -> None:
    """CASES M69: even with the session's cookie and the form's word."""
    answer = person.send("/console/applications", APPLICATION, headers)
    assert answer.status_code == 403
    assert _none_was_made(served)


def test_a_form_without_any_sign_of_its_origin_is_refused(served: Served, person: Person) -> None:
    """CASES M69."""
    fields = {"csrf": person.word(), **APPLICATION}
    answer = person.client.post("/console/applications", data=fields)
    assert answer.status_code == 403
    assert _none_was_made(served)


@pytest.mark.parametrize("word", ["", "guessed"])
def test_a_form_without_the_word_of_its_session_is_refused(served: Served, person: Person, word: str) -> None:
    """CASES M69."""
    assert person.send("/console/applications", {**APPLICATION, "csrf": word}).status_code == 403
    assert _none_was_made(served)


def test_the_word_of_another_session_is_none(served: Served, person: Person) -> None:
    """CASES M69."""
    other = signed_in(served.url, served.node.tokens["operator"])
    assert person.send("/console/applications", {**APPLICATION, "csrf": other.word()}).status_code == 403


def test_nobody_is_signed_in_by_another_site(served: Served) -> None:
    """CASES M69, login CSRF: the form's word stands in a cookie that another site cannot set."""
    stranger = Person(served.url)
    token = served.node.tokens["viewer"]
    fields = {"csrf": "planted", "token": token}
    assert stranger.client.post("/console/sign-in", data=fields, headers={"Origin": served.url}).status_code == 400
    assert stranger.sign_in(token, Origin="https://evil.example").status_code == 403


def test_json_and_multipart_are_no_forms(served: Served, person: Person) -> None:
    """CASES M69."""
    for media in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        answer = person.client.post(
            "/console/applications", content=b'{"name": "x"}', headers={"Origin": served.url, "Content-Type": media}
        )
        assert answer.status_code == 415


def test_reading_changes_nothing(served: Served, person: Person) -> None:
    """CASES M69: what changes something has no GET, or GET shows a form alone."""
    before = served.run(served.node.store.sequence())
    for path in (
        "/console/sign-out",
        "/console/applications/partner/delete",
        "/console/apis/shop@v1/rollback",
        "/console/policies/team/delete",
        "/console/policies/team/edit?verb=apply&text=x",
        "/console/tokens/t-1/revoke",
        "/console/explain?method=POST&url=/shop/v1/greet/x",
    ):
        assert person.get(path).status_code in {200, 405}, path
    assert served.run(served.node.store.sequence()) == before


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "TRACE"])
def test_no_other_origin_is_ever_allowed(served: Served, person: Person, method: str) -> None:
    """CASES M69: neither the console nor the REST answers a preflight."""
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for path in ("/console/applications", "/admin/v1/applications"):
        answer = person.client.request(method, path, headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_the_session_opens_no_rest(served: Served, person: Person) -> None:
    """CASES M69: a cookie is no credential there, so that no other site can use it."""
    assert person.get("/admin/v1/versions").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "", "a@127.0.0.1"]
)
def test_a_name_that_was_led_here_is_not_served(served: Served, person: Person, host: str) -> None:
    """CASES M69, DNS rebinding."""
    assert person.get("/console", Host=host).status_code in {400, 421}


@pytest.mark.parametrize("host", ["localhost:8081", "127.0.0.1", "[::1]:8081", "10.1.2.3:8081"])
def test_an_address_and_localhost_are_served(served: Served, host: str) -> None:
    assert Person(served.url).get("/console/sign-in", Host=host).status_code == 200


def test_a_configured_name_is_served_and_its_origin_is_the_forms(served: Served) -> None:
    gate = Gate(("https://admin.example",))

    def request(**headers: str) -> Request:
        fields = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        return Request({"type": "http", "method": "POST", "path": "/", "headers": fields})

    gate.check(request(host="admin.example", origin="https://admin.example"))
    with pytest.raises(Problem, match="Open the console itself"):
        gate.check(request(host="admin.example", origin="http://admin.example"))
    with pytest.raises(Problem, match="PENSTOCK_ADMIN_ORIGINS"):
        gate.check(request(host="other.example", origin="https://other.example"))


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/console//evil.example", "/console\\@evil.example", "/consoleevil",
     "/admin/v1", "javascript:alert(1)", "/console?\r\nSet-Cookie: a=b", "/console/\"><script>"],
)  # fmt: skip
def test_signing_in_leads_to_the_console_and_nowhere_else(target: str) -> None:
    assert local(target) == "/console"


def test_signing_in_leads_on_to_the_page_that_was_asked_for(served: Served) -> None:
    answer = Person(served.url).sign_in(served.node.tokens["viewer"], "/console/apis/shop@v1?x=1")
    assert 'href="/console/apis/shop@v1?x=1"' in answer.text


def test_a_wrong_token_says_so_and_is_not_shown_again(served: Served) -> None:
    answer = Person(served.url).sign_in("pt_wrong-and-private")
    assert answer.status_code == 401
    assert "unknown, revoked or has ended" in answer.text
    assert "pt_wrong-and-private" not in answer.text


def test_a_revoked_token_ends_its_sessions_at_once(served: Served) -> None:
    token = served.run(served.node.token("viewer"))
    person = signed_in(served.url, token)
    id = [each for each in served.run(served.node.send("GET", "/tokens")).json()["items"] if not each["revoked"]]
    ours = served.run(_id_of(served, token))
    assert ours in {each["id"] for each in id}
    served.run(served.node.send("DELETE", f"/tokens/{ours}", headers={"If-Match": "*"}))
    assert person.get("/console").status_code == 303


async def _id_of(served: Served, token: str) -> str:
    found = await find_token(served.node.store, served.node.hasher, served.node.clock, token)  # type: ignore[arg-type]
    assert found is not None
    return found.id


def test_signing_out_ends_the_session_in_the_server(served: Served) -> None:
    person = signed_in(served.url, served.node.tokens["viewer"])
    cookie = dict(person.client.cookies)["penstock-console"]
    assert person.send("/console/sign-out").headers["location"] == "/console/sign-in"
    answer = httpx2.get(f"{served.url}/console", headers={"Cookie": f"penstock-console={cookie}"})
    assert answer.status_code == 303


def test_guessing_tokens_is_bounded(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(tmp_path_factory.mktemp("guessed")) as served:
        person = Person(served.url)
        attempts = served.node.admin.attempts
        assert person.sign_in("pt_guessed").status_code == 401
        assert attempts._left  # the door counts with the REST
        attempts.most = WRONG
        for _ in range(1000):
            attempts.wrong("127.0.0.1")
        assert person.sign_in(served.node.tokens["admin"]).status_code == 429


async def _nobody() -> None:
    return None


def test_a_session_ends_when_it_idles_and_after_its_longest_time() -> None:
    clock = ManualClock()
    sessions = Sessions(clock)
    idle, busy = sessions.begin(_nobody), sessions.begin(_nobody)
    for _ in range(int(LONGEST / (IDLE - 1))):
        clock.advance(IDLE - 1)
        assert sessions.find(busy) is not None
    assert sessions.find(idle) is None
    clock.advance(IDLE - 1)
    assert sessions.find(busy) is None


def test_sessions_are_bounded_in_number() -> None:
    sessions = Sessions(ManualClock())
    first = sessions.begin(_nobody)
    for _ in range(MOST):
        sessions.begin(_nobody)
    assert sessions.find(first) is None


async def test_another_way_to_sign_in_has_its_button_and_ends_with_what_proves_the_person(tmp_path: Path) -> None:
    person = Token("", "ada@example.org", frozenset({"viewer"}), frozenset({"shop"}))

    async def prove() -> Token | None:
        return person

    async def answer(request: Request, begin: Begin) -> Response:
        if request.url.path.endswith("/back"):
            return begin(request, prove, "/console/apis")
        raise Unavailable("The provider is away.")

    async with bench(tmp_path) as node:
        await node.apply(shop(), shop("other"))
        app = console_beside(node.admin, ways=[Way("Example", "example", answer)])
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            assert "Sign in with Example" in (await client.get("/console/sign-in")).text
            assert (await client.get("/console/sign-in/example")).status_code == 503
            assert (await client.get("/console/sign-in/example/back")).status_code == 200
            page = (await client.get("/console/apis")).text
    assert "ada@example.org" in page
    assert "shop@v1" in page
    assert "other@v1" not in page
