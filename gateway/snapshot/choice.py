"""Which version of a component a request names, where its path does not say it alone: by a header field, a query
parameter, the media types that it sends and takes, or a release date. Routing and `explain` both ask here. Pure.

A request may name the version in several ways, as long as they name the same one. What it does not name is chosen by
the application's pin, then by the component's default.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from gateway.core.exchange import Head
from gateway.core.headers import finder
from gateway.snapshot.spec import VersionSpec

LONGEST: Final = 100  # characters of what a client said that are told back
_DATE: Final = re.compile(rb"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])")
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_PARAMETER: Final = re.compile(rb"[ \t]*+;[ \t]*+(" + _TOKEN + rb")=(" + _TOKEN + rb'|"[^"\\]*+")')
_RANGE: Final = re.compile(rb"[ \t]*+(" + _TOKEN + rb")/(" + _TOKEN + rb")((?:" + _PARAMETER.pattern + rb")*+)[ \t]*+")
_QUALITY: Final = re.compile(rb"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")


class Named(NamedTuple):
    """One way in which a request names a version: `what` is the place, `said` the client's words, `version` what that
    is; None: none that there is."""

    what: str
    said: str
    version: str | None


Read = Callable[[Head], list[tuple[bytes, str | None]]]


class Chooser:
    """The versions that share one base path, and the ways to name them there. `own` is the version that the path names
    itself, which every other way has to agree with."""

    def __init__(self, sharing: Sequence[VersionSpec], own: str | None = None) -> None:
        first = sharing[0]
        self.component = first.component
        self.versions = sorted(each.version for each in sharing)
        self.ways = tuple(way for way in first.select_by if way != "path")
        self.header = first.version_header
        self.query = first.version_query
        self.own = own
        self._names = frozenset(self.versions)
        self._released = sorted((each.released.isoformat(), each.version) for each in sharing if each.released)
        self._dates = [date.encode() for date, _ in self._released]
        self.default = next((each.version for each in sharing if each.default), None)
        if self.default is None and len(sharing) == 1:
            self.default = first.version
        self.readers: tuple[tuple[str, Read], ...] = tuple(self._readers())

    def _readers(self) -> list[tuple[str, Read]]:
        found: list[tuple[str, Read]] = []
        if "header" in self.ways or ("date" in self.ways and "query" not in self.ways):
            found.append((f"header {self.header}", self._by_header()))
        if "query" in self.ways:
            found.append((f"query parameter {self.query}", self._by_query()))
        if "media-type" in self.ways:
            found.append(("header Accept", self._by_media_type(b"accept")))
            found.append(("header Content-Type", self._by_media_type(b"content-type")))
        return found

    def named(self, head: Head) -> list[Named]:
        """Every way in which a request names a version."""
        return [
            Named(what, said.decode("latin-1")[:LONGEST], version)
            for what, read in self.readers
            for said, version in read(head)
        ]

    def value(self, said: bytes) -> str | None:
        """The version of a name, or of a date: the newest that was released then."""
        if "date" in self.ways and _DATE.fullmatch(said):
            at = bisect_right(self._dates, said)
            return self._released[at - 1][1] if at else None
        text = said.decode("latin-1")
        return text if text in self._names and self.ways != ("date",) else None

    def _by_header(self) -> Read:
        find = finder(self.header.lower().encode())

        def read(head: Head) -> list[tuple[bytes, str | None]]:
            given = find(head.block)
            if not given:
                return []
            return [(given[0], self.value(given[0]))] if len(given) == 1 else [(b", ".join(given), None)]

        return read

    def _by_query(self) -> Read:
        name = self.query.encode()

        def read(head: Head) -> list[tuple[bytes, str | None]]:
            if name not in head.query and b"%" not in head.query:
                return []
            given = [value for key, value in pairs(head.query) if key == name]
            return [(value, self.value(value)) for value in given]

        return read

    def _by_media_type(self, field: bytes) -> Read:
        find = finder(field)
        component = self.component.encode()
        known = {name.encode().lower(): name for name in self.versions}

        def read(head: Head) -> list[tuple[bytes, str | None]]:
            given = find(head.block)
            if not given:
                return []
            said = media_versions(b",".join(given), component)
            if not said:
                return []
            version = next((found for each in said if (found := _known(each, known)) is not None), None)
            return [(said[0], version)]

        return read


def _known(said: bytes, known: dict[bytes, str]) -> str | None:
    """`version=2` and `vnd.shop.v2+json` both name v2, unless there is a version that is called 2."""
    return known.get(said) or known.get(b"v" + said)


def pairs(query: bytes) -> list[tuple[bytes, bytes]]:
    """Names and values of a query, as application/x-www-form-urlencoded has them."""
    found = []
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        found.append((unquote_to_bytes(name.replace(b"+", b" ")), unquote_to_bytes(value.replace(b"+", b" "))))
    return found


def without(query: bytes, name: bytes) -> bytes:
    """A query without one parameter; the others byte for byte."""
    return b"&".join(part for part in query.split(b"&") if pairs(part)[0][0] != name)


@lru_cache(maxsize=512)
def media_versions(value: bytes, component: bytes) -> tuple[bytes, ...]:
    """The versions that an Accept or Content-Type value names, in lower case, the most wanted first: by
    `application/vnd.shop.v2+json`, or by the parameter `version`. Ranges that are refused (`q=0`) name none."""
    found = []
    for match in _RANGE.finditer(value):
        parameters = {name.lower(): text.strip(b'"') for name, text in _PARAMETER.findall(match[3])}
        quality = parameters.get(b"q", b"1")
        said = parameters.get(b"version", b"").lower() or _vendor(match[2].lower(), component.lower())
        if said and _QUALITY.fullmatch(quality) and float(quality) > 0:
            found.append((-float(quality), said))
    return tuple(said for _, said in sorted(found, key=lambda each: each[0]))


def _vendor(subtype: bytes, component: bytes) -> bytes:
    """`v2` of `vnd.shop.v2+json`."""
    before = b"vnd." + component + b"."
    return subtype[len(before) :].partition(b"+")[0] if subtype.startswith(before) else b""


def vendor_type(version: VersionSpec) -> bytes:
    """The media type that names the version: `application/vnd.shop.v2+json`."""
    return f"application/vnd.{version.component}.{version.version}+json".lower().encode()


def varies(version: VersionSpec) -> tuple[str, ...]:
    """The request fields on which the choice depends."""
    ways = version.select_by
    by_field = "header" in ways or ("date" in ways and "query" not in ways)
    return ((version.version_header,) if by_field else ()) + (
        ("Accept", "Content-Type") if "media-type" in ways else ()
    )


def naming(version: VersionSpec) -> tuple[str, str]:
    """A query and a block of header lines by which a request gets this version, where its path does not name it."""
    ways = version.select_by
    if "header" in ways:
        return "", f"{version.version_header}: {version.version}\r\n"
    if "query" in ways:
        return f"?{version.version_query}={version.version}", ""
    if "media-type" in ways:
        return "", f"Accept: {vendor_type(version).decode()}\r\n"
    return "", f"{version.version_header}: {version.released}\r\n"
