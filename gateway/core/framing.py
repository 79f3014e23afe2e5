"""The framing of a request's head (RFC 9112), decided by us: one linear expression over the whole head, then Host,
Transfer-Encoding and Content-Length. Whoever stands before or behind the gateway must not be able to read a message
in another way, so that nothing is repaired: what is not strictly well formed is refused, with 400 unless a more exact
status exists (405, 414, 417, 431, 505).

Fields whose name holds an underscore are dropped, as several servers map `X_Api_Key` and `X-Api-Key` to one variable;
policies and upstreams see neither (CASES H34). Methods are upper case; CONNECT and TRACE are refused.
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.core import headers
from gateway.core import target as targets
from gateway.core.errors import (
    BadRequest,
    ExpectationFailed,
    HeadTooLarge,
    MethodNotAllowed,
    Problem,
    UriTooLong,
    VersionNotSupported,
)
from gateway.core.exchange import Head, Peer
from gateway.core.headers import LINES, TOKEN
from gateway.core.live import Limits

FIELDS = rb"(" + LINES + rb")\r\n\r\n"

_head = re.compile(rb"([A-Z][A-Z-]{0,31}+) ([!-~]++) HTTP/1\.([01])" + FIELDS).match
_usual = re.compile(rb"([A-Z][A-Z-]{0,31}+) (" + targets.USUAL + rb")(?:\?([!\"$-~]*+))?+").fullmatch
_SPECIAL = (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade")
_special = re.compile(rb"\r\n(" + headers.either(_SPECIAL) + rb"):[ \t]*+([^\r\n]*+)").findall
_connection = headers.finder(b"connection")
_an_underscored = re.compile(rb"\r\n[^:\r\n_]*+_").search
_underscored = re.compile(rb"\r\n[^:\r\n_]*+_[^:\r\n]*+:[^\r\n]*+").sub
bare = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\x00").search
_request_line = re.compile(rb"([^ ]+) ([^ ]+) (HTTP/[0-9]\.[0-9])").fullmatch
_method = re.compile(rb"[A-Z][A-Z-]{0,31}").fullmatch
_target = re.compile(rb"[!-~]*+").fullmatch
_version_begun = re.compile(rb"(?:H(?:T(?:T(?:P(?:/(?:[0-9](?:\.[0-9]?)?)?)?)?)?)?)?").fullmatch
_name = re.compile(TOKEN).fullmatch
_empty_lines = re.compile(rb"(?:\r\n)++").match

_REFUSED_METHODS = frozenset((b"CONNECT", b"TRACE"))
REMEMBERED: Final = 8192  # bytes of the largest head that an idle connection keeps
_NOBODY: Final = Peer()
_QUESTION: Final = 0x3F  # ?
_ALLOW = ((b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),)
_EMPTY: Final = 4096  # bytes of empty lines that are skipped at once: clients send two


class Decided:
    """What a head says of its message: a pure function of `tail`, all that stands behind method and target. A
    connection keeps the last one, as a client's next head mostly has the same tail. `close`: the client wants no
    further request on this connection; `expects`: it waits for 100 (Continue) before it sends its body; `memo`: see
    `Head`."""

    __slots__ = ("block", "close", "expects", "host", "http10", "length", "memo", "tail", "upgrade")

    def __init__(self, tail: bytes, raw: bytes, http10: bool, limits: Limits) -> None:
        if raw.count(b"\r\n") > limits.fields:
            raise HeadTooLarge(f"A request head may have {limits.fields} fields.")
        self.tail = tail
        self.http10 = http10
        self.block = _underscored(b"", raw) if b"_" in raw and _an_underscored(raw) is not None else raw
        self.host, self.length, self.close, self.expects, self.upgrade = _decide(self.block, http10)
        self.memo: dict[object, Any] = {}


Framed = tuple[Head, Decided, int]
"""A request's head, what was decided of its fields, and the index behind it. The wire sets `head.peer`."""


def frame(data: bytes, limits: Limits, last: Decided | None = None) -> Framed | None:
    """The head at the start of `data`; None when it is not there yet. Raises a Problem when it never will be. `last` is
    what was decided of the connection's head before this one."""
    if last is not None and (again := _again(data, limits, last)) is not None:
        return again
    match = _head(data)
    if match is None:
        _incomplete(data, limits)
        return None
    method, target, minor, raw = match.groups()
    end = match.end()
    if len(target) > limits.target:
        raise UriTooLong(f"The request target is longer than {limits.target} bytes.")
    if end > limits.head:
        raise HeadTooLarge(f"A request head may have {limits.head} bytes.")
    if method in _REFUSED_METHODS:
        raise MethodNotAllowed(f"{method.decode()} is not served by this gateway.", headers=_ALLOW)
    tail = data[match.end(2) : end]
    decided = last if last is not None and last.tail == tail else Decided(tail, raw, minor == b"0", limits)
    path, query = targets.split(target, decided.host)
    head = _made(method, path, query, decided)
    head.lone = not query and target.endswith(b"?")
    return head, decided, end


def _again(data: bytes, limits: Limits, last: Decided) -> Framed | None:
    """The usual next request of a connection: a plain target before the same bytes as last time. None for another."""
    at = data.find(b" HTTP/1.")
    if not 0 < at <= limits.target or not data.startswith(last.tail, at):
        return None
    match = _usual(data, 0, at)
    if match is None or at + len(last.tail) > limits.head:
        return None
    method, path, query = match.groups(b"")
    if method in _REFUSED_METHODS or (not query and data[at - 1] == _QUESTION):
        return None
    return _made(method, path, query, last), last, at + len(last.tail)


def _made(method: bytes, path: bytes, query: bytes, decided: Decided) -> Head:
    return Head(
        method,
        path,
        query,
        decided.block,
        decided.host,
        decided.length,
        decided.http10,
        _NOBODY,
        decided.memo,
        decided.upgrade,
    )


def _decide(block: bytes, http10: bool) -> tuple[bytes, int, bool, bool, bool]:
    """Host, body length (-1: chunked), whether to close, whether 100 (Continue) is awaited, whether a WebSocket is."""
    host = length = coding = None
    close, expects, upgrade = http10, False, False
    for name, value in _special(block):
        size = len(name)
        if size == 4:
            if host is not None:
                raise BadRequest("Host stands more than once.")
            host = value.rstrip()
            targets.check_authority(host)
        elif size == 10:
            close = close or b"close" in tokens(value)
        elif size == 14:
            if length is not None:
                raise BadRequest("Content-Length stands more than once.")
            length = _length(value.rstrip())
        elif size == 17:
            if coding is not None:
                raise BadRequest("Transfer-Encoding stands more than once.")
            coding = value.rstrip().lower()
        elif size == 7:
            upgrade = upgrade or b"websocket" in tokens(value)
        else:
            expects = _expectation(value, http10) or expects
    if coding is not None:
        length = _chunked(coding, length, http10)
    if host is None and not http10:
        raise BadRequest("Host is missing (RFC 9112 section 3.2).")
    length, upgrade = length or 0, upgrade and _upgrades(block)
    if upgrade and length:
        close = True  # no handshake has a body: what comes behind it may be meant for another protocol
    return host or b"", length, close, expects and length != 0, upgrade


def _upgrades(block: bytes) -> bool:
    """An Upgrade field counts only if Connection names it (RFC 9110 section 7.8)."""
    return any(b"upgrade" in tokens(value) for value in _connection(block))


def tokens(value: bytes) -> list[bytes]:
    """The lower-case members of a comma separated field; empty ones do not count (RFC 9110 section 5.6.1)."""
    return [stripped for token in value.lower().split(b",") if (stripped := token.strip(b" \t"))]


def _length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise BadRequest("Content-Length must be one decimal number of at most 18 digits.")
    return int(value)


def _chunked(coding: bytes, length: int | None, http10: bool) -> int:
    if length is not None:
        raise BadRequest("Content-Length and Transfer-Encoding stand together (RFC 9112 section 6.3).")
    if http10:
        raise BadRequest("Transfer-Encoding does not exist in HTTP/1.0.")
    if coding != b"chunked":
        raise BadRequest("The one transfer coding served is chunked.")
    return -1


def _expectation(value: bytes, http10: bool) -> bool:
    if value.rstrip().lower() != b"100-continue":
        raise ExpectationFailed("The one expectation served is 100-continue.")
    return not http10


def _incomplete(data: bytes, limits: Limits) -> None:
    """Raises a Problem when the head is complete and wrong, or cannot become right."""
    end = data.find(b"\r\n\r\n")
    check_partial(data, 0, limits, len(data) if end < 0 else end)
    if end >= 0:
        raise _diagnosis(data[:end])


def check_partial(data: bytes | bytearray, start: int, limits: Limits, size: int) -> None:
    """Refuses a head that is too large already, that holds (from `start` on) what no head may hold, or whose request
    line can become none: a client of another protocol is answered at once (CASES F16, F25)."""
    line = data.find(b"\r\n", 0, limits.target + 64)
    if line < 0 and size > limits.target + 64:
        raise UriTooLong(f"The request target is longer than {limits.target} bytes.")
    if size > limits.head:
        raise HeadTooLarge(f"A request head may have {limits.head} bytes.")
    if bare(data, start, size) is not None:
        raise BadRequest("The head holds a NUL, or a carriage return or line feed that ends no line.")
    if start <= line or line < 0:
        problem = _line_problem(data[:line]) if line >= 0 else _begun_problem(data[:size])
        if problem is not None:
            raise problem


def _begun_problem(line: bytes | bytearray) -> Problem | None:
    """What is wrong with a request line that is not complete."""
    method, space, rest = line.partition(b" ")
    target, _, version = rest.partition(b" ")
    begun = bool(_method(method) and _target(target) and _version_begun(version.removesuffix(b"\r")))
    if not space:
        begun = method in (b"", b"\r") or _method(method) is not None  # an empty line may come before it
    return None if begun else BadRequest(_REQUEST_LINE)


_REQUEST_LINE: Final = "The request line must be: method, one space, target, one space, HTTP/1.1."


def _line_problem(line: bytes | bytearray) -> Problem | None:
    """What is wrong with a complete request line, as far as that can be told without its target."""
    match = _request_line(line)
    if match is None:
        return BadRequest(_REQUEST_LINE)
    if match[3] not in (b"HTTP/1.1", b"HTTP/1.0"):
        return VersionNotSupported("This port speaks HTTP/1.1.")
    if _method(match[1]) is None:
        return BadRequest("The method must be a word in upper case.")
    return None


def _diagnosis(head: bytes) -> Problem:
    """What is wrong with a complete head that the expression refused."""
    for field in head.split(b"\r\n")[1:]:
        name, colon, _ = field.partition(b":")
        if field[:1] in (b" ", b"\t"):
            return BadRequest("A header field is folded over lines (RFC 9112 section 5.2).")
        if not colon or _name(name) is None:
            return BadRequest("A header line must be: name, colon, value; without a blank before the colon.")
    return BadRequest("The target or a header value holds a control character or a byte outside ASCII.")


class HeadReader:
    """Takes a connection's bytes between messages. The usual head arrives whole and is never copied; one that comes
    in pieces is collected, and each byte is looked at once."""

    __slots__ = ("_held", "_last", "_limits", "data")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = bytearray()
        self._last: Decided | None = None
        self.data = b""  # what the index of `Framed` counts in; whoever has begun the request lets go of it

    @property
    def partial(self) -> bool:
        """A head has begun."""
        return bool(self._held)

    @property
    def method(self) -> bytes:
        """Of a head that was refused, as far as the reply depends on it: HEAD gets no body."""
        return b"HEAD" if (self._held or self.data).startswith(b"HEAD ") else b"-"

    def feed(self, data: bytes) -> Framed | None:
        """The next head, or None when more must come. Empty lines before it are skipped (RFC 9112 section 2.2); a
        flood of them is a BadRequest."""
        if self._held:
            if len(self._held) > 1:
                return self._continued(data)
            data = bytes(self._held) + data
            self._held.clear()
        if data.startswith(b"\r") and (empty := _empty_lines(data)) is not None:
            if empty.end() > _EMPTY:
                raise BadRequest("Nothing but empty lines arrives.")
            data = data[empty.end() :]
        self.data = data
        framed = frame(data, self._limits, self._last)
        if framed is None:
            self._held += data
        elif framed[1] is not self._last:
            self._remember(framed[1])
        return framed

    def _remember(self, decided: Decided) -> None:
        """Thousands of connections may idle: none of them keeps a large head."""
        self._last = decided if len(decided.tail) <= REMEMBERED else None

    def _continued(self, data: bytes) -> Framed | None:
        held = self._held
        start = max(0, len(held) - 3)
        held += data
        if held.find(b"\r\n\r\n", start) < 0:
            check_partial(held, start, self._limits, len(held))
            return None
        self.data = bytes(held)
        held.clear()
        framed = frame(self.data, self._limits, self._last)
        if framed is not None:
            self._remember(framed[1])
        return framed
