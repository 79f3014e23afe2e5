"""Keys and credentials that end soon: looked for now and then, told in the log once a day each, and in the metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from gateway.consumers.credentials import Credential
from gateway.consumers.directory import Directory
from gateway.consumers.records import Key
from gateway.core.clock import Clock, utc_text
from gateway.telemetry.text import family, labels

log: Final = logging.getLogger("gateway.consumers")
DAY: Final = 86_400.0
LOOK: Final = 60.0  # seconds between two looks
SLICE: Final = 5000  # records that are looked at before others have their turn


class Ending(NamedTuple):
    """`ends`: seconds since 1970. `api` is empty for one that opens all of its application's."""

    type: str
    id: str
    application: str
    api: str
    ends: float


class ExpiryWatch:
    """Of one node, in its control process. `within`: seconds before an end at which it begins to matter; 0: never."""

    def __init__(self, within: float, clock: Clock) -> None:
        self.within = within
        self.found: list[Ending] = []
        self._clock = clock
        self._told: dict[str, float] = {}  # by id: when

    async def watch(self, directory: Callable[[], Directory]) -> None:
        """Until cancelled."""
        while self.within:
            try:
                await self.look(directory())
            except Exception:
                log.exception("looking for what ends soon failed; trying again")
            await asyncio.sleep(LOOK)

    async def look(self, directory: Directory) -> None:
        now = self._clock.time()
        found = []
        for part in _slices([*directory.keys(), *directory.credentials()]):
            found += [_ending(each) for each in part if _soon(each, now, now + self.within)]
            await asyncio.sleep(0)
        self.found = sorted(found, key=lambda each: each.ends)
        self._tell(now)

    def _tell(self, now: float) -> None:
        told = {each.id: self._told.get(each.id, -DAY) for each in self.found}
        for each in self.found:
            if now - told[each.id] >= DAY:
                told[each.id] = now
                where = f" for {each.api}" if each.api else ""
                left = max(0, int(each.ends - now)) // 3600
                text = "the %s %s of %s%s ends at %s, in %d hours; its successor is made by rotating it"
                log.warning(text, each.type, each.id, each.application, where, utc_text(each.ends), left)
        self._told = told

    def lines(self) -> list[str]:
        """For `/metrics`."""
        name = "penstock_credentials_expiring"
        lines = [*family(name, "gauge", "Keys and credentials that end soon."), f"{name} {len(self.found)}"]
        name = "penstock_credential_expires_timestamp_seconds"
        lines += family(name, "gauge", "When a key or credential ends that ends soon.") if self.found else []
        names = ("type", "id", "application", "api")
        return lines + [f"{name}{{{labels(each._asdict(), names)}}} {each.ends:.0f}" for each in self.found]


def _slices(items: list[Key | Credential]) -> Iterator[Iterable[Key | Credential]]:
    return (items[at : at + SLICE] for at in range(0, len(items), SLICE))


def _soon(each: Key | Credential, now: float, until: float) -> bool:
    ends = each.ends
    return ends is not None and now < ends <= until and each.revoked is None


def _ending(each: Key | Credential) -> Ending:
    assert each.ends is not None
    type = each.type if isinstance(each, Credential) else "key"
    return Ending(type, each.id, each.application, each.api or "", each.ends)
