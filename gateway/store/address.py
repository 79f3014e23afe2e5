"""A store's URL, read: one server, the servers behind Sentinels, or a cluster; who signs in there, and how TLS is made.

    redis://user:password@host:6379/0               rediss:// with TLS, unix:///path for a socket
    redis+cluster://host:6379,other:6379            rediss+cluster:// with TLS
    redis+sentinel://host:26379,other:26379/master/0    rediss+sentinel:// with TLS, also to the Sentinels

Behind `?` stand `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` (files), `ssl_check_hostname`, `ssl_cert_reqs`, and for
Sentinels with credentials of their own `sentinel_username`, `sentinel_password`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import parse_qs, quote, unquote, urlsplit, urlunsplit

from redis.asyncio.connection import parse_url

from gateway.core.errors import InvalidInput

Server = tuple[str, int]

SCHEMES: Final = tuple(
    f"{each}://"
    for each in ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel")
)
_TLS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname", "ssl_cert_reqs")
_SENTINEL: Final = ("sentinel_username", "sentinel_password")
_KINDS: Final[dict[str, Literal["server", "cluster", "sentinel"]]] = {"cluster": "cluster", "sentinel": "sentinel"}
PORTS: Final = {"server": 6379, "cluster": 6379, "sentinel": 26379}


@dataclass(frozen=True, slots=True)
class Address:
    """`servers`: the one, some of the cluster, or the Sentinels; none where `path` is a socket. `sentinel` has who
    signs in at those."""

    kind: Literal["server", "cluster", "sentinel"]
    servers: tuple[Server, ...] = ()
    tls: bool = False
    path: str = ""
    master: str = ""
    database: int = 0
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificates: Mapping[str, Any] = field(default_factory=dict)
    sentinel: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, url: str) -> Address:
        """InvalidInput says what cannot be read, and never the password."""
        where = checked(url)
        scheme, _, kind = urlsplit(url).scheme.partition("+")
        read = cls(_KINDS.get(kind, "server"), tls=scheme == "rediss")
        try:
            return read._with(url)
        except ValueError as error:
            raise InvalidInput(f"The store's URL {shown(where)} cannot be read: {error}") from None

    def _with(self, url: str) -> Address:
        parts = urlsplit(url)
        query = _query(
            parts.query, (*(_TLS if self.tls else ()), *(_SENTINEL if self.kind == "sentinel" else ()), "db")
        )
        user, _, hosts = parts.netloc.rpartition("@")
        read = replace(self, credentials=_credentials(user), certificates=_certificates(query))
        if parts.scheme == "unix":
            return replace(read, path=unquote(parts.path), database=_number(query.get("db", "0"), "db"))
        names = [unquote(each) for each in parts.path.split("/") if each]
        if self.kind == "sentinel":
            if not names:
                raise ValueError("it names no master: write it as redis+sentinel://HOST:26379/MASTER")
            given = {each.removeprefix("sentinel_"): query[each] for each in _SENTINEL if each in query}
            read = replace(read, master=names.pop(0), sentinel=given)
        if len(names) > 1:
            raise ValueError(f"/{'/'.join(names)} is no number of a database")
        database = _number(names[0] if names else query.get("db", "0"), "the database")
        if self.kind == "cluster" and database:
            raise ValueError("a cluster has the database 0 alone")
        port = PORTS[self.kind]
        return replace(read, database=database, servers=tuple(_server(each, port) for each in hosts.split(",")))

    def _known(self) -> tuple[str, ...]:
        return (*(_TLS if self.tls else ()), *(_SENTINEL if self.kind == "sentinel" else ()), "db")

    def at(self, server: Server) -> Address:
        """One server of it, with the same credentials and certificates."""
        return replace(self, kind="server", servers=(server,), master="", sentinel={})

    @property
    def options(self) -> dict[str, Any]:
        """redis-py's, for a connection to a server: who signs in, and the certificates."""
        return {**self.credentials, **self.certificates, **({"db": self.database} if self.database else {})}

    def __str__(self) -> str:
        """For the log."""
        where = ",".join(f"{host}:{port}" for host, port in self.servers) or self.path
        return f"{where}, master {self.master}" if self.master else where

    def context(self) -> ssl.SSLContext:
        """As redis-py reads the options of its certificates."""
        context = ssl.create_default_context(cafile=self.certificates.get("ssl_ca_certs"))
        if not self.certificates.get("ssl_check_hostname", True):
            context.check_hostname = False
        if self.certificates.get("ssl_cert_reqs") == "none":
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate := self.certificates.get("ssl_certfile"):
            context.load_cert_chain(certificate, self.certificates.get("ssl_keyfile"))
        return context


def _query(text: str, known: tuple[str, ...]) -> dict[str, str]:
    found = {name: values[0] for name, values in parse_qs(text, keep_blank_values=True).items()}
    if unknown := [name for name in found if name not in known]:
        raise ValueError(f"?{unknown[0]}= is not known here; there are {', '.join(known)}")
    return found


def _credentials(user: str) -> dict[str, str]:
    name, _, password = user.partition(":")
    return {key: unquote(text) for key, text in (("username", name), ("password", password)) if text}


def _certificates(query: Mapping[str, str]) -> dict[str, Any]:
    given = "&".join(f"{name}={quote(query[name], safe='')}" for name in _TLS if name in query)
    return {name: value for name, value in parse_url(f"rediss://?{given}").items() if name in _TLS}


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{what} is a number, not {text!r}")
    return int(text)


def _server(text: str, port: int) -> Server:
    read = urlsplit(f"//{text}")
    if not read.hostname:
        if text and not text.startswith(":"):
            raise ValueError(f"{text!r} is no HOST:PORT")
        return "127.0.0.1", read.port or port
    return unquote(read.hostname), read.port or port


def shown(url: str) -> str:
    """A URL without its password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def checked(url: str) -> str:
    """The URL itself; InvalidInput for a scheme that is not served."""
    if not url.startswith(SCHEMES):
        raise InvalidInput(f"{shown(url)} is not a store URL; they begin with {', '.join(SCHEMES)} or memory://")
    return url


def with_password(url: str, password: str | None, sentinel: str | None = None) -> str:
    """The URL with these passwords in it, whatever characters they have: the store's, and the Sentinels' own."""
    if password is None and sentinel is None:
        return url
    parts = urlsplit(url)
    if password is not None:
        user, _, hosts = parts.netloc.rpartition("@")
        parts = parts._replace(netloc=f"{user.partition(':')[0]}:{quote(password, safe='')}@{hosts}")
    if sentinel is not None:
        more = f"sentinel_password={quote(sentinel, safe='')}"
        parts = parts._replace(query=f"{parts.query}&{more}" if parts.query else more)
    return urlunsplit(parts)
