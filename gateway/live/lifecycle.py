"""A version's life cycle on the wire: Deprecation (RFC 9745), Sunset (RFC 8594), Link (RFC 8288); 410 when it is
retired or past a sunset that acts, 503 in a brownout."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil

from gateway.core.clock import Clock
from gateway.core.errors import Gone, Unavailable
from gateway.core.exchange import After, Exchange, Reply, Step
from gateway.core.headers import Fields, block
from gateway.core.kinds import Services
from gateway.live.slots import passes, refuse_with
from gateway.snapshot.choice import varies
from gateway.snapshot.lifecycle import browned_out, retired
from gateway.snapshot.spec import VersionSpec


class BrownedOut(Unavailable):
    """A deprecated version is away for a while, so that who still calls it notices."""

    title, code = "The version is deprecated, and away for a while", "brownout"


def lifecycle_fields(version: VersionSpec) -> Fields:
    """The fields of every reply; none for a version in good standing."""
    life = version.lifecycle
    fields: Fields = []
    if life.status == "deprecated" and life.since is not None:
        fields.append((b"Deprecation", b"@%d" % int(life.since.timestamp())))
    if life.sunset is not None:
        fields.append((b"Sunset", format_datetime(life.sunset.astimezone(UTC), usegmt=True).encode()))
    if life.successor:
        fields.append((b"Link", f'<{successor_root(version)}>; rel="successor-version"'.encode()))
    if life.documentation:
        fields.append((b"Link", f'<{life.documentation}>; rel="deprecation"'.encode()))
    return fields


def successor_root(version: VersionSpec) -> str:
    return version.base_path.replace("{version}", version.lifecycle.successor or version.version)


def announce(version: VersionSpec, also: Fields) -> After | None:
    """The after that tells it, on refusals too; compiled to constants. `also` are fields for other reasons."""
    fields = [*lifecycle_fields(version), *also]
    if not fields:
        return None

    lines = block(fields)

    def announce_lifecycle(_exchange: Exchange, reply: Reply) -> None:
        reply.block += lines

    return announce_lifecycle


def vary(version: VersionSpec, credential: str | None) -> Fields:
    """What a cache must tell apart (RFC 9110, section 12.5.5) where request fields choose the version. `credential`:
    the field of an application's credential, where applications may be pinned to a version."""
    fields = varies(version)
    if version.select_by == ("path",):
        return []
    if credential is not None:
        fields = (*fields, credential)
    return [(b"Vary", ", ".join(fields).encode())] if fields else []


def admit(version: VersionSpec, services: Services) -> Step:
    """The first step: a retired version answers 410 and says where to go. Where nothing can happen any more, or not
    yet, a request pays nothing for it."""
    life = version.lifecycle
    if life.status == "retired":
        return refuse_with(lambda _exchange: _gone(version))
    if not life.sunset_acts and not life.brownouts:
        return passes

    clock: Clock = services.named("clock")

    def admit_version(_exchange: Exchange) -> None:
        moment = clock.time()
        if retired(life, moment):
            raise _gone(version)
        end = browned_out(life, moment)
        if end is not None:
            raise _browned_out(version, end, moment)

    return admit_version


def _gone(version: VersionSpec) -> Gone:
    text = f"Version {version.version} of {version.component} is retired.{_where(version)}"
    return Gone(text, headers=lifecycle_fields(version))


def _browned_out(version: VersionSpec, end: float, now: float) -> BrownedOut:
    until = datetime.fromtimestamp(end, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"Version {version.version} of {version.component} is deprecated and does not answer until {until}."
    wait = (b"Retry-After", b"%d" % max(1, ceil(end - now)))
    return BrownedOut(text + _where(version), headers=[wait, *lifecycle_fields(version)])


def _where(version: VersionSpec) -> str:
    successor = version.lifecycle.successor
    return f" Use {successor} at {successor_root(version)}." if successor else ""
