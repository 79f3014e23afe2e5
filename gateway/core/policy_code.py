"""Policies of one's own in Python: the `policy_kind` decorator, and what such a policy sees of an exchange.

A policy is an ordinary class, importable and testable without the gateway (`gateway.testing`). Its configuration model
is the annotation of `config` in `__init__`; `request` may answer, change what goes to the backend or raise a `Problem`;
`response` may change what goes to the client. A runtime registers the marked classes of the packages that it knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from gateway.core import headers
from gateway.core.identity import Identity

C = TypeVar("C", bound=type)
MARK: Final = "__penstock_policy__"
NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
TIMEOUT: Final = 1.0


@dataclass(frozen=True, slots=True)
class Mark:
    """What the decorator was told. `timeout` in seconds bounds what an asynchronous or isolated policy may take."""

    name: str
    protects: bool = False
    body: bool = False
    response_body: bool = False
    conceals: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)
    timeout: float = TIMEOUT


def policy_kind(
    name: str,
    /,
    *,
    protects: bool = False,
    body: bool = False,
    response_body: bool = False,
    conceals: Sequence[str] = (),
    example: Mapping[str, Any] | None = None,
    timeout: float = TIMEOUT,
) -> Callable[[C], C]:
    """Marks a class as the policy kind `name`.

    `protects`: it decides who may pass, so an endpoint with it is not open to everybody. `body`: `request` needs the
    whole body; `response_body`: `response` does. `conceals` are request fields that no backend ever sees, such as a
    credential. `example` is a configuration that holds, shown where kinds are listed. `timeout` in seconds bounds one
    run; what takes longer is refused with 503. ValueError for a name that documents could not use."""
    if NAME.fullmatch(name) is None:
        raise ValueError(
            f"`{name}` is no name of a policy kind: write small letters, digits and dashes, a letter first"
        )
    if not 0 < timeout <= 60:
        raise ValueError(f"the time-out of the policy {name} is {timeout} s; it must be above 0 and at most 60")
    mark = Mark(name, protects, body, response_body, tuple(conceals), dict(example or {}), timeout)

    def marked(target: C) -> C:
        setattr(target, MARK, mark)
        return target

    return marked


class Headers:
    """Header fields; names are compared without case (RFC 9110 section 5.1). What is written is checked at once:
    ValueError for what could break a message."""

    __slots__ = ("_block", "_known", "added", "dropped")

    def __init__(self, pairs: Iterable[tuple[str, str]] = (), block: bytes = b"") -> None:
        """`block` is a raw block (`core.headers`), which is read on first use."""
        self._block = block
        self._known: list[tuple[str, str]] | None = None if block else list(pairs)
        self.dropped: list[str] = []  # lower case, what the policy took away or replaced
        self.added: list[tuple[str, str]] = []

    @property
    def _pairs(self) -> list[tuple[str, str]]:
        if self._known is None:
            read = headers.parse(self._block)
            self._known = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in read]
        return self._known

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def get(self, name: str, default: str | None = None) -> str | None:
        """The value; several are joined by a comma, as RFC 9110 section 5.3 says."""
        values = self.all(name)
        return ", ".join(values) if values else default

    def all(self, name: str) -> list[str]:
        lower = name.lower()
        return [value for key, value in self._pairs if key.lower() == lower]

    def set(self, name: str, value: str) -> None:
        """Instead of what is there."""
        _checked(name, value)
        self.remove(name)
        self.add(name, value)

    def add(self, name: str, value: str) -> None:
        """Beside what is there."""
        _checked(name, value)
        self._pairs.append((name, value))
        self.added.append((name, value))

    def remove(self, name: str) -> None:
        lower = name.lower()
        _checked(name, "")
        self._known = [pair for pair in self._pairs if pair[0].lower() != lower]
        self.added = [pair for pair in self.added if pair[0].lower() != lower]
        if lower not in self.dropped:
            self.dropped.append(lower)

    @property
    def changed(self) -> bool:
        return bool(self.dropped or self.added)


def _checked(name: str, value: str) -> None:
    try:
        headers.line(name.encode("ascii"), value.encode("latin-1"))
    except UnicodeEncodeError:
        raise ValueError(f"the header {name!r} or its value holds what no header can: {value!r}") from None
    if name.lower() in _FRAMING:
        raise ValueError(f"{name} belongs to the connection; a policy cannot write it")


_FRAMING: Final = frozenset(
    {"content-length", "transfer-encoding", "connection", "host", "upgrade", "te", "trailer", "keep-alive"}
)


@dataclass(slots=True)
class Request:
    """A request on its way to the backend. `path` and `query` are as they stand on the wire (percent-encoded), `body`
    is None unless the policy asked for it. Changes of `headers`, `path`, `query` and `body` go to the backend; `path`
    and `query` matter to relays only. `identity` is who an earlier step proved to be calling."""

    method: str
    path: str
    query: str = ""
    headers: Headers = field(default_factory=Headers)
    body: bytes | None = None
    client: str = ""
    id: str = ""
    component: str = ""
    version: str = ""
    endpoint: str = ""
    protocol: str = ""
    identity: Identity | None = None
    admitted: Identity | None = None

    def admit(
        self,
        subject: str,
        *,
        application: str | None = None,
        plan: str | None = None,
        scopes: Iterable[str] = (),
        claims: Mapping[str, Any] | None = None,
    ) -> None:
        """Says who calls: for policies that authenticate. `plan` must be one that the gateway knows."""
        self.admitted = Identity(
            subject, "policy", application=application, plan=plan, scopes=frozenset(scopes), claims=dict(claims or {})
        )


@dataclass(slots=True)
class Response:
    """A response on its way to the client, or a policy's own answer. `body` is None where it is streamed and the policy
    did not ask for it."""

    status: int = 200
    headers: Headers = field(default_factory=Headers)
    body: bytes | None = b""
