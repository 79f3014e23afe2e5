"""The URL space of a snapshot, built: base paths, versions, templates and methods become one router."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.chain import Chain
from gateway.core.errors import MethodNotAllowed, NotFound, Problem, UnknownVersion
from gateway.core.exchange import Exchange, Reply, Step
from gateway.core.headers import finder
from gateway.frontend.rest.problems import render
from gateway.live.build import LiveVersion, Preflight
from gateway.live.router import Base, ByHeader, LiveRouter, Methods, Trie, encoded
from gateway.live.slots import refuse_with
from gateway.snapshot.routes import ODATA_PATH, SOAP_PATH, roots, segments_of, shape
from gateway.snapshot.spec import VersionSpec

_NO_PREFLIGHTS: Final[Mapping[bytes, Chain]] = {}
_ANY: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"))


@dataclass(frozen=True, slots=True)
class _Offer:
    """One chain offered at one template by one method; no method means any."""

    path: str
    method: str
    chain: Chain
    preflight: Preflight | None = None


def build_router(versions: Iterable[LiveVersion]) -> LiveRouter:
    router = LiveRouter(_refusing("no route", _no_route))
    for _ in place(router, versions):
        pass
    return router


async def build_router_in_slices(versions: Iterable[LiveVersion]) -> LiveRouter:
    """The same, while requests go on; what is running is shared, as each version brings its trie."""
    router = LiveRouter(_refusing("no route", _no_route))
    for _ in place(router, versions):
        await asyncio.sleep(0)
    return router


def place(router: LiveRouter, versions: Iterable[LiveVersion]) -> Iterator[None]:
    """Puts each version in its place in the router, component by component."""
    components: dict[str, list[LiveVersion]] = {}
    for version in sorted(versions, key=lambda each: each.spec.name):
        components.setdefault(version.spec.component, []).append(version)
    for live in components.values():
        siblings = [each.spec for each in live]
        for version in live:
            trie = version.trie or trie_of(version)
            for root, selector in roots(version.spec):
                base = router.base(segments_of(root))
                if selector == "path":
                    base.trie = trie
                else:
                    _by_header(base, siblings, version.spec).tries[version.spec.version.encode()] = trie
        for spec in siblings:
            _place_of_versions(router, siblings, spec)
        yield


def refusing_router(name: str, problem: Callable[[Exchange], Problem]) -> LiveRouter:
    """For a gateway that has nothing to serve: every request gets the same refusal."""
    return LiveRouter(_refusing(name, problem))


def _place_of_versions(router: LiveRouter, siblings: list[VersionSpec], version: VersionSpec) -> None:
    """Where versions stand in the path, a wrong one is told apart from a wrong path."""
    segments = segments_of(version.base_path)
    if "path" not in version.select_by or "{version}" not in segments:
        return
    base = router.base(segments[: segments.index("{version}")])
    if base.owner != version.component:
        base.known |= {each.version.encode() for each in siblings}
        base.unknown = _refusing(f"{version.component} unknown version", _unknown_version(siblings))
        base.owner = version.component


def _by_header(base: Base, siblings: list[VersionSpec], version: VersionSpec) -> ByHeader:
    if base.by_header is None:
        header = version.version_header
        sharing = [each for each in siblings if "header" in each.select_by]
        default = next((each.version for each in sharing if each.default), None)
        if default is None and len(sharing) == 1:
            default = sharing[0].version
        base.by_header = ByHeader(
            values=finder(header.lower().encode()),
            default=default.encode() if default else None,
            missing=_refusing(f"{version.component} no version", _missing_version(sharing, header)),
            unknown=_refusing(f"{version.component} unknown version", _unknown_version(sharing)),
        )
    return base.by_header


def trie_of(version: LiveVersion) -> Trie:
    """The templates of one version; every router that holds the version shares it."""
    name = version.spec.name
    by_shape: dict[tuple[str, ...], list[_Offer]] = {}
    for offer in _offers(version):
        by_shape.setdefault(shape(offer.path), []).append(offer)
    trie = Trie()
    for segments, offers in by_shape.items():
        trie.add(segments, _methods(name, offers))
    if "odata" in version.mounts:  # a service root is written with its slash, too (OData URL conventions, section 2)
        trie.add((*segments_of(ODATA_PATH), ""), _methods(name, by_shape[segments_of(ODATA_PATH)]))
    return trie


def _offers(version: LiveVersion) -> Iterable[_Offer]:
    for endpoint in version.spec.endpoints:
        if endpoint.protocol in {"rest", "document"}:
            preflight = version.preflights.get(endpoint.key)
            yield _Offer(endpoint.path, endpoint.method, version.chains[endpoint.key], preflight)
    if "soap" in version.mounts:
        yield _Offer(SOAP_PATH, "POST", version.mounts["soap"], version.preflights.get("soap"))
    if "odata" in version.mounts:
        yield _Offer(f"{ODATA_PATH}/**", "", version.mounts["odata"], version.preflights.get("odata"))


def _methods(version: str, offers: list[_Offer]) -> Methods:
    chains = {encoded(offer.method): offer.chain for offer in offers if offer.method}
    any_chain = next((offer.chain for offer in offers if not offer.method), None)
    methods = frozenset(chains) | (_ANY if any_chain is not None else frozenset())
    rest = _Rest(version, offers[0].path, chains, offers[0].chain.facts)
    preflights = {
        offer.method.encode(): rest.chain("preflight", _preflight(offer.preflight, methods))
        for offer in offers
        if offer.preflight is not None
    }
    return Methods(chains, any_chain, rest, preflights or _NO_PREFLIGHTS)


@dataclass(frozen=True, slots=True)
class _Rest:
    """What answers at a URL besides its endpoints."""

    version: str
    path: str
    chains: Mapping[bytes, Chain]
    facts: Mapping[str, str]

    @property
    def allow(self) -> bytes:
        head = {b"HEAD"} if b"GET" in self.chains else set()
        return b", ".join(sorted({*self.chains, *head, b"OPTIONS"}))

    def chain(self, name: str, step: Step) -> Chain:
        return _chain(f"{self.version} {self.path} {name}", step, dict(self.facts) | {"endpoint": self.path})

    def other(self) -> Chain:
        return self.chain("405", refuse_with(_not_allowed(self.allow)))

    def options(self) -> Chain:
        return self.chain("OPTIONS", _options(self.allow))


def _preflight(answer: Preflight, methods: frozenset[bytes]) -> Step:
    return lambda exchange: answer(exchange.head, methods)


def _options(allow: bytes) -> Step:
    return lambda _exchange: Reply(204, [(b"Allow", allow)])


def _not_allowed(allow: bytes) -> Callable[[Exchange], Problem]:
    return lambda exchange: MethodNotAllowed(
        f"{exchange.head.method.decode('ascii', 'replace')} is not offered here. Allowed: {allow.decode()}.",
        headers=[(b"Allow", allow)],
    )


def _no_route(exchange: Exchange) -> Problem:
    return NotFound(f"Nothing is served at {exchange.head.path.decode('ascii', 'replace')}.")


def _unknown_version(versions: list[VersionSpec]) -> Callable[[Exchange], Problem]:
    names = sorted(each.version for each in versions)
    text = f"{versions[0].component} has no such version. There are: {', '.join(names)}."
    return lambda _exchange: UnknownVersion(text, versions=names)


def _missing_version(versions: list[VersionSpec], header: str) -> Callable[[Exchange], Problem]:
    names = sorted(each.version for each in versions)
    text = f"{versions[0].component} has no default version: name one in {header}. There are: {', '.join(names)}."
    return lambda _exchange: UnknownVersion(text, versions=names)


def _refusing(name: str, problem: Callable[[Exchange], Problem]) -> Chain:
    return _chain(name, refuse_with(problem), {})


def _chain(name: str, step: Step, facts: Mapping[str, str]) -> Chain:
    return Chain(name=name, steps=(step,), render=render, facts=facts)
