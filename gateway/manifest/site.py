"""One version while it is resolved: where its parts stand, and what is wrong with them. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.manifest.documents import ApiComponent, Steps
from gateway.manifest.plain_words import place_of
from gateway.manifest.yaml_reader import pointer

Keys = tuple[str | int, ...]


@dataclass(slots=True)
class Version:
    """`places` maps JSON pointers to places; findings collect in written order."""

    manifest: ApiComponent
    places: Mapping[str, Place]
    findings: list[Finding] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.manifest.name}@{self.manifest.version}"

    def refuse(self, keys: Keys, code: str, message: str, hint: str = "") -> None:
        self.findings.append(Finding(place_of(keys, self.places), code, message, hint))

    def adopt(self, refused: DocumentsRefused, keys: Keys) -> None:
        """Findings whose paths are relative to `keys`."""
        for finding in refused.findings:
            path = pointer(*keys) + finding.place.path
            self.refuse(_keys(path), finding.code, finding.message, finding.hint)

    def step_lists(self) -> list[tuple[Keys, Steps]]:
        """Every list of steps, with its place."""
        return step_lists(self.manifest)


def step_lists(manifest: ApiComponent) -> list[tuple[Keys, Steps]]:
    """Every list of steps of a manifest, with the keys that lead to it."""
    found: list[tuple[Keys, Steps | None]] = [(("policies",), manifest.policies)]
    for route, endpoint in manifest.rest.items():
        if not isinstance(endpoint, str):
            found.append((("rest", route, "policies"), endpoint.policies))
    if manifest.soap is not None:
        found.append((("soap", "policies"), manifest.soap.policies))
    if manifest.odata is not None:
        found.append((("odata", "policies"), manifest.odata.policies))
        for name, each in manifest.odata.entity_sets.items():
            found.append((("odata", "entity_sets", name, "policies"), each.policies))
    return [(keys, steps) for keys, steps in found if steps]


def _keys(path: str) -> Keys:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])
