"""Where the runtimes of a node are: one model for the file's form and for the compact text of flags and variables.

A file's entry is a map; the text is a name with an address (or `unix:PATH`), then words `name=value`:

    {name: orders, address: "orders:8090", tls: {ca: ca.pem}}
    orders=orders:8090 ca=ca.pem
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from gateway.core.listening import PATH_LIMIT, UNIX, split

TIMEOUT: Final = 60.0
_TLS: Final = ("ca", "certificate", "key", "server_name")
_WORDS: Final = (*_TLS, "pin", "timeout")


class RuntimeTls(BaseModel):
    """`ca` is the PEM file of the authorities that the runtime's certificate is by; None: those of the machine.
    `certificate` and `key` prove this node, where the runtime asks for that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both")
        return self


class RuntimeTarget(BaseModel):
    """A runtime as a node sees it: `address` is HOST:PORT, of which every address that the name has is one of its
    processes. `timeout` in seconds bounds one call. `pin`: whether only the code that a revision was published with
    may run for it, or any whose contract fits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
    address: str | None = None
    unix: Path | None = None
    tls: RuntimeTls | None = None
    pin: Literal["contract", "code"] = "contract"
    timeout: float = Field(TIMEOUT, gt=0, le=86400)

    @field_validator("address")
    @classmethod
    def _has_port(cls, address: str | None) -> str | None:
        if address is not None and not split(address)[1]:
            raise ValueError(f"{address!r} has no port that one could connect to")
        return address

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.address is None) == (self.unix is None):
            raise ValueError("a runtime has either an address (HOST:PORT) or unix (the path of a socket)")
        if self.unix is not None and not 1 < len(str(self.unix).encode()) <= PATH_LIMIT:
            raise ValueError(f"unix needs the path of a socket, of at most {PATH_LIMIT} bytes")
        if self.unix is not None and self.tls is not None:
            raise ValueError("a unix socket has no TLS: its file's mode says who may connect")
        return self

    @property
    def place(self) -> str:
        """As it is written, for messages."""
        return self.address or f"{UNIX}{self.unix}"


def read(given: Any) -> Any:
    """The map of a compact text; what is no text stays as it is. ValueError."""
    if not isinstance(given, str):
        return given
    first, *words = given.split() or [""]
    name, equals, place = first.partition("=")
    if not equals or not name or not place:
        raise ValueError(f"{first!r} is no runtime; write NAME=HOST:PORT or NAME=unix:PATH")
    found: dict[str, Any] = {"name": name}
    found |= {"unix": place[len(UNIX) :]} if place.startswith(UNIX) else {"address": place}
    return found | _words(words)


def _words(words: Iterable[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value or name not in _WORDS:
            known = ", ".join(sorted(_WORDS))
            raise ValueError(f"{word!r} is not understood; behind the address stand NAME=VALUE words: {known}")
        if name in given:
            raise ValueError(f"{name} stands there twice")
        given[name] = value
    tls = {name: given.pop(name) for name in _TLS if name in given}
    if tls.get("ca") == "system":
        del tls["ca"]
        given["tls"] = {}
    if tls:
        given["tls"] = tls
    return given


Runtime = Annotated[RuntimeTarget, BeforeValidator(read)]


def clash(targets: Iterable[RuntimeTarget]) -> str:
    """What two of them share, in words; empty when they can stand side by side."""
    names: set[str] = set()
    for each in targets:
        if each.name in names:
            return f"two runtimes are named {each.name}"
        names.add(each.name)
    return ""
