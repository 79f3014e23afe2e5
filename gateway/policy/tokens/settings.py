"""The settings that all kinds share which take a bearer token."""

from __future__ import annotations

import ssl
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.core.durations import seconds
from gateway.policy.claims import ClaimNames
from gateway.policy.fields import names
from gateway.policy.tokens.rules import demands
from gateway.relay.certificates import Tls as TlsFiles
from gateway.relay.outside import trusting


def _seconds(given: object) -> object:
    if isinstance(given, str):
        return 0.0 if given.strip() in {"0", "0s"} else seconds(given)
    return given


Duration = Annotated[float, BeforeValidator(_seconds)]


class Tls(BaseModel):
    """How a service outside is trusted."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    ca: str | None = Field(None, description="PEM file on the nodes, or a secret with PEM text; else the machine's own")
    certificate: str | None = Field(None, description="by which the gateway proves itself, likewise")
    key: str | None = Field(None, description="of the certificate, likewise")

    def context(self) -> ssl.SSLContext | None:
        """None: the machine's own. Raises WrongTls, a ValueError."""
        if self == Tls():
            return None
        return trusting(TlsFiles(ca=self.ca, certificate=self.certificate, key=self.key))


class TokenSettings(BaseModel):
    """Where the token stands, what its claims mean, and what the backend gets of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    header: str | None = Field("Authorization", min_length=1, description="the header field; Authorization: Bearer …")
    cookie: str | None = Field(None, pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", description="a cookie instead, or too")
    query: str | None = Field(None, min_length=1, description="a query parameter; tokens in URLs are easily leaked")
    max_size: int = Field(8192, ge=64, le=65_536, description="bytes of a token")
    forward_token: bool = Field(False, description="whether the backend gets the token, too")
    forward: dict[str, str] = Field(default_factory=dict, description="claim: request header for the backend")
    claims: ClaimNames = Field(ClaimNames(), description="which claims mean what")
    required: dict[str, Any] = Field(default_factory=dict, description="claim: matcher, as in `when`; otherwise 403")
    subscription: Literal["ignored", "required"] = Field(
        "ignored",
        description="required: the client is an application with a subscription to this API, whose plan counts",
    )

    @model_validator(mode="after")
    def _fits(self) -> TokenSettings:
        names([*self.forward.values(), *filter(None, [self.header])])
        if self.header is None and self.cookie is None and self.query is None:
            raise ValueError("say where the token stands: `header`, `cookie` or `query`")
        demands(self.required)
        return self

    @property
    def where(self) -> str:
        places = [
            "" if self.header is None else f"the header {self.header}",
            "" if self.cookie is None else f"the cookie {self.cookie}",
            "" if self.query is None else f"the query as {self.query}",
        ]
        return " or ".join(filter(None, places))
