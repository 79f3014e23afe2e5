"""The guide names every setting of the kinds that take tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway.policy.claims import ClaimNames
from gateway.policy.introspection import IntrospectionSettings
from gateway.policy.jwt import Jwt
from gateway.policy.openid_connect import LoginSettings, OpenIdConnect
from gateway.policy.tokens.client import Client
from gateway.policy.tokens.settings import Tls, TokenSettings

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "authentication.md"
SECTIONS: list[tuple[str, type[BaseModel]]] = [
    ("Settings of all tokens", TokenSettings),
    ("Settings of all tokens", ClaimNames),
    ("Settings of all tokens", Tls),
    ("jwt", Jwt),
    ("introspection", IntrospectionSettings),
    ("introspection", Client),
    ("openid-connect", OpenIdConnect),
    ("openid-connect", LoginSettings),
]


@pytest.mark.parametrize(("title", "model"), SECTIONS)
def test_every_setting_stands_in_its_section(title: str, model: type[BaseModel]) -> None:
    section = GUIDE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    shared = set() if model is TokenSettings else set(TokenSettings.model_fields)
    for name in set(model.model_fields) - shared:
        assert f"`{name}`" in section or f"`client.{name}`" in section, name
