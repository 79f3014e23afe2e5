"""`idempotency`: what is sent again under one key is done once (draft-ietf-httpapi-idempotency-key-header).

`{use: idempotency}`. The first request runs and its reply is kept; a retry gets that reply. What may have been done is
never done again by a retry while that is in doubt.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable
from functools import partial
from hashlib import blake2b, sha256
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.durations import Duration, seconds
from gateway.core.errors import StoreUnavailable
from gateway.core.exchange import Exchange, Reply, StepResult, Wait
from gateway.core.headers import FieldName, finder
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.caching.held_wire import Gate, Held, Until
from gateway.policy.caching.idempotency_record import Is, Record, answer, done, key_of
from gateway.store.cells import Cells, Written, ignored

LARGEST: Final = 2 * 1024 * 1024
_claims: Final = (finder(b"authorization"), finder(b"cookie"))


class Idempotency(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    header: FieldName = "Idempotency-Key"
    required: bool = Field(False, description="a request without a key is refused")
    methods: tuple[Literal["POST", "PATCH", "PUT", "DELETE"], ...] = Field(("POST", "PATCH"), min_length=1)
    by: Literal["subject", "application"] = Field("subject", description="whose keys are told apart")
    ttl: Duration = Field("24h", description="how long a reply is kept")
    lease: Duration = Field("1m", description="how long it is in doubt what lost its worker or its end")
    max_body: int = Field(262_144, ge=0, le=LARGEST, description="bytes of the largest reply that is kept")
    release_on: tuple[Annotated[int, Field(ge=400, le=599)], ...] = Field(
        (429, 503), description="statuses of the backend that say that nothing was done"
    )
    on_store_loss: Literal["open", "closed"] = Field("closed", description="closed: 503 while nobody can tell")


class Running:
    """One request under a key. `settled`: what is kept of it is decided."""

    __slots__ = ("claim", "key", "print", "settled", "timer")

    def __init__(self, key: str, fingerprint: bytes, claim: bytes) -> None:
        self.key = key
        self.print = fingerprint
        self.claim = claim
        self.settled = False
        self.timer: asyncio.TimerHandle | None = None


class Once:
    """One configured step. `ask` and `keep` are its step and its after."""

    def __init__(self, config: Idempotency, site: Site) -> None:
        self._cells: Cells = site.services.named("cells")
        self._cells.open()
        self._config = config
        self._find = finder(config.header.lower().encode())
        self._methods = frozenset(method.encode() for method in config.methods)
        self._version = f"{site.component}@{site.version}"
        self._ttl, self._lease = seconds(config.ttl), seconds(config.lease)
        self._release_on = frozenset(config.release_on)
        self._owner = os.urandom(8)
        self._numbers = itertools.count()

    def ask(self, exchange: Exchange) -> StepResult:
        head = exchange.head
        if head.method not in self._methods:
            return None
        key = key_of(self._find(head.block), self._config.required, self._config.header)
        if key is None:
            return None
        fingerprint = sha256(b"\0".join((head.method, head.target, exchange.body or b""))).digest()
        rest = self._owner + next(self._numbers).to_bytes(8, "big")
        claim = Record(Is.RUNNING, fingerprint, rest).write()
        running = Running(self._key(exchange, key), fingerprint, claim)
        exchange.note(self.ask, running)
        wait = Wait(exchange, self._claimed)
        self._cells.claim(running.key, claim, self._lease, wait.deliver)
        return wait

    def _key(self, exchange: Exchange, key: str) -> str:
        """Who asks is part of it: nobody gets another's reply, whatever key it guesses."""
        identity = exchange.identity
        claimed = blake2b(digest_size=16)
        if identity is None or identity.method == "anonymous":
            for find in _claims:
                claimed.update(b"\n".join((b"", *find(exchange.head.block))))
            who = ("", "", claimed.hexdigest())
        elif self._config.by == "application" and identity.application is not None:
            who = ("application", identity.application, "")
        else:
            who = (identity.method, identity.subject, identity.application or "")
        endpoint = exchange.chain.facts.get("endpoint", "")
        return "\0".join(("idempotency", self._version, endpoint, *who, key))

    def _claimed(self, exchange: Exchange, found: Any) -> StepResult:
        assert exchange.notes is not None
        running: Running = exchange.notes[self.ask]
        if found is True:
            exchange.on_close(self._closed)
            self._renew_later(running)
            return None
        del exchange.notes[self.ask]
        if isinstance(found, bytes):
            return answer(Record.read(found), running.print)
        if self._config.on_store_loss == "closed":
            text = "Whether this was done already cannot be told now."
            raise StoreUnavailable(text, headers=[(b"Retry-After", b"1")])
        return None

    def _renew_later(self, running: Running) -> None:
        running.timer = asyncio.get_running_loop().call_later(self._lease / 3, self._renew, running)

    def _renew(self, running: Running) -> None:
        """It goes on: who asks meanwhile must not begin it again."""
        self._cells.settle(running.key, running.claim, running.claim, self._lease, ignored)
        self._renew_later(running)

    # the reply

    def keep(self, exchange: Exchange, reply: Reply) -> None:
        running: Running | None = exchange.notes.get(self.ask) if exchange.notes else None
        if running is None or running.settled:
            return
        if exchange.at < len(exchange.chain.steps) - 1:
            self._released(exchange, running, reply)  # a later step refused it: nothing was done
        elif exchange.problem is not None and reply.status in (502, 503, 504):
            self._failed(exchange, running, reply)
        elif reply.status in self._release_on:
            self._released(exchange, running, reply)
        elif reply.body is not None:
            large = len(reply.body) > self._config.max_body
            exchange.wire = until = Until(exchange.wire)
            self._kept(running, reply, None if large else reply.body, large, until.go)
        else:
            known = Reply(reply.status, list(reply.headers), None, reply.block)
            exchange.wire = Held(exchange.wire, self._config.max_body, partial(self._kept, running, known))

    def _failed(self, exchange: Exchange, running: Running, reply: Reply) -> None:
        """The gateway's own failure: was the request sent, the backend may have done it all the same."""
        facts = exchange.chain.facts
        unsent = exchange.upstream_at == 0.0 and facts.get("lane") == "relay"
        if unsent or reply.status == 503:
            self._released(exchange, running, reply)
        else:
            self._doubt(running)

    def _kept(self, running: Running, reply: Reply, body: bytes | None, large: bool, then: Callable[[], None]) -> None:
        """`then`: the client may have the end of its reply; also where the store did not take it, as it was done."""
        if body is not None:
            record = done(running.print, reply, body)
        elif large:
            record = Record(Is.NOT_KEPT, running.print)
        else:
            self._doubt(running)
            then()
            return
        self._end(running)
        self._cells.settle(running.key, running.claim, record.write(), self._ttl, lambda _done: then())

    def _released(self, exchange: Exchange, running: Running, reply: Reply) -> None:
        """The client has the end of that reply once the store let the key go: it may send again at that instant, to
        another worker. Also where the store does not answer, after its time-out."""
        gate = Gate()
        if reply.body is not None:
            exchange.wire = until = Until(exchange.wire)
            gate.passes(until.go)
        else:
            exchange.wire = Held(exchange.wire, self._config.max_body, lambda _body, _large, then: gate.passes(then))
        self._release(running, lambda _done: gate.open())

    def _release(self, running: Running, deliver: Written = ignored) -> None:
        self._end(running)
        self._cells.release(running.key, running.claim, deliver)

    def _doubt(self, running: Running) -> None:
        """Does the store not take it, the next request is told that this one is in progress, until the lease ends."""
        self._end(running)
        record = Record(Is.IN_DOUBT, running.print)
        self._cells.settle(running.key, running.claim, record.write(), self._lease, ignored)

    def _end(self, running: Running) -> None:
        running.settled = True
        if running.timer is not None:
            running.timer.cancel()

    def _closed(self, exchange: Exchange) -> None:
        """Its client left: was the backend asked, nobody knows what became of it."""
        running: Running = (exchange.notes or {})[self.ask]
        if not running.settled:
            reached = exchange.at >= len(exchange.chain.steps) - 1
            self._doubt(running) if reached else self._release(running)


def build(config: Idempotency, site: Site) -> Built:
    once = Once(config, site)
    return Built(step=once.ask, after=once.keep)


KIND = Kind(
    "idempotency",
    Idempotency,
    build,
    stage=Stage.BODY,
    summary="Does once what is sent again under one key",
    family="traffic",
    answers=True,
    example={},
)
