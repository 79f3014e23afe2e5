"""Whose token a request shows, before it is proved: routing chooses the version that the application is pinned to.

Nothing of the token is believed here. A pin is a wish, and opens nothing: whoever has a token may name any version
himself. What a forged token chooses is which version's chain refuses it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import orjson

from gateway.core.errors import Problem
from gateway.core.exchange import Head
from gateway.core.kinds import Caller, Presented, Site
from gateway.policy.claims import reader
from gateway.policy.credentials.presented import token_reader
from gateway.policy.tokens.settings import TokenSettings


def shown(settings: TokenSettings, site: Site) -> Presented | None:
    """None where tokens are not those of subscribed applications, or stand elsewhere than in a header."""
    if settings.subscription != "required" or settings.header is None or settings.cookie or settings.query:
        return None
    directory = site.services.named("directory")
    api = site.component
    name_of = _client_reader(settings)

    def read(head: Head) -> Caller | None:
        name = head.memo.get(name_of)
        if name is None:
            name = head.memo[name_of] = name_of(head)
        if not name:
            return None
        client = directory.credential("oauth-client", name)
        if client is not None:
            return Caller(client.application, client.version_of(api))
        tie = directory.subscription(name, api)
        return None if tie is None else Caller(name, tie.version)

    return Presented(read, settings.header)


def _client_reader(settings: TokenSettings) -> Callable[[Head], str]:
    """The client that the token names; empty for none that can be read. The step says what is wrong with it."""
    token_of = token_reader(settings.header, None, None, settings.max_size)
    client_of = reader(settings.claims.application)

    def name_of(head: Head) -> str:
        shim: Any = SimpleNamespace(head=head)
        try:
            token = token_of(shim)
            claims = _claims(token) if token is not None else {}
            name = client_of(claims) if isinstance(claims, dict) else None
        except (Problem, ValueError):
            return ""
        return name if isinstance(name, str) else ""

    return name_of


def _claims(token: bytes) -> Any:
    """The payload of a compact JWS (RFC 7515 section 3.1), unproved. ValueError."""
    parts = token.split(b".")
    if len(parts) != 3:
        raise ValueError("not a compact JWS")
    try:
        return orjson.loads(base64.urlsafe_b64decode(parts[1] + b"=" * (-len(parts[1]) % 4)))
    except (binascii.Error, orjson.JSONDecodeError) as error:
        raise ValueError("its claims cannot be read") from error
