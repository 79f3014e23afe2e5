"""Documents as texts, compiled with the real policy kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.backend import fixed, topic
from gateway.core.findings import DocumentsRefused, Finding
from gateway.core.kinds import BackendKind, BackendKinds, Kinds
from gateway.manifest.bundle import Column, ForeignKey, Table
from gateway.manifest.documents import Plan, Policy, Topic
from gateway.manifest.loading import load_text
from gateway.manifest.resolve import resolve
from gateway.server.kinds import POLICY_KINDS
from gateway.snapshot.compile import Source, compile
from gateway.snapshot.order import NamedPolicy
from gateway.snapshot.spec import EndpointSpec, Snapshot

KINDS: Kinds = POLICY_KINDS


def _never(*_arguments: Any) -> Any:
    raise AssertionError("compiling opens nothing")


BACKEND_KINDS: BackendKinds = {
    kind.name: kind
    for kind in (
        fixed.KIND,
        topic.KIND,
        BackendKind("http", None, None, _never, _never),
        BackendKind("sql", None, None, _never, _never),
        BackendKind("python", None, None, _never, _never),
    )
}

INTEGER = {"type": "integer", "format": "int64"}
TABLES = {
    "orders": Table(
        name="orders",
        columns=(Column(name="id", type=INTEGER, primary_key=True), Column(name="parent", type=INTEGER, nullable=True)),
        foreign_keys=(ForeignKey(columns=("parent",), table="orders", remote=("id",)),),
    ),
    "lines": Table(
        name="lines",
        columns=(Column(name="id", type=INTEGER, primary_key=True), Column(name="order_id", type=INTEGER)),
        foreign_keys=(ForeignKey(columns=("order_id",), table="orders", remote=("id",)),),
    ),
}


async def _reflect(_url: str, table: str) -> Table:
    return TABLES[table]


async def source(text: str, file: str = "shop.yaml", **more: Any) -> Source:
    """What the store would have of these documents; named policies have the revision 1."""
    loaded = load_text(text, file)
    documents = [each.document for each in loaded]
    policies = {each.name: NamedPolicy(each.name, 1, {1: each.steps}) for each in documents if isinstance(each, Policy)}
    policies |= more.pop("policies", {})
    bundles = await resolve(
        loaded,
        folder=None,
        contracts={},
        parents=lambda _component, _version: None,
        policies={name: policy.revision for name, policy in policies.items()},
        reflect=_reflect,
        values={"ledger_url": "sqlite+aiosqlite://"},
    )
    return Source(
        bundles=bundles,
        policies=policies,
        plans={each.name: each for each in documents if isinstance(each, Plan)},
        topics={each.name: each for each in documents if isinstance(each, Topic)},
        **more,
    )


async def compiled(text: str, values: Mapping[str, Any] | None = None, **more: Any) -> Snapshot:
    return compile(await source(text, **more), values or {}, KINDS, BACKEND_KINDS)


async def findings(text: str, values: Mapping[str, Any] | None = None, **more: Any) -> tuple[Finding, ...]:
    """What is wrong with the documents, which must be something."""
    with pytest.raises(DocumentsRefused) as refused:
        await compiled(text, values, **more)
    return refused.value.findings


async def finding(text: str, values: Mapping[str, Any] | None = None, **more: Any) -> Finding:
    """The one thing that is wrong."""
    found = await findings(text, values, **more)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


def endpoint(snapshot: Snapshot, key: str = "GET /a") -> EndpointSpec:
    return next(each for version in snapshot.versions for each in version.endpoints if each.key == key)


def ids(snapshot: Snapshot, key: str = "GET /a") -> list[str]:
    return [step.id for step in endpoint(snapshot, key).steps]


def component(
    body: str = "", *, name: str = "shop", version: str = "v1", path: str = "/shop/{version}", policies: str = "keys"
) -> str:
    """A component with the operation `a` at GET /a."""
    known = {"keys": "policies: [{id: keys, use: api-key}]\n", "none": ""}
    text = f"kind: ApiComponent\nname: {name}\nversion: {version}\nbase_path: {path}\n"
    if "operations:" not in body:
        text += "operations: {a: {fixed: 1, output: int32}}\n"
    if "rest:" not in body:
        text += "rest: {GET /a: a}\n"
    return text + known.get(policies, policies) + body + "\n"


def documents(*texts: str) -> str:
    return "---\n".join(texts)


def policy(name: str, *steps: str) -> str:
    return f"kind: Policy\nname: {name}\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)


def plan(name: str, *steps: str) -> str:
    return f"kind: Plan\nname: {name}\npolicies: [{', '.join(steps)}]\n"
