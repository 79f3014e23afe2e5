"""Documents to bundles: everything that a version refers to is fetched and included. The only I/O of this layer.

A version is resolved after the one that it extends, whether that one is among the documents or was published before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.core.findings import DocumentsRefused, Finding
from gateway.manifest import loading
from gateway.manifest.bundle import Bundle
from gateway.manifest.contracts import Described, contracts_of, types_of
from gateway.manifest.documents import ApiComponent
from gateway.manifest.environment import Value, names
from gateway.manifest.inherit import merge
from gateway.manifest.loading import Loaded
from gateway.manifest.plain_words import near
from gateway.manifest.references import include
from gateway.manifest.site import Keys, Version
from gateway.manifest.tables import Reflect, entity_types, tables_of
from gateway.manifest.texts import is_text
from gateway.manifest.yaml_reader import Tree

Parents = Callable[[str, str], Bundle | None]  # (component, version) -> what is published of it
Id = tuple[str, str]

_PLAIN = frozenset(("title", "summary", "description", "types", "input", "output"))  # `${` means nothing there


async def resolve(
    documents: Iterable[Loaded],
    *,
    folder: Path | None,
    contracts: Described,
    parents: Parents,
    policies: Mapping[str, int],
    reflect: Reflect,
    values: Mapping[str, Value],
    away: Sequence[str] = (),
) -> list[Bundle]:
    """The bundles of all ApiComponents among the documents, in their order; other kinds are passed over.

    `contracts` are the registered processes' as their runtime describes them, `away` tells of runtimes that could not
    be asked; `policies` are the named policies that
    exist with their current revisions; `values` (from the Environment) are only used to reach databases, of which
    `reflect` reads tables. DocumentsRefused holds everything that is wrong with all of them.
    """
    components = [loaded for loaded in documents if loaded.kind == "ApiComponent"]
    resolving = _Resolving(folder, contracts, parents, policies, reflect, values, away)
    resolving.findings += loading.duplicates(components)
    for loaded in components:
        resolving.waiting[_id(loaded)] = loaded
    for loaded in components:
        await resolving.version(_id(loaded), ())
        await asyncio.sleep(0)  # what else runs has its turn, however many there are
    if resolving.findings:
        raise DocumentsRefused(resolving.findings)
    return [bundle for loaded in components if (bundle := resolving.done[_id(loaded)]) is not None]


def _id(loaded: Loaded) -> Id:
    return loaded.name, loaded.version or ""


@dataclass(slots=True)
class _Resolving:
    folder: Path | None
    processes: Described
    parents: Parents
    policies: Mapping[str, int]
    reflect: Reflect
    values: Mapping[str, Value]
    away: Sequence[str]
    waiting: dict[Id, Loaded] = field(default_factory=dict)
    done: dict[Id, Bundle | None] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    async def version(self, of: Id, chain: tuple[Id, ...]) -> Bundle | None:
        if of not in self.done:
            loaded = self.waiting[of]
            tree, wrong = include(loaded, self.folder)
            self.findings += wrong
            parent = None if wrong else await self.parent(loaded, (*chain, of))
            whole = not wrong and (parent is not None or loaded.raw.get("extends") is None)
            self.done[of] = await self.whole(tree, parent) if whole else None
        return self.done[of]

    async def parent(self, loaded: Loaded, chain: tuple[Id, ...]) -> Bundle | None:
        extends = loaded.raw.get("extends")
        if extends is None:
            return None
        of = (loaded.name, str(extends))
        if of in chain:
            circle = " -> ".join(version for _, version in (*chain[chain.index(of) :], of))
            message = f"versions extend each other in a circle: {circle}."
            self.findings.append(Finding(loaded.place("extends"), "extends", message, "One of them must stand alone."))
            return None
        if of in self.waiting:
            return await self.version(of, chain)
        published = self.parents(*of)
        if published is None:
            known = [version for name, version in self.waiting if name == loaded.name and version != loaded.version]
            message = f"there is no version {extends!r} of {loaded.name} to extend."
            hint = f"{near(str(extends), known)} A version that is not among these documents must be published first."
            self.findings.append(Finding(loaded.place("extends"), "extends", message, hint))
        return published

    async def whole(self, tree: Tree, parent: Bundle | None) -> Bundle | None:
        """The bundle of a document that has all its parts; None: something is wrong with it."""
        if parent is not None:
            tree, wrong = merge(parent, tree)
            self.findings += wrong
        document, wrong = loading.read_model(tree.value, tree.places, whole=True)
        self.findings += wrong
        if not isinstance(document, ApiComponent):
            return None
        version = Version(document, tree.places)
        bundle = await self.bundle(version, parent)
        _undeclared_values(version, tree.value)
        self.findings += version.findings
        return None if version.findings else bundle

    async def bundle(self, version: Version, parent: Bundle | None) -> Bundle:
        types = types_of(version, self.processes)
        contracts = contracts_of(version, types, self.processes, self.away)
        tables = await tables_of(version, self.reflect, self.values)
        entities = entity_types(version, types, tables)
        return Bundle(
            component=version.manifest.name,
            version=version.manifest.version,
            manifest=version.manifest,
            types=types,
            contracts=contracts,
            tables=tables,
            entity_types=entities,
            parent=None if parent is None else parent.revision,
            policies=_named_policies(version, self.policies),
            places={path: f"{at.file}:{at.line}:{at.column}" for path, at in version.places.items()},
        )


def _named_policies(version: Version, known: Mapping[str, int]) -> dict[str, int]:
    """Named policies with the revision they have now, or are pinned to. One that is both follows."""
    pinned: dict[str, int] = {}
    followed: dict[str, int] = {}
    for keys, steps in version.step_lists():
        for index, step in enumerate(steps):
            if isinstance(step, str) and step != "base":
                name, _, pin = step.partition("@")
                if name not in known:
                    hint = f"{near(name, known)} For a step of its own write {{use: {name}}}."
                    version.refuse((*keys, index), "unknown-policy", f"there is no policy named {name!r}.", hint)
                elif pin and not 1 <= int(pin) <= known[name]:
                    message = f"the policy {name} has no revision {pin}."
                    version.refuse((*keys, index), "unknown-policy", message, f"Its newest is {name}@{known[name]}.")
                elif pin:
                    pinned[name] = int(pin)
                else:
                    followed[name] = known[name]
    return pinned | followed


def _undeclared_values(version: Version, raw: Any, at: Keys = ()) -> None:
    """`${name}` reads declared values only, never the process environment."""
    if isinstance(raw, dict) and not is_text(raw):
        for key, part in raw.items():
            if key not in _PLAIN or len(at) > 2:
                _undeclared_values(version, part, (*at, key))
    elif isinstance(raw, list):
        for index, part in enumerate(raw):
            _undeclared_values(version, part, (*at, index))
    elif isinstance(raw, str) and "${" in raw:
        _check_references(version, raw, at)


def _check_references(version: Version, text: str, at: Keys) -> None:
    declared = version.manifest.values
    try:
        for name in names(text):
            if name not in declared:
                hint = f"{near(name, declared)} Declare it: values: {{{name}: {{required: true}}}}."
                version.refuse(at, "unknown-value", f"the value {name!r} is not declared.", hint)
    except ValueError as error:
        version.refuse(at, "unknown-value", str(error))
