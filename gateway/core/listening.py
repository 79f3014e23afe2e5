"""Where a gateway listens: one model for the file's form and for the compact text of flags and variables.

A file's entry is a map; the text is an address (or `unix:PATH`), then words `name=value`:

    {address: "0.0.0.0:8443", tls: {certificates: [{certificate: a.pem, key: a.key}]}}
    0.0.0.0:8443 certificate=a.pem key=a.key
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

UNIX: Final = "unix:"
PATH_LIMIT: Final = 107  # bytes of a unix socket's path (unix(7))
_REPEATED: Final = ("certificate", "key", "proxy_protocol")
_SINGLE: Final = ("client_auth", "client_ca", "min_version", "mode", "name")


def _network(text: str) -> str:
    try:
        ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is no network; write 10.0.0.0/8, or one address") from None
    return text


Network = Annotated[str, AfterValidator(_network)]


class CertificateFiles(BaseModel):
    """PEM files. `certificate` begins with the server's own and goes on with those between it and the root."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path
    key: Path


class Tls(BaseModel):
    """The first certificate serves clients that name no server, or one that no other certificate is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificates: tuple[CertificateFiles, ...] = Field(min_length=1)
    client_ca: Path | None = None
    client_auth: Literal["required", "optional"] | None = None
    min_version: Literal["1.2", "1.3"] = "1.2"

    @model_validator(mode="after")
    def _of_clients(self) -> Self:
        if self.client_auth is not None and self.client_ca is None:
            raise ValueError("client_auth needs client_ca: the PEM file of the authorities that clients' certs are by")
        return self

    @property
    def asks_clients(self) -> Literal["required", "optional"] | None:
        """Whether clients must show a certificate, may, or are not asked."""
        return (self.client_auth or "required") if self.client_ca is not None else None


class Listener(BaseModel):
    """`address` is HOST:PORT or [IPv6]:PORT. `proxy_protocol`: True takes it from `trusted_proxies`, networks name the
    peers that speak it here; on a unix socket the file's mode says who may connect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None = None
    unix: Path | None = None
    mode: Annotated[str, Field(pattern=r"^0?[0-7]{3}$")] | None = None
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")] | None = None
    tls: Tls | None = None
    proxy_protocol: bool | tuple[Network, ...] = False

    @field_validator("address")
    @classmethod
    def _has_port(cls, address: str | None) -> str | None:
        if address is not None:
            split(address)
        return address

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.address is None) == (self.unix is None):
            raise ValueError("a listener has either an address (HOST:PORT) or unix (the path of a socket)")
        if self.unix is not None and not 1 < len(str(self.unix).encode()) <= PATH_LIMIT:
            raise ValueError(f"unix needs the path of a socket, of at most {PATH_LIMIT} bytes")
        if self.mode is not None and self.unix is None:
            raise ValueError("mode belongs to unix sockets")
        if self.unix is not None and not isinstance(self.proxy_protocol, bool):
            raise ValueError("a unix socket has no peers' networks: say proxy_protocol: true, and set its mode")
        return self

    @property
    def place(self) -> str:
        """As it is written, for messages."""
        return self.address or f"{UNIX}{self.unix}"

    @property
    def label(self) -> str:
        return self.name or self.place

    @property
    def host(self) -> str:
        return split(self.address)[0] if self.address else ""

    @property
    def port(self) -> int:
        return split(self.address)[1] if self.address else 0

    def proxies(self, trusted: Sequence[str]) -> tuple[str, ...] | None:
        """The networks that speak the PROXY protocol here; None where no network decides."""
        given = self.proxy_protocol
        if given is False or self.unix is not None:
            return None
        return tuple(trusted) if given is True else given

    @property
    def socket_mode(self) -> int:
        return int(self.mode or "0660", 8)


def split(address: str) -> tuple[str, int]:
    """Host and port. ValueError."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{address!r} is no address; write HOST:PORT, as in 0.0.0.0:8443, or [::]:8443")
    if ":" in host and not bracketed:
        raise ValueError(f"{address!r} is no address; an IPv6 one stands in brackets, as in [::1]:8443")
    return (host[1:-1] if bracketed else host), int(port)


def joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read(given: Any) -> Any:
    """The map of a compact text; what is no text stays as it is. ValueError."""
    if not isinstance(given, str):
        return given
    place, *words = given.split()
    found: dict[str, Any] = {"unix": place[len(UNIX) :]} if place.startswith(UNIX) else {"address": place}
    singles, repeated = _words(words)
    certificates, keys = repeated["certificate"], repeated["key"]
    if len(certificates) != len(keys):
        raise ValueError("every certificate= needs its key=, in the same order")
    tls: dict[str, Any] = {
        name: singles.pop(name) for name in ("client_auth", "client_ca", "min_version") if name in singles
    }
    if certificates:
        pairs = zip(certificates, keys, strict=True)
        tls["certificates"] = [{"certificate": certificate, "key": key} for certificate, key in pairs]
    if tls:
        found["tls"] = tls
    if proxies := repeated["proxy_protocol"]:
        found["proxy_protocol"] = proxies == ["true"] or (proxies != ["false"] and proxies)
    return found | singles


def _words(words: Iterable[str]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    singles: dict[str, Any] = {}
    repeated: dict[str, list[str]] = {name: [] for name in _REPEATED}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value or name not in (*_REPEATED, *_SINGLE):
            known = ", ".join(sorted((*_REPEATED, *_SINGLE)))
            raise ValueError(f"{word!r} is not understood; behind the address stand NAME=VALUE words: {known}")
        if name in repeated:
            repeated[name].append(value)
        elif name in singles:
            raise ValueError(f"{name} stands there twice")
        else:
            singles[name] = value
    return singles, repeated


def _filled(given: Any) -> Any:
    if isinstance(given, str) and not given.strip():
        raise ValueError("a listener needs an address (HOST:PORT) or unix:PATH")
    return read(given)


Listen = Annotated[Listener, BeforeValidator(_filled)]


def clashes(listeners: Iterable[Listener]) -> str:
    """What two of them share, in words; empty when they can stand side by side."""
    places: set[str] = set()
    names: set[str] = set()
    for each in listeners:
        if each.name is not None and each.name in names:
            return f"two listeners are named {each.name}"
        if each.place in places and not each.place.endswith(":0"):
            return f"{each.place} is listened on twice"
        places.add(each.place)
        names.add(each.name or "")
    return ""
