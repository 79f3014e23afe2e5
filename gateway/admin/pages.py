"""Lists by the page: `?limit=` bounds one, `Link: <…>; rel="next"` (RFC 8288) leads to the next by an opaque cursor.

A cursor names the last thing that was seen, so that what comes and goes meanwhile neither hides nor doubles others. A
filter that few things pass gives short pages, even empty ones, with a link: no request looks at more than `SEEN`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin.bodies import number
from gateway.core.errors import BadRequest
from gateway.store.store import Record, Store

MOST: Final = 1000
USUAL: Final = 100
SEEN: Final = 5000  # records that one request looks at
AT_ONCE: Final = 500  # records that are read from the store in one go

Show = Callable[[str, Record], Awaitable[dict[str, Any] | None]]  # None: it is not among those asked for


@dataclass(frozen=True, slots=True)
class Page:
    """What a request asks for. BadRequest for a limit that is none, or a cursor that was not given out."""

    limit: int
    after: str

    @classmethod
    def of(cls, request: Request) -> Page:
        return cls(number(request, "limit", 1, MOST) or USUAL, _read(request.query_params.get("cursor", "")))


def cursor_of(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _read(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (UnicodeError, binascii.Error):
        raise BadRequest("`cursor` is none that a Link gave out.", target="cursor") from None


def answer(request: Request, items: list[dict[str, Any]], last: str | None) -> JSONResponse:
    """`last` is the key behind which the next page begins; None: there is none."""
    headers = {}
    if last is not None:
        query = {**request.query_params, "cursor": cursor_of(last)}
        headers["Link"] = f'<{quote(request.url.path)}?{urlencode(query)}>; rel="next"'
    return JSONResponse({"items": items}, headers=headers)


def listed(
    request: Request,
    things: Iterable[Mapping[str, Any]],
    key: str = "name",
    *,
    hide: bool = False,
    into: Callable[[dict[str, Any]], dict[str, Any]] = dict,
) -> JSONResponse:
    """A page of what is in memory, by the order of `key`, a text; `hide`: that is no part of the answer. `into` makes
    of each thing of the page what is shown."""
    page = Page.of(request)
    rest = sorted((each for each in things if each[key] > page.after), key=lambda each: str(each[key]))
    last = str(rest[page.limit - 1][key]) if len(rest) > page.limit else None
    shown = [
        into({name: part for name, part in each.items() if not (hide and name == key)}) for each in rest[: page.limit]
    ]
    return answer(request, shown, last)


async def stored(request: Request, store: Store, table: str, show: Show, prefix: str = "") -> JSONResponse:
    """A page of a table of the store, by the order of its keys; of those alone that begin with `prefix`."""
    page, items, last, seen = Page.of(request), list[dict[str, Any]](), None, 0
    async for key, record in _records(store, table, max(page.after, prefix), page.limit + 1):
        if not key.startswith(prefix):
            break
        if len(items) == page.limit or seen == SEEN:
            return answer(request, items, last)
        last, seen = key, seen + 1
        found = await show(key, record)
        if found is not None:
            items.append(found)
    return answer(request, items, None)


async def _records(store: Store, table: str, after: str, first: int) -> AsyncIterator[tuple[str, Record]]:
    """In order. The first read is as large as a page without a filter."""
    size = min(first, AT_ONCE)
    while True:
        found = await store.page(table, after, size)
        for each in found:
            yield each
        if len(found) < size:
            return
        after, size = found[-1][0], AT_ONCE
