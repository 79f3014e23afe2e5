"""`template`: bodies made by a template, in a sandbox with bounds (see `template_sandbox`).

`{use: template, with: {request: {template: '{"id": {{ request.body.order }}}'}}}`. A template reads `request`
(method, path, query, headers, client, body), `identity` (subject, method, application, plan, scopes, claims) and,
for responses, `reply` (status, headers, body). With the output json every value stands as JSON, so that nothing in
it can change the document; with xml and html it is escaped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from gateway.core.conditions import decoded
from gateway.core.durations import seconds
from gateway.core.errors import Problem
from gateway.core.exchange import Exchange, Reply
from gateway.core.headers import parse
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content import content_type
from gateway.policy.content.content_type import Media
from gateway.policy.json_to_xml import MediaType
from gateway.policy.transforming import rewriting
from gateway.schema.json_loads import loads

Output = Literal["json", "xml", "html", "text"]

_TYPES: Final = {
    "json": b"application/json",
    "xml": b"application/xml",
    "html": b"text/html; charset=utf-8",
    "text": b"text/plain; charset=utf-8",
}
_WORK: Final = 4_000_000  # units of `template_budget`; the time ends before, in the usual case
_REQUEST: Final = frozenset(("request", "identity"))


class Template(rewriting.Part):
    template: str = Field(min_length=1, description="the text, or {$file: order.j2}")
    output: Output = Field("json", description="what it makes; values are escaped accordingly")
    input: Literal["json", "text", "none"] = Field("json", description="what the body is read as")
    content_type: MediaType | None = Field(None, description="of the body that is made; default: by the output")
    time: rewriting.Time = Field("500ms", description="how long it may take, at most 5s")
    size: int = Field(1_048_576, ge=1, le=16_777_216, description="characters that it may write")

    @model_validator(mode="after")
    def _compiles(self) -> Template:
        from gateway.policy.transforming.template_sandbox import Compiled

        Compiled(self.template, self.output, self.names())
        return self

    def names(self) -> frozenset[str]:
        return _REQUEST


class ReplyTemplate(Template):
    statuses: tuple[str, ...] = Field(("2xx",), description="which replies, such as [2xx, 404]; empty: all")

    _statuses = field_validator("statuses")(rewriting.checked_statuses)

    def names(self) -> frozenset[str]:
        return _REQUEST | {"reply"}


class Templates(rewriting.Directions):
    request: Template | None = None
    response: ReplyTemplate | None = None


def build(config: Templates, _site: Site) -> Built:
    return rewriting.both(config, lambda part: _rewrite(part, "request" if part is config.request else "reply"))


def _rewrite(config: Template, direction: str) -> rewriting.Rewrite:
    from gateway.policy.transforming.template_budget import AT_ONCE, Budget
    from gateway.policy.transforming.template_sandbox import Compiled

    compiled = Compiled(config.template, config.output, config.names())
    check, media_type = _check(config.output), (config.content_type or "").encode() or _TYPES[config.output]
    takes = _TAKES[config.input]
    limit = seconds(config.time)

    def render(given: dict[str, Any], body: bytes, kind: Media, budget: Budget) -> rewriting.Rewritten:
        variables = dict(given)
        variables[direction] = given[direction] | {"body": _read(config.input, body, kind)}
        made = compiled.render(variables, budget).encode()
        check(made)
        return made, media_type

    def at_once(given: dict[str, Any], body: bytes, kind: Media) -> rewriting.Rewritten:
        return render(given, body, kind, Budget(AT_ONCE, config.size, limit, final=False))

    def slowly(given: dict[str, Any], body: bytes, kind: Media) -> rewriting.Rewritten:
        return render(given, body, kind, Budget(_WORK, config.size, limit))

    wanted = {"json": "JSON", "text": "text", "none": "any body"}[config.input]
    return rewriting.Rewrite(takes, wanted, at_once, _gather, makes=True, slowly=slowly)


_TAKES: Final[dict[str, Callable[[Media], bool]]] = {
    "json": lambda kind: kind.is_json,
    "text": lambda kind: kind.name.startswith("text/") or kind.is_xml or kind.is_json,
    "none": lambda _kind: True,
}


def _read(input_: str, body: bytes, kind: Media) -> Any:
    if not body or input_ == "none":
        return None
    if input_ == "json":
        return loads(body)
    try:
        return body.decode(kind.charset or "utf-8")
    except (UnicodeDecodeError, LookupError):
        raise ValueError("the body is not text in its encoding") from None


def _check(output: Output) -> Callable[[bytes], None]:
    """What a template made must be what it says: a broken document does not leave."""
    if output == "json":
        return _check_json
    return _check_xml if output == "xml" else lambda _made: None


def _check_json(made: bytes) -> None:
    try:
        loads(made)
    except Problem as problem:
        raise rewriting.TooMuch(f"makes no JSON: {problem.detail}") from None


def _check_xml(made: bytes) -> None:
    from gateway.policy.content import xml_reading

    try:
        xml_reading.parse(made)
    except Problem as problem:
        raise rewriting.TooMuch(f"makes no XML: {problem.detail}") from None


def _gather(exchange: Exchange, reply: Reply | None) -> dict[str, Any]:
    head = exchange.head
    request: dict[str, Any] = {
        "method": head.method.decode("latin-1"),
        "path": head.path.decode("latin-1"),
        "query": _query(head.query),
        "headers": _fields(head.block),
        "client": head.peer.client,
    }
    given: dict[str, Any] = {"request": request, "identity": _identity(exchange)}
    if reply is not None:
        request["body"] = _request_body(exchange)
        pairs = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
        given["reply"] = {"status": reply.status, "headers": _fields(reply.block) | pairs}
    return given


def _request_body(exchange: Exchange) -> Any:
    """Of a request whose body was read whole, where it is JSON."""
    if not exchange.body or not content_type.read(exchange.head.get(b"content-type")).is_json:
        return None
    try:
        return loads(exchange.body)
    except Problem:
        return None


def _query(query: bytes) -> dict[str, str]:
    """The first value of each parameter."""
    found: dict[str, str] = {}
    for part in query.split(b"&") if query else ():
        name, _, value = part.partition(b"=")
        found.setdefault(decoded(name), decoded(value))
    return found


def _fields(block: bytes) -> dict[str, str]:
    """By lower-case name; of repeated fields all, joined."""
    found: dict[str, str] = {}
    for name, value in parse(block):
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _identity(exchange: Exchange) -> dict[str, Any] | None:
    identity = exchange.identity
    if identity is None:
        return None
    return {
        "subject": identity.subject,
        "method": identity.method,
        "application": identity.application,
        "plan": identity.plan,
        "scopes": sorted(identity.scopes),
        "claims": dict(identity.claims),
    }


KIND = Kind(
    "template",
    Templates,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Makes bodies by a template",
    example={"request": {"template": '{"order": {{ request.body.id }}}'}},
    libraries=("gateway.policy.transforming.template_sandbox", "gateway.policy.content.xml_reading"),
)
