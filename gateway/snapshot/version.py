"""One bundle's compilation: values filled in, backends and operations checked by their kinds, endpoints listed, and a
chain ordered for each. Pure; what is wrong goes to the ordering's findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.core.durations import seconds
from gateway.core.findings import Finding, Place
from gateway.core.kinds import BackendKinds, Kinds
from gateway.manifest.bundle import Bundle, ContractPart
from gateway.manifest.documents import Endpoint, Operation, Steps, TopicTarget
from gateway.manifest.environment import fill
from gateway.snapshot.configs import check_config, check_steps, condition_fits, place_of
from gateway.snapshot.entity_sets import odata_spec
from gateway.snapshot.lifecycle import lifecycle_spec
from gateway.snapshot.order import Ordering, effective
from gateway.snapshot.routes import ODATA_PATH, OPENAPI_PATH, SOAP_PATH, shape
from gateway.snapshot.spec import (
    BackendSpec,
    Binding,
    Contract,
    EndpointSpec,
    ListenerSpec,
    ODataSpec,
    OperationSpec,
    SoapSpec,
    StepSpec,
    TopicSpec,
    VersionSpec,
)

BOOMI_DELAYS = (1.0, 2.0, 3.0, 5.0, 8.0, 24.0)
STATUS_SUFFIX = "/{message_id}"
Values = Mapping[str, str | int | float | bool]


class VersionCompiler:
    """Compiles one bundle. `compile` always returns; it is used only when no finding was made."""

    def __init__(
        self,
        bundle: Bundle,
        gateway: tuple[StepSpec, ...],
        values: Values,
        kinds: Kinds,
        backend_kinds: BackendKinds,
        topics: Mapping[str, TopicSpec],
        ordering: Ordering,
    ) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.gateway = gateway
        self.kinds = kinds
        self.backend_kinds = backend_kinds
        self.topics = topics
        self.ordering = ordering
        self.values = self._values(values)
        self.component_steps = self._steps(gateway, self.manifest.policies, bundle.name, "policies")

    def compile(self) -> VersionSpec:
        manifest = self.manifest
        operations = {name: self._operation(name) for name in manifest.operations}
        operations |= {each.name: each for each in self._topic_operations()}
        odata = odata_spec(self.bundle, self.ordering.findings) if manifest.odata else None
        return VersionSpec(
            component=manifest.name,
            version=manifest.version,
            revision=self.bundle.revision,
            title=manifest.title or manifest.name,
            description=manifest.description,
            base_path=manifest.base_path,
            select_by=tuple(manifest.select_by),
            version_header=manifest.version_header,
            version_query=manifest.version_query,
            released=manifest.released,
            default=manifest.default,
            lifecycle=lifecycle_spec(manifest.lifecycle),
            types=self.bundle.types,
            backends=self._backends(),
            operations=operations,
            endpoints=tuple(self._protected(self._endpoints(odata))),
            soap=SoapSpec(namespace=manifest.soap.namespace, operations=tuple(manifest.soap.operations))
            if manifest.soap
            else None,
            odata=odata,
            listeners=self._listeners(),
        )

    # places and findings

    def place(self, *keys: str | int) -> Place:
        """The place of a key in the manifest, or of the nearest one above it."""
        places = self.bundle.places
        for length in range(len(keys), -1, -1):
            pointer = "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys[:length])
            if pointer in places:
                found = place_of(places[pointer])
                return Place(found.file, found.line, found.column, _path(keys))
        return Place(path=f"{self.bundle.name}: {_path(keys)}")

    def refuse(self, place: Place, code: str, message: str, hint: str = "") -> None:
        self.ordering.findings.append(Finding(place, code, message, hint))

    # values

    def _values(self, given: Values) -> Values:
        found: dict[str, str | int | float | bool] = {}
        for name, declared in self.manifest.values.items():
            if name in given:
                found[name] = given[name]
            elif declared.default is not None:
                found[name] = declared.default
            elif declared.required:
                self.refuse(
                    self.place("values", name),
                    "missing_value",
                    f"The Environment gives no value for `{name}`.",
                    f"Add `{name}` under `values` of the Environment that this node was started with.",
                )
                found[name] = ""
        return found

    def _fill(self, config: Any, place: Place) -> Any:
        """A filled copy; the same object when a value is missing, which is told and not checked any further."""
        try:
            return fill(config, self.values)
        except LookupError as error:
            hint = "Add it under `values` of the Environment that this node was started with, or give it a default."
            self.refuse(place, "missing_value", str(error), hint)
            return config

    # backends and operations

    def _backends(self) -> dict[str, BackendSpec]:
        found = {}
        for name, declared in self.manifest.backends.items():
            for kind, part in declared.model_dump(mode="json", by_alias=True, exclude_none=True).items():
                place = self.place("backends", name, kind)
                config = self._fill(part, place)
                found[name] = BackendSpec(kind=kind, config=config)
                model = self.backend_kinds[kind].connection
                if model is not None and config is not part:
                    self.ordering.findings += check_config(model, config, place, f"The backend `{name}`")
        return found

    def _operation(self, name: str) -> OperationSpec:
        declared = self.manifest.operations[name]
        contract = self.bundle.contracts[name]
        kind, backend, part = _target(declared, contract)
        place = self.place("operations", name, kind)
        config = self._fill(part, place)
        model = self.backend_kinds[kind].operation
        if model is not None and config is not part:
            self.ordering.findings += check_config(model, config, place, f"The operation `{name}`")
        return OperationSpec(name=name, contract=_contract(contract), kind=kind, backend=backend, config=config)

    def _topic_operations(self) -> Iterator[OperationSpec]:
        """Publishing to a topic, and asking what became of a message, are operations like any other."""
        names = {
            endpoint.call.topic: key
            for key, endpoint in self.manifest.rest.items()
            if isinstance(endpoint, Endpoint) and isinstance(endpoint.call, TopicTarget)
        }
        for name in sorted(names):
            topic = self.topics.get(name)
            if topic is None:
                known = ", ".join(self.topics) or "none"
                self.refuse(
                    self.place("rest", names[name], "call", "topic"), "unknown_topic", f"There is no topic `{name}`.",
                    f"Apply a document of kind Topic first. There are: {known}.",
                )  # fmt: skip
                continue
            yield _publish_operation(topic)
            yield _status_operation(topic)

    # endpoints

    def _endpoints(self, odata: ODataSpec | None) -> Iterator[EndpointSpec]:
        yield from self._rest()
        if self.manifest.soap:
            steps = self._steps(self.component_steps, self.manifest.soap.policies, f"{self.bundle.name} soap", "soap")
            for name in self.manifest.soap.operations:
                place = str(self.place("soap", "operations"))
                yield EndpointSpec(key=f"soap {name}", protocol="soap", operation=name, steps=steps, place=place)
        if self.manifest.odata and odata:
            yield from self._odata(odata)
        yield from self._documents()

    def _rest(self) -> Iterator[EndpointSpec]:
        for key, value in self.manifest.rest.items():
            endpoint = value if isinstance(value, Endpoint) else Endpoint(call=value)
            method, _, path = key.partition(" ")
            steps = self._steps(self.component_steps, endpoint.policies, f"{self.bundle.name} {key}", "rest", key)
            place = str(self.place("rest", key))
            base = EndpointSpec(
                key=key,
                protocol="rest",
                method="" if method == "ANY" else method,
                path=path,
                steps=steps,
                summary=endpoint.summary,
                description=endpoint.description,
                place=place,
            )
            if endpoint.relay:
                own = {"relay": endpoint.relay, "relay_path": endpoint.path or "", "websocket": endpoint.websocket}
                yield base.model_copy(update=own)
            elif isinstance(endpoint.call, TopicTarget):
                yield from self._topic_endpoints(base, endpoint.call.topic)
            elif endpoint.call:
                binding = Binding(
                    body=endpoint.body, query=endpoint.query, headers=endpoint.headers, status=endpoint.status
                )
                yield base.model_copy(update={"operation": endpoint.call, "binding": binding})

    def _topic_endpoints(self, base: EndpointSpec, topic: str) -> Iterator[EndpointSpec]:
        """202 and a status URL (DESIGN 7)."""
        binding = Binding(body="payload", status=202)
        yield base.model_copy(update={"operation": publish_name(topic), "binding": binding})
        path = base.path.rstrip("/") + STATUS_SUFFIX
        key = f"GET {path}"
        taken = {shape(each.partition(" ")[2]) for each in self.manifest.rest if each.startswith("GET ")}
        if shape(path) not in taken:
            changes = {"key": key, "method": "GET", "path": path, "operation": status_name(topic)}
            yield base.model_copy(update={**changes, "summary": f"What became of a message of {topic}"})

    def _odata(self, odata: ODataSpec) -> Iterator[EndpointSpec]:
        manifest = self.manifest.odata
        assert manifest is not None
        scope = f"{self.bundle.name} odata"
        mount = self._steps(self.component_steps, manifest.policies, scope, "odata")
        for name in odata.entity_sets:
            own = manifest.entity_sets[name].policies
            steps = self._steps(mount, own, f"{scope} {name}", "odata", "entity_sets", name)
            place = str(self.place("odata", "entity_sets", name))
            yield EndpointSpec(
                key=f"odata {name}", protocol="odata", operation=f"odata:{name}", steps=steps, place=place
            )
        for name in odata.operations:
            place = str(self.place("odata", "operations"))
            yield EndpointSpec(key=f"odata {name}", protocol="odata", operation=name, steps=mount, place=place)

    def _documents(self) -> Iterator[EndpointSpec]:
        steps = self.component_steps if self.manifest.documents == "protected" else self.gateway
        offered = [(OPENAPI_PATH, "openapi", bool(self.manifest.rest)), (SOAP_PATH, "wsdl", bool(self.manifest.soap))]
        offered += [
            (ODATA_PATH, "odata", bool(self.manifest.odata)),
            (f"{ODATA_PATH}/$metadata", "metadata", bool(self.manifest.odata)),
        ]
        for path, document, there in offered:
            if there:
                yield EndpointSpec(
                    key=f"GET {path}", protocol="document", method="GET", path=path, document=document, steps=steps
                )

    def _listeners(self) -> dict[str, ListenerSpec]:
        found = {}
        for name, declared in self.manifest.listeners.items():
            if declared.topic not in self.topics:
                place = self.place("listeners", name, "topic")
                known = ", ".join(self.topics) or "none"
                message = f"There is no topic `{declared.topic}`."
                self.refuse(place, "unknown_topic", message, f"Apply a document of kind Topic. There are: {known}.")
            found[name] = ListenerSpec(
                operation=name,
                topic=declared.topic,
                body=declared.body,
                concurrency=declared.concurrency,
                delays=self._delays(name),
            )
        return found

    def _delays(self, name: str) -> tuple[float, ...]:
        retry = self.manifest.listeners[name].retry
        if retry.delays is None:
            return BOOMI_DELAYS
        try:
            return tuple(seconds(text) for text in retry.delays)
        except ValueError as error:
            self.refuse(self.place("listeners", name, "retry", "delays"), "invalid_duration", str(error))
            return ()

    # chains

    def _steps(self, outer: tuple[StepSpec, ...], inner: Steps | None, scope: str, *keys: str) -> tuple[StepSpec, ...]:
        if not inner:
            return outer
        path = keys if keys == ("policies",) else (*keys, "policies")
        places = [self.place(*path, index) for index in range(len(inner))]
        steps = effective(outer, inner, scope, places, self.ordering)
        own = [step for step in steps if step not in outer]
        filled = {step.id: self._filled_step(step) for step in own}
        known = [step for step in own if filled[step.id].config is not step.config]
        self.ordering.findings += check_steps((filled[step.id] for step in known), self.kinds)
        return tuple(filled.get(step.id, step) for step in steps)

    def _filled_step(self, step: StepSpec) -> StepSpec:
        place = place_of(step.place)
        return step.model_copy(update={"config": self._fill(step.config, place), "when": self._fill(step.when, place)})

    def _protected(self, endpoints: Iterator[EndpointSpec]) -> Iterator[EndpointSpec]:
        """A step behind a `when` protects only some requests, so it does not count."""
        public = self.manifest.documents == "public"
        for endpoint in endpoints:
            if not (endpoint.protocol == "document" and public) and not any(map(self._protects, endpoint.steps)):
                place = place_of(endpoint.place) if endpoint.place else self.place("policies")
                message = f"{self.bundle.name} {endpoint.key} has no step that protects it at all times."
                hint = "Add an authenticating step, or say that it is open: {use: anonymous}."
                if endpoint.protocol == "document":
                    hint = "Add an authenticating step to the component's policies, or write documents: public."
                self.refuse(place, "unprotected_endpoint", message, hint)
            yield endpoint

    def _protects(self, step: StepSpec) -> bool:
        """Of a step that is refused itself nothing more is told."""
        kind = self.kinds.get(step.use)
        if kind is None or not condition_fits(step.when):
            return True
        return kind.protects and step.when is None


def publish_name(topic: str) -> str:
    return f"topic:{topic}"


def status_name(topic: str) -> str:
    return f"topic-status:{topic}"


def _publish_operation(topic: TopicSpec) -> OperationSpec:
    payload = topic.message if topic.message is not None else {}
    text = {"type": "string"}
    contract = Contract(
        effect="writing",
        input=_object({"payload": payload}),
        output=_object({"id": text, "topic": text}),
        summary=f"Publish a message to {topic.name}",
    )
    return OperationSpec(name=publish_name(topic.name), contract=contract, kind="topic", config={"topic": topic.name})


def _status_operation(topic: TopicSpec) -> OperationSpec:
    text = {"type": "string"}
    listeners = {"type": "array", "items": _object({"listener": text, "state": text})}
    contract = Contract(
        effect="safe",
        input=_object({"message_id": text}),
        output=_object({"id": text, "topic": text, "state": text, "listeners": listeners}),
        summary=f"What became of a message of {topic.name}",
    )
    config = {"topic": topic.name, "status": True}
    return OperationSpec(name=status_name(topic.name), contract=contract, kind="topic", config=config)


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _target(declared: Operation, contract: ContractPart) -> tuple[str, str, dict[str, Any]]:
    """(backend kind, backend name, configuration) of an operation."""
    if declared.python is not None:
        return "python", "", {"process": declared.python, "digest": contract.digest}
    if declared.http is not None:
        config = declared.http.model_dump(mode="json", exclude_defaults=True)
        return "http", config.pop("backend"), config
    if declared.soap is not None:
        config = declared.soap.model_dump(mode="json", exclude_defaults=True)
        backend, path = config.pop("backend"), config.pop("path")
        return "http", backend, {"request": f"POST {path}", "soap": config}
    return "fixed", "", {"value": declared.fixed}


def _contract(part: ContractPart) -> Contract:
    return Contract.model_validate(part.model_dump(mode="json"))


def _path(keys: Sequence[str | int]) -> str:
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text
