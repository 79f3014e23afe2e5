"""Assembles chains: steps in their order, `buffer` and `decode` where the stages begin, and the last step.

A mount (SOAP, OData) learns from the body or the URL which endpoint runs. It runs the steps that all its endpoints
begin with, then `dispatch` puts the endpoint's own chain on the exchange, which begins with the same slots, so that
the loop goes on behind them. A plan's variant of a chain lines up the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.core.bodies import RequestLimit, decode_request, limit_of
from gateway.core.call import ANSWERED, Backend
from gateway.core.chain import Chain
from gateway.core.errors import BadRequest
from gateway.core.exchange import SWITCH, After, Exchange, Renderer, Reply, Step, StepResult, Tap
from gateway.core.field_edits import ConstantEdits
from gateway.core.kinds import Stage
from gateway.core.override import Override
from gateway.frontend.frontend import Encode, Mount
from gateway.live.fusing import Fused, fused
from gateway.live.slots import Slot, passes

Relayed = tuple[str | None, tuple[str, ...]]
NOT_RELAYED: Final[Relayed] = (None, ())


@dataclass(frozen=True, slots=True)
class Frame:
    """What the chains of one version share: an after for every reply (its life cycle), and the body limit."""

    first: Step = passes
    always: After | None = None
    body_limit: int = 1_048_576
    fused: Fused = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """What stands behind the policies: `decode` for typed endpoints, and the last step."""

    last: Step
    decode: Step | None = None
    needs_body: bool = False
    relayed: Relayed = NOT_RELAYED


@dataclass
class _Line:
    """Steps with what hangs on them, in the making."""

    fused: Fused
    steps: list[Step] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    afters: list[tuple[int, After]] = field(default_factory=list)
    request_taps: list[Tap] = field(default_factory=list)
    response_taps: list[Tap] = field(default_factory=list)
    readers: int = 0
    conceals: frozenset[bytes] = frozenset()
    credentials: frozenset[bytes] = frozenset()
    once: list[tuple[int, Step]] = field(default_factory=list)
    constant: ConstantEdits | None = None  # what the last step does, where that is the same for every message

    def step(self, step: Step, after: After | None = None, name: str = "") -> None:
        if after is not None:
            self.afters.append((len(self.steps), after))
        self.steps.append(step)
        self.names.append(name)
        self.constant = None

    def edit(self, edits: ConstantEdits, name: str) -> None:
        """Becomes one with the step before, where that one does nothing else either."""
        if self.constant is not None:
            if self.constant.after() is not None:
                self.afters.pop()
            self.steps.pop()
            name = f"{self.names.pop()}+{name}"
            edits = self.constant.then(edits)
        self.step(edits.step() or passes, edits.after(), name)
        self.conceals |= edits.conceals
        self.constant = edits

    def slots(self, slots: Sequence[Slot]) -> None:
        for slot in fused(slots, self.fused):
            self.slot(slot)

    def slot(self, slot: Slot) -> None:
        if slot.built.constant is not None and slot.spec.when is None:
            self.edit(slot.built.constant, slot.spec.id)
            return
        index = len(self.steps)
        self.step(slot.run, slot.built.after, slot.spec.id)
        if slot.once:
            self.once.append((index, slot.built.otherwise or passes))
        if slot.reply_stage > Stage.HEAD and slot.built.after is not None:
            self.readers |= 1 << index
        self.conceals = self.conceals | slot.built.conceals if self.conceals else slot.built.conceals
        self.credentials = self.credentials | slot.built.credentials if self.credentials else slot.built.credentials
        for tap, taps in ((slot.built.request_tap, self.request_taps), (slot.built.response_tap, self.response_taps)):
            if tap is not None:
                taps.append(_unless_skipped(tap, index) if slot.spec.when is not None else tap)

    def chain(
        self,
        name: str,
        render: Renderer,
        facts: Mapping[str, str],
        limit: int,
        dispatches: bool = False,
        relayed: Relayed = NOT_RELAYED,
    ) -> Chain:
        return Chain(
            name=name,
            steps=tuple(self.steps),
            render=render,
            afters=tuple(reversed(self.afters)),
            request_taps=tuple(self.request_taps),
            response_taps=tuple(reversed(self.response_taps)),
            collect=limit if self.readers else None,
            readers=self.readers,
            conceals=self.conceals,
            credentials=self.credentials,
            relayed=relayed,
            facts=facts,
            names=tuple(self.names),
            once=tuple(self.once),
            dispatches=dispatches,
        )


def _unless_skipped(tap: Tap, index: int) -> Tap:
    return lambda exchange: None if exchange.skipped >> index & 1 else tap(exchange)


def endpoint_chain(
    name: str, slots: Sequence[Slot], ending: Ending, frame: Frame, render: Renderer, facts: Mapping[str, str]
) -> Chain:
    line = _begin(frame)
    _finish(line, slots, ending, frame.body_limit, lane=facts.get("lane", ""))
    return line.chain(name, render, facts, frame.body_limit, relayed=ending.relayed)


def mounted_chain(
    name: str,
    shared: int,
    slots: Sequence[Slot],
    ending: Ending,
    frame: Frame,
    mount: Mount,
    facts: Mapping[str, str],
) -> Chain:
    """The chain of one endpoint of a mount; its first `shared` slots are the mount's own."""
    line = _mount_line(slots[:shared], frame, mount)
    line.step(passes, name="dispatch")  # where the mount's chain dispatches
    again = _dispatch_again(mount) if mount.dispatch_needs_body else None
    _finish(line, slots[shared:], ending, frame.body_limit, again)
    return line.chain(name, mount.render, facts, frame.body_limit)


def mount_chain(
    name: str, slots: Sequence[Slot], chains: Mapping[str, Chain], frame: Frame, mount: Mount, facts: Mapping[str, str]
) -> Chain:
    """The steps that all endpoints begin with, then the choice."""
    line = _mount_line(slots, frame, mount)

    def dispatch(exchange: Exchange) -> StepResult:
        exchange.chain = chains[mount.dispatch(exchange)]
        return SWITCH

    line.step(dispatch, name="dispatch")
    return line.chain(name, mount.render, facts, frame.body_limit, dispatches=True)


def _begin(frame: Frame) -> _Line:
    """A version in good standing has nothing to say first, and no step for it."""
    line = _Line(frame.fused)
    if frame.first is not passes or frame.always is not None:
        line.step(frame.first, frame.always, "lifecycle")
    return line


def _mount_line(slots: Sequence[Slot], frame: Frame, mount: Mount) -> _Line:
    line = _begin(frame)
    line.slots(slots)
    if mount.dispatch_needs_body:
        line.step(buffer(frame.body_limit), name="buffer")
        line.step(decode_request(frame.body_limit), name="content-coding")
    return line


def _dispatch_again(mount: Mount) -> Step:
    """Where the body decided which endpoint runs, and a step replaced it: the new one must decide the same."""

    def dispatch_again(exchange: Exchange) -> None:
        if exchange.replaced:
            before = exchange.operation
            if mount.dispatch(exchange) != before:
                raise BadRequest("The changed body names another operation than the one that was decided on.")

    return dispatch_again


def _finish(
    line: _Line, slots: Sequence[Slot], ending: Ending, limit: int, again: Step | None = None, lane: str = "call"
) -> None:
    """`again`: the body is there already, and was dispatched on."""
    line.slots([slot for slot in slots if slot.stage == Stage.HEAD])
    body = [slot for slot in slots if slot.stage == Stage.BODY]
    reads = any(slot.built.step is not None for slot in body)  # others of the kind look at replies alone
    if (reads or ending.needs_body) and again is None:
        line.step(buffer(limit), name="buffer")
        if reads:
            line.step(decode_request(limit), name="content-coding")
    for slot in body:
        line.slot(slot)
    if reads and again is not None:
        line.step(again, name="dispatch")
    if ending.decode is not None:
        line.step(ending.decode, name="decode")
    for slot in slots:
        if slot.stage == Stage.CALL:
            line.slot(slot)
    line.step(ending.last, name=lane)


def buffer(limit: int) -> Step:
    """Inserted before the first step that reads the whole body."""

    def buffer_body(exchange: Exchange) -> StepResult:
        return exchange.wire.buffer(exchange, limit_of(exchange, RequestLimit, limit))

    return buffer_body


def call(operation: str, backend: Backend, encode: Encode) -> Step:
    """The last step of a typed endpoint."""

    async def run(exchange: Exchange) -> Reply:
        assert exchange.call is not None
        return encode(exchange, await backend.invoke(exchange.call))

    def call_backend(exchange: Exchange) -> object:
        exchange.operation = operation
        if exchange.notes is not None:
            if ANSWERED in exchange.notes:
                return encode(exchange, exchange.notes[ANSWERED])
            if Override in exchange.notes and exchange.call is not None:
                exchange.call.override = exchange.notes[Override]
        return run(exchange)

    return call_backend  # type: ignore[return-value]


def common(lists: Sequence[Sequence[Slot]]) -> int:
    """How many slots all lists begin with that need neither more than the head nor the operation."""
    count = 0
    for slots in zip(*lists, strict=False):
        first = slots[0]
        if first.stage != Stage.HEAD or first.by_operation or any(slot.spec != first.spec for slot in slots):
            break
        count += 1
    return count
