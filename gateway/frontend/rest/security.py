"""What authentication and limiting steps mean to a client: OpenAPI security schemes, 401, 403 and 429."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.snapshot.spec import StepSpec
from gateway.snapshot.stages import held

ANY_OF: Final = "any-of"
Scheme = dict[str, Any]
SchemeOf = Callable[[Mapping[str, Any]], Scheme]


def _api_key(config: Mapping[str, Any]) -> Scheme:
    if isinstance(config.get("query"), str) and not config.get("header"):
        return {"type": "apiKey", "in": "query", "name": config["query"]}
    return {"type": "apiKey", "in": "header", "name": config.get("header") or "X-API-KEY"}


def _bearer(_config: Mapping[str, Any]) -> Scheme:
    return {"type": "http", "scheme": "bearer"}


def _hmac(config: Mapping[str, Any]) -> Scheme:
    if config.get("scheme") == "standard-webhooks":
        return {"type": "apiKey", "in": "header", "name": "webhook-signature"}
    return {"type": "http", "scheme": "HMAC-SHA256"}


SCHEMES: Final[Mapping[str, SchemeOf]] = {
    "api-key": _api_key,
    "jwt": lambda config: _bearer(config) | {"bearerFormat": "JWT"},
    "oauth2": _bearer,
    "oidc": _bearer,
    "introspection": _bearer,
    "openid-connect": lambda config: {
        "type": "openIdConnect",
        "openIdConnectUrl": str(config.get("issuer", "")).rstrip("/") + "/.well-known/openid-configuration",
    },
    "bearer": _bearer,
    "basic": lambda _config: {"type": "http", "scheme": "basic"},
    "client-certificate": lambda _config: {"type": "mutualTLS"},
    "hmac": _hmac,
    "http-signature": lambda _config: {"type": "apiKey", "in": "header", "name": "Signature"},
}
"""By the kind of the step (OpenAPI 3.1 section 4.8.27)."""


@dataclass(slots=True)
class Security:
    """The schemes of one document: equal ones share a name, different ones of a kind are numbered."""

    makers: Mapping[str, SchemeOf]
    schemes: dict[str, Scheme]

    def requirements(self, steps: Iterable[StepSpec]) -> list[dict[str, list[str]]]:
        """The `security` of an endpoint: every authenticating step must be content, one way of those of `any-of`; one
        with a `when` may not run."""
        required: list[dict[str, list[str]]] = [{}]
        conditional = False
        for step in steps:
            ways = self._ways(step)
            if ways:
                required = [before | way for before in required for way in ways]
                conditional = conditional or step.when is not None
        if required == [{}]:
            return []
        return [*required, {}] if conditional and {} not in required else required

    def _ways(self, step: StepSpec) -> list[dict[str, list[str]]]:
        """What a step takes: one scheme, or those that it holds; a way in without a credential takes none."""
        if step.use in self.makers:
            return [{self._name(step.use, self.makers[step.use](step.config)): []}]
        if step.use != ANY_OF:
            return []
        inner = held("steps", step.config)
        return [
            {self._name(use, self.makers[use](config)): []} if use in self.makers else {} for _, use, config in inner
        ]

    def _name(self, kind: str, scheme: Scheme) -> str:
        name, number = kind, 1
        while self.schemes.setdefault(name, scheme) != scheme:
            number += 1
            name = f"{kind}-{number}"
        return name


def limits(steps: Iterable[StepSpec]) -> bool:
    """Whether a step may answer 429."""
    return any("limit" in step.use or "quota" in step.use for step in steps)
