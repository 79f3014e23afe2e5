"""What an issuer publishes about itself (OpenID Connect Discovery 1.0 section 4, RFC 8414)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from gateway.relay.outside import parse

WELL_KNOWN = "/.well-known/openid-configuration"
OAUTH = "/.well-known/oauth-authorization-server"


def oauth_url(issuer: str) -> str:
    """Where an authorization server that is no OpenID provider publishes: before the path (RFC 8414 section 3.1)."""
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}{OAUTH}{parts.path.rstrip('/')}"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Endpoints as URLs; None where the issuer names none."""

    issuer: str
    jwks_uri: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    introspection_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    names_itself: bool = False  # in answers to authorization requests (RFC 9207)


_ENDPOINTS = (
    "jwks_uri",
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "userinfo_endpoint",
    "end_session_endpoint",
)


def read_metadata(issuer: str, body: bytes) -> Metadata:
    """ValueError when it is none, speaks of another issuer (section 4.3), or leads from https to http."""
    try:
        document: Any = orjson.loads(body)
    except ValueError:
        raise ValueError("its metadata is no JSON") from None
    if not isinstance(document, Mapping) or document.get("issuer") != issuer:
        raise ValueError("its metadata names another issuer")
    found = {}
    for name in _ENDPOINTS:
        url = document.get(name)
        if url is not None:
            found[name] = _endpoint(issuer, name, url)
    supported = document.get("authorization_response_iss_parameter_supported") is True
    return Metadata(issuer, names_itself=supported, **found)


def _endpoint(issuer: str, name: str, url: object) -> str:
    if not isinstance(url, str):
        raise ValueError(f"its {name} is no text")
    parse(url)
    if issuer.startswith("https:") and not url.startswith("https:"):
        raise ValueError(f"its {name} is not https")
    return url
