"""A version's life cycle as it is compiled, and what it means at a moment: open, in a brownout, gone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gateway.core.durations import seconds
from gateway.manifest.documents import Brownout, Lifecycle, moment
from gateway.snapshot.spec import BrownoutSpec, LifecycleSpec

_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def lifecycle_spec(declared: Lifecycle) -> LifecycleSpec:
    return LifecycleSpec(
        status=declared.status,
        since=None if declared.since is None else moment(declared.since),
        sunset=None if declared.sunset is None else moment(declared.sunset),
        successor=declared.successor,
        documentation=declared.documentation,
        sunset_acts=declared.sunset_acts,
        brownouts=tuple(map(_brownout, declared.brownouts)),
    )


def override(declared: Lifecycle, written: Mapping[str, Any] | None) -> Lifecycle:
    """The life cycle that holds: the one that was set on the version, else its manifest's."""
    return declared if written is None else Lifecycle.model_validate(dict(written))


def _brownout(declared: Brownout) -> BrownoutSpec:
    if declared.from_ is not None and declared.until is not None:
        return BrownoutSpec(start=moment(declared.from_), end=moment(declared.until))
    assert declared.at is not None
    assert declared.for_ is not None
    hour, _, minute = declared.at.partition(":")
    days = tuple(_DAYS.index(day) for day in declared.days or _DAYS)
    return BrownoutSpec(at=60 * int(hour) + int(minute), seconds=seconds(declared.for_), days=days)


def retired(life: LifecycleSpec, now: float) -> bool:
    """Whether the version is gone at `now` (seconds since 1970): retired, or past a sunset that acts."""
    if life.status == "retired":
        return True
    return life.sunset_acts and life.sunset is not None and now >= life.sunset.timestamp()


def browned_out(life: LifecycleSpec, now: float) -> float | None:
    """When the brownout ends in which `now` lies (both in seconds since 1970); None outside of all of them."""
    ends = [end for each in life.brownouts if (end := _end(each, now)) is not None]
    return max(ends, default=None)


def _end(window: BrownoutSpec, now: float) -> float | None:
    if window.start is not None and window.end is not None:
        return window.end.timestamp() if window.start.timestamp() <= now < window.end.timestamp() else None
    midnight = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in (midnight, midnight - timedelta(days=1)):  # yesterday's may reach over midnight
        start = day.timestamp() + 60 * window.at
        if day.weekday() in window.days and start <= now < start + window.seconds:
            return start + window.seconds
    return None


def open_to_new_subscriptions(life: LifecycleSpec, now: float) -> bool:
    """Whether somebody may still begin to use the version: a deprecated or retired one takes nobody new."""
    return life.status == "published" and not retired(life, now)
