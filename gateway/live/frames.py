"""What all chains of one version begin and end with: its life cycle, and what the way it is chosen asks for."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from gateway.core.exchange import After, Exchange, Reply, Step
from gateway.core.headers import Fields, finder
from gateway.core.kinds import Presented, Services
from gateway.live.chains import Frame
from gateway.live.lifecycle import admit, announce, vary
from gateway.live.slots import passes
from gateway.snapshot.choice import media_versions, vendor_type, without
from gateway.snapshot.spec import VersionSpec

JSON: Final = (b"content-type", b"application/json")


def frame_of(version: VersionSpec, presented: Presented | None, services: Services, body_limit: int) -> Frame:
    also: Fields = vary(version, presented.field if presented is not None else None)
    return Frame(_first(version, services), _always(version, announce(version, also)), body_limit)


def _first(version: VersionSpec, services: Services) -> Step:
    admitting = admit(version, services)
    if "query" not in version.select_by:
        return admitting
    name = version.version_query.encode()

    def admit_and_conceal(exchange: Exchange) -> None:
        """The parameter is the gateway's: no backend sees it, as none sees the version in the path."""
        if admitting is not passes:
            admitting(exchange)
        query = exchange.head.query
        if query and (kept := without(query, name)) != query:
            exchange.edits.query = kept

    return admit_and_conceal


def _always(version: VersionSpec, announcing: After | None) -> After | None:
    if "media-type" not in version.select_by:
        return announcing
    accept = finder(b"accept")
    component, media_type = version.component.encode(), vendor_type(version)
    named = (b"content-type", media_type)

    def label(exchange: Exchange, reply: Reply) -> None:
        """JSON that was asked for by the version's own media type says so."""
        if announcing is not None:
            announcing(exchange, reply)
        given = accept(exchange.head.block)
        if given and JSON in reply.headers and _asks(b",".join(given), component, media_type):
            reply.headers[reply.headers.index(JSON)] = named

    return label


@lru_cache(maxsize=512)
def _asks(accept: bytes, component: bytes, media_type: bytes) -> bool:
    """Whether the version's media type is wanted: it is written there, and not refused."""
    version = media_type.rpartition(b"+")[0].removeprefix(b"application/vnd." + component.lower() + b".")
    return media_type in accept.lower() and version in media_versions(accept, component)
