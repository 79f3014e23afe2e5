"""What would happen to a request: candidates with reasons, the version's choice, every step, the backend. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.core.errors import BadRequest, InvalidInput
from gateway.core.exchange import Head
from gateway.core.headers import block
from gateway.core.kinds import Kinds, Stage
from gateway.core.target import check
from gateway.snapshot.choice import Chooser
from gateway.snapshot.order import overlay
from gateway.snapshot.routes import ODATA_PATH, SOAP_PATH, matches, rank, roots, segments_of
from gateway.snapshot.spec import CANARY, EndpointSpec, Snapshot, StepSpec, VersionSpec
from gateway.snapshot.stages import before_dispatch, stage, together

_MOUNTS: Final = ("soap", "odata")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A base path or a template that was looked at. `reason` says why it was taken or left."""

    what: str
    taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Line:
    """One step of the chain as it will run; inserted ones (`buffer`, `decode`) have no scope. `together_with`: the id
    of the step before it that does the work of both in one go."""

    id: str
    use: str
    stage: str
    scope: str = ""
    when: dict[str, Any] | None = None
    place: str = ""
    together_with: str = ""


@dataclass(frozen=True, slots=True)
class Application:
    """Who calls; `pins` has the version that it is pinned to, by component."""

    name: str
    pins: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Explanation:
    method: str
    path: str
    outcome: str = ""
    version: str = ""
    revision: str = ""
    selected_by: str = ""
    canary: str = ""
    endpoint: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    candidates: list[Candidate] = field(default_factory=list)
    steps: list[Line] = field(default_factory=list)
    backend: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def explain(
    snapshot: Snapshot,
    method: str,
    url: str,
    headers: Mapping[str, str],
    kinds: Kinds,
    plan: str | None = None,
    application: Application | None = None,
) -> Explanation:
    """Follows routing over the snapshot. `url` may be absolute; header names are compared without case. With a `plan`
    the steps are those that a caller on it meets. InvalidInput for one that is not there. `application` calls,
    as nothing here reads credentials."""
    if plan is not None and plan not in snapshot.plans:
        known = ", ".join(snapshot.plans) or "none"
        raise InvalidInput(f"There is no plan {plan}. There are: {known}.", target="plan")
    path = _path(url)
    found = Explanation(method=method.upper(), path=path)
    try:
        check(path.encode())
    except BadRequest as problem:
        found.outcome = f"400: {problem.detail}"
        return found
    parts = path.split("/")[1:] if path != "/" else []
    head = Head(method.upper().encode(), path.encode(), _query(url), _block(headers))
    mounted = _longest_base(snapshot, parts, found)
    version = _select(snapshot, mounted, head, found, application) if mounted else None
    if version is None:
        found.outcome = found.outcome or _unknown_version(snapshot, parts, 0) or "404: no base path fits"
        return found
    version = _revision(snapshot, version, head, found, application)
    found.version, found.revision = version.name.removesuffix(CANARY), version.revision
    below = parts[_depth(mounted[0]) :]
    if version.odata and below == [*segments_of(ODATA_PATH), ""]:
        below.pop()  # a service root is written with its slash, too
    endpoint = _endpoint(version, below, found)
    if endpoint is None:
        unknown = _unknown_version(snapshot, parts, _depth(mounted[0]))
        found.outcome = found.outcome or unknown or f"404: {version.name} has no template for it"
        return found
    _describe(version, _on_plan(endpoint, snapshot.plans[plan]) if plan else endpoint, kinds, found)
    return found


def _on_plan(endpoint: EndpointSpec, plan: tuple[StepSpec, ...]) -> EndpointSpec:
    """Of a mount's service the steps are those before the operation is known; the plan's come behind that."""
    replaced, appended = overlay(endpoint.steps, plan)
    return endpoint.model_copy(update={"steps": (*replaced, *appended)})


def _path(url: str) -> str:
    """The path of a URL as a client would send it; one that begins with // stays a path. InvalidInput."""
    if url.startswith("/"):
        return url.partition("#")[0].partition("?")[0]
    try:
        return urlsplit(url).path or "/"
    except ValueError:
        raise InvalidInput(f"{url!r} is no URL. Write a path, or https://host/path.", target="url") from None


def _query(url: str) -> bytes:
    return url.partition("#")[0].partition("?")[2].encode()


def _block(headers: Mapping[str, str]) -> bytes:
    """InvalidInput for what no client could send."""
    try:
        return block((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items())
    except ValueError:
        raise InvalidInput("A header has characters that no header can have.", target="headers") from None


def _revision(
    snapshot: Snapshot, version: VersionSpec, head: Head, found: Explanation, application: Application | None
) -> VersionSpec:
    """The active revision, or its canary where the request would go there."""
    rule = snapshot.canaries.get(version.name)
    canary = next((each for each in snapshot.versions if each.name == version.name + CANARY), None)
    if rule is None or canary is None:
        return version
    given = head.all(rule.header.lower().encode()) if rule.header else []
    if given and (not rule.value or given == [rule.value.encode()]):
        found.canary = f"canary, by header {rule.header}"
        return canary
    if application is not None and application.name in rule.applications:
        found.canary = f"canary, as it has the application {application.name}"
        return canary
    found.canary = f"active, or the canary {canary.revision} for {rule.share:.4g} of those who call, by {rule.sticky}"
    if rule.share >= 1:
        found.canary = "canary, which everybody gets"
        return canary
    return version


def _unknown_version(snapshot: Snapshot, parts: list[str], depth: int) -> str:
    """Where versions stand in the path, a wrong one is told apart from a wrong path. Empty: it is not so here."""
    for version in snapshot.versions:
        segments = segments_of(version.base_path)
        if "path" not in version.select_by or "{version}" not in segments:
            continue
        at = segments.index("{version}")
        known = sorted({each.version for each in snapshot.versions if each.component == version.component})
        below = len(parts) > at >= depth and tuple(parts[:at]) == segments[:at]
        if below and parts[at] and parts[at] not in known:
            return f"404: {version.component} has no version {parts[at]}; there are: {', '.join(known)}"
    return ""


Mounted = tuple[VersionSpec, str, str]  # version, root, selector


def _depth(mounted: Mounted) -> int:
    return len(segments_of(mounted[1]))


def _longest_base(snapshot: Snapshot, parts: list[str], found: Explanation) -> list[Mounted]:
    fitting = []
    for version in snapshot.versions:
        for root, selector in roots(version) if not version.canary else ():
            base = segments_of(root)
            if tuple(parts[: len(base)]) == base:
                fitting.append((version, root, selector))
            else:
                found.candidates.append(Candidate(f"{version.name} {root}", False, "the path does not begin with it"))
    if not fitting:
        return []
    longest = max(map(_depth, fitting))
    for each in fitting:
        taken = _depth(each) == longest
        reason = "the longest base path" if taken else "a longer base path fits"
        found.candidates.append(Candidate(f"{each[0].name} {each[1]}", taken, reason))
    return [each for each in fitting if _depth(each) == longest]


def _sharing(snapshot: Snapshot, version: VersionSpec) -> list[VersionSpec]:
    """The versions that are told apart by more than the path; this one's ways count."""
    sharing = [
        each
        for each in snapshot.versions
        if each.component == version.component and each.select_by != ("path",) and not each.canary
    ]
    return sorted(sharing, key=lambda each: each is not version)


def _select(
    snapshot: Snapshot, mounted: list[Mounted], head: Head, found: Explanation, application: Application | None
) -> VersionSpec | None:
    version, _, selector = mounted[0]
    if version.select_by == ("path",):
        found.selected_by = "path"
        return version
    own = version.version if selector == "path" else None
    specs = {each.version: each for each, _, _ in mounted}
    chooser = Chooser(_sharing(snapshot, version) if own else list(specs.values()), own)
    named = chooser.named(head)
    there = ", ".join(chooser.versions)
    wrong = next((each for each in named if each.version is None), None)
    if wrong is not None:
        found.selected_by = f"{wrong.what}: {wrong.said}"
        found.outcome = f"404: no version {wrong.said}; there are: {there}"
        return None
    versions = {each.version for each in named} | ({own} if own else set())
    if len(versions) > 1:
        found.outcome = "400: two versions are named: " + ", ".join(f"{each.what}: {each.said}" for each in named)
        return None
    if versions:
        found.selected_by = "path" if own else " and ".join(f"{each.what}: {each.said}" for each in named)
        return specs[str(versions.pop())]
    return _unnamed(chooser, specs, found, application)


def _unnamed(
    chooser: Chooser, specs: Mapping[str, VersionSpec], found: Explanation, application: Application | None
) -> VersionSpec | None:
    """What a request gets that names no version."""
    places = " or ".join(dict.fromkeys(what.removeprefix("header ") for what, _ in chooser.readers))
    pin = application.pins.get(chooser.component) if application is not None else None
    if application is not None and pin is not None:
        found.selected_by = f"pin of the application {application.name}, {places} is not given"
        if pin not in specs:
            found.outcome = f"404: no version {pin}; there are: {', '.join(chooser.versions)}"
        return specs.get(pin)
    found.selected_by = f"default, {places} is not given"
    if chooser.default is None:
        found.outcome = f"404: {places} names no version; there are: {', '.join(chooser.versions)}"
        return None
    return specs[chooser.default]


def _endpoint(version: VersionSpec, below: list[str], found: Explanation) -> EndpointSpec | None:
    ranked = []
    for template, endpoint in _templates(version):
        segments = segments_of(template)
        values = matches(segments, below)
        what = f"{endpoint.key} {template}" if template not in endpoint.key else endpoint.key
        if values is None:
            found.candidates.append(Candidate(what, False, "the path does not match"))
        else:
            ranked.append((rank(segments), what, endpoint, segments, values))
    if not ranked:
        return None
    best = min(entry[0] for entry in ranked)
    allowed = [entry for entry in ranked if entry[0] == best]
    for entry in ranked:
        if entry[0] != best:
            found.candidates.append(Candidate(entry[1], False, "a more specific template matches"))
    return _by_method(allowed, found)


def _by_method(entries: list[Any], found: Explanation) -> EndpointSpec | None:
    by_method = {entry[2].method: entry for entry in reversed(entries)}
    chosen = by_method.get(found.method)
    if chosen is None and found.method == "HEAD":
        chosen = by_method.get("GET")
    chosen = chosen or by_method.get("")
    for entry in entries:
        reason = "most specific template and method" if entry is chosen else "another method"
        found.candidates.append(Candidate(entry[1], entry is chosen, reason))
    if chosen is None:
        found.outcome = _other_method(found.method, set(by_method))
        return None
    names = [segment.strip("{}") for segment in chosen[3] if segment[:1] in {"{", "*"}]
    found.parameters = dict(zip(names, chosen[4], strict=True))
    return chosen[2]  # type: ignore[no-any-return]


def _other_method(method: str, offered: set[str]) -> str:
    """OPTIONS is answered by routing, a CORS preflight too."""
    allow = ", ".join(sorted(offered | {"OPTIONS"} | ({"HEAD"} if "GET" in offered else set())))
    return f"204: allowed are {allow}" if method == "OPTIONS" else f"405: allowed are {allow}"


def _templates(version: VersionSpec) -> Iterator[tuple[str, EndpointSpec]]:
    for endpoint in version.endpoints:
        if endpoint.protocol in {"rest", "document"}:
            yield endpoint.path, endpoint
    if version.soap:
        steps = _shared([each.steps for each in version.endpoints if each.protocol == "soap"])
        key = "SOAP service: the body names the operation"
        yield SOAP_PATH, EndpointSpec(key=key, protocol="soap", method="POST", steps=steps)
    if version.odata:
        steps = _shared([each.steps for each in version.endpoints if each.protocol == "odata"])
        key = "OData service: the rest of the path names the resource"
        yield f"{ODATA_PATH}/**", EndpointSpec(key=key, protocol="odata", steps=steps)


def _shared(lists: list[tuple[StepSpec, ...]]) -> tuple[StepSpec, ...]:
    shared = []
    for steps in zip(*lists, strict=False):
        if any(step != steps[0] for step in steps):
            break
        shared.append(steps[0])
    return tuple(shared)


def _describe(version: VersionSpec, endpoint: EndpointSpec, kinds: Kinds, found: Explanation) -> None:
    found.endpoint = endpoint.key
    mounted = [each.steps for each in version.endpoints if each.protocol == endpoint.protocol]
    shared = before_dispatch(mounted, kinds) if endpoint.protocol in _MOUNTS else None
    found.steps = list(chain_lines(endpoint, kinds, shared))
    found.backend = _backend(version, endpoint)
    life = version.lifecycle
    found.outcome = f"410: {version.name} is retired" if life.status == "retired" else f"runs {endpoint.key}"
    if life.status == "deprecated":
        found.outcome += f"; {version.name} is deprecated"
        if life.sunset is not None:
            found.outcome += f", {'answers 410' if life.sunset_acts else 'may be gone'} from {life.sunset:%Y-%m-%d} on"
        if life.brownouts:
            found.outcome += f", and answers 503 in {len(life.brownouts)} brownout(s)"


def chain_lines(endpoint: EndpointSpec, kinds: Kinds, shared: int | None = None) -> Iterator[Line]:
    """Every step as it will run, with `buffer` and `decode` where the compiler puts them. `shared`: how many steps a
    mount runs before it knows the operation; `dispatch` stands behind them."""
    ordered = sorted(endpoint.steps, key=lambda step: stage(step, kinds))
    typed = not endpoint.relay and not endpoint.document
    reads = typed and _reads_body(endpoint)
    leaders = _leaders(ordered, kinds, shared)
    buffered = decoded = False
    for index, step in enumerate(ordered):
        if index == shared:
            yield from _dispatch(endpoint.protocol)
            buffered = endpoint.protocol == "soap"
        at = stage(step, kinds)
        if not buffered and (at == Stage.BODY or (at == Stage.CALL and reads)):
            yield Line("buffer", "buffer", "BODY")
            buffered = True
        if at == Stage.CALL and typed and not decoded:
            yield Line("decode", f"decode({endpoint.protocol})", "CALL")
            decoded = True
        yield Line(step.id, step.use, at.name, step.scope, step.when, step.place, leaders.get(index, ""))
    if shared is not None and shared >= len(ordered):
        yield from _dispatch(endpoint.protocol)
        buffered = endpoint.protocol == "soap"
    if typed and not decoded:
        if reads and not buffered:
            yield Line("buffer", "buffer", "BODY")
        yield Line("decode", f"decode({endpoint.protocol})", "CALL")
    yield Line("last", "relay" if endpoint.relay else "document" if endpoint.document else "call", "LAST")


def _leaders(ordered: list[StepSpec], kinds: Kinds, shared: int | None) -> dict[int, str]:
    """By the position of a step that is done in one go with those before it: the id of the first of them."""
    leaders: dict[int, str] = {}
    for index in range(1, len(ordered)):
        before, step = ordered[index - 1], ordered[index]
        key = together(step, kinds)
        same = key is not None and key == together(before, kinds) and stage(step, kinds) == stage(before, kinds)
        if same and index != shared:
            leaders[index] = leaders.get(index - 1, before.id)
    return leaders


def _dispatch(protocol: str) -> Iterator[Line]:
    """The SOAP service finds the operation in the body, the OData root in the URL."""
    if protocol == "soap":
        yield Line("buffer", "buffer", "BODY")
    yield Line("dispatch", f"dispatch({protocol})", "BODY" if protocol == "soap" else "HEAD")


def _reads_body(endpoint: EndpointSpec) -> bool:
    """Whether `decode` needs the body. An entity set is read by its URL, as is the mount that finds it."""
    if endpoint.protocol == "odata":
        return bool(endpoint.operation) and not endpoint.operation.startswith("odata:")
    return endpoint.method not in {"GET", "HEAD", "DELETE"}


def _backend(version: VersionSpec, endpoint: EndpointSpec) -> str:
    if endpoint.relay:
        return f"relay to {endpoint.relay}{' ' + endpoint.relay_path if endpoint.relay_path else ''}"
    operation = version.operations.get(endpoint.operation)
    if operation is None:
        return f"document {endpoint.document}" if endpoint.document else ""
    target = operation.config.get("process") or operation.config.get("topic") or operation.config.get("request") or ""
    return " ".join(part for part in (operation.kind, operation.backend, str(target)) if part)
