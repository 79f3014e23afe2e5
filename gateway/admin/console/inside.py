"""The admin REST, called inside this process: every page reads and writes through its operations, so that roles,
bindings, checks and the audit of the console are those of the REST, by construction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import orjson
from starlette.requests import Request
from starlette.types import ASGIApp, Message

from gateway.admin.access import Access
from gateway.admin.prefix import PREFIX
from gateway.consumers.tokens import Token
from gateway.core.errors import NotFound

ACTOR: Final = "penstock.actor"
YAML: Final = "application/yaml"


class Proved(Access):
    """Who asks was proved by the session; no credential travels."""

    async def token(self, request: Request) -> Token:
        actor: Token = request.scope[ACTOR]
        return actor


class RestRefused(Exception):
    """The REST refused or failed: its problem details (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem["title"])
        self.problem = problem
        self.status = int(problem["status"])


@dataclass(frozen=True, slots=True)
class Answer:
    """`etag` without its quotes; `more` is the query of the next page, empty when there is none."""

    value: Any
    etag: str = ""
    more: str = ""

    @property
    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.value["items"]
        return found


@dataclass(frozen=True, slots=True)
class Inside:
    """`app` is the admin REST whose access is `Proved`."""

    app: ASGIApp

    async def call(
        self,
        actor: Token,
        method: str,
        parts: tuple[str, ...],
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        match: str | None = None,
    ) -> Answer:
        """`parts` of the path, the prefix apart; `body` is a text (YAML) or what JSON has; `match` is the version that
        a write must find: an ETag, `*` for any, the empty text for none. RestRefused."""
        headers = [(b"content-type", YAML.encode() if isinstance(body, str) else b"application/json")]
        if match is not None:
            headers.append((b"if-match", _tag(match)) if match else (b"if-none-match", b"*"))
        content = b"" if body is None else body.encode() if isinstance(body, str) else orjson.dumps(body)
        status, fields, answered = await self._ask(actor, method, _path(parts), query or {}, headers, content)
        value = orjson.loads(answered) if answered else {}
        if status >= 400:
            raise RestRefused(value)
        return Answer(value, fields.get(b"etag", b"").decode().strip('"'), _more(fields.get(b"link", b"").decode()))

    async def _ask(
        self,
        actor: Token,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: list[tuple[bytes, bytes]],
        content: bytes,
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(query).encode(),
            "root_path": "",
            "headers": headers,
            "client": ("console", 0),
            "server": ("console", 0),
            ACTOR: actor,
        }
        told: dict[str, Any] = {"body": b""}

        async def receive() -> Message:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                told.update(status=message["status"], headers={name.lower(): text for name, text in message["headers"]})
            else:
                told["body"] += message.get("body", b"")

        await self.app(scope, receive, send)
        return told["status"], told["headers"], told["body"]


def _path(parts: tuple[str, ...]) -> str:
    """A name is one part of a path, whatever somebody typed."""
    if any(not part or part in {".", ".."} or "\0" in part for part in parts):
        raise NotFound("There is no such thing: its name is none.")
    return "/".join([PREFIX, *parts])


def _tag(match: str) -> bytes:
    return b"*" if match == "*" else f'"{match}"'.encode()


def _more(link: str) -> str:
    """The query of the first `next` (RFC 8288) of a page."""
    for each in link.split(", "):
        target, _, relation = each.partition(">; ")
        if relation == 'rel="next"':
            return urlencode(parse_qsl(urlsplit(target.removeprefix("<")).query))
    return ""
