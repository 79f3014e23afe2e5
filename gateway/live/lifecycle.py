"""A version's life cycle on the wire: Deprecation (RFC 9745), Sunset (RFC 8594), Link (RFC 8288), 410 when retired."""

from __future__ import annotations

from datetime import UTC
from email.utils import format_datetime

from gateway.core.errors import Gone
from gateway.core.exchange import After, Exchange, Reply, Step
from gateway.core.headers import Fields, block
from gateway.live.slots import passes, refuse_with
from gateway.snapshot.spec import VersionSpec


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


def announce(version: VersionSpec) -> After | None:
    """The after that tells it, on refusals too; compiled to constants."""
    fields = lifecycle_fields(version)
    if not fields:
        return None

    lines = block(fields)

    def announce_lifecycle(_exchange: Exchange, reply: Reply) -> None:
        reply.block += lines

    return announce_lifecycle


def admit(version: VersionSpec) -> Step:
    """The first step: a retired version answers 410 and says where to go."""
    if version.lifecycle.status != "retired":
        return passes
    text = f"Version {version.version} of {version.component} is retired."
    if version.lifecycle.successor:
        text += f" Use {version.lifecycle.successor} at {successor_root(version)}."

    fields = lifecycle_fields(version)

    def gone(_exchange: Exchange) -> Gone:
        return Gone(text, headers=fields)

    return refuse_with(gone)
