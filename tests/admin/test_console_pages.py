"""What people do at the console, over a real socket with forms: roles, documents, keys, escaping."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import escape

import pytest

from tests.admin.admin_harness import PLAN, TOPIC, policy, shop
from tests.admin.admin_server import Served, serving
from tests.admin.console_browser import Person, signed_in

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
TEAM = "kind: Policy\nname: team\nsteps:\n  - {id: team, use: headers, with: {request: {set: {X-Team: TEAM}}}}\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("console")) as made:
        evil = shop("evil").replace("version: v1\n", f"version: v1\ntitle: {json.dumps(EVIL)}\n")
        made.apply(shop(), policy(), PLAN, TOPIC, evil)
        made.apply(shop(text="hi"), shop("other").replace("policies:\n", "policies:\n  - team\n"))
        for name, more in {"partner": {}, "evil": {"title": EVIL, "owner": EVIL}}.items():
            made.run(made.node.send("POST", "/applications", json={"name": name, **more}))
        body = {"name": EVIL, "roles": ["viewer"]}
        made.run(made.node.send("POST", "/tokens", json=body))
        yield made


@pytest.fixture(scope="module")
def admin(served: Served) -> Person:
    return signed_in(served.url, served.node.tokens["admin"])


@pytest.fixture(scope="module")
def viewer(served: Served) -> Person:
    return signed_in(served.url, served.node.tokens["viewer"])


def _pages(person: Person) -> dict[str, str]:
    """Every page that links lead to, by its path."""
    found: dict[str, str] = {}
    waiting = ["/console"]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        answer = person.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        found[path] = answer.text
        links = re.findall(r'(?:href|src)="([^"#]+)', answer.text)
        # one kind's page is like another's
        waiting += [
            link.replace("&amp;", "&") for link in links if "policy-kinds/" not in link or link.endswith("/rate-limit")
        ]
    return found


def test_every_link_leads_to_a_page_of_the_console_and_nothing_typed_becomes_markup(admin: Person) -> None:
    """Stored names, titles, owners, audit entries hold markup."""
    admin.get(f"/console/explain?url={EVIL}")
    found = _pages(admin)
    assert {"/console/applications/evil", "/console/apis/evil@v1", "/console/tokens", "/console/audit"} <= found.keys()
    for path, text in found.items():
        assert path.startswith("/console")
        assert "<script>alert" not in text, path
        assert "<img src=x" not in text, path
        assert not re.search(r"<[^>]* (style|on\w+)=", text), path
    assert escape(EVIL)[:20] in found["/console/applications/evil"]


def test_a_problem_shows_what_was_typed_as_text(admin: Person) -> None:
    answer = admin.send("/console/applications", {"name": EVIL})
    assert answer.status_code == 400
    assert "<script>alert" not in answer.text
    answer = admin.send("/console/policies/new", {"text": f"kind: Policy\nname: x\n{EVIL}: 1", "verb": "check"})
    assert answer.status_code == 422
    assert "<script>alert" not in answer.text


def test_an_unknown_page_and_an_unknown_thing_say_where_to_go(admin: Person) -> None:
    for path in ("/console/nowhere", "/console/apis/none@v1", "/console/policy-kinds/none", "/console/policies/none"):
        answer = admin.get(path)
        assert answer.status_code == 404
        assert 'href="/console"' in answer.text


def test_a_viewer_is_offered_nothing_that_changes(viewer: Person) -> None:
    for path, text in _pages(viewer).items():
        if path.startswith("/console/static/"):
            continue
        posts = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]+)"', text)
        assert posts in (["/console/sign-out"], ["/console/sign-out", path]), path
    assert "/console/tokens" not in viewer.get("/console").text


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/console/applications", {"name": "x"}),
        ("/console/applications/partner/keys", {"api": "shop"}),
        ("/console/apis/shop@v1/rollback", {"to": ""}),
        ("/console/apis/shop@v1/lifecycle", {"status": "deprecated"}),
        ("/console/policies/team/edit", {"text": TEAM, "verb": "apply"}),
        ("/console/policies/team/delete", {}),
        ("/console/documents/new", {"text": TEAM, "verb": "apply"}),
        ("/console/tokens", {"name": "x", "roles": "admin"}),
    ],
)
def test_what_a_viewer_may_not_do_is_refused(served: Served, viewer: Person, path: str, fields: dict[str, str]) -> None:
    before = served.run(served.node.store.sequence())
    assert viewer.send(path, fields).status_code == 403
    assert served.run(served.node.store.sequence()) == before


def test_a_bound_token_sees_and_changes_its_components_alone(served: Served) -> None:
    token = served.run(served.node.token("operator", "publisher", components=["shop"]))
    person = signed_in(served.url, token)
    text = person.get("/console/apis").text
    assert "shop@v1" in text
    assert "other@v1" not in text
    assert person.get("/console/apis/other@v1").status_code == 403
    assert person.send("/console/apis/other@v1/lifecycle", {"status": "deprecated"}).status_code == 403
    page = person.get("/console/apis/shop@v1").text
    assert 'action="/console/apis/shop@v1/lifecycle"' in page


def test_a_policy_is_checked_then_applied_and_the_audit_names_who(served: Served) -> None:
    person = signed_in(served.url, served.node.tokens["policy-editor"])
    page = person.get("/console/policies/team/edit").text
    etag = re.search(r'name="etag" value="(\d+)"', page)
    assert etag is not None
    fields = {"text": TEAM.replace("TEAM", "green"), "etag": etag[1]}
    checked = person.send("/console/policies/team/edit", {**fields, "verb": "check"})
    assert "Policy team: update" in checked.text
    assert "GET /greet/{who}" in checked.text
    assert "green" not in person.get("/console/policies/team").text
    done = person.send("/console/policies/team/edit", {**fields, "verb": "apply"})
    assert done.headers["location"] == "/console/policies/team"
    assert "green" in person.get("/console/policies/team").text
    newest = served.run(served.node.store.audit(1))[0]
    assert (newest["actor"], newest["subject"]) == ("policy-editor", "Policy team")
    stale = person.send("/console/policies/team/edit", {**fields, "verb": "apply"})
    assert stale.status_code == 412
    assert "Somebody changed it" in stale.text


def test_findings_are_shown_at_their_lines_and_the_text_stays(admin: Person) -> None:
    text = "kind: Policy\nname: wrong\nsteps:\n  - {id: a, uses: headers}\n"
    answer = admin.send("/console/policies/new", {"text": text, "verb": "check"})
    assert answer.status_code == 422
    assert 'href="#line-4"' in answer.text
    assert '<li id="line-4" class="wrong">' in answer.text
    assert "- {id: a, uses: headers}" in answer.text


def test_a_key_is_created_shown_once_rotated_and_revoked(served: Served, admin: Person) -> None:
    made = admin.send("/console/applications/partner/keys", {"api": "shop"})
    found = re.search(r'id="secret"[^>]*>(pk_[^<]+)<', made.text)
    assert found is not None
    key = found[1]
    page = admin.get("/console/applications/partner").text
    assert key not in page
    ids = re.findall(r"keys/(k-\w+)/rotate", page)
    assert len(ids) == 1
    rotated = admin.send(f"/console/applications/partner/keys/{ids[0]}/rotate", {"hours": "1"})
    assert "in place of" in rotated.text
    for id in re.findall(r"keys/(k-\w+)/revoke", admin.get("/console/applications/partner").text):
        assert admin.send(f"/console/applications/partner/keys/{id}/revoke").status_code == 303
    assert "/rotate" not in admin.get("/console/applications/partner").text
    assert key not in served.run(served.node.dump())


def test_an_application_is_subscribed_on_a_plan_and_suspended(admin: Person) -> None:
    assert admin.send("/console/applications", {"name": "walker", "title": "Walker"}).status_code == 303
    act = "/console/applications/walker"
    assert admin.send(f"{act}/subscriptions", {"api": "shop", "plan": "gold"}).status_code == 303
    assert '<a href="/console/plans/gold">gold</a>' in admin.get(act).text
    assert admin.send(f"{act}/unsubscribe", {"api": "shop"}).status_code == 303
    assert admin.send(f"{act}/status", {"status": "suspended"}).status_code == 303
    assert "badge suspended" in admin.get(act).text
    assert admin.send(f"{act}/delete").status_code == 303
    assert admin.get(act).status_code == 404


def test_a_version_is_compared_rolled_back_and_deprecated(served: Served, admin: Person) -> None:
    page = admin.get("/console/apis/shop@v1").text
    earlier = re.search(r"/console/apis/shop@v1/diff/(\w+)", page)
    assert earlier is not None
    assert "manifest.operations.greet.fixed" in admin.get(earlier[0]).text
    assert admin.send("/console/apis/shop@v1/rollback", {"to": earlier[1]}).status_code == 303
    assert f"serves revision {earlier[1]} again" in admin.get("/console/apis/shop@v1").text
    answer = admin.send("/console/apis/shop@v1/lifecycle", {"status": "deprecated", "sunset": "2099-01-01"})
    assert answer.status_code == 303, answer.text
    assert "badge deprecated" in admin.get("/console/apis/shop@v1").text
    assert admin.send("/console/apis/shop@v1/reinstate").status_code == 303


def test_a_request_is_explained_without_being_sent(admin: Person) -> None:
    text = admin.get("/console/explain?method=GET&url=/shop/v1/greet/x&headers=X-A%3A+b").text
    assert "runs GET /greet/{who}" in text
    assert "api-key" in text
    assert "not taken:" in text


def test_the_audit_is_filtered(admin: Person) -> None:
    text = admin.get("/console/audit?action=token.create").text
    assert "token.create" in text
    assert "Policy team" not in text
    assert "No such entry" in admin.get("/console/audit?actor=nobody-at-all").text


def test_a_token_is_created_and_revoked(admin: Person) -> None:
    made = admin.send("/console/tokens", {"name": "robot", "roles": ["viewer", "operator"], "components": "shop"})
    assert 'id="secret"' in made.text
    row = re.search(r"<tr><td><code>(t-\w+)</code></td><td>robot</td><td>operator, viewer</td><td>shop</td>",
                    admin.get("/console/tokens").text)  # fmt: skip
    assert row is not None
    assert admin.send(f"/console/tokens/{row[1]}/revoke").status_code == 303


def test_a_store_that_is_away_is_told_as_such(served: Served, admin: Person) -> None:
    served.node.store.away = True
    try:
        answer = admin.get("/console")
    finally:
        served.node.store.away = False
    assert answer.status_code == 503
    assert "store" in answer.text
