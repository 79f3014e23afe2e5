"""`GET /usage`: what each application called, by hour, by day or in all, over a range of days."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from starlette.requests import Request

from gateway.admin.callers import Callers
from gateway.admin.pages import listed
from gateway.admin.routing import Entry
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest
from gateway.store.usage import KEPT_DAYS, KEPT_HOURS, Counts

EACH: Final = ("total", "day", "hour")
READS: Final = 20_000  # buckets of versions that one request looks at
DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """`days` from the first to the last, both in it. BadRequest."""

    days: tuple[str, ...]
    each: str
    component: str | None
    version: str | None
    application: str | None

    @classmethod
    def of(cls, request: Request, now: float) -> Asked:
        given = request.query_params
        today = datetime.fromtimestamp(now, UTC).date()
        last = _date(given.get("to"), "to") or today
        first = _date(given.get("from"), "from") or last - timedelta(days=DAYS - 1)
        each = given.get("each", "total")
        if each not in EACH:
            raise BadRequest(f"`each` is one of {', '.join(EACH)}.", target="each")
        most = KEPT_HOURS // 24 if each == "hour" else KEPT_DAYS
        if not 0 <= (last - first).days < most:
            raise BadRequest(f"`from` is a day up to `to`, and the range at most {most} days.", target="from")
        days = tuple((first + timedelta(days=number)).isoformat() for number in range((last - first).days + 1))
        return cls(days, each, given.get("component"), given.get("version"), given.get("application"))

    @property
    def buckets(self) -> Sequence[str]:
        if self.each != "hour":
            return self.days
        return [f"{day}T{hour:02}" for day in self.days for hour in range(24)]

    def takes(self, what: str) -> bool:
        component, _, version = what.partition("@")
        return self.component in {None, component} and self.version in {None, version}


def _date(text: str | None, name: str) -> date | None:
    if text is None:
        return None
    try:
        found = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise BadRequest(f"`{name}` is a day in UTC, as 2027-01-31.", target=name) from None
    return found.date()


async def rows(callers: Callers, asked: Asked, token: Token) -> list[dict[str, Any]]:
    """Of the components that the token may see. StoreUnavailable, BadRequest."""
    await callers.flush()
    things = sorted(each for each in await callers.usage.counted(asked.days) if asked.takes(each))
    things = [each for each in things if token.may("viewer", each.partition("@")[0])]
    if len(things) * len(asked.buckets) > READS:
        raise BadRequest("That is too much to look at: name a component, or fewer days.", target="from")
    found: dict[tuple[str, str, str], Counts] = {}
    for what in things:
        for bucket, counts in (await callers.usage.read(what, asked.buckets)).items():
            for application, count in counts.items():
                if asked.application in {None, application}:
                    key = "" if asked.each == "total" else bucket, what, application
                    found[key] = found.get(key, Counts()).plus(count)
    return [_row(key, count) for key, count in found.items()]


def _row(key: tuple[str, str, str], counts: Counts) -> dict[str, Any]:
    bucket, what, application = key
    component, _, version = what.partition("@")
    named = {"bucket": bucket or None, "component": component, "version": version, "application": application or None}
    return {"key": " ".join(key), **named, **counts._asdict()}


def entries(callers: Callers) -> Iterator[Entry]:
    async def one(request: Request, token: Token) -> Any:
        asked = Asked.of(request, callers.clock.time())
        return listed(request, await rows(callers, asked, token), "key", hide=True)

    yield Entry("/usage", "GET", one, "viewer")
