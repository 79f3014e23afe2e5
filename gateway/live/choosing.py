"""The choice of a version by the head of a request, and of one of two revisions; look-ups and comparisons only."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from gateway.core.chain import Chain
from gateway.core.exchange import Head
from gateway.core.headers import finder
from gateway.core.kinds import Caller, Presented
from gateway.live.router import Trie
from gateway.snapshot.choice import Chooser
from gateway.snapshot.spec import CanarySpec

PARTS: Final = 10_000  # into which those who are shared out are cut


@dataclass(frozen=True, slots=True)
class Split:
    """A version with a canary: `goes` says who gets that."""

    active: Trie
    canary: Trie
    goes: Callable[[Head], bool]

    def select(self, head: Head) -> Trie:
        return self.canary if self.goes(head) else self.active


@dataclass(slots=True)
class ByHead:
    """Versions of one component at one base path. Every way that the request names must name the same; a request that
    names none gets its application's pin, then the default."""

    chooser: Chooser
    missing: Chain
    unknown: Chain
    conflicting: Chain
    presented: tuple[Presented, ...] = ()
    tries: dict[str, Trie | Split] = field(default_factory=dict)

    def select(self, head: Head) -> Trie | Chain:
        chosen = self.chooser.own
        for _, read in self.chooser.readers:
            for _, version in read(head):
                if version is None:
                    return self.unknown
                if chosen is None:
                    chosen = version
                elif chosen != version:
                    return self.conflicting
        if chosen is None:
            chosen = pinned(self.presented, head) or self.chooser.default
            if chosen is None:
                return self.missing
        found = self.tries.get(chosen)
        if found is None:
            return self.unknown
        return found.select(head) if type(found) is Split else found  # type: ignore[return-value]  # then a Trie


def pinned(presented: Iterable[Presented], head: Head) -> str | None:
    """The version that the application of the shown credential is pinned to. The credential is proved later, by the
    chain of that version; one that does not hold only chooses who refuses it."""
    caller = caller_of(presented, head)
    return None if caller is None else caller.version


def caller_of(presented: Iterable[Presented], head: Head) -> Caller | None:
    for each in presented:
        caller = each.read(head)
        if caller is not None:
            return caller
    return None


def goer(rule: CanarySpec, name: str, presented: tuple[Presented, ...]) -> Callable[[Head], bool]:
    """Who goes to the canary of a version: by header, then by application, then by share."""
    asked = finder(rule.header.lower().encode()) if rule.header else None
    wanted, applications = rule.value.encode(), frozenset(rule.applications)
    shared = _shared(rule, name)
    by_application = bool(applications) or rule.sticky == "application"

    def goes(head: Head) -> bool:
        if asked is not None and (given := asked(head.block)):
            return given == [wanted] if wanted else True
        caller = caller_of(presented, head) if by_application else None
        if caller is not None and caller.application in applications:
            return True
        return shared(head, caller)

    return goes


def _shared(rule: CanarySpec, name: str) -> Callable[[Head, Caller | None], bool]:
    """A share of those who call: a greater one takes in those of a smaller one. Of single requests it is exact."""
    limit = round(rule.share * PARTS)
    if limit in {0, PARTS}:
        return lambda _head, _caller: limit == PARTS
    if rule.sticky == "request":
        count = itertools.count(1)
        return lambda _head, _caller: (number := next(count)) * limit // PARTS > (number - 1) * limit // PARTS
    salt = crc32(name.encode())

    def goes(head: Head, caller: Caller | None) -> bool:
        who = head.peer.client if caller is None else caller.application
        return crc32(who.encode(), salt) % PARTS < limit

    return goes
