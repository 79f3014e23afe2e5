"""Routing reads whose token a request shows, and believes nothing of it."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.core.exchange import Head
from gateway.core.headers import block
from gateway.core.kinds import Caller
from gateway.policy import jwt as kind
from gateway.store.store import APPLICATIONS, SUBSCRIPTIONS
from tests.policy.issuer import bearer, claims, jwk, jwks, rsa_key, token
from tests.policy.policy_harness import Gateway

GIVEN = {
    "issuer": "https://id.example",
    "audience": "shop",
    "jwks": jwks(jwk(rsa_key())),
    "subscription": "required",
}


@pytest.fixture
def pinned(gateway: Gateway) -> Gateway:
    directory = gateway.directory.current
    directory.put(APPLICATIONS, "partner", {})
    directory.put(SUBSCRIPTIONS, "partner/shop", {"plan": None, "version": "v1"})
    return gateway


def shown(gateway: Gateway, text: bytes, **more: Any) -> Caller | None:
    presented = gateway.build(kind.KIND, GIVEN | more).presented
    assert presented is not None
    return presented.read(Head(b"GET", b"/", b"", block(bearer(text))))


def test_the_client_of_a_token_has_its_pin(pinned: Gateway) -> None:
    assert shown(pinned, token(claims(client_id="partner"))) == Caller("partner", "v1")


def test_a_pin_that_changes_holds_for_a_connection_that_goes_on(pinned: Gateway) -> None:
    presented = pinned.build(kind.KIND, GIVEN).presented
    assert presented is not None
    head = Head(b"GET", b"/", b"", block(bearer(token(claims(client_id="partner")))))
    assert presented.read(head) == Caller("partner", "v1")
    pinned.directory.current.put(SUBSCRIPTIONS, "partner/shop", {"plan": None, "version": "v2"})
    assert presented.read(head) == Caller("partner", "v2")


async def test_a_forged_token_chooses_who_refuses_it_and_nothing_else(pinned: Gateway) -> None:
    head, _, signature = token(claims(client_id="another")).split(b".")
    payload = base64.urlsafe_b64encode(orjson.dumps(claims(client_id="partner"))).rstrip(b"=")
    forged = b".".join((head, payload, signature))
    assert shown(pinned, forged) == Caller("partner", "v1")
    answer = await pinned.request(pinned.chain(pinned.build(kind.KIND, GIVEN)), bearer(forged))
    assert (answer.status, pinned.seen) == (401, [])


@pytest.mark.parametrize("text", [b"", b"a.b", b"a.%%%.c", b"a.W10.c", b"a.e30.c", b"a.eyJjbGllbnRfaWQiOjF9.c"])
def test_what_cannot_be_read_is_nobody(pinned: Gateway, text: bytes) -> None:
    assert shown(pinned, text) is None


def test_who_has_no_subscription_is_nobody(pinned: Gateway) -> None:
    assert shown(pinned, token(claims(client_id="stranger"))) is None


@pytest.mark.parametrize("more", [{"subscription": "none"}, {"query": "token"}])
def test_a_token_that_is_no_application_s_or_stands_elsewhere_has_no_pin(pinned: Gateway, more: Any) -> None:
    given = {name: value for name, value in (GIVEN | more).items() if value != "none"}
    assert pinned.build(kind.KIND, given).presented is None
