"""A version's backends by their names, for steps that send something there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.manifest.plain_words import near
from gateway.snapshot.spec import VersionSpec


def named_backend(spec: VersionSpec, connections: Mapping[str, Any]) -> Callable[[str], Any]:
    """Of a version. `connections` are those that are open: none in a dry build."""

    def find(name: str) -> Any:
        offered = [each for each, backend in spec.backends.items() if backend.kind == "http"]
        if name not in offered:
            raise ValueError(f"{spec.name} has no backend `{name}` of the kind http. {near(name, offered)}")
        return connections.get(name)

    return find
