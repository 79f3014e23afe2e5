"""A dry build: everything that building a version would refuse, found without opening a connection, with its place.

Compiling checks what documents say; building finds what they mean: bindings of routes that name no parameter, fixed
values that do not fit, messages that XML or CSDL cannot hold. Here each part is built by itself and thrown away, so
that all of it is found at once, before any worker is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from gateway.core.call import Call
from gateway.core.clock import SystemClock
from gateway.core.egress import Egress
from gateway.core.errors import NotImplementedHere, Problem
from gateway.core.exchange import Exchange
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.kinds import BackendKinds, Kinds, Services
from gateway.core.secrets import KeyHasher, Secret
from gateway.frontend.odata.mount import ODataMount
from gateway.frontend.rest.binding import check
from gateway.frontend.rest.openapi import openapi
from gateway.frontend.soap.mount import SoapMount
from gateway.live.backends import named_backend
from gateway.live.contracts import contracts
from gateway.live.slots import Builder, Shared, build_slots
from gateway.manifest.environment import SECRET, reveal
from gateway.relay.network import Network
from gateway.relay.outside import Outside
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.schema.types import Operation, Types
from gateway.snapshot.configs import place_of
from gateway.snapshot.routes import parameters_of
from gateway.snapshot.spec import Snapshot, StepSpec, VersionSpec
from gateway.store.memory_cells import MemoryCells
from gateway.store.memory_counters import MemoryCounters

Places = Mapping[str, Mapping[str, str]]
"""By component@version, then JSON pointer: `file:line:column`, as bundles hold them."""

WRONG: Final = (ValueError, TypeError, LookupError, Problem)


def dry_build(
    snapshot: Snapshot,
    places: Places,
    kinds: Kinds,
    backend_kinds: BackendKinds,
    secrets: Mapping[str, Secret] | None,
    *offered: object,
) -> list[Finding]:
    """Every finding of every version and plan. `secrets` None: unknown here, so that none counts as missing, and that
    of the node nothing is known; `offered` are services that checks of connections ask for: the egress list."""
    known: Mapping[str, Secret] = _Anything() if secrets is None else secrets
    builder = Builder(kinds, _services(offered), known)
    findings: list[Finding] = []
    for version in snapshot.versions:
        dry = _Dry(version, places.get(version.name, {}), builder, backend_kinds)
        dry.build()
        findings += dry.findings
    for name, steps in snapshot.plans.items():
        dry = _Dry(VersionSpec(component="", version=name, revision="", base_path="/"), {}, builder, backend_kinds)
        dry.steps(steps)
        findings += dry.findings
    return sorted(set(findings))


class _Anything(dict[str, Secret]):
    """Stands for secrets that this command does not know."""

    def __contains__(self, _name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Secret:
        return Secret(f"secret-{name}")


class _Processes:
    """Stands for a runtime: nothing runs here. That a process is there was seen when its contract was read."""

    def runner(self, *_process: object) -> Callable[[Call], Any]:
        def refuse(_call: Call) -> Any:
            raise NotImplementedHere("Nothing runs in a dry build.")

        return refuse


def _services(offered: tuple[object, ...]) -> Services:
    clock = SystemClock()
    hasher = KeyHasher(Secret("dry build"))
    named = {"clock": clock, "directory": None, "counters": MemoryCounters(), "topics": None, "processes": _Processes()}
    egress = next((each for each in offered if isinstance(each, Egress)), None)
    return Services(hasher, clock, Outside(Network(egress)), *offered, cells=MemoryCells(), **named)


@dataclass
class _Dry:
    """One version, part by part."""

    spec: VersionSpec
    places: Mapping[str, str]
    builder: Builder
    backend_kinds: BackendKinds
    findings: list[Finding] = field(default_factory=list)
    shared: Shared = field(default_factory=Shared)
    asked: list[StepSpec] = field(default_factory=list)

    def build(self) -> None:
        types = self._types()
        if types is None:
            return
        operations = dict(self._operations(types))
        self.shared.openapi = cache(lambda: openapi(self.spec, operations, types))
        self.shared.backend = named_backend(self.spec, {})
        self.shared.contract = contracts(self.spec, operations, types)
        self._connections()
        self._backends(operations, types)
        self._routes(operations, types)
        for endpoint in self.spec.endpoints:
            self.steps(endpoint.steps, endpoint.key)
        self._mounts(operations, types)

    # places

    def place(self, pointer: str) -> Place:
        """The place of a part, or of the nearest one above it."""
        at = pointer
        while at and at not in self.places:
            at = at.rpartition("/")[0]
        found = place_of(self.places[at]) if at in self.places else Place(self.spec.name)
        return Place(found.file, found.line, found.column, found.path or pointer)

    def refuse(self, place: Place, code: str, message: str, hint: str = "") -> None:
        text = message[:1].upper() + message[1:]
        self.findings.append(Finding(place, code, text if text.endswith((".", "?")) else f"{text}.", hint))

    def _adopt(self, refused: DocumentsRefused, within: str = "") -> None:
        """Findings by pointer get their line; those of an endpoint have it already."""
        for each in refused.findings:
            path = each.place.path
            place = each.place
            if not place.file:
                place = self.place(within + path) if path.startswith("/") or not path else place_of(path)
            self.findings.append(Finding(place, each.code, each.message, each.hint))

    # parts

    def _types(self) -> Types | None:
        try:
            return read_types(self.spec.types)
        except DocumentsRefused as refused:
            self._adopt(refused)
        return None

    def _operations(self, types: Types) -> Iterator[tuple[str, Operation]]:
        for name, each in self.spec.operations.items():
            try:
                yield name, read_operation(name, each.contract.model_dump(mode="json"), types)
            except DocumentsRefused as refused:
                self._adopt(refused, f"/operations/{name}")

    def _connections(self) -> None:
        for name, backend in self.spec.backends.items():
            kind, pointer = self.backend_kinds[backend.kind], f"/backends/{name}/{backend.kind}"
            config = None if kind.connection is None else self._config(kind.connection, backend.config, pointer)
            if config is not None and kind.check is not None and not isinstance(self.builder.secrets, _Anything):
                self._check(kind.check, config, pointer, SECRET in str(backend.config.get("targets")))

    def _check(self, check: Callable[[Any, Services], None], config: Any, pointer: str, secret: bool) -> None:
        """`secret`: where the connection leads to is one, and must not be told."""
        try:
            check(config, self.builder.services)
        except DocumentsRefused as refused:
            if secret:
                message = "the connection is refused once its secrets are filled in: where it leads to, or its TLS"
                self.refuse(self.place(pointer), "backend", message)
            else:
                self._adopt(refused, pointer)
        except WRONG as error:
            self.refuse(self.place(pointer), "backend", _text(error))

    def _config(self, model: type[BaseModel], config: dict[str, Any], pointer: str) -> Any:
        """The configuration with its secrets, for this moment; None when it does not fit."""
        try:
            return model.model_validate(reveal(config, self.builder.secrets))
        except ValidationError:  # its text may hold a secret
            message = "the configuration does not fit once its secrets are filled in"
            self.refuse(self.place(pointer), "invalid_setting", message)
        except WRONG as error:
            self.refuse(self.place(pointer), "missing_secret", _text(error), "Declare it in the Environment.")
        return None

    def _backends(self, operations: Mapping[str, Operation], types: Types) -> None:
        for name, operation in operations.items():
            each = self.spec.operations[name]
            kind = self.backend_kinds[each.kind]
            if kind.operation is None:
                continue
            config = self._config(kind.operation, each.config, f"/operations/{name}/{each.kind}")
            if config is None:
                continue
            try:
                kind.bind(config, None, operation, types, self.builder.services)
            except DocumentsRefused as refused:
                self._adopt(refused)
            except WRONG as error:
                self.refuse(self.place(f"/operations/{name}"), "operation", _text(error))

    def _routes(self, operations: Mapping[str, Operation], types: Types) -> None:
        for endpoint in self.spec.endpoints:
            operation = operations.get(endpoint.operation)
            if endpoint.protocol == "rest" and operation is not None:
                found = check(endpoint, operation, types, parameters_of(endpoint.path))
                self.findings += [
                    Finding(place_of(each.place.path), each.code, each.message, each.hint) for each in found
                ]

    def steps(self, steps: tuple[StepSpec, ...], endpoint: str = "") -> None:
        for step in steps:
            unknown = isinstance(self.builder.secrets, _Anything) and SECRET in str(step.config)
            try:
                build_slots((step,), self.spec.component, self.spec.version, endpoint, self.builder, self.shared)
                self._ask(step)
            except ValidationError:  # its text may hold a secret
                if unknown:
                    continue
                message = f"the step {step.id} does not fit once its secrets are filled in"
                self.refuse(place_of(step.place), "invalid_setting", message)
            except DocumentsRefused as refused:
                self._adopt(refused)
            except WRONG as error:
                if unknown:  # what the secret is decides
                    continue
                self.refuse(place_of(step.place), "step", f"the step {step.id}: {_text(error)}")

    def _ask(self, step: StepSpec) -> None:
        """What a kind asks of a configuration before publishing, once however many endpoints have the step."""
        kind = self.builder.kinds[step.use]
        if kind.check is None or step in self.asked:
            return
        self.asked.append(step)
        kind.check(kind.config.model_validate(reveal(step.config, self.builder.secrets)))

    def _mounts(self, operations: Mapping[str, Operation], types: Types) -> None:
        spec = self.spec
        if spec.soap is not None and operations.keys() >= set(spec.soap.operations):
            chosen = {name: operations[name] for name in spec.soap.operations}
            soap = spec.soap
            self._mount("soap", lambda: SoapMount(spec.component, spec.version, soap, chosen, types, _nowhere))
        if spec.odata is not None and operations.keys() >= set(spec.odata.operations):
            offered = {name: operations[name] for name in spec.odata.operations}
            odata = spec.odata
            self._mount("odata", lambda: ODataMount(spec.component, spec.version, odata, offered, types, _nowhere))

    def _mount(self, protocol: str, make: Callable[[], object]) -> None:
        try:
            make()
        except DocumentsRefused as refused:
            self._adopt(refused, f"/{protocol}")
        except WRONG as error:
            self.refuse(self.place(f"/{protocol}"), protocol, _text(error))


def _nowhere(_exchange: Exchange) -> str:
    return "http://localhost"


def _text(error: Exception) -> str:
    if isinstance(error, Problem):
        return error.detail or error.title
    return str(error.args[0]) if error.args else type(error).__name__
