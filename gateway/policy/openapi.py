"""`openapi`: requests, and replies if asked, against an OpenAPI document: parameters, media types, bodies, statuses.

`{use: openapi, with: {document: {$file: openapi.yaml}, responses: report}}`. Without `document` it is the one that
the version serves; with it, relays that have no types of their own get them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from gateway.core.errors import Detail, MethodNotAllowed, NotFound, UnsupportedMediaType
from gateway.core.exchange import Exchange, Reply, Step
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.core.off_loop import LARGE, off_loop
from gateway.policy.content import media
from gateway.policy.content.inspection import Inspection, Settings


class OpenApi(Settings):
    document: dict[str, Any] | str | None = Field(None, description="{$file: path}; default: the version's own")
    base_path: str | None = Field(None, description="what stands before the document's paths; default: the version's")
    requests: bool = Field(True, description="requests are checked")
    responses: bool = Field(False, description="replies are checked")
    undeclared_paths: Literal["refuse", "pass"] = Field("refuse", description="paths and methods that it does not have")
    undeclared_query: Literal["refuse", "pass"] = Field("pass", description="query parameters that it does not have")

    @field_validator("base_path")
    @classmethod
    def _rooted(cls, path: str | None) -> str | None:
        if path is not None and (not path.startswith("/") or (path.endswith("/") and path != "/")):
            raise ValueError(f"`{path}` is no base path; write it as /shop/v2")
        return path


def build(config: OpenApi, site: Site) -> Built:
    if not (config.requests or config.responses):
        raise ValueError("it needs `requests`, `responses`, or both")
    paths = _operations(config, site)
    root = _root(config, site)
    inspection = Inspection(site, config)

    def choose(exchange: Exchange) -> Any:
        """The operation and the path's parameters, kept for the reply; None: it may pass."""
        path = exchange.head.path.decode("latin-1")
        relative = path[len(root) :] if path.startswith(root + "/") else None
        found = None if relative is None else paths.find(relative)
        method = exchange.head.method.decode("latin-1")
        if found is not None:
            operation = found[0].get(method) or (found[0].get("GET") if method == "HEAD" else None)
            if operation is not None:
                exchange.note(choose, operation)
                return operation, found[1]
        if config.undeclared_paths == "refuse":
            _undeclared(exchange, inspection, found)
        return None

    step = _request_step(choose, inspection, config)
    after = _reply_after(choose, inspection) if config.responses else None
    return Built(step=step, after=after)


def _operations(config: OpenApi, site: Site) -> Any:
    from gateway.policy.content import json_schemas
    from gateway.policy.openapi_documents import operations as openapi_operations

    if config.document is not None:
        return openapi_operations.compiled(json_schemas.document(config.document, "the document"))
    if site.openapi is None:
        raise ValueError("it needs `document`: outside of a version there is none of its own")
    return openapi_operations.compiled(site.openapi())


def _root(config: OpenApi, site: Site) -> str:
    if config.base_path is not None:
        return config.base_path.rstrip("/")
    servers = site.openapi().get("servers", ()) if site.openapi is not None else ()
    return urlsplit(servers[0]["url"]).path.rstrip("/") if servers else ""


def _undeclared(exchange: Exchange, inspection: Inspection, found: Any) -> None:
    if found is None:
        problem: Any = NotFound("The API's document has no such path.")
    else:
        allow = ", ".join(sorted(found[0]))
        problem = MethodNotAllowed(f"The API's document has {allow} here.", headers=[(b"Allow", allow.encode())])
    inspection.raise_or_report(exchange, problem, "path")


def _request_step(choose: Callable[[Exchange], Any], inspection: Inspection, config: OpenApi) -> Step:
    closed = config.undeclared_query == "refuse"

    def inspect(exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        chosen = choose(exchange)
        if chosen is None or not config.requests:
            return None
        operation, path = chosen
        found = operation.check_head(exchange.head, path, closed)
        body = exchange.body or b""
        wrong, check = operation.body_of(media.of_request(exchange.head), bool(body))
        if any(each.code == "media_type" for each in wrong):
            inspection.raise_or_report(exchange, _unsupported(wrong), "header.Content-Type")
            wrong = []
        found += wrong
        if check is not None and len(body) > LARGE:
            return later(exchange, found, check, body)
        inspection.refuse(exchange, found if check is None else found + check(body))
        return None

    async def later(exchange: Exchange, found: list[Detail], check: Any, body: bytes) -> None:
        inspection.refuse(exchange, found + await off_loop(check, body))

    return inspect


def _unsupported(wrong: list[Detail]) -> UnsupportedMediaType:
    return UnsupportedMediaType(f"Content-Type {wrong[0].message}.", target=wrong[0].target)


def _reply_after(choose: Any, inspection: Inspection) -> Callable[[Exchange, Reply], Any]:
    def inspect(exchange: Exchange, reply: Reply) -> Coroutine[Any, Any, None] | None:
        operation = exchange.notes.get(choose) if exchange.notes is not None else None
        if operation is None or exchange.problem is not None:
            return None
        found, check = operation.check_reply(reply)
        body = reply.body or b""
        if check is not None and len(body) > LARGE:
            return later(exchange, found, check, body)
        inspection.fail(exchange, found if check is None else found + check(body))
        return None

    async def later(exchange: Exchange, found: list[Detail], check: Any, body: bytes) -> None:
        inspection.fail(exchange, found + await off_loop(check, body))

    return inspect


def check_document(config: OpenApi) -> None:
    """Asked at publish time only, as it takes long: whether an included document keeps the specification's rules."""
    if config.document is None:
        return
    from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

    from gateway.policy.content import json_schemas

    given = json_schemas.document(config.document, "the document")
    validator = OpenAPIV30SpecValidator if str(given.get("openapi")).startswith("3.0") else OpenAPIV31SpecValidator
    for error in validator(given).iter_errors():
        place = "/".join(str(key) for key in getattr(error, "absolute_path", ()))
        raise ValueError(f"the document breaks OpenAPI at #/{place}: {error.message.splitlines()[0][:300]}")


KIND = Kind(
    "openapi",
    OpenApi,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="Requests and replies against an OpenAPI document: parameters, media types, bodies, statuses",
    family="validation",
    example={
        "document": {"openapi": "3.1.0", "info": {"title": "Shop", "version": "1"}, "paths": {}},
        "undeclared_paths": "pass",
    },
    libraries=("gateway.policy.openapi_documents.operations",),
    check=check_document,
)
