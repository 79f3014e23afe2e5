"""The group `credentials`."""

from __future__ import annotations

import io
import sys
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
