"""The URL space of a snapshot, built: base paths, versions, templates and methods become one router."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.core.chain import Chain
from gateway.core.errors import ConflictingVersions, MethodNotAllowed, NotFound, Problem, UnknownVersion
from gateway.core.exchange import Exchange, Reply, Step
from gateway.core.kinds import Presented
from gateway.frontend.rest.problems import render
from gateway.live.build import LiveVersion, Preflight
from gateway.live.choosing import ByHead, Split, goer, pinned
from gateway.live.router import Base, LiveRouter, Methods, Trie, encoded
from gateway.live.slots import refuse_with
from gateway.snapshot.choice import Chooser
from gateway.snapshot.routes import ODATA_PATH, SOAP_PATH, roots, segments_of, shape
from gateway.snapshot.spec import CanarySpec, VersionSpec

_NO_PREFLIGHTS: Final[Mapping[bytes, Chain]] = {}
_ANY: Final = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE"))


@dataclass(frozen=True, slots=True)
class _Offer:
    """One chain offered at one template by one method; no method means any."""

    path: str
    method: str
    chain: Chain
    preflight: Preflight | None = None


Canaries = Mapping[str, CanarySpec]


def build_router(versions: Iterable[LiveVersion], canaries: Canaries | None = None) -> LiveRouter:
    router = LiveRouter(_refusing("no route", _no_route))
    for _ in place(router, versions, canaries or {}):
        pass
    return router


async def build_router_in_slices(versions: Iterable[LiveVersion], canaries: Canaries) -> LiveRouter:
    """The same, while requests go on; what is running is shared, as each version brings its trie."""
    router = LiveRouter(_refusing("no route", _no_route))
    for _ in place(router, versions, canaries):
        await asyncio.sleep(0)
    return router


def place(router: LiveRouter, versions: Iterable[LiveVersion], canaries: Canaries) -> Iterator[None]:
    """Puts each version in its place in the router, component by component."""
    components: dict[str, list[LiveVersion]] = {}
    for version in sorted(versions, key=lambda each: each.spec.name):
        components.setdefault(version.spec.component, []).append(version)
    for live in components.values():
        _place_component(router, live, canaries)
        yield


def _place_component(router: LiveRouter, live: list[LiveVersion], canaries: Canaries) -> None:
    beside = {each.spec.version: each for each in live if each.spec.canary}
    active = [each for each in live if not each.spec.canary]
    siblings = [each.spec for each in active]
    presented = tuple({each.presented.field: each.presented for each in active if each.presented is not None}.values())
    for version in active:
        spec = version.spec
        urls = _urls(router, version, beside.get(spec.version), canaries.get(spec.name), presented)
        for root, selector in roots(spec):
            base = router.base(segments_of(root))
            if selector == "head":
                _by_head(base, siblings, presented).tries[spec.version] = urls
            elif spec.select_by != ("path",):
                base.choice = _by_head_in(spec, siblings, presented)
                base.choice.tries[spec.version] = urls
            elif isinstance(urls, Trie):
                base.trie = urls
            else:
                base.choice = urls
    for spec in siblings:
        _place_of_versions(router, siblings, spec)


def _urls(
    router: LiveRouter,
    version: LiveVersion,
    canary: LiveVersion | None,
    rule: CanarySpec | None,
    presented: tuple[Presented, ...],
) -> Trie | Split:
    trie = router.named[version.spec.name] = version.trie or trie_of(version)
    if canary is None or rule is None:
        return trie
    beside = router.named[canary.spec.name] = canary.trie or trie_of(canary)
    return Split(trie, beside, goer(rule, version.spec.name, presented))


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


def _by_head(base: Base, siblings: list[VersionSpec], presented: tuple[Presented, ...]) -> ByHead:
    if not isinstance(base.choice, ByHead):
        base.choice = _choice(Chooser([each for each in siblings if each.select_by != ("path",)]), presented)
    return base.choice


def _by_head_in(version: VersionSpec, siblings: list[VersionSpec], presented: tuple[Presented, ...]) -> ByHead:
    """Where the path names the version, and the head must not name another."""
    sharing = [each for each in siblings if each.select_by != ("path",)]
    sharing.sort(key=lambda each: each is not version)  # its own ways to be named count
    return _choice(Chooser(sharing, own=version.version), presented)


def _choice(chooser: Chooser, presented: tuple[Presented, ...]) -> ByHead:
    component = chooser.component
    return ByHead(
        chooser,
        missing=_refusing(f"{component} no version", lambda _exchange: _missing_version(chooser)),
        unknown=_refusing(
            f"{component} unknown version", lambda exchange: _unknown_named(chooser, exchange, presented)
        ),
        conflicting=_refusing(f"{component} two versions", lambda exchange: _two_versions(chooser, exchange)),
        presented=presented,
    )


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
        return _chain(
            f"{self.version} {self.path} {name}", step, dict(self.facts) | {"endpoint": self.path, "lane": "edge"}
        )

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


def _missing_version(chooser: Chooser) -> Problem:
    there = ", ".join(chooser.versions)
    places = " or ".join(dict.fromkeys(what for what, _ in chooser.readers))
    text = f"{chooser.component} has no default version: name one in the {places}. There are: {there}."
    return UnknownVersion(text, versions=chooser.versions, headers=varying(chooser))


def _unknown_named(chooser: Chooser, exchange: Exchange, presented: tuple[Presented, ...]) -> Problem:
    there = ", ".join(chooser.versions)
    named = next((each for each in chooser.named(exchange.head) if each.version is None), None)
    if named is not None:
        text = f"{chooser.component} has no such version as the {named.what} names. There are: {there}."
    else:
        pin = pinned(presented, exchange.head)
        text = f"The application is pinned to the version {pin} of {chooser.component}. There are: {there}."
    return UnknownVersion(text, versions=chooser.versions, headers=varying(chooser))


def _two_versions(chooser: Chooser, exchange: Exchange) -> Problem:
    named = [f"the {each.what} names {each.version}" for each in chooser.named(exchange.head)]
    if chooser.own is not None:
        named.insert(0, f"the path names {chooser.own}")
    text = f"The request names more than one version of {chooser.component}: {', '.join(named)}. Name one."
    return ConflictingVersions(text, versions=chooser.versions, headers=varying(chooser))


def varying(chooser: Chooser) -> list[tuple[bytes, bytes]]:
    fields = [what.removeprefix("header ") for what, _ in chooser.readers if what.startswith("header ")]
    return [(b"Vary", ", ".join(fields).encode())] if fields else []


def _refusing(name: str, problem: Callable[[Exchange], Problem]) -> Chain:
    return _chain(name, refuse_with(problem), {})


def _chain(name: str, step: Step, facts: Mapping[str, str]) -> Chain:
    return Chain(name=name, steps=(step,), render=render, facts=facts)
