"""What a new revision of a version would break for those who use the old one. Pure.

Only what consumers can reach counts: an operation that no endpoint offered may go. Wider input and more output are
fine, as RFC 9110 and OData readers must pass over fields that they do not know; SOAP clients may be stricter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from gateway.core.findings import Finding
from gateway.manifest.breaking_parts import chosen_otherwise, moved, navigated, reordered
from gateway.manifest.bundle import Bundle, ContractPart
from gateway.manifest.documents import Endpoint, EntitySet, OData, Soap
from gateway.manifest.inherit import parent_places
from gateway.manifest.narrowing import Comparison
from gateway.manifest.site import Keys, Version
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.schema.types import Operation

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_HINT: Final = "Publish it as a new version, or force it."


def breaking(old: Bundle, new: Bundle) -> list[Finding]:
    """Everything that breaks, at its place in the new manifest; empty: the new one may take the old one's place."""
    comparing = _Comparing(old, new)
    for protocol, compare in (
        ("", comparing.entry),
        ("REST", comparing.rest),
        ("SOAP", comparing.soap),
        ("OData", comparing.odata),
    ):
        comparing.protocol = protocol
        compare()
    return comparing.findings()


class _Comparing:
    def __init__(self, old: Bundle, new: Bundle) -> None:
        self.old, self.new = old, new
        self.version = Version(new.manifest, parent_places(new))
        self.old_types, self.new_types = read_types(old.types), read_types(new.types)
        self.compared: set[tuple[str, str, str]] = set()
        self.protocol = ""  # whose consumers are looked at; empty: all
        self.found: dict[tuple[Keys, str], list[str]] = {}

    def refuse(self, keys: Keys, message: str) -> None:
        protocols = self.found.setdefault((keys, message), [])
        if self.protocol not in protocols:
            protocols.append(self.protocol)

    def findings(self) -> list[Finding]:
        """Each once, with those who notice it."""
        for (keys, message), protocols in self.found.items():
            whose = " and ".join(filter(None, protocols)) or "every protocol"
            self.version.refuse(keys, "breaking", f"{message}.", f"Consumers of {whose} notice it. {_HINT}")
        return sorted(set(self.version.findings))

    def entry(self) -> None:
        for keys, message in chosen_otherwise(self.old.manifest, self.new.manifest):
            self.refuse(keys, message)

    # REST

    def rest(self) -> None:
        routes = {_shape(route): route for route in self.new.manifest.rest}
        calls = {route: str(_endpoint(each).call or "") for route, each in self.new.manifest.rest.items()}
        for route, before in self.old.manifest.rest.items():
            path = route.partition(" ")[2]
            found = routes.get(_shape(route)) or routes.get(_shape(f"ANY {path}"))
            if found is None:
                self.refuse(("rest",), f"the endpoint {route} is gone{moved(str(_endpoint(before).call or ''), calls)}")
            else:
                self.endpoint(("rest", found), _endpoint(before), _endpoint(self.new.manifest.rest[found]))

    def endpoint(self, keys: Keys, before: Endpoint, after: Endpoint) -> None:
        route = str(keys[-1])
        if (before.relay is None) != (after.relay is None):
            self.refuse(keys, f"{route} was {'a call' if before.relay is None else 'a relay'}")
            return
        if isinstance(before.call, str) and isinstance(after.call, str):
            self.operation(keys, before.call, after.call)
        elif before.call != after.call:
            self.refuse(keys, f"{route} answers by something else")
        self.success(keys, before, after)
        if before.relay is not None and before.websocket is not False and after.websocket is False:
            self.refuse((*keys, "websocket"), f"{route} opened WebSockets")
        for key in ("body", "status"):
            if getattr(before, key) != getattr(after, key):
                self.refuse((*keys, key), f"{key} of {route} was {getattr(before, key) or 'not given'}")
        for key in ("query", "headers"):
            self.names((*keys, key), getattr(before, key), getattr(after, key), key == "headers")

    def success(self, keys: Keys, before: Endpoint, after: Endpoint) -> None:
        """What the status is where none is written: 204 without an output."""
        was, now = self.old.contracts.get(str(before.call)), self.new.contracts.get(str(after.call))
        silent = before.status is None and after.status is None
        if silent and was is not None and now is not None and was.output is None and now.output is not None:
            self.refuse(keys, f"{keys[-1]} answers 200 with a body now, no longer 204")

    def names(self, keys: Keys, before: dict[str, str], after: dict[str, str], caseless: bool) -> None:
        """Names under which parameters are sent; without one it is the parameter's own, or the body's."""
        for name in sorted({*before, *after}):
            was, now = (each.get(name, "" if caseless else name) for each in (before, after))
            if (was.lower() != now.lower()) if caseless else was != now:
                self.refuse((*keys, name), f"the parameter {name} was sent as {was or 'no header'}")

    # contracts

    def operation(self, keys: Keys, old: str, new: str) -> None:
        """The contract behind one endpoint; told once, at the operation."""
        if (self.protocol, old, new) in self.compared:
            return
        self.compared.add((self.protocol, old, new))
        before, after = self.old.contracts.get(old), self.new.contracts.get(new)
        if before is None or after is None:
            self.refuse(keys, f"the operation {old} is gone")
            return
        where: Keys = ("operations", new) if new in self.new.manifest.operations else keys
        self.contract(where, new, before, after)

    def contract(self, keys: Keys, name: str, before: ContractPart, after: ContractPart) -> None:
        old = read_operation(name, before.model_dump(mode="json"), self.old_types)
        new = read_operation(name, after.model_dump(mode="json"), self.new_types)
        self.comparison((*keys, "input"), f"input of {name}", given=True).records(old.input, new.input, "")
        if old.output is not None and new.output is None:
            self.refuse((*keys, "output"), f"{name} answers nothing any more")
        elif old.output is not None and new.output is not None:
            output = self.comparison((*keys, "output"), f"output of {name}", given=False)
            output.nullable(old.output_nullable, new.output_nullable, "")
            output.types(old.output, new.output, "")
        if self.protocol == "SOAP":
            self.elements(keys, name, old, new)
        codes = {error.code: error.status for error in new.errors}
        for error in old.errors:
            if codes.get(error.code, error.status) != error.status:
                status = codes[error.code]
                self.refuse((*keys, "errors", error.code), f"{name} answers {error.code} with {status} now")

    def elements(self, keys: Keys, name: str, old: Operation, new: Operation) -> None:
        pairs = [("input", old.input, new.input), ("output", old.output, new.output)]
        for what, before, after in pairs:
            if before is not None and after is not None:
                for path, message in reordered(self.old_types, self.new_types, before, after):
                    part = f"{path} in the {what} of {name}" if path else f"the {what} of {name}"
                    self.refuse((*keys, what), f"{part} {message}")

    def comparison(self, keys: Keys, what: str, *, given: bool) -> Comparison:
        def refuse(path: str, message: str) -> None:
            where = (*keys, what.split(maxsplit=1)[0], *path.split(".")) if path else (*keys, what.split(maxsplit=1)[0])
            self.refuse(where, f"{path} in the {what} {message}" if path else f"the {what} {message}")

        return Comparison(self.old_types, self.new_types, given, refuse)

    # SOAP and OData

    def soap(self) -> None:
        before, after = self.old.manifest.soap, self.new.manifest.soap
        if before is None:
            return
        if after is None:
            self.refuse((), "SOAP is gone")
            return
        if before.namespace != after.namespace:
            self.refuse(("soap", "namespace"), f"the SOAP namespace was {before.namespace}")
        self.listed(("soap", "operations"), "SOAP", before, after)

    def listed(self, keys: Keys, what: str, before: Soap | OData, after: Soap | OData) -> None:
        for name in before.operations:
            if name not in after.operations:
                self.refuse(keys, f"the {what} operation {name} is gone")
            else:
                self.operation(keys, name, name)

    def odata(self) -> None:
        before, after = self.old.manifest.odata, self.new.manifest.odata
        if before is None:
            return
        if after is None:
            self.refuse((), "OData is gone")
            return
        if before.namespace != after.namespace:
            self.refuse(("odata", "namespace"), f"the OData namespace was {before.namespace or 'not given'}")
        self.listed(("odata", "operations"), "OData", before, after)
        self.effects(before.operations)
        for name, each in before.entity_sets.items():
            if name not in after.entity_sets:
                self.refuse(("odata", "entity_sets"), f"the entity set {name} is gone")
            else:
                self.entity_set(("odata", "entity_sets", name), each, after.entity_sets[name])

    def effects(self, operations: Iterable[str]) -> None:
        """OData calls safe operations by GET (functions) and the others by POST (actions)."""
        for name in operations:
            before, after = self.old.contracts.get(name), self.new.contracts.get(name)
            if before and after and (before.effect == "safe") != (after.effect == "safe"):
                self.refuse(("operations", name), f"the effect of {name} was {before.effect}: OData calls it otherwise")

    def entity_set(self, keys: Keys, before: EntitySet, after: EntitySet) -> None:
        name = str(keys[-1])
        old, new = _entity(self.old, name, before), _entity(self.new, name, after)
        if _key(self.old, before) != _key(self.new, after):
            self.refuse((*keys, "key"), f"the key of {name} was {', '.join(_key(self.old, before))}")
        for place, message in navigated(keys, before, after):
            self.refuse(place, message)
        if old and new and old != new:
            self.refuse(keys, f"the entity type of {name} was {old}")
        if old in self.old_types and new in self.new_types:
            comparison = self.comparison(keys, f"entity set {name}", given=False)
            comparison.types(self.old_types[old], self.new_types[new], "")


def _shape(route: str) -> str:
    """Routes that differ in names of parameters only match the same requests."""
    return _PARAMETER.sub("{}", route)


def _endpoint(given: str | Endpoint) -> Endpoint:
    return Endpoint(call=given) if isinstance(given, str) else given


def _entity(bundle: Bundle, name: str, declared: EntitySet) -> str:
    if declared.call is None:
        return bundle.entity_types.get(name, "")
    contract = bundle.contracts.get(declared.call)
    output = contract.output if contract is not None else None
    return str((output or {}).get("items", {}).get("$ref", "")).rpartition("/")[2]


def _key(bundle: Bundle, declared: EntitySet) -> list[str]:
    table = bundle.tables.get(declared.table or "")
    primary = [column.name for column in table.columns if column.primary_key] if table else []
    return declared.key or primary
