"""`cors`: cross-origin requests from browsers (Fetch standard, section 3.2).

`{use: cors, with: {origins: ["https://shop.example"], credentials: true}}`. Preflights are answered by routing, before
authentication; the fields of replies are set on refusals too, so that a page can read why.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core import headers
from gateway.core.exchange import Exchange, Head, Reply
from gateway.core.kinds import Built, Kind, Site

SIMPLE = frozenset((b"accept", b"accept-language", b"content-language", b"content-type"))

OURS = frozenset(
    b"access-control-" + name
    for name in (
        b"allow-credentials", b"allow-headers", b"allow-methods", b"allow-origin", b"expose-headers", b"max-age"
    )
)  # fmt: skip
_PORTS = {"http": "80", "https": "443"}
_HOST = re.compile(r"(?:(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
_LABELS = re.compile(rb"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_drop_ours = headers.dropper(OURS)
_tells = re.compile(rb"\r\n(?:access-control-|vary:)", re.IGNORECASE).search
VARY = headers.line(b"Vary", b"Origin")


class Cors(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    origins: list[str] = Field(min_length=1, description="scheme://host[:port], https://*.example, or * alone")
    methods: list[str] | None = Field(None, description="default: those of the endpoint's URL")
    headers: list[str] = Field(default_factory=lambda: ["Content-Type", "X-API-KEY", "Authorization"])
    expose: list[str] = Field(default_factory=list)
    max_age: int = Field(600, ge=0, le=86_400, description="seconds")
    credentials: bool = False

    @field_validator("origins")
    @classmethod
    def _well_formed(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*":
                _check_origin(origin)
        return origins

    @model_validator(mode="after")
    def _safe(self) -> Cors:
        if "*" in self.origins and self.credentials:
            raise ValueError("origin * with credentials would let every page act for the user; name the origins")
        if "*" in self.origins and len(self.origins) > 1:
            raise ValueError("* stands alone: the other origins would change nothing")
        if "*" in (*self.headers, *(self.methods or ())) or ("*" in self.expose and self.credentials):
            raise ValueError("* means nothing with credentials and never covers Authorization; name what is allowed")
        for name in (*self.headers, *self.expose, *(self.methods or ())):
            headers.line(name.encode("ascii", "replace"), b"")
        return self


def _check_origin(origin: str) -> None:
    scheme, _, host = origin.lower().partition("://")
    if "*" in host and (not host.startswith("*.") or "*" in host[1:]):
        raise ValueError(f"`{origin}`: a star stands for whole labels at the beginning only, as in https://*.example")
    match = _HOST.fullmatch(host)
    if scheme not in _PORTS or match is None:
        raise ValueError(
            f"`{origin}` is no origin; write scheme://host or scheme://host:port, without a path; "
            "names beyond ASCII as browsers send them (xn--…)"
        )
    if match[1] == _PORTS[scheme]:
        raise ValueError(f"`{origin}`: browsers leave the scheme's own port out; leave :{match[1]} out, too")


def build(config: Cors, _site: Site) -> Built:
    allows = _allowed(config)
    fields = _reply_fields(config)
    star = config.origins == ["*"]

    def lines_for(head: Head) -> bytes:
        """What the page of this request's origin may read; worked out once for a client that goes on with one block."""
        origin = head.get(b"origin")
        lines = b""
        if origin is not None and allows(origin):
            lines = headers.block([(b"Access-Control-Allow-Origin", b"*" if star else origin), *fields])
        head.memo[after] = lines
        return lines

    def after(exchange: Exchange, reply: Reply) -> None:
        lines = exchange.head.memo.get(after)
        if lines is None:
            lines = lines_for(exchange.head)
        if reply.headers or _tells(reply.block) is not None:
            _forget(reply)
            varies = star or _varies(reply)
        else:
            varies = star
        reply.block += lines if varies else VARY + lines

    return Built(after=after, preflight=_preflight(config, allows, star))


def _forget(reply: Reply) -> None:
    """What an upstream says of CORS would open more than this step does."""
    reply.headers = [field for field in reply.headers if field[0].lower() not in OURS]
    reply.block = _drop_ours(reply.block)


def _varies(reply: Reply) -> bool:
    told = reply.get(b"vary") or b""
    return bool({b"origin", b"*"} & {name.strip().lower() for name in told.split(b",")})


def _allowed(config: Cors) -> Callable[[bytes], bool]:
    if config.origins == ["*"]:
        return lambda _origin: True
    exact = frozenset(origin.lower().encode() for origin in config.origins if "*" not in origin)
    wild = [tuple(origin.lower().encode().split(b"*", 1)) for origin in config.origins if "*" in origin]

    def allows(origin: bytes) -> bool:
        lower = origin.lower()
        return lower in exact or any(
            lower.startswith(start)
            and lower.endswith(end)
            and len(lower) > len(start) + len(end)
            and _LABELS.fullmatch(lower, len(start), len(lower) - len(end)) is not None
            for start, end in wild
        )

    return allows


def _reply_fields(config: Cors) -> headers.Fields:
    fields: headers.Fields = []
    if config.credentials:
        fields.append((b"Access-Control-Allow-Credentials", b"true"))
    if config.expose:
        fields.append((b"Access-Control-Expose-Headers", ", ".join(config.expose).encode()))
    return fields


def _preflight(config: Cors, allows: Callable[[bytes], bool], star: bool) -> Callable[[Head, frozenset[bytes]], Reply]:
    allowed_headers = frozenset(name.lower().encode() for name in config.headers) | SIMPLE
    constant = [
        (b"Access-Control-Allow-Headers", ", ".join(config.headers).encode()),
        (b"Access-Control-Max-Age", b"%d" % config.max_age),
        (b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if config.credentials:
        constant.append((b"Access-Control-Allow-Credentials", b"true"))
    chosen = frozenset(method.upper().encode() for method in config.methods) if config.methods else None

    def answer(head: Head, methods: frozenset[bytes]) -> Reply:
        """204 either way: what is not allowed lacks the fields, and the browser stops there."""
        origin = head.get(b"origin") or b""
        offered = chosen if chosen is not None else methods
        wanted = head.get(b"access-control-request-method") or b""
        asked = (head.get(b"access-control-request-headers") or b"").lower().split(b",")
        unknown = [name for name in asked if name.strip() and name.strip() not in allowed_headers]
        if not allows(origin) or wanted not in offered or unknown:
            return Reply(204, [constant[2]])
        allow = (b"Access-Control-Allow-Origin", b"*" if star else origin)
        return Reply(204, [allow, (b"Access-Control-Allow-Methods", b", ".join(sorted(offered))), *constant])

    return answer


KIND = Kind(
    "cors",
    Cors,
    build,
    summary="Lets browsers of other origins call",
    family="traffic",
    example={"origins": ["https://shop.example"]},
)
