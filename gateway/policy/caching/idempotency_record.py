"""What is kept under an idempotency key: that it runs, that nobody knows, or the reply. Pure."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.core.errors import BadRequest, Conflict, Problem
from gateway.core.exchange import Reply
from gateway.core.headers import block, dropper

PRINT: Final = 32  # bytes of a fingerprint
LONGEST: Final = 255
_NUMBERS: Final = struct.Struct(">HI")  # status, length of the block
_BARE: Final = re.compile(r"[!#-\[\]-~]+")
_own_hop: Final = dropper(
    frozenset(b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length".split())
)
REPLAYED: Final = b"\r\nIdempotency-Replayed: true"


class KeyMissing(BadRequest):
    title, code = "An idempotency key is required", "idempotency_key_missing"


class KeyInvalid(BadRequest):
    title, code = "The idempotency key is not valid", "idempotency_key_invalid"


class KeyReused(Problem):
    status, title, code = 422, "The idempotency key belongs to another request", "idempotency_key_reused"


class InProgress(Conflict):
    title, code = "The request is being processed", "idempotency_in_progress"


class InDoubt(Conflict):
    title, code = "It is not known what became of the request", "idempotency_in_doubt"


class NotKept(Conflict):
    title, code = "The request was processed, and its reply was not kept", "idempotency_reply_not_kept"


class Is(Enum):
    RUNNING = b"P"
    IN_DOUBT = b"U"
    NOT_KEPT = b"L"
    DONE = b"D"


def key_of(values: list[bytes], required: bool, name: str) -> str | None:
    """The key that a request names, a string of structured fields (RFC 9651) or as it is; None without one."""
    if not values:
        if required:
            raise KeyMissing(f"Send {name} with a value of your own for each thing to do, the same for its retries.")
        return None
    text = values[0].decode("latin-1")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if len(values) > 1 or len(text) > LONGEST or _BARE.fullmatch(text) is None:
        raise KeyInvalid(f"{name} stands once, with up to {LONGEST} visible characters.")
    return text


@dataclass(frozen=True, slots=True)
class Record:
    """`rest`: who runs it, or the reply."""

    state: Is
    print: bytes
    rest: bytes = b""

    def write(self) -> bytes:
        return self.state.value + self.print + self.rest

    @classmethod
    def read(cls, text: bytes) -> Record:
        """ValueError for what is none."""
        return cls(Is(text[:1]), text[1 : 1 + PRINT], text[1 + PRINT :])


def done(fingerprint: bytes, reply: Reply, body: bytes) -> Record:
    kept = _own_hop(block(reply.headers) + reply.block)
    return Record(Is.DONE, fingerprint, _NUMBERS.pack(reply.status, len(kept)) + kept + body)


def replay(record: Record) -> Reply:
    status, length = _NUMBERS.unpack_from(record.rest)
    at = _NUMBERS.size
    return Reply(status, None, record.rest[at + length :], record.rest[at : at + length] + REPLAYED)


def answer(record: Record, fingerprint: bytes) -> Reply:
    """What a request gets whose key is there already. Raises the problem that it is."""
    if record.print != fingerprint:
        raise KeyReused("This key was sent with another method, path or body. Each thing to do needs its own key.")
    if record.state is Is.DONE:
        return replay(record)
    again = [(b"Retry-After", b"1")]
    if record.state is Is.NOT_KEPT:
        raise NotKept("It was done; its reply was too large to keep. It is not done again under this key.")
    if record.state is Is.IN_DOUBT:
        raise InDoubt("It may have been done: the connection was lost before that was known.", headers=again)
    raise InProgress("A request with this key has not ended yet. Try again for its reply.", headers=again)
