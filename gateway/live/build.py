"""Builds the running form of one version: types, operations, connections, backends, chains. Publish time only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar

from gateway.core.call import Backend
from gateway.core.chain import Chain
from gateway.core.exchange import Exchange, Head, Reply
from gateway.core.kinds import BackendKinds, Presented
from gateway.frontend.frontend import Document, Mount
from gateway.frontend.rest.document import json_document
from gateway.frontend.rest.endpoint import rest_endpoint
from gateway.frontend.rest.openapi import openapi
from gateway.frontend.rest.problems import render
from gateway.live.backends import named_backend
from gateway.live.chains import Ending, Frame, call, common, endpoint_chain, mount_chain, mounted_chain
from gateway.live.contracts import contracts
from gateway.live.frames import frame_of
from gateway.live.router import Trie
from gateway.live.slots import Builder, Shared, Slot, build_slots
from gateway.manifest.environment import reveal
from gateway.schema.contract import read_operation
from gateway.schema.json_schema import read_types
from gateway.schema.types import Operation, Record, Types
from gateway.snapshot.choice import vendor_type
from gateway.snapshot.order import overlay
from gateway.snapshot.routes import ODATA_PATH, parameters_of
from gateway.snapshot.spec import EndpointSpec, EntitySetSpec, StepSpec, VersionSpec

Plans = Mapping[str, tuple[StepSpec, ...]]
Preflight = Callable[[Head, frozenset[bytes]], Reply]
T = TypeVar("T")


@dataclass
class LiveVersion:
    """One version, running. `chains` are by endpoint key, `mounts` by protocol. Closed when no router holds it."""

    spec: VersionSpec
    types: Types
    operations: Mapping[str, Operation]
    backends: Mapping[str, Backend]
    chains: dict[str, Chain] = field(default_factory=dict)
    mounts: dict[str, Chain] = field(default_factory=dict)
    preflights: dict[str, Preflight] = field(default_factory=dict)  # by endpoint key; a mount's by its protocol
    connections: Mapping[str, Any] = field(default_factory=dict)
    presented: Presented | None = None  # how its requests show whose they are, before that is proved
    trie: Trie | None = None  # of its URLs below its base path
    digest: str = ""  # of the whole spec
    closers: list[Callable[[], None]] = field(default_factory=list)  # of steps
    holders: int = 0

    def slim(self) -> None:
        """Lets go of what only building needs; the trie holds the chains."""
        built: dict[str, Any] = {name: {} for name in ("types", "backends", "operations")}
        mounted = {"endpoints": (), "soap": None, "odata": None, "description": ""}
        self.spec = self.spec.model_copy(update=built | mounted)

    async def close(self) -> None:
        closers, self.closers = self.closers, []
        for closer in closers:
            closer()
        for backend in self.backends.values():
            await backend.close()
        for connection in self.connections.values():
            await connection.close()


@dataclass(frozen=True)
class Settings:
    """What building takes besides the snapshot."""

    builder: Builder
    backend_kinds: BackendKinds
    body_limit: int = 1_048_576


async def build_version(spec: VersionSpec, plans: Plans, settings: Settings) -> LiveVersion:
    """The running version. What was opened is closed again when a later part fails."""
    connections: dict[str, Any] = {}
    live = LiveVersion(spec, Types(), {}, {}, connections=connections)
    try:
        for name, connection in _connections(spec, settings):
            connections[name] = connection
        live.types = read_types(spec.types)
        live.operations = {
            name: read_operation(name, each.contract.model_dump(mode="json"), live.types)
            for name, each in spec.operations.items()
        }
        live.backends = dict(_backends(live, settings))
        _ChainBuilder(live, plans, settings).build()
    except BaseException:
        await live.close()
        raise
    return live


def _connections(spec: VersionSpec, settings: Settings) -> Iterator[tuple[str, Any]]:
    for name, backend in spec.backends.items():
        kind = settings.backend_kinds[backend.kind]
        if kind.connection is not None and kind.open is not None:
            config = kind.connection.model_validate(reveal(backend.config, settings.builder.secrets))
            yield name, kind.open(config, settings.builder.services)


def _backends(live: LiveVersion, settings: Settings) -> Iterator[tuple[str, Backend]]:
    for name, each in live.spec.operations.items():
        kind = settings.backend_kinds[each.kind]
        assert kind.operation is not None
        config = kind.operation.model_validate(reveal(each.config, settings.builder.secrets))
        connection = live.connections.get(each.backend)
        yield name, kind.bind(config, connection, live.operations[name], live.types, settings.builder.services)


def _entity_set_backend(live: LiveVersion, each: EntitySetSpec) -> Backend:
    record = live.types[each.type]
    assert isinstance(record, Record)
    if each.table is not None:
        backend: Backend = live.connections[each.backend].entity_set(each, record, live.types)
        return backend
    from gateway.query.evaluated import Evaluated

    return Evaluated(live.backends[each.operation], record, live.types, each.max_rows)


class _ChainBuilder:
    """Makes every chain of one version, and each again for every plan that a consumer may have."""

    def __init__(self, live: LiveVersion, plans: Plans, settings: Settings) -> None:
        self.live = live
        self.spec = live.spec
        self.plans = plans
        self.settings = settings
        self.openapi = cache(lambda: openapi(live.spec, live.operations, live.types))
        contract = contracts(live.spec, live.operations, live.types)
        self.shared = Shared(self.openapi, contract, named_backend(live.spec, live.connections), live.closers.append)
        self.frame = Frame()

    def build(self) -> None:
        if self.spec.select_by != ("path",) and self.spec.endpoints:
            self._slots(self.spec.endpoints[0])  # tells how applications are known, which is told to caches
        self.frame = frame_of(self.spec, self.live.presented, self.settings.builder.services, self.settings.body_limit)
        for endpoint in self.spec.endpoints:
            if endpoint.protocol == "rest":
                self.live.chains[endpoint.key] = self._rest(endpoint)
        documents = {"openapi": json_document(self.openapi())}
        for protocol, mount in self._mounts():
            self._mount(protocol, mount)
            names = {"soap": {"wsdl": ""}, "odata": {"odata": "", "metadata": "/$metadata"}}[protocol]
            documents |= {name: mount.documents[path] for name, path in names.items()}
            self.live.chains |= self._mount_documents(mount, names, documents)
        for endpoint in self.spec.endpoints:
            if endpoint.document == "openapi":
                self.live.chains[endpoint.key] = self._document(endpoint, documents["openapi"], render)

    # REST

    def _rest(self, endpoint: EndpointSpec) -> Chain:
        ending = self._relay(endpoint) if endpoint.relay else self._typed(endpoint)
        lane = "relay" if endpoint.relay else "call"
        facts = self._facts(endpoint.key, "rest", lane, endpoint.operation)

        def chain(slots: tuple[Slot, ...]) -> Chain:
            return endpoint_chain(f"{self.spec.name} {endpoint.key}", slots, ending, self.frame, render, facts)

        return self._with_plans(chain, endpoint)

    def _relay(self, endpoint: EndpointSpec) -> Ending:
        upstream = self.live.connections[endpoint.relay]
        path = endpoint.relay_path or None
        how = path, parameters_of(endpoint.path)
        return Ending(upstream.relay(*how, endpoint.websocket), relayed=how)

    def _typed(self, endpoint: EndpointSpec) -> Ending:
        operation = self.live.operations[endpoint.operation]
        parameters = parameters_of(endpoint.path)
        location = _message_location if self.spec.operations[endpoint.operation].kind == "topic" else None
        if endpoint.binding.body != "payload":
            location = None
        typed = rest_endpoint(
            endpoint,
            operation,
            self.live.types,
            parameters,
            component=self.spec.component,
            version=self.spec.version,
            location=location,
            vendor=vendor_type(self.spec) if "media-type" in self.spec.select_by else None,
        )
        last = call(operation.name, self.live.backends[endpoint.operation], typed.encode)
        return Ending(last, typed.decode, typed.needs_body)

    # mounts

    def _mounts(self) -> Iterator[tuple[str, Mount]]:
        spec, live = self.spec, self.live
        if spec.soap:
            from gateway.frontend.soap.mount import SoapMount  # loaded by `libraries`, and only where it is used

            chosen = {name: live.operations[name] for name in spec.soap.operations}
            yield "soap", SoapMount(spec.component, spec.version, spec.soap, chosen, live.types, _address)
        if spec.odata:
            from gateway.frontend.odata.mount import ODataMount

            chosen = {name: live.operations[name] for name in spec.odata.operations}
            yield "odata", ODataMount(spec.component, spec.version, spec.odata, chosen, live.types, _odata_root)

    def _mount(self, protocol: str, mount: Mount) -> None:
        """The mount's chain leads to its endpoints' chains, each plan's variant to theirs."""
        endpoints = {_name(each): each for each in self.spec.endpoints if each.protocol == protocol}
        base = {name: self._slots(each) for name, each in endpoints.items()}
        planned = {plan: {name: self._slots(each, plan) for name, each in endpoints.items()} for plan in self.plans}
        shared = min(common(list(slots.values())) for slots in (base, *planned.values()))
        self._offer_preflight(protocol, next(iter(base.values()), ())[:shared])
        own = self._endings(protocol, mount)
        variants = {}
        for plan, slots in planned.items():
            chains = {name: self._mounted(protocol, mount, name, own[name], shared, slots[name]) for name in endpoints}
            variants[plan] = {name: replace(chain, plan=plan) for name, chain in chains.items()}
        chains = {
            name: replace(
                self._mounted(protocol, mount, name, own[name], shared, base[name]),
                plans={plan: variants[plan][name] for plan in self.plans},
            )
            for name in endpoints
        }
        plans = {
            plan: replace(self._dispatching(protocol, mount, shared, endpoints, variants[plan], plan), plan=plan)
            for plan in self.plans
        }
        self.live.mounts[protocol] = replace(
            self._dispatching(protocol, mount, shared, endpoints, chains, None), plans=plans
        )

    def _endings(self, protocol: str, mount: Mount) -> dict[str, Ending]:
        return {
            name: Ending(call(name, self._backend(protocol, name), typed.encode), typed.decode, typed.needs_body)
            for name, typed in mount.endpoints.items()
        }

    def _mounted(
        self, protocol: str, mount: Mount, name: str, ending: Ending, shared: int, slots: tuple[Slot, ...]
    ) -> Chain:
        key = f"{protocol} {name}"
        facts = self._facts(key, protocol, "call", name)
        return mounted_chain(f"{self.spec.name} {key}", shared, slots, ending, self.frame, mount, facts)

    def _dispatching(
        self,
        protocol: str,
        mount: Mount,
        shared: int,
        endpoints: Mapping[str, EndpointSpec],
        chains: Mapping[str, Chain],
        plan: str | None,
    ) -> Chain:
        first = next((self._slots(each, plan) for each in endpoints.values()), ())
        facts = self._facts(protocol, protocol, "call")
        return mount_chain(f"{self.spec.name} {protocol}", first[:shared], chains, self.frame, mount, facts)

    def _backend(self, protocol: str, name: str) -> Backend:
        sets = self.spec.odata.entity_sets if protocol == "odata" and self.spec.odata else {}
        return _entity_set_backend(self.live, sets[name]) if name in sets else self.live.backends[name]

    def _mount_documents(
        self, mount: Mount, names: Mapping[str, str], documents: Mapping[str, Document]
    ) -> dict[str, Chain]:
        return {
            endpoint.key: self._document(endpoint, documents[endpoint.document], mount.render)
            for endpoint in self.spec.endpoints
            if endpoint.document in names
        }

    def _document(self, endpoint: EndpointSpec, document: Document, renderer: Any) -> Chain:
        def last(exchange: Exchange) -> Reply:
            return document(exchange)

        facts = self._facts(endpoint.key, "document", "call")
        name = f"{self.spec.name} {endpoint.key}"

        def chain(slots: tuple[Slot, ...]) -> Chain:
            return endpoint_chain(name, slots, Ending(last), self.frame, renderer, facts)

        return self._with_plans(chain, endpoint)

    # shared

    def _with_plans(self, chain: Callable[[tuple[Slot, ...]], Chain], endpoint: EndpointSpec) -> Chain:
        plans = {plan: replace(chain(self._slots(endpoint, plan)), plan=plan) for plan in self.plans}
        slots = self._slots(endpoint)
        self._offer_preflight(endpoint.key, slots)
        return replace(chain(slots), plans=plans)

    def _offer_preflight(self, key: str, slots: Iterable[Slot]) -> None:
        """The innermost step that answers preflights does, as its fields are the ones that replies get."""
        for slot in slots:
            if slot.built.preflight is not None:
                self.live.preflights[key] = slot.built.preflight

    def _slots(self, endpoint: EndpointSpec, plan: str | None = None) -> tuple[Slot, ...]:
        steps: tuple[StepSpec, ...] = endpoint.steps
        if plan is not None:
            replaced, appended = overlay(steps, self.plans[plan])
            steps = (*replaced, *appended)
        spec = self.spec
        slots = build_slots(steps, spec.component, spec.version, endpoint.key, self.settings.builder, self.shared)
        if self.live.presented is None:
            self.live.presented = next((each.built.presented for each in slots if each.built.presented), None)
        return slots

    def _facts(self, endpoint: str, protocol: str, lane: str, operation: str = "") -> dict[str, str]:
        """`operation`: what runs, for steps that decide on it: an operation, an entity set; empty for a relay, a
        document, and a mount that has not found out yet."""
        return {
            "component": self.spec.component,
            "version": self.spec.version,
            "revision": self.spec.revision,
            "endpoint": endpoint,
            "base": self.spec.root,
            "protocol": protocol,
            "lane": lane,
            "operation": operation,
        }


def _name(endpoint: EndpointSpec) -> str:
    return endpoint.key.partition(" ")[2]


def own_url(exchange: Exchange) -> str:
    """The URL that the client used, without its query."""
    head = exchange.head
    return f"{head.peer.scheme}://{head.host.decode('ascii', 'replace')}{head.path.decode('ascii', 'replace')}"


def _address(exchange: Exchange) -> str:
    return own_url(exchange)


def _odata_root(exchange: Exchange) -> str:
    """The service root: the URL up to the mount, with its slash."""
    url = own_url(exchange)
    rest = exchange.params[-1] if exchange.params else b""
    if rest:
        return url[: -len(rest)]
    return url.rpartition(ODATA_PATH)[0] + ODATA_PATH + "/"


def _message_location(exchange: Exchange, value: Any) -> bytes:
    """The status URL of a message that was accepted."""
    return exchange.head.path + b"/" + str(value["id"]).encode()
