"""The admin REST as the command line uses it. Every failure says what to do next."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import orjson

from gateway.cli import suggesting
from gateway.cli.failures import REFUSED, UNREACHABLE, USAGE, Failed

if TYPE_CHECKING:
    import httpx2

PATIENCE: Final = 120.0  # seconds without a byte of an answer: a publish waits for all nodes
CONTEXT: Final = Path("var/context.json")
CONDITIONAL: Final = {"PUT", "PATCH", "DELETE"}  # which the admin REST takes with a condition only
REFERRING: Final = {400, 404, 409, 422}  # statuses that a name which is not there may have
SIGN: Final = "penstock-admin"  # a header of every answer of an admin REST


Body = bytes | Iterable[bytes]


class Admin:
    """Talks to one gateway. `url` is the admin URL without a path. `renew` gives another token where the first is not
    taken, or None."""

    def __init__(
        self,
        url: str,
        token: str,
        transport: httpx2.BaseTransport | None = None,
        seconds: float = PATIENCE,
        renew: Callable[[str], str | None] | None = None,
    ) -> None:
        self._renew = renew
        if not url.startswith(("http://", "https://")):
            raise Failed(f"{url!r} is no admin URL. Write it as http://127.0.0.1:8081.", USAGE)
        if not (token.isascii() and token.isprintable()):
            raise Failed("The token has characters that no token has. Copy it again.", USAGE)
        self._url = url
        self._token = token
        self._transport = transport
        self._seconds = seconds
        self._near: list[str] = []  # names near to one that was not found

    @property
    def url(self) -> str:
        return self._url

    def _open(self) -> httpx2.Client:
        import httpx2  # help and offline commands start without it

        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        base = self._url.rstrip("/") + "/admin/v1"
        try:
            return httpx2.Client(base_url=base, headers=headers, timeout=self._seconds, transport=self._transport)
        except httpx2.InvalidURL as error:
            text = f"{self._url!r} is no admin URL: {error}. Write it as http://127.0.0.1:8081."
            raise Failed(text, USAGE) from None

    def get(self, path: str, **query: Any) -> Any:
        """A list whole, page by page, unless the query has a limit."""
        told, following = self._read(self._ask("GET", path, query))
        while following is not None and query.get("limit") is None:
            more, following = self._read(self._ask("GET", path, {**query, "cursor": following}))
            told["items"] += more["items"]
        return told

    def post(self, path: str, body: Any = None, **query: Any) -> Any:
        return self._send("POST", path, query, orjson.dumps({} if body is None else body))

    def patch(self, path: str, body: Any) -> Any:
        return self._send("PATCH", path, {}, orjson.dumps(body))

    def put(self, path: str, body: Any) -> Any:
        return self._send("PUT", path, {}, orjson.dumps(body))

    def documents(self, paths: Iterable[Path], **query: Any) -> Any:
        """Applies files and folders. DocumentsRefused for what is wrong before anything is sent."""
        from gateway.manifest.transfer import MEDIA_TYPE, gather, pack

        return self._send("POST", "/apply", query, pack(gather(paths)), MEDIA_TYPE)

    @contextmanager
    def stream(self, path: str, **query: Any) -> Iterator[Iterator[bytes]]:
        """What it answers, piece by piece. Failed when it is cut off, or refused."""
        import httpx2

        chosen = {name: _text(value) for name, value in query.items() if value is not None and value is not False}
        try:
            with self._open() as client, client.stream("GET", path, params=chosen) as response:
                if response.status_code >= 400 or SIGN not in response.headers:
                    response.read()
                    self._read(response)
                yield response.iter_bytes()
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise Failed(f"{self._url} did not answer to the end: {error}. Its log says why.", UNREACHABLE) from None

    def upload(self, path: str, pieces: Iterable[bytes], media: str, **query: Any) -> Any:
        return self._send("POST", path, query, pieces, media)

    def delete(self, path: str) -> Any:
        return self._send("DELETE", path, {})

    def _send(
        self, method: str, path: str, query: dict[str, Any], body: Body = b"", media: str = "application/json"
    ) -> Any:
        return self._read(self._ask(method, path, query, body, media))[0]

    def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, Any],
        body: Body = b"",
        media: str = "application/json",
        suggest: bool = True,
    ) -> httpx2.Response:
        import httpx2

        chosen = {name: _text(value) for name, value in query.items() if value is not None and value is not False}
        headers = {"Content-Type": media} if body else {}
        if method in CONDITIONAL:  # whoever types a command means what is there now
            headers["If-Match"] = "*"
        try:
            with self._open() as client:
                answer = client.request(method, path, params=chosen, content=body, headers=headers)
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            text = f"No gateway answers at {self._url}: {error}. Start one with: penstock serve"
            raise Failed(text, UNREACHABLE) from None
        renew = self._renew
        if answer.status_code == 401 and renew is not None and isinstance(body, bytes):
            self._renew = None
            if (fresh := renew(self._token)) is not None:
                self._token = fresh
                return self._ask(method, path, query, body, media, suggest)
        if answer.status_code in REFERRING and SIGN in answer.headers and suggest:
            self._near = suggesting.near(path, query, self._listed) if answer.status_code == 404 else []
            self._near = self._near or suggesting.near_referred(body, _content(answer), self._listed)
        return answer

    def _listed(self, path: str) -> list[Any]:
        """The first page: a suggestion need not know every key."""
        response = self._ask("GET", path, {}, suggest=False)
        return list(_content(response)["items"]) if response.status_code == 200 else []

    def _read(self, response: httpx2.Response) -> tuple[Any, str | None]:
        """What it tells, and the cursor of the next page."""
        if SIGN not in response.headers:
            text = f"{self._url} answered {response.status_code}, but not as Penstock's admin port does."
            raise Failed(f"{text} It is the one that `penstock serve` prints as admin.", UNREACHABLE)
        told = _content(response)
        if response.status_code >= 400 and "title" in told:
            raise _refused(response.status_code, told, self._near)
        link = response.links.get("next", {}).get("url", "")
        return told, next(iter(parse_qs(urlsplit(link).query).get("cursor", [])), None)


def _content(response: httpx2.Response) -> Any:
    """JSON; the metrics are text."""
    if response.headers.get("content-type", "").startswith("text/plain"):
        return response.text
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        text = f"{response.url} answered {response.status_code}, and no JSON. Is a proxy in between?"
        raise Failed(text, UNREACHABLE) from None


def _text(value: Any) -> str:
    return "true" if value is True else str(value)


def _refused(status: int, problem: dict[str, Any], near: list[str]) -> Failed:
    lines = [str(problem.get("detail") or problem.get("title"))]
    places = problem.get("errors", [])
    if places:
        count = len(places)
        lines = [f"{problem.get('title')}: {count} finding{'s' * (count > 1)}"]
        lines += [f"  {each['target']}: {each['message']}" for each in places]
    if near:
        problem = {**problem, "did_you_mean": near}
        lines.append(f"Did you mean {' or '.join(near)}?")
    if status == 401:
        lines.append("Give a token with --token or PENSTOCK_TOKEN, run where ./var/context.json is, or: penstock login")
    if problem.get("code") == "breaking_change":
        lines.append("Publish another version, or use --force.")
    if status >= 500 and "id" in problem:
        lines.append(f"The gateway's log tells more under {problem['id']}.")
    return Failed("\n".join(lines), REFUSED, problem)


def connect(url: str | None, token: str | None, seconds: float = PATIENCE) -> Admin:
    """The token is that of the flag, of PENSTOCK_TOKEN, of who signed in there, or of the file that `serve` and `demo`
    write, which goes to the file's URL alone."""
    from gateway.cli import logins

    chosen = where(url)
    credential = token or os.environ.get("PENSTOCK_TOKEN")
    if not credential and logins.find(chosen) is not None:
        from gateway.cli.renewing import fresh, renewed

        return Admin(chosen, fresh(chosen), seconds=seconds, renew=lambda old: renewed(chosen, old))
    context = _context()
    if not credential and chosen.rstrip("/") == str(context.get("url", "")).rstrip("/"):
        credential = context.get("token")
    if not credential:
        raise Failed(f"No token for {chosen}: give --token or PENSTOCK_TOKEN, or sign in with: penstock login", USAGE)
    return Admin(chosen, credential, seconds=seconds)


def where(url: str | None) -> str:
    """The admin URL: of the flag, of PENSTOCK_URL, of the context file, or the one at which somebody has signed in."""
    from gateway.cli import logins

    chosen = url or os.environ.get("PENSTOCK_URL") or _context().get("url") or logins.only_url()
    if not chosen:
        raise Failed(f"No gateway is named: give --url or PENSTOCK_URL, or run where ./{CONTEXT} is.", USAGE)
    return str(chosen)


def _context() -> dict[str, Any]:
    path = Path(os.environ.get("PENSTOCK_CONTEXT", str(CONTEXT)))
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror}. Give --url and --token.", USAGE) from None
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Failed(f"{path} is not what `penstock serve` writes. Remove it, or give --url and --token.", USAGE)
    return found
