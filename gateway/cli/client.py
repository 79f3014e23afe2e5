"""The admin REST as the command line uses it. Every failure says what to do next."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import httpx2
import orjson

from gateway.manifest.transfer import MEDIA_TYPE, gather, pack

CONTEXT: Final = Path("var/context.json")
REFUSED: Final = 1  # exit codes: the gateway said no
USAGE: Final = 2
UNREACHABLE: Final = 3


class Failed(Exception):
    """Ends the command with a text for people, the problem for programs, and an exit code."""

    def __init__(self, text: str, code: int = REFUSED, problem: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.problem = problem or {"title": text}


class Admin:
    """Talks to one gateway. `url` is the admin URL without a path."""

    def __init__(self, url: str, token: str, transport: httpx2.BaseTransport | None = None) -> None:
        self._client = httpx2.Client(
            base_url=url.rstrip("/") + "/admin/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=120.0,
            transport=transport,
        )
        self._url = url

    def get(self, path: str, **query: Any) -> Any:
        return self._send("GET", path, query)

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self._send("POST", path, query, orjson.dumps({} if body is None else body))

    def documents(self, paths: Iterable[Path], **query: Any) -> Any:
        """Applies files and folders. DocumentsRefused for what is wrong before anything is sent."""
        return self._send("POST", "/apply", query, pack(gather(paths)), MEDIA_TYPE)

    def delete(self, path: str) -> Any:
        return self._send("DELETE", path, {})

    def _send(
        self, method: str, path: str, query: dict[str, Any], body: bytes = b"", media: str = "application/json"
    ) -> Any:
        chosen = {name: _text(value) for name, value in query.items() if value not in {None, False}}
        headers = {"Content-Type": media} if body else {}
        try:
            response = self._client.request(method, path, params=chosen, content=body, headers=headers)
        except httpx2.TransportError as error:
            text = f"No gateway answers at {self._url}: {error}. Start one with: penstock serve"
            raise Failed(text, UNREACHABLE) from None
        if response.status_code >= 400:
            raise _refused(response)
        return orjson.loads(response.content)


def _text(value: Any) -> str:
    return "true" if value is True else str(value)


def _refused(response: httpx2.Response) -> Failed:
    try:
        problem = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return Failed(f"The admin URL answered {response.status_code} and no JSON: is it Penstock's admin port?")
    lines = [str(problem.get("detail") or problem.get("title"))]
    places = problem.get("errors", [])
    if places:
        count = len(places)
        lines = [f"{problem.get('title')}: {count} finding{'s' * (count > 1)}"]
        lines += [f"  {each['target']}: {each['message']}" for each in places]
    if response.status_code == 401:
        lines.append("Give a token with --token or PENSTOCK_TOKEN, or run where ./var/context.json is.")
    return Failed("\n".join(lines), REFUSED, problem)


def connect(url: str | None, token: str | None) -> Admin:
    """From the flags, PENSTOCK_URL and PENSTOCK_TOKEN, or the file that `serve` and `demo` write."""
    context: dict[str, str] = {}
    path = Path(os.environ.get("PENSTOCK_CONTEXT", str(CONTEXT)))
    if path.exists():
        context = orjson.loads(path.read_bytes())
    chosen = url or os.environ.get("PENSTOCK_URL") or context.get("url")
    credential = token or os.environ.get("PENSTOCK_TOKEN") or context.get("token")
    if not chosen:
        text = f"No gateway is named: give --url or PENSTOCK_URL, or run where ./{CONTEXT} is."
        raise Failed(text, USAGE)
    if not credential:
        raise Failed("No token: give --token or PENSTOCK_TOKEN.", USAGE)
    return Admin(chosen, credential)
