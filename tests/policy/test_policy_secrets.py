"""Secrets in the settings of these steps: named in documents, filled in when the steps are built, told nowhere."""

from __future__ import annotations

import logging

import pytest
from argon2 import PasswordHasher

from gateway.core.secrets import Secret
from gateway.live.dry import dry_build
from tests.snapshot.snapshot_harness import BACKEND_KINDS, KINDS, compiled

SHOP = """kind: ApiComponent
name: shop
version: v1
base_path: /shop
operations: {get: {effect: safe, fixed: 1, output: int32}}
policies:
  - use: any-of
    with:
      steps:
        - {use: basic, with: {users: {ann: {password: "secret:first"}}}}
        - {use: hmac, with: {keys: {partner: {secret: "secret:second"}}}}
        - {use: http-signature, with: {keys: {partner: {algorithm: ed25519, key: "secret:third"}}}}
  - {id: webhooks, use: hmac, with: {scheme: standard-webhooks, keys: {a: {secret: "secret:fourth"}}}}
  - {use: external-decision, with: {url: "https://decide.example/", fields: {Authorization: "Bearer secret:second"}}}
rest: {GET /get: get}
"""
KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
"""
GOOD = {
    "first": Secret(PasswordHasher(1, 8, 1).hash("x")),
    "second": Secret("a secret of both sides"),
    "third": Secret(KEY),
    "fourth": Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
}
PLANTED = {
    "first": "planted as it is",
    "second": "planted",
    "third": "planted, no PEM",
    "fourth": "whsec_planted!",
}


async def found(secrets: dict[str, Secret] | None) -> list[str]:
    return [str(each) for each in dry_build(await compiled(SHOP), {}, KINDS, BACKEND_KINDS, secrets)]


async def test_good_secrets_and_secrets_that_are_not_known_here_pass() -> None:
    assert await found(GOOD) == []
    assert await found(None) == []


@pytest.mark.parametrize("name", ["first", "second", "third", "fourth"])
async def test_a_secret_that_cannot_be_used_is_told_without_repeating_it(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = await found(GOOD | {name: Secret(PLANTED[name])})
    assert texts
    assert texts[0].startswith("shop.yaml:")
    assert "planted" not in "".join(texts)
    assert "planted" not in caplog.text


async def test_a_snapshot_holds_the_names_of_secrets_alone() -> None:
    dumped = (await compiled(SHOP)).dump()
    assert b"secret:first" in dumped
    assert GOOD["second"].reveal().encode() not in dumped
