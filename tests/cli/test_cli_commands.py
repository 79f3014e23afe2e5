"""Each command against a gateway: what it does, what people see, what programs get."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.admin.admin_harness import PLAN, TOPIC, policy, shop
from tests.admin.admin_server import Served
from tests.cli.cli_harness import penstock


@pytest.fixture
def documents(gateway: Served) -> Path:
    folder = Path("documents").absolute()
    folder.mkdir()
    (folder / "shop.yaml").write_text(shop())
    (folder / "rules.yaml").write_text(f"{policy()}---\n{PLAN}---\n{TOPIC}")
    return folder


@pytest.fixture
def published(documents: Path) -> Path:
    assert penstock("publish", documents).code == 0
    return documents


def test_publishing_puts_documents_live(documents: Path) -> None:
    ran = penstock("publish", documents)
    assert (ran.code, ran.err) == (0, "")
    assert "+ ApiComponent shop@v1" in ran.out
    assert "live on 1/1: n1" in ran.out
    assert "Nothing to change." in penstock("publish", documents).out


def test_a_plan_tells_by_its_exit_code_whether_something_would_change(documents: Path) -> None:
    ran = penstock("plan", documents)
    assert (ran.code, "+ Policy team" in ran.out) == (2, True)
    assert "Nothing is live" in penstock("list").out
    penstock("publish", documents)
    assert penstock("plan", documents).code == 0
    (documents / "shop.yaml").write_text(shop(text="7"))
    ran = penstock("plan", documents)
    assert ran.code == 1
    assert "shop.yaml:10:5" in ran.err


def test_what_the_gateway_finds_is_told_with_its_place(documents: Path) -> None:
    (documents / "shop.yaml").write_text(shop().replace("[greet]", "[gret]"))
    ran = penstock("publish", documents)
    assert ran.code == 1
    assert f"{documents}/shop.yaml:15:" in ran.err
    assert ran.out == ""


def test_findings_are_there_for_programs_too(documents: Path) -> None:
    (documents / "shop.yaml").write_text(shop().replace("[greet]", "[gret]"))
    for command in ("publish", "check"):
        told = orjson.loads(penstock(command, documents, "--json").err)
        assert "shop.yaml:15:" in told["errors"][0]["target"]


def test_breaking_changes_are_published_by_force_alone(published: Path) -> None:
    changed = shop().replace("who: string}", "who: string, more: string}").replace("/{who}", "/{who}/{more}")
    (published / "shop.yaml").write_text(changed)
    ran = penstock("publish", published)
    assert ran.code == 1
    assert "--force" in ran.err
    assert "! breaking" in penstock("publish", published, "--force").out


def test_the_live_versions_are_listed_and_shown(published: Path) -> None:
    ran = penstock("list")
    revision = penstock("list", "--json").json["items"][0]["revision"]
    assert ran.out.splitlines()[1].split()[:3] == ["shop@v1", "published", revision]
    shown = penstock("show", "shop@v1").out
    assert revision in shown
    assert "greet" in shown
    assert penstock("show", "shop@v1", "--json").json["name"] == "shop@v1"


def test_a_roll_back_goes_to_the_revision_before(published: Path) -> None:
    first = penstock("show", "shop@v1", "--json").json["revision"]
    (published / "shop.yaml").write_text(shop(text="bye"))
    penstock("publish", published)
    assert f"→ {first}" in penstock("rollback", "shop@v1").out
    assert penstock("show", "shop@v1", "--json").json["revision"] == first


def test_a_revision_can_be_stored_without_being_served(published: Path) -> None:
    first = penstock("show", "shop@v1", "--json").json["revision"]
    (published / "shop.yaml").write_text(shop(text="bye"))
    assert "not activated" in penstock("publish", published, "--no-activate").out
    assert penstock("show", "shop@v1", "--json").json["revision"] == first


def test_two_versions_are_compared(published: Path) -> None:
    (published / "shop.yaml").write_text(shop("other"))
    penstock("publish", published)
    ran = penstock("diff", "shop@v1", "other@v1")
    assert '- "/shop/{version}"' in ran.out
    assert '+ "/other/{version}"' in ran.out
    assert penstock("diff", "shop@v1", "shop@v1").out == "No difference.\n"


def test_a_request_is_explained(published: Path) -> None:
    ran = penstock("explain", "GET", "/shop/v1/greet/you", "-H", "Accept: application/json")
    assert "runs GET /greet/{who}" in ran.out
    assert "keys (api-key)" in ran.out
    told = penstock("explain", "GET", "/shop/v1/greet/you", "--json").json
    assert told["steps"][0]["id"] == "keys"
    assert penstock("explain", "GET", "http://[x").code == 1


@pytest.mark.parametrize(("group", "name"), [("policies", "team"), ("plans", "gold"), ("topics", "events")])
def test_what_is_stored_is_listed_shown_applied_and_deleted(documents: Path, group: str, name: str) -> None:
    assert f"penstock {group} apply" in penstock(group, "list").out
    assert penstock(group, "apply", documents / "rules.yaml").code == 0
    assert name in penstock(group, "list").out
    assert penstock(group, "show", name, "--json").json["name"] == name
    assert penstock(group, "delete", name).out == f"{name} is deleted.\n"
    gone = penstock(group, "show", name)
    assert (gone.code, name in gone.err) == (1, True)


def test_policy_kinds_are_listed(gateway: Served) -> None:
    assert "api-key" in penstock("policies", "kinds").out
    assert penstock("policies", "kinds", "--json").json["items"][0]["config"]["type"] == "object"


def test_a_key_is_shown_once_and_alone_on_the_output(published: Path) -> None:
    assert penstock("apps", "create", "partner", "--owner", "ops@example.org").code == 0
    ran = penstock("keys", "create", "--app", "partner", "--api", "shop", "--plan", "gold")
    key = ran.out.strip()
    assert key.startswith("pk_")
    assert "not shown again" in ran.err
    for again in (penstock("keys", "list"), penstock("audit"), penstock("apps", "show", "partner")):
        assert key not in again.out + again.err
    row = penstock("keys", "list", "--app", "partner").out.splitlines()[1].split()
    assert row[1:4] == ["partner", "shop", "gold"]


def test_keys_are_rotated_and_revoked(published: Path) -> None:
    penstock("apps", "create", "partner")
    made = penstock("keys", "create", "--app", "partner", "--api", "shop", "--json").json
    told = penstock("keys", "rotate", made["id"], "--overlap", "60", "--json").json
    assert told["replaces"] == made["id"]
    assert told["key"] != made["key"]
    assert penstock("keys", "revoke", told["id"]).out == f"{told['id']} is revoked.\n"
    revoked = {each["id"]: each["revoked"] for each in penstock("keys", "list", "--json").json["items"]}
    assert revoked[made["id"]] is None
    assert revoked[told["id"]] is not None


def test_a_subscription_is_made_moved_and_ended(published: Path) -> None:
    penstock("apps", "create", "partner")
    assert penstock("apps", "subscribe", "partner", "--api", "shop").code == 0
    assert penstock("apps", "subscribe", "partner", "--api", "shop", "--plan", "gold").code == 0
    told = penstock("apps", "subscriptions", "--json").json["items"]
    assert [(each["api"], each["plan"]) for each in told] == [("shop", "gold")]
    assert penstock("apps", "unsubscribe", "partner", "--api", "shop").code == 0
    assert penstock("apps", "subscriptions", "--json").json["items"] == []
    assert penstock("apps", "delete", "partner").out == "partner is deleted.\n"
    assert "penstock apps create" in penstock("apps", "list").out


def test_tokens_are_made_listed_and_revoked(gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = penstock("tokens", "create", "ci", "--role", "publisher", "--component", "shop", "--ends", "2999-01-01")
    token = ran.out.strip()
    assert token.startswith("pt_")
    listed = penstock("tokens", "list", "--json").json["items"]
    mine = next(each for each in listed if each["name"] == "ci")
    assert (mine["roles"], mine["components"]) == (["publisher"], ["shop"])
    assert token not in penstock("tokens", "list").out
    assert penstock("list", "--token", token).code == 0
    assert penstock("tokens", "revoke", mine["id"]).code == 0
    assert penstock("list", "--token", token).code == 1


def test_nodes_health_and_audit_are_shown(published: Path) -> None:
    assert "n1" in penstock("nodes").out
    assert penstock("health", "--json").json["ready"] is True
    assert "apply" in penstock("audit", "--limit", "1").out
    assert len(penstock("audit", "--limit", "1", "--json").json["items"]) == 1


def test_dead_letters_of_a_topic_are_listed(published: Path) -> None:
    assert penstock("topics", "dead-letters", "events").out == "No dead letters.\n"
    assert penstock("topics", "redrive", "events", "shop@v1/bill", "1-1").code == 1


def test_the_file_that_serve_writes_names_the_gateway(gateway: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PENSTOCK_URL")
    monkeypatch.delenv("PENSTOCK_TOKEN")
    Path("var").mkdir()
    Path("var/context.json").write_text(f'{{"url": "{gateway.url}", "token": "{gateway.node.tokens["admin"]}"}}')
    assert penstock("list").code == 0
    other = penstock("list", "--url", "http://127.0.0.1:9")
    assert (other.code, "No token for http://127.0.0.1:9" in other.err) == (2, True)


def test_a_list_of_many_pages_is_shown_whole(gateway: Served) -> None:
    """The admin REST gives a hundred at once."""
    for number in range(101):
        made = gateway.run(gateway.node.send("POST", "/applications", json={"name": f"one-of-many-{number}"}))
        assert made.status_code == 201, made.text
    names = {each["name"] for each in penstock("apps", "list", "--json").json["items"]}
    assert names >= {f"one-of-many-{number}" for number in range(101)}
