"""Finds the chain of a request by look-ups only (PROTOCOLS B3): the longest base path, then the version, then the most
specific template of that version, then the method.

In a version's trie static segments beat `{name}`, which beats `**`; the search goes back where a more specific branch
ends nowhere. A base path, once it is the longest that fits, decides: there is no falling back to a shorter one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from gateway.core.chain import Chain
from gateway.core.exchange import Head
from gateway.live.copying import copied

KNOWN: Final = 4096  # paths that are remembered
KNOWN_LENGTH: Final = 256  # bytes of the longest of them

Found = tuple[Chain, tuple[bytes, ...]]


class Rest(Protocol):
    """Made when they are asked for, as few URLs ever are."""

    def other(self) -> Chain:
        """Refuses with 405 and its Allow."""
        ...

    def options(self) -> Chain:
        """Answers OPTIONS."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """Of few URLs that are always there."""

    refusing: Chain
    answering: Chain

    def other(self) -> Chain:
        return self.refusing

    def options(self) -> Chain:
        return self.answering


@dataclass(slots=True)
class Methods:
    """The chains of one URL in one version, and what answers there besides."""

    chains: dict[bytes, Chain]
    any: Chain | None
    rest: Rest
    preflights: Mapping[bytes, Chain] = field(default_factory=dict)  # requested method: the chain that answers

    def find(self, head: Head) -> Chain:
        method = head.method
        chain = self.chains.get(method)
        if chain is not None:
            return chain
        if method == b"HEAD" and b"GET" in self.chains:
            return self.chains[b"GET"]
        if method == b"OPTIONS":
            return self._options(head)
        return self.any or self.rest.other()

    def _options(self, head: Head) -> Chain:
        """A CORS preflight (Fetch, section 3.2.2) is answered by routing, before authentication."""
        if self.preflights and (wanted := head.get(b"access-control-request-method")) and head.get(b"origin"):
            preflight = self.preflights.get(wanted) or self.preflights.get(b"")
            if preflight is not None:
                return preflight
        return self.any or self.rest.options()


_NOTHING: Final[dict[bytes, Node]] = {}  # of all leaves; never filled


class Node:
    __slots__ = ("leaf", "parameter", "rest", "static")

    def __init__(self) -> None:
        self.static = _NOTHING
        self.parameter: Node | None = None
        self.rest: Methods | None = None
        self.leaf: Methods | None = None


Match = tuple[Methods, tuple[bytes, ...]]


@lru_cache(maxsize=4096)
def encoded(word: str) -> bytes:
    """The same object for the same method or segment, as the versions of a component share most of theirs."""
    return word.encode()


class Trie:
    """The templates of one version below its base path. Filled once; then read only."""

    def __init__(self) -> None:
        self._root = Node()

    def add(self, segments: tuple[str, ...], methods: Methods) -> None:
        node = self._root
        for segment in segments:
            if segment == "**":
                node.rest = methods
                return
            if segment.startswith("{"):
                node.parameter = node.parameter or Node()
                node = node.parameter
            else:
                if node.static is _NOTHING:
                    node.static = {}
                node = node.static.setdefault(encoded(segment), Node())
        node.leaf = methods

    def find(self, parts: list[bytes], at: int) -> Match | None:
        """The values are raw segments, for `**` the raw rest of the path."""
        return _walk(self._root, parts, at, ())


def _walk(node: Node, parts: list[bytes], at: int, values: tuple[bytes, ...]) -> Match | None:
    """Recurses only where a branch may have to be taken back: no deeper than the longest template."""
    while at < len(parts):
        part = parts[at]
        static = node.static.get(part)
        parameter = node.parameter if part else None
        if node.rest is not None or (static is not None and parameter is not None):
            return _branch(node, parts, at, values)
        if static is not None:
            node = static
        elif parameter is not None:
            node = parameter
            values = (*values, part)
        else:
            return None
        at += 1
    if node.leaf is not None:
        return node.leaf, values
    return (node.rest, (*values, b"")) if node.rest is not None else None


def _branch(node: Node, parts: list[bytes], at: int, values: tuple[bytes, ...]) -> Match | None:
    part = parts[at]
    static = node.static.get(part)
    if static is not None and (found := _walk(static, parts, at + 1, values)) is not None:
        return found
    if part and node.parameter is not None:
        found = _walk(node.parameter, parts, at + 1, (*values, part))
        if found is not None:
            return found
    return (node.rest, (*values, b"/".join(parts[at:]))) if node.rest is not None else None


class Choice(Protocol):
    """Where the path alone does not decide: a version of several (`live.choosing`), or one of two revisions of it."""

    def select(self, head: Head) -> Trie | Chain:
        """The URLs of what was chosen, or the chain that refuses."""
        ...


@dataclass(slots=True)
class Base:
    """What one base path leads to: a version, or a choice by what else is in the request's head."""

    trie: Trie | None = None
    choice: Choice | None = None
    known: frozenset[bytes] = frozenset()
    owner: str = ""  # the component whose versions `unknown` tells
    unknown: Chain | None = None  # versions stand in the next segment, and it is none of the known ones


class _BaseNode:
    __slots__ = ("base", "static")

    def __init__(self) -> None:
        self.static: dict[bytes, _BaseNode] = {}
        self.base: Base | None = None


class LiveRouter:
    """The whole URL space of one snapshot. `enter` and `leave` count exchanges, so that `retire` can tell when the
    last one has ended."""

    def __init__(self, no_route: Chain) -> None:
        self._root = _BaseNode()
        self._no_route = no_route
        self.named: dict[str, Trie] = {}  # by component@version, and component@version~canary
        self._copies: dict[int, tuple[Chain, Chain]] = {}  # by the identity of a chain of `named`
        self._known: dict[bytes, Match] = {}
        self._running = 0
        self._drained: Callable[[], None] | None = None

    def base(self, segments: tuple[str, ...]) -> Base:
        """The base at a path, made when it is not there."""
        node = self._root
        for segment in segments:
            node = node.static.setdefault(segment.encode(), _BaseNode())
        node.base = node.base or Base()
        return node.base

    def find(self, head: Head) -> Found:
        known = self._known.get(head.path)
        return (known[0].find(head), known[1]) if known is not None else self._look(head)

    def copy(self, name: str, head: Head, plan: str | None) -> Found | None:
        """For a copy of a request: what the version of that name has at the same path below its base path. None: there
        is no such version, or it has nothing there."""
        trie = self.named.get(name)
        if trie is None:
            return None
        _, parts, at = self._base(head)
        found = trie.find(parts, at)
        if found is None:
            return None
        chain = found[0].find(head)
        if plan is not None:
            chain = chain.plans.get(plan, chain)
        if not chain.once and not chain.dispatches:
            return chain, found[1]
        known = self._copies.get(id(chain))
        if known is None:
            known = self._copies[id(chain)] = chain, copied(chain)
        return known[1], found[1]

    def _look(self, head: Head) -> Found:
        base, parts, at = self._base(head)
        return self._within(base, head, parts, at) if base is not None else (self._no_route, ())

    def _base(self, head: Head) -> tuple[Base | None, list[bytes], int]:
        """The longest base path that fits, the path's segments, and how many of them it is."""
        parts = head.path.split(b"/")
        del parts[0]
        if parts == [b""]:
            parts = []
        node, base, at = self._root, self._root.base, 0
        for deep, part in enumerate(parts, 1):
            following = node.static.get(part)
            if following is None:
                break
            node = following
            if node.base is not None:
                base, at = node.base, deep
        return base, parts, at

    def _within(self, base: Base, head: Head, parts: list[bytes], at: int) -> Found:
        trie: Trie | Chain | None = base.trie
        if trie is None and base.choice is not None:
            trie = base.choice.select(head)
        if isinstance(trie, Chain):
            return trie, ()
        found = trie.find(parts, at) if trie is not None else None
        if found is not None:
            if base.trie is not None:
                self._remember(head.path, found)
            return found[0].find(head), found[1]
        if base.unknown is not None and len(parts) > at and parts[at] and parts[at] not in base.known:
            return base.unknown, ()
        return self._no_route, ()

    def _remember(self, path: bytes, found: Match) -> None:
        """A path that is asked for again needs no walk. Only where the path alone decides; short ones, and so many."""
        if len(path) <= KNOWN_LENGTH:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[path] = found

    def enter(self) -> None:
        self._running += 1

    def leave(self) -> None:
        self._running -= 1
        if not self._running and self._drained is not None:
            drained, self._drained = self._drained, None
            drained()

    def retire(self, drained: Callable[[], None]) -> None:
        """Another router is current now: calls `drained` once, when the last exchange here has ended."""
        if self._running:
            self._drained = drained
        else:
            drained()
