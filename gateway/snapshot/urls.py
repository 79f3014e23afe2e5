"""The URL space as a whole: who claims what. Two that claim one URL are refused, both named (PROTOCOLS B3). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.core.findings import Finding, Place
from gateway.manifest.bundle import Bundle
from gateway.snapshot.configs import place_of
from gateway.snapshot.routes import ODATA_PATH, OPENAPI_PATH, SOAP_PATH, parameters_of, roots, segments_of, shape
from gateway.snapshot.spec import EndpointSpec, VersionSpec

Places = Mapping[str, Mapping[str, str]]  # per version the places of its manifest's keys


def check_urls(versions: Sequence[VersionSpec], places: Places) -> list[Finding]:
    """Findings about the versions of all components together; each by itself is checked by `check_version`."""
    findings: list[Finding] = []
    claims: dict[tuple[str, ...], list[tuple[VersionSpec, str]]] = {}
    for version in versions:
        for root, selector in roots(version):
            claims.setdefault(segments_of(root), []).append((version, selector))
    for claimants in claims.values():
        findings += _collisions(claimants, places)
    return findings + _hidden(versions, places) + _defaults(versions, places)


def check_version(version: VersionSpec) -> list[Finding]:
    """Findings about the URLs of one version, whatever the others claim."""
    return [*_shadowed_mounts(version), *_doubles(version), *_choosable(version)]


def check_canary(active: VersionSpec, canary: VersionSpec, bundle: Bundle) -> list[Finding]:
    """A canary is found as the active revision is: by the same URLs, chosen in the same ways."""
    findings = []
    for key in ("base_path", "select_by", "version_header", "version_query", "released"):
        was, now = getattr(active, key), getattr(canary, key)
        if was != now:
            message = f"{active.name} and its canary differ in {key}, by which requests find both."
            hint = "Publish this without --canary, or keep it as it is in the active revision."
            findings.append(
                Finding(_place(canary, key, {canary.name: bundle.places}), "canary_elsewhere", message, hint)
            )
    return findings


def _choosable(version: VersionSpec) -> list[Finding]:
    """A way to choose a version that cannot work."""
    findings = []
    if "date" in version.select_by and version.released is None:
        message = f"{version.name} is chosen by date, and does not say when it was released."
        findings.append(
            Finding(Place(path=f"{version.name}: released"), "no_release_date", message, "released: 2026-03-01")
        )
    if "query" in version.select_by:
        for endpoint in version.endpoints:
            bound = set(endpoint.binding.query.values()) | _inputs(version, endpoint)
            if version.version_query in bound:
                message = f"{version.name} {endpoint.key} takes {version.version_query}, which names the version."
                hint = "Give the one or the other another name: version_query, or `query` of the endpoint."
                findings.append(Finding(place_of(endpoint.place), "version_query_taken", message, hint))
    return findings


def _inputs(version: VersionSpec, endpoint: EndpointSpec) -> set[str]:
    """The parameters of an operation that a route takes from the query under their own names."""
    operation = version.operations.get(endpoint.operation)
    if operation is None or endpoint.protocol != "rest":
        return set()
    elsewhere = {*endpoint.binding.query, *endpoint.binding.headers, *parameters_of(endpoint.path)}
    return set(operation.contract.input.get("properties", {})) - elsewhere


def _place(version: VersionSpec, key: str, places: Places) -> Place:
    """Of a top-level key of its manifest."""
    known = places.get(version.name, {})
    return place_of(known.get(f"/{key}") or known.get("") or version.name)


def _collisions(claimants: list[tuple[VersionSpec, str]], places: Places) -> list[Finding]:
    """Versions share a base path only within a component, and only when a header tells all of them apart."""
    findings = []
    (first, selector), *others = claimants
    for other, its in others:
        if first.component != other.component:
            hint = "Change one base_path."
        elif "path" in (selector, its):
            hint = "Put {version} into base_path, or select by header alone."
        elif first.version_header.lower() != other.version_header.lower():
            hint = "Give both the same version_header."
        elif _ways(first) != _ways(other):
            hint = "Give both the same select_by."
        elif first.version_query != other.version_query:
            hint = "Give both the same version_query."
        else:
            continue
        message = f"{other.name} and {first.name} claim one URL: {other.root}."
        findings.append(Finding(_place(other, "base_path", places), "url_collision", message, hint))
    return findings


def _ways(version: VersionSpec) -> set[str]:
    return set(version.select_by) - {"path"}


def _hidden(versions: Sequence[VersionSpec], places: Places) -> list[Finding]:
    """The longest base path decides: a route that lies below another version's would never be reached. Wildcards and
    parameters leave it alone, as they do within a version."""
    by_base: dict[tuple[str, ...], list[int]] = {}
    bases = [(segments_of(root), version) for version in versions for root, _ in roots(version)]
    for index, (base, _) in enumerate(bases):
        by_base.setdefault(base, []).append(index)
    pairs = [
        (outer, inner)
        for inner, (base, _) in enumerate(bases)
        for length in range(len(base))
        for outer in by_base.get(base[:length], ())
    ]
    findings = []
    for outer, inner in sorted(pairs):
        findings += _hides(*bases[outer], *bases[inner], places)
    return findings


def _hides(
    outer: tuple[str, ...], above: VersionSpec, inner: tuple[str, ...], below: VersionSpec, places: Places
) -> list[Finding]:
    """Routes of the version above that lie below the base path of the other."""
    rest = inner[len(outer) :]
    findings = []
    for endpoint in above.endpoints if above is not below else ():
        if endpoint.path and segments_of(endpoint.path)[: len(rest)] == rest:
            message = f"{below.name} and {above.name} {endpoint.key} claim one URL: /{'/'.join(inner)}."
            hint = "Change one of the paths."
            findings.append(Finding(_place(below, "base_path", places), "url_collision", message, hint))
    return findings


def _doubles(version: VersionSpec) -> list[Finding]:
    """Two templates of one version that match the same URLs by the same method."""
    findings = []
    seen: dict[tuple[str, tuple[str, ...]], EndpointSpec] = {}
    for endpoint in version.endpoints:
        if endpoint.protocol != "rest":
            continue
        first = seen.setdefault((endpoint.method, shape(endpoint.path)), endpoint)
        if first is not endpoint:
            message = f"{version.name} {endpoint.key} and {first.key} claim one URL."
            hint = "Parameter names do not tell routes apart: keep one of them."
            findings.append(Finding(place_of(endpoint.place), "url_collision", message, hint))
    return findings


def _shadowed_mounts(version: VersionSpec) -> list[Finding]:
    """A wildcard leaves mounts alone; a route that names a mount's own URL would hide it."""
    findings = []
    for endpoint in version.endpoints:
        if endpoint.protocol != "rest":
            continue
        segments = segments_of(endpoint.path)
        hidden = [
            mount
            for mount, there in (
                (SOAP_PATH, version.soap is not None and segments == segments_of(SOAP_PATH)),
                (ODATA_PATH, version.odata is not None and segments[:1] == segments_of(ODATA_PATH)),
                (OPENAPI_PATH, segments == segments_of(OPENAPI_PATH)),
            )
            if there
        ]
        for mount in hidden:
            message = f"{version.name} {endpoint.key} hides the mount {mount}."
            findings.append(Finding(place_of(endpoint.place), "shadowed_mount", message, "Choose another path."))
    return findings


def _defaults(versions: Sequence[VersionSpec], places: Places) -> list[Finding]:
    findings = []
    chosen: dict[str, VersionSpec] = {}
    for version in versions:
        if not version.default:
            continue
        if version.component in chosen:
            message = f"{chosen[version.component].name} and {version.name} are both the default version."
            place = _place(version, "default", places)
            findings.append(Finding(place, "two_defaults", message, "Leave `default: true` in one."))
        chosen[version.component] = version
    return findings
