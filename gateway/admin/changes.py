"""Documents to writes: what one apply would change in the store, and in words. Resolving is its only I/O."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.admin.application_documents import Recorded, about, wrong
from gateway.admin.state import State, expectations
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.kinds import Kinds
from gateway.manifest.bundle import Bundle
from gateway.manifest.check import check
from gateway.manifest.compatibility import breaking
from gateway.manifest.documents import Application, Environment, Plan, Policy, Step, Steps, Topic
from gateway.manifest.loading import Loaded
from gateway.manifest.resolve import resolve
from gateway.manifest.tables import Reflect
from gateway.schema.short import expand
from gateway.snapshot.configs import check_steps, place_of
from gateway.snapshot.order import GATEWAY, Ordering, step_spec
from gateway.snapshot.plan_limits import limit_steps
from gateway.snapshot.spec import CanarySpec
from gateway.store.store import (
    ACTIVE,
    APPLICATIONS,
    PLANS,
    POLICIES,
    REVISIONS,
    SUBSCRIPTIONS,
    TOPICS,
    Write,
)

Action = Literal["create", "update", "unchanged", "delete"]


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a plan: what happens to one thing."""

    kind: str
    name: str
    action: Action
    detail: str = ""


@dataclass
class ChangeSet:
    """Writes with their description. `breaking` lists what consumers would notice; it is refused unless forced."""

    writes: list[Write] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    breaking: list[Finding] = field(default_factory=list)
    activated: list[str] = field(default_factory=list)  # component@version whose revision changes

    @property
    def empty(self) -> bool:
        return not self.writes


@dataclass(frozen=True)
class Resolver:
    """What resolving needs from this node."""

    contracts: Mapping[str, Mapping[str, Any]]
    reflect: Reflect
    values: Mapping[str, str | int | float | bool]
    kinds: Kinds = field(default_factory=dict)
    away: Callable[[], Sequence[str]] = tuple  # tells of runtimes that cannot be asked for contracts


async def change_set(
    loaded: Sequence[Loaded],
    state: State,
    resolver: Resolver,
    *,
    now: float,
    actor: str,
    activate: bool = True,
    canary: CanarySpec | None = None,
    recorded: Recorded | None = None,
) -> ChangeSet:
    """The documents are complete: files are included where they are gathered. DocumentsRefused with every finding.
    `canary`: components become canaries beside what is active. `recorded` has what the store holds of applications,
    which no state has (`consumers_of`). Each write expects what the state has now: whoever commits in between makes
    the commit of these fail."""
    state = state.candidate(())  # the caller's goes on following the store while this resolves
    changes = ChangeSet()
    findings: list[Finding] = []
    for each in loaded:
        document = each.document
        findings += _steps_that_do_not_fit(each, resolver.kinds)
        if isinstance(document, Policy):
            _policy(document, state, now, actor, changes)
        elif isinstance(document, Plan):
            _put(PLANS, "Plan", document.name, document.model_dump(mode="json", by_alias=True), state, changes)
        elif isinstance(document, Topic):
            _topic(document, state, changes, findings)
        elif isinstance(document, Application):
            findings += wrong(each, document, loaded, state, recorded or {})
            _application(document, now, recorded or {}, changes)
        elif isinstance(document, Environment):
            hint = "Give it to the node: penstock serve --environment FILE."
            findings.append(Finding(_place(each), "environment_applied", "An Environment is never stored.", hint))
    if findings:
        raise DocumentsRefused(findings)
    components = [each for each in loaded if each.kind == "ApiComponent"]
    if components:
        await _components(components, state, resolver, changes, now, actor, activate, canary)
    changes.writes = expectations(state, changes.writes)
    return changes


def _steps_that_do_not_fit(loaded: Loaded, kinds: Kinds) -> list[Finding]:
    """A policy's or plan's own steps, at their lines; the store keeps no lines, so compiling could not tell them."""
    document = loaded.document
    if not kinds or not isinstance(document, Policy | Plan):
        return []
    written = _plan_steps(loaded) if isinstance(document, Plan) else _steps(loaded, "steps", document.steps)
    ordering = Ordering({})
    outermost = isinstance(document, Policy) and document.name == GATEWAY
    scope = GATEWAY if outermost else loaded.title
    specs = [step_spec(step, scope, place, ordering) for place, step in written]
    return [*ordering.findings, *check_steps(specs, kinds)]


def _steps(loaded: Loaded, key: str, steps: Steps) -> Iterator[tuple[Place, Step]]:
    return ((loaded.place(key, index), step) for index, step in enumerate(steps) if isinstance(step, Step))


def _plan_steps(loaded: Loaded) -> Iterator[tuple[Place, Step]]:
    """Those that its limits become, too."""
    assert isinstance(loaded.document, Plan)
    for name, step in limit_steps(loaded.document):
        yield loaded.place("limits", name), step
    yield from _steps(loaded, "policies", loaded.document.policies)


def _place(loaded: Loaded) -> Place:
    return loaded.places.get("", Place(file=str(loaded.file)))


def _put(table: str, kind: str, name: str, value: dict[str, Any], state: State, changes: ChangeSet) -> None:
    known = state.rows(table).get(name)
    if known is not None and dict(known.value) == value:
        changes.items.append(Item(kind, name, "unchanged"))
        return
    changes.writes.append(Write(table, name, value))
    changes.items.append(Item(kind, name, "update" if known else "create"))


def _policy(document: Policy, state: State, now: float, actor: str, changes: ChangeSet) -> None:
    """A policy keeps its revisions, so that others can pin them."""
    steps = document.model_dump(mode="json", by_alias=True, exclude_defaults=True)["steps"]
    known = state.rows(POLICIES).get(document.name)
    if known is None:
        number, value = 1, {"title": document.title, "revision": 1, "revisions": {"1": steps}}
        changes.items.append(Item("Policy", document.name, "create", "revision 1"))
    else:
        number = int(known.value["revision"])
        if known.value["revisions"][str(number)] == steps:
            changes.items.append(Item("Policy", document.name, "unchanged", f"revision {number}"))
            return
        number += 1
        revisions = {**known.value["revisions"], str(number): steps}
        value = {"title": document.title, "revision": number, "revisions": revisions}
        changes.items.append(Item("Policy", document.name, "update", f"revision {number}"))
    about = {"at": now, "actor": actor}
    applied = {**(known.value.get("applied", {}) if known else {}), str(number): about}
    changes.writes.append(Write(POLICIES, document.name, {**value, **about, "applied": applied}))


def _topic(document: Topic, state: State, changes: ChangeSet, findings: list[Finding]) -> None:
    value = document.model_dump(mode="json", by_alias=True)
    if document.message is not None:
        try:
            value["message"] = expand(document.message, ())
        except ValueError as error:
            place = Place(path=f"topic {document.name}: message")
            findings.append(Finding(place, "invalid_type", str(error)))
    _put(TOPICS, "Topic", document.name, value, state, changes)


def _application(document: Application, now: float, recorded: Recorded, changes: ChangeSet) -> None:
    name = document.name
    _record(APPLICATIONS, "Application", name, about(document, recorded), "", now, recorded, changes)
    for one in document.subscriptions:
        value = {"application": name, **one.model_dump()}
        detail = ", ".join(f"{key} {value[key]}" for key in ("plan", "version") if value[key])
        _record(SUBSCRIPTIONS, "Subscription", f"{name}/{one.api}", value, detail, now, recorded, changes)


def _record(
    table: str,
    kind: str,
    name: str,
    value: dict[str, Any],
    detail: str,
    now: float,
    recorded: Recorded,
    changes: ChangeSet,
) -> None:
    """What was created stays so; unchanged when nothing else differs."""
    known = recorded.get((table, name))
    wanted = {**value, "created": known.value["created"] if known else now}
    if known is not None and dict(known.value) == wanted:
        changes.items.append(Item(kind, name, "unchanged", detail))
        return
    changes.writes.append(Write(table, name, wanted, known.version if known else 0))
    changes.items.append(Item(kind, name, "update" if known else "create", detail))


async def _components(
    components: Sequence[Loaded],
    state: State,
    resolver: Resolver,
    changes: ChangeSet,
    now: float,
    actor: str,
    activate: bool,
    canary: CanarySpec | None,
) -> None:
    after = state.candidate(changes.writes)
    policies = {name: int(record.value["revision"]) for name, record in after.rows(POLICIES).items()}
    bundles = await resolve(
        components,
        folder=None,
        contracts=resolver.contracts,
        parents=lambda component, version: active_bundle(state, f"{component}@{version}"),
        policies=policies,
        reflect=resolver.reflect,
        values=resolver.values,
        away=resolver.away(),
    )
    findings = await asyncio.to_thread(_checked, bundles)
    findings += [finding for bundle in bundles for finding in _canary_in_the_way(bundle, state, canary)]
    if findings:
        raise DocumentsRefused(findings)
    for bundle in bundles:
        _bundle(bundle, state, changes, now, actor, activate, canary)
        await asyncio.sleep(0)  # what else runs has its turn, however many there are


def _checked(bundles: Sequence[Bundle]) -> list[Finding]:
    return [finding for bundle in bundles for finding in check(bundle)]


def _canary_in_the_way(bundle: Bundle, state: State, canary: CanarySpec | None) -> list[Finding]:
    record = state.rows(ACTIVE).get(bundle.name)
    place = place_of(bundle.places.get("") or bundle.name)
    if record is None or canary is not None:
        if record is not None or canary is None:
            return []
        message = f"{bundle.name} is not live: there is nothing beside which a canary could run."
        return [Finding(place, "no_active_revision", message, "Publish it without --canary first.")]
    running = record.value.get("canary")
    if not running or bundle.revision in {str(record.value["revision"]), str(running["revision"])}:
        return []
    message = f"{bundle.name} has a canary, revision {running['revision']}."
    hint = f"penstock canary {bundle.name} promote, or abort; or publish this with --canary in its place."
    return [Finding(place, "canary_running", message, hint)]


def _bundle(
    bundle: Bundle,
    state: State,
    changes: ChangeSet,
    now: float,
    actor: str,
    activate: bool,
    canary: CanarySpec | None,
) -> None:
    name, revision = bundle.name, bundle.revision
    record = state.rows(ACTIVE).get(name)
    known = str(record.value["revision"]) if record else None
    if known == revision:
        changes.items.append(Item("ApiComponent", name, "unchanged", f"revision {revision}"))
        return
    running = record.value.get("canary") if record else None
    if running and str(running["revision"]) == revision and canary is None:
        changes.items.append(Item("ApiComponent", name, "unchanged", f"revision {revision}, canary"))
        return
    old = state.revisions.get(known) if known else None
    if old is not None:
        changes.breaking += breaking(old, bundle)
    content = {"bundle": bundle.content(), "at": now, "actor": actor, "name": name}
    changes.writes.append(Write(REVISIONS, revision, content))
    draft = bundle.manifest.lifecycle.status == "draft"
    action: Action = "update" if known else "create"
    if not activate or draft:
        reason = "draft" if draft else "not activated"
        changes.items.append(Item("ApiComponent", name, action, f"revision {revision}, {reason}"))
        return
    if canary is not None and record is not None:
        rule = canary.model_dump(mode="json") | {"revision": revision, "since": now, "actor": actor}
        changes.writes.append(Write(ACTIVE, name, {**record.value, "canary": rule}))
        changes.items.append(Item("ApiComponent", name, action, f"revision {revision}, canary for {canary.share:.4%}"))
        return
    history = [*(record.value.get("history", []) if record else []), *([known] if known else [])][-50:]
    pointer = {"revision": revision, "since": now, "actor": actor, "history": history, "pins": {}}
    pointer |= kept(record.value if record else {})
    changes.writes.append(Write(ACTIVE, name, pointer))
    changes.activated.append(name)
    changes.items.append(Item("ApiComponent", name, action, f"revision {revision}"))


def kept(pointer: Mapping[str, Any]) -> dict[str, Any]:
    """What stays when a version gets another revision: what was set on the version itself."""
    return {name: pointer[name] for name in ("lifecycle",) if name in pointer} | activations(pointer)


def activations(pointer: Mapping[str, Any]) -> dict[str, Any]:
    """Who made which revision active when, with the one that ends now; the last fifty."""
    if not pointer:
        return {}
    ending = {name: pointer.get(name) for name in ("revision", "since", "actor")}
    if pointer.get("pins"):
        ending["pins"] = pointer["pins"]
    return {"activations": [*pointer.get("activations", []), ending][-50:]}


def pins_before(pointer: Mapping[str, Any], revision: str) -> dict[str, int]:
    """The revisions of named policies that a revision was pinned to when it was active last."""
    ended = (each for each in reversed(pointer.get("activations", [])) if each["revision"] == revision)
    return dict((next(ended, None) or {}).get("pins", {}))


def active_bundle(state: State, name: str) -> Bundle | None:
    record = state.rows(ACTIVE).get(name)
    return state.revisions.get(str(record.value["revision"])) if record else None
