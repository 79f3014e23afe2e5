"""Documents without a gateway: load, resolve and compile them here, with nothing stored."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.admin.changes import Resolver, change_set
from gateway.admin.state import State
from gateway.core.findings import DocumentsRefused
from gateway.core.settings import Settings
from gateway.live.dry import dry_build
from gateway.manifest.transfer import gather
from gateway.runtime.registry import Registry
from gateway.server.environment import node_environment, reflecting
from gateway.server.kinds import BACKEND_KINDS, node_kinds
from gateway.snapshot.diff import diff
from gateway.snapshot.explain import explain
from gateway.snapshot.named_operations import check_named_operations
from gateway.snapshot.spec import Snapshot


def compiled(paths: Sequence[Path], processes: Sequence[str], environment: Path | None) -> Snapshot:
    """The snapshot that these documents alone would make. DocumentsRefused with every finding."""
    here = node_environment(Settings(environment=environment))
    values, kinds = here.values, node_kinds(processes)
    resolver = Resolver(Registry.load(processes).described(), reflecting(here), values, kinds)
    state = State()
    changes = asyncio.run(change_set(gather(paths), state, resolver, now=0.0, actor="check"))
    after = state.candidate(changes.writes)
    snapshot = after.compile(values, kinds, BACKEND_KINDS)
    places = {bundle.name: bundle.places for bundle in after.source().bundles}
    findings = dry_build(snapshot, places, kinds, BACKEND_KINDS, here.secrets if environment else None)
    if findings := [*findings, *check_named_operations(None, snapshot, kinds)]:
        raise DocumentsRefused(findings)
    return snapshot


def differences(before: Snapshot, after: Snapshot) -> list[dict[str, Any]]:
    return [each.as_json() for each in diff(before, after)]


def explained(
    paths: Sequence[Path],
    processes: Sequence[str],
    environment: Path | None,
    method: str,
    url: str,
    headers: Mapping[str, str],
    plan: str | None = None,
) -> dict[str, Any]:
    return explain(compiled(paths, processes, environment), method, url, headers, node_kinds(processes), plan).as_json()
