"""The group `credentials`."""

from __future__ import annotations

import io
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.admin.admin_harness import shop
from tests.admin.admin_server import Served
from tests.cli.cli_harness import penstock


@pytest.fixture
def partner(gateway: Served) -> None:
    gateway.apply(shop())
    assert penstock("apps", "create", "partner").code == 0


@pytest.mark.usefixtures("partner")
def test_a_secret_alone_is_on_standard_output() -> None:
    ran = penstock("credentials", "create", "hmac", "--app", "partner", "--api", "shop")
    assert ran.code == 0
    assert ran.out.strip().startswith("hs_")
    assert len(ran.out.split()) == 1
    assert "not shown again" in ran.err


@pytest.mark.usefixtures("partner")
def test_a_credential_goes_through_its_life() -> None:
    made = penstock("credentials", "create", "basic", "--app", "partner", "--name", "web", "--json").json
    assert "web" in penstock("credentials", "list", "--app", "partner").out
    assert penstock("credentials", "show", made["id"], "--json").json["name"] == "web"
    assert penstock("credentials", "rotate", made["id"], "--overlap", 5, "--json").json["secret"] != made["secret"]
    assert penstock("credentials", "revoke", made["id"]).code == 0
    assert penstock("credentials", "rotate", made["id"]).code == 1


@pytest.mark.usefixtures("partner")
def test_a_chosen_secret_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a password of my own\n"))
    ran = penstock("credentials", "create", "basic", "--app", "partner", "--chosen")
    assert ran.out.strip() == "a password of my own"


@pytest.mark.usefixtures("partner")
def test_a_public_key_is_read_from_a_file(tmp_path: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    path = tmp_path / "key.pem"
    path.write_bytes(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    made = penstock("credentials", "create", "public-key", "--app", "partner", "--public-key", path, "--json").json
    assert made["secret"] is None
    assert penstock("credentials", "show", made["id"], "--json").json["jwk"]["crv"] == "Ed25519"


@pytest.mark.usefixtures("partner")
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("no")
    for option in (("--public-key", tmp_path / "nothing"), ("--jwk", tmp_path / "no.json")):
        ran = penstock("credentials", "create", "public-key", "--app", "partner", *option)
        assert ran.code == 2
        assert str(option[1]) in ran.err


@pytest.mark.usefixtures("partner")
def test_an_application_is_changed_suspended_and_activated() -> None:
    assert (
        penstock("apps", "update", "partner", "--owner", "me", "--contact", "a@b.example", "--attribute", "tier=1").code
        == 0
    )
    shown = penstock("apps", "show", "partner", "--json").json
    assert (shown["owner"], shown["contacts"], shown["attributes"]) == ("me", ["a@b.example"], {"tier": "1"})
    penstock("apps", "update", "partner", "--attribute", "tier=")
    assert penstock("apps", "show", "partner", "--json").json["attributes"] == {}
    assert "nothing of it opens anything" in penstock("apps", "suspend", "partner").out
    assert "partner" in penstock("apps", "list", "--status", "suspended").out
    penstock("apps", "activate", "partner")
    assert "No applications" in penstock("apps", "list", "--status", "suspended").out
    assert penstock("apps", "update", "partner", "--attribute", "tier").code == 2


@pytest.mark.usefixtures("partner")
def test_what_ends_soon_is_listed_keys_and_credentials_the_first_first() -> None:
    soon, later, late = ((datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%MZ") for days in (1, 2, 90))
    for ends in (later, late):
        penstock("keys", "create", "--app", "partner", "--api", "shop", "--ends", ends)
    penstock("credentials", "create", "basic", "--app", "partner", "--ends", soon)
    told = penstock("keys", "expiring", "--within", "30d", "--json").json["items"]
    assert [each["type"] for each in told] == ["basic", "key"]
    assert "None ends within 1h" in penstock("keys", "expiring", "--within", "1h").out
    assert penstock("keys", "expiring", "--within", "soon").code == 1


@pytest.mark.usefixtures("partner")
def test_subscriptions_are_made_moved_and_listed(gateway: Served) -> None:
    gateway.apply("kind: Plan\nname: gold\nlimits: {rate: 100/1m, message_size: 1MB}\n")
    assert penstock("apps", "subscribe", "partner", "--api", "shop", "--plan", "gold", "--version", "v1").code == 0
    (tie,) = penstock("apps", "subscriptions", "--plan", "gold", "--json").json["items"]
    assert (tie["api"], tie["version"]) == ("shop", "v1")
    assert "No subscriptions" in penstock("apps", "subscriptions", "--plan", "silver").out
    for ran in (penstock("plans", "list"), penstock("plans", "show", "gold")):
        assert "bodies up to 1MB, 100/1m" in ran.out
    explained = penstock("explain", "GET", "/shop/v1/greet/you", "--plan", "gold").out
    assert "plan-rate-limit" in explained
    assert "plan gold" in explained
    assert "plan-rate-limit" not in penstock("explain", "GET", "/shop/v1/greet/you").out
