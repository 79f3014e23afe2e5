"""Documents of kind Application to writes: the application, and the subscriptions that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.admin.state import State
from gateway.consumers.applications import ACTIVE as ACTIVE_STATUS
from gateway.consumers.subscriptions import refusal
from gateway.core.findings import Finding
from gateway.manifest.documents import ApiComponent, Application, Lifecycle, Subscription
from gateway.manifest.loading import Loaded
from gateway.snapshot.lifecycle import override
from gateway.store.store import ACTIVE, APPLICATIONS, PLANS, SUBSCRIPTIONS, Record, Store

Recorded = Mapping[tuple[str, str], Record]  # by table and key


async def consumers_of(loaded: Sequence[Loaded], store: Store) -> Recorded:
    """The records of the applications that documents name, and of their subscriptions."""
    found: dict[tuple[str, str], Record] = {}
    for each in loaded:
        if isinstance(each.document, Application):
            name, subscriptions = each.document.name, each.document.subscriptions
            keys = [(APPLICATIONS, name), *((SUBSCRIPTIONS, f"{name}/{one.api}") for one in subscriptions)]
            for key in keys:
                record = await store.get(*key)
                if record is not None:
                    found[key] = record
    return found


def wrong(
    each: Loaded, document: Application, loaded: Sequence[Loaded], state: State, recorded: Recorded
) -> Iterator[Finding]:
    """Subscriptions to an API or a version, or on a plan, that is neither there nor among the documents; and new ones
    to what takes none."""
    plans = state.rows(PLANS).keys() | {one.name for one in loaded if one.kind == "Plan"}
    statuses = _statuses(loaded, state)
    for index, one in enumerate(document.subscriptions):
        versions = statuses.get(one.api, {})
        names = (("api", one.api, statuses), ("plan", one.plan, plans), ("version", one.version, versions))
        for key, name, known in names:
            if name is not None and name not in known and (key != "version" or versions):
                hint = f"There are: {', '.join(sorted(known)) or 'none'}."
                place = each.place("subscriptions", index, key)
                yield Finding(place, f"unknown_{key}", f"There is no {key} {name}.", hint)
        reason = refusal(one.api, one.version, versions.items()) if _new(document.name, one, recorded) else None
        if reason is not None:
            hint = "Subscribe to another version, or take the subscription out."
            yield Finding(each.place("subscriptions", index, "api"), "version_deprecated", reason, hint)


def _new(application: str, one: Subscription, recorded: Recorded) -> bool:
    """A subscription, or a pin, that was not there."""
    record = recorded.get((SUBSCRIPTIONS, f"{application}/{one.api}"))
    return record is None or (one.version is not None and record.value.get("version") != one.version)


def _statuses(loaded: Sequence[Loaded], state: State) -> dict[str, dict[str, str]]:
    """Of each version of each API, as they will be: what was set on a live version stays when it is applied again."""
    declared: dict[str, Lifecycle] = {}
    written: dict[str, Mapping[str, Any] | None] = {}
    for name, record in state.rows(ACTIVE).items():
        bundle = state.revisions.get(str(record.value["revision"]))
        if bundle is not None:
            declared[name], written[name] = bundle.manifest.lifecycle, record.value.get("lifecycle")
    for each in loaded:
        if isinstance(each.document, ApiComponent):
            declared[f"{each.document.name}@{each.document.version}"] = each.document.lifecycle
    found: dict[str, dict[str, str]] = {}
    for name, life in declared.items():
        component, _, version = name.partition("@")
        found.setdefault(component, {})[version] = override(life, written.get(name)).status
    return found


def about(document: Application, recorded: Recorded) -> dict[str, Any]:
    """What the application's record will say. A document without a status leaves it as it is: nobody who applies
    documents again opens what somebody has closed."""
    record = recorded.get((APPLICATIONS, document.name))
    kept = ACTIVE_STATUS if record is None else record.value.get("status", ACTIVE_STATUS)
    return {
        "title": document.title,
        "owner": document.owner,
        "contacts": list(document.contacts),
        "attributes": dict(document.attributes),
        "status": document.status or kept,
    }
