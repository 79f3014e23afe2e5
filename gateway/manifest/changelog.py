"""What became different between two versions or revisions, in words, as the consumers of one protocol see it. Pure.

What breaks comes from `compatibility.breaking`, with its places; what is new or otherwise different is added here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from gateway.manifest.bundle import Bundle
from gateway.manifest.compatibility import breaking
from gateway.manifest.documents import Endpoint

Protocol = Literal["rest", "soap", "odata"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("rest", "soap", "odata")


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """`what` is a sentence; `place` is where it stands in the newer manifest, for what breaks."""

    protocol: Protocol
    change: Literal["breaking", "deprecated", "added", "changed"]
    what: str
    place: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def changelog(old: Bundle, new: Bundle) -> list[Entry]:
    """By protocol, what breaks first."""
    order = ("breaking", "deprecated", "added", "changed")
    found = {entry for protocol in PROTOCOLS if _offers(old, protocol) or _offers(new, protocol) for entry in
             _entries(old, new, protocol)}  # fmt: skip
    return sorted(found, key=lambda each: (PROTOCOLS.index(each.protocol), order.index(each.change), each.what))


def _entries(old: Bundle, new: Bundle, protocol: Protocol) -> Iterator[Entry]:
    narrowed = _only(old, protocol), _only(new, protocol)
    for finding in breaking(*narrowed):
        if old.version != new.version and finding.message.startswith(("the SOAP namespace", "the base path")):
            continue  # another version is found elsewhere
        yield Entry(protocol, "breaking", finding.message, str(finding.place))
    if new.manifest.lifecycle.status == "deprecated" != old.manifest.lifecycle.status:
        sunset = new.manifest.lifecycle.sunset
        yield Entry(protocol, "deprecated", f"{new.name} is deprecated{f', until {sunset}' if sunset else ''}.")
    before, after = _endpoints(old, protocol), _endpoints(new, protocol)
    for name in after.keys() - before.keys():
        yield Entry(protocol, "added", f"{name} is new.")
    for name in after.keys() & before.keys():
        was, now = old.contracts.get(before[name]), new.contracts.get(after[name])
        if was is not None and now is not None and _shape(was) != _shape(now):
            yield Entry(protocol, "changed", f"{name} takes or answers something else; see its contract.")


def _shape(part: Any) -> Any:
    return part.model_dump(exclude={"digest", "summary", "description"})


def _offers(bundle: Bundle, protocol: Protocol) -> bool:
    return bool(getattr(bundle.manifest, protocol))


def _only(bundle: Bundle, protocol: Protocol) -> Bundle:
    """The bundle as if it offered that protocol alone."""
    without: dict[str, Any] = {"rest": {}, "soap": None, "odata": None}
    del without[protocol]
    return bundle.model_copy(update={"manifest": bundle.manifest.model_copy(update=without)})


def _endpoints(bundle: Bundle, protocol: Protocol) -> dict[str, str]:
    """What consumers name, and the operation behind it; empty for what has none."""
    manifest = bundle.manifest
    if protocol == "rest":
        return {
            route: str(each.call or "") if isinstance(each, Endpoint) else each for route, each in manifest.rest.items()
        }
    if protocol == "soap":
        return {f"the operation {name}": name for name in (manifest.soap.operations if manifest.soap else ())}
    if manifest.odata is None:
        return {}
    sets = {f"the entity set {name}": each.call or "" for name, each in manifest.odata.entity_sets.items()}
    return sets | {f"the operation {name}": name for name in manifest.odata.operations}
