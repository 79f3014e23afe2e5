"""What is noted of one exchange out of many: when each step began, and, where a trace is wanted, spans.

An exchange that was chosen has a `Trace`; the others have None, and that is all that they pay. The steps of a chosen
one run behind a function that notes the time (`Trace.steps`). Trace context is that of W3C (traceparent, tracestate).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.core.errors import Problem

if TYPE_CHECKING:
    from gateway.core.chain import Chain
    from gateway.core.exchange import Exchange, Step

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)  # kinds of spans, as OTLP numbers them
UNSET, OK, ERROR = range(3)
CONTEXT_FIELDS: Final = frozenset((b"traceparent",))
_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_STATE: Final = re.compile(rb"[\x20-\x7e]{1,512}")
MOST_SPANS: Final = 64  # of one trace here; an exchange that is sent again and again makes no more

Attributes = dict[str, Any]


class Parent(NamedTuple):
    """Where a trace goes on from: what `traceparent` and `tracestate` said."""

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""

    @classmethod
    def parse(cls, value: bytes, state: bytes = b"") -> Parent | None:
        """W3C Trace Context, section 3.2; None for what is none. Later versions are read as far as this one goes."""
        match = _PARENT.fullmatch(value)
        if match is None or match[1] == b"ff" or (match[5] is not None and match[1] == b"00"):
            return None
        trace_id, span_id = match[2].decode(), match[3].decode()
        if not int(trace_id, 16) or not int(span_id, 16):
            return None
        told = state.decode() if _STATE.fullmatch(state) else ""
        return cls(trace_id, span_id, bool(int(match[4], 16) & 1), told)


class Span:
    """One piece of work. Times are monotonic seconds; `problem` is what it failed with: `error.type`."""

    __slots__ = ("attributes", "began", "ended", "id", "kind", "links", "name", "parent", "problem")

    def __init__(self, name: str, kind: int, parent: str, began: float, attributes: Attributes | None = None) -> None:
        self.name = name
        self.kind = kind
        self.id = new_span_id()
        self.parent = parent
        self.began = began
        self.ended = 0.0
        self.attributes: Attributes = attributes or {}
        self.problem = ""
        self.links: list[Parent] = []


def new_trace_id() -> str:
    return f"{random.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    return f"{random.getrandbits(64) or 1:016x}"


class Mark:
    """A step of an exchange began then; `waited` for something."""

    __slots__ = ("at", "chain", "index", "waited")

    def __init__(self, chain: Chain, index: int, at: float) -> None:
        self.chain = chain
        self.index = index
        self.at = at
        self.waited = False


class Trace:
    """`sampled` False: only its steps are timed. `root` is the span of the whole; spans below it are added as they
    end."""

    __slots__ = ("_plain", "marks", "monotonic", "root", "sampled", "spans", "state", "trace_id")

    def __init__(self, monotonic: Callable[[], float], began: float, parent: Parent | None, sampled: bool) -> None:
        self.monotonic = monotonic
        self.sampled = sampled
        self.marks: list[Mark] = []
        self.spans: list[Span] = []
        self.state = "" if parent is None else parent.state
        self.trace_id = ("" if not sampled else new_trace_id()) if parent is None else parent.trace_id
        self.root = Span("", SERVER, "" if parent is None else parent.span_id, began)
        self._plain: bytes | None = None  # fields that steps add, without ours

    def steps(self, chain: Chain) -> tuple[Step, ...]:
        """The chain's steps, noted."""
        return tuple(self._noted(chain, index, step) for index, step in enumerate(chain.steps))

    def _noted(self, chain: Chain, index: int, step: Step) -> Step:
        def noted(exchange: Exchange) -> Any:
            mark = Mark(chain, index, self.monotonic())
            self.marks.append(mark)
            result = step(exchange)
            if hasattr(result, "send"):
                mark.waited = True
                return _within(self, result)
            mark.waited = hasattr(result, "deliver") or hasattr(result, "add_done_callback")
            return result

        return noted

    # spans below the root

    def begin(self, name: str, kind: int, attributes: Attributes | None = None) -> Span:
        return Span(name, kind, self.root.id, self.monotonic(), attributes)

    def end(self, span: Span, error: BaseException | None = None) -> None:
        span.ended = self.monotonic()
        if error is not None:
            span.problem = error.code if isinstance(error, Problem) else type(error).__name__
        if len(self.spans) < MOST_SPANS:
            self.spans.append(span)

    @contextmanager
    def within(self, name: str, kind: int, attributes: Attributes | None = None) -> Iterator[Span]:
        """A span around a piece of work, with what that failed with."""
        span = self.begin(name, kind, attributes)
        try:
            yield span
        except BaseException as error:
            self.end(span, error)
            raise
        self.end(span)

    def parent_of(self, span: Span) -> bytes:
        """The value of `traceparent` for what this span asks."""
        return f"00-{self.trace_id}-{span.id}-01".encode()

    def inject(self, exchange: Exchange, span: Span) -> None:
        """Onto the request that goes to an upstream, in the place of what an attempt before had."""
        edits = exchange.edits
        if self._plain is None:
            self._plain = edits.add
            edits.drop |= CONTEXT_FIELDS
        edits.add = self._plain + b"\r\ntraceparent: " + self.parent_of(span)

    def fields(self, span: Span) -> list[tuple[bytes, bytes]]:
        """For a request of our own."""
        found = [(b"traceparent", self.parent_of(span))]
        return [*found, (b"tracestate", self.state.encode())] if self.state else found


CURRENT: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)
"""Of the work that goes on in a task of its own: requests to backends and decision services, messages that are
published."""


async def _within(trace: Trace, waiting: Any) -> Any:
    """In the task of one step."""
    CURRENT.set(trace if trace.sampled else None)
    return await waiting


def sampled(trace: Trace | None) -> Trace | None:
    """The trace, where spans are wanted."""
    return trace if trace is not None and trace.sampled else None


def step_name(chain: Chain, index: int) -> str:
    """Its id, or what the compiler put there (`buffer`, `decode`, `relay`, `call`); `route` for routing's own
    answers."""
    names = chain.names
    return names[index] if index < len(names) else "route"


def facts_of(facts: Mapping[str, str], *names: str) -> tuple[str, ...]:
    return tuple(facts.get(name, "") for name in names)
