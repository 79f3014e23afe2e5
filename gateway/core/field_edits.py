"""Header edits that are the same for every message. A run of them in a chain becomes one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.core import headers
from gateway.core.exchange import OWN_LINES, Exchange, Reply, Step

OWN: Final = frozenset((b"server", b"x-request-id"))  # what the gateway writes itself, unless a step does
_EXACT: Final = OWN | {b"content-type"}  # of a request: a step that replaces the body writes it anew


@dataclass(frozen=True, slots=True)
class FieldEdit:
    """Names (in lower case) whose fields are dropped, and then lines that are added."""

    drop: frozenset[bytes] = frozenset()
    add: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.drop or self.add)

    def then(self, later: FieldEdit) -> FieldEdit:
        """Both, one behind the other."""
        return FieldEdit(self.drop | later.drop, headers.dropper(later.drop)(self.add) + later.add)


@dataclass(frozen=True, slots=True)
class ConstantEdits:
    """Of one step, or of several that stand side by side."""

    request: FieldEdit = FieldEdit()
    reply: FieldEdit = FieldEdit()

    def then(self, later: ConstantEdits) -> ConstantEdits:
        """A later step's edits of a reply come first, as afters run reversed."""
        return ConstantEdits(self.request.then(later.request), later.reply.then(self.reply))

    @property
    def conceals(self) -> frozenset[bytes]:
        """Names that a chain drops without a step."""
        return self.request.drop - _EXACT

    def step(self) -> Step | None:
        """What is left to do for a request once the chain conceals the dropped fields."""
        lines, keep = self.request.add, headers.dropper(self.request.drop)
        own = self.request.drop & _EXACT
        if not self.request:
            return None

        def edit(exchange: Exchange) -> None:
            edits = exchange.edits
            edits.add = keep(edits.add) + lines if edits.add else lines
            if own:
                edits.drop |= own

        return edit

    def after(self) -> Callable[[Exchange, Reply], None] | None:
        return reply_editor(self.reply) if self.reply else None


def reply_editor(edit: FieldEdit) -> Callable[[Exchange, Reply], None]:
    names, drop, lines = edit.drop, headers.dropper(edit.drop), edit.add
    own = names & OWN

    def edit_reply(exchange: Exchange, reply: Reply) -> None:
        if names:
            reply.block = drop(reply.block)
            if reply.headers:
                reply.headers = [field for field in reply.headers if field[0].lower() not in names]
        reply.block += lines
        if own:
            replace_own(exchange, own)

    return edit_reply


def replace_own(exchange: Exchange, names: frozenset[bytes]) -> None:
    """The wire leaves out its own fields of these names."""
    before = frozenset() if exchange.notes is None else exchange.notes.get(OWN_LINES, frozenset())
    exchange.note(OWN_LINES, before | names)
