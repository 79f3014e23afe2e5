"""`respond`: answers at once, without a backend. `{use: respond, with: {status: 503, body: {reason: closed}}}`."""

from __future__ import annotations

from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.core import headers
from gateway.core.exchange import Exchange, Reply
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.fields import Fields, checked

NO_BODY = (204, 205, 304)


class Respond(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(200, ge=200, le=599)
    headers: Fields = Field(default_factory=dict)
    body: Any = Field(None, description="text, or anything that is sent as JSON")
    content_type: str | None = Field(None, description="default: by the body")

    @model_validator(mode="after")
    def _fits(self) -> Respond:
        if self.body is not None and self.status in NO_BODY:
            raise ValueError(f"a {self.status} has no body (RFC 9110)")
        checked(self.headers)
        if any(name.lower() == "content-type" for name in self.headers):
            raise ValueError("write Content-Type as `content_type`, beside `headers`")
        if self.content_type is not None:
            headers.line(b"content-type", self.content_type.encode("latin-1"))
        return self


def build(config: Respond, _site: Site) -> Built:
    text = isinstance(config.body, str)
    content = config.body.encode() if text else b"" if config.body is None else orjson.dumps(config.body)
    fields = checked(config.headers)
    media = config.content_type or ("text/plain; charset=utf-8" if text else "application/json")
    if content:
        fields.append((b"Content-Type", media.encode("latin-1")))

    def respond(_exchange: Exchange) -> Reply:
        return Reply(config.status, list(fields), content)

    return Built(step=respond)


KIND = Kind(
    "respond",
    Respond,
    build,
    summary="Answers at once, without a backend",
    example={"status": 503, "body": {"reason": "closed"}},
)
