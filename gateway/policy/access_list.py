"""`access-list`: who may pass by address and by name; `deny` wins over `allow`.

`{use: access-list, with: {allow: {clients: [10.0.0.0/8, "2001:db8::/32"], applications: [partner]}}}`. Where `allow` is
given, whoever is not in it is refused; within it one match is enough. The client's address is the believed one; IPv4
written as IPv6 is the same address.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core.errors import Forbidden
from gateway.core.exchange import Exchange
from gateway.core.kinds import Built, Kind, Site

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Listed = Callable[[Exchange], bool | None]
"""Whether the caller is in a list; None: that cannot be told."""

_NAMES: Final = ("applications", "plans", "subjects", "credentials")
_MAPPED: Final = 96  # bits in front of an IPv4 address that is written as IPv6


class Entries(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    clients: tuple[str, ...] = Field((), description="addresses and networks, such as 192.0.2.7 or 10.0.0.0/8")
    applications: tuple[str, ...] = ()
    plans: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    credentials: tuple[str, ...] = Field((), description="ids of keys and other credentials, never their secrets")

    @field_validator("clients")
    @classmethod
    def _networks(cls, clients: tuple[str, ...]) -> tuple[str, ...]:
        for each in clients:
            network(each)
        return clients

    @model_validator(mode="after")
    def _not_empty(self) -> Entries:
        if not any(getattr(self, name) for name in ("clients", *_NAMES)):
            raise ValueError(f"list somebody, by clients, {', '.join(_NAMES)}")
        return self


class AccessList(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: Entries | None = Field(None, description="who may pass; none: everybody who is not denied")
    deny: Entries | None = Field(None, description="who may not, whatever `allow` says")

    @model_validator(mode="after")
    def _says_something(self) -> AccessList:
        if self.allow is None and self.deny is None:
            raise ValueError("say who may pass: `allow`, `deny` or both")
        return self


def network(text: str) -> Network:
    """An address or a network; one of IPv4 that is written as IPv6 is itself. ValueError says how to write it."""
    try:
        found = ip_network(text)
    except ValueError:
        raise ValueError(
            f"`{text}` is no network; write 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32, without bits behind the prefix"
        ) from None
    if isinstance(found, IPv6Network) and found.prefixlen >= _MAPPED:
        mapped = found.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, found.prefixlen - _MAPPED))
    return found


def build(config: AccessList, _site: Site) -> Built:
    allowed = None if config.allow is None else _listed(config.allow)
    denied = None if config.deny is None else _listed(config.deny)

    def check(exchange: Exchange) -> None:
        """What cannot be told is refused: a list of names before anybody is known, an address that is none."""
        if denied is not None and denied(exchange) is not False:
            raise Forbidden("The caller is not let in.")
        if allowed is not None and allowed(exchange) is not True:
            raise Forbidden("The caller is not let in.")

    return Built(step=check)


def _listed(entries: Entries) -> Listed:
    tests: list[Listed] = []
    if entries.clients:
        client = among(entries.clients)
        tests.append(lambda exchange: client(exchange.head.peer.client))
    tests += [_by_name(name, frozenset(getattr(entries, name))) for name in _NAMES if getattr(entries, name)]
    if len(tests) == 1:
        return tests[0]

    def listed(exchange: Exchange) -> bool | None:
        answers = [test(exchange) for test in tests]
        return True if True in answers else None if None in answers else False

    return listed


def among(clients: tuple[str, ...]) -> Callable[[str], bool | None]:
    """Whether an address is one of these or in one of these networks; None for what is no address."""
    networks = [network(each) for each in clients]
    single = frozenset(each.network_address for each in networks if each.num_addresses == 1)
    wide = [each for each in networks if each.num_addresses > 1]

    @lru_cache(maxsize=4096)
    def known(client: str) -> bool | None:
        address = _address(client)
        if address is None:
            return None
        return address in single or any(address in each for each in wide)

    return known


def _address(client: str) -> Address | None:
    try:
        address = ip_address(client.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


_FIELDS: Final = {"applications": "application", "plans": "plan", "subjects": "subject", "credentials": "credential"}


def _by_name(name: str, wanted: frozenset[str]) -> Listed:
    field = _FIELDS[name]

    def listed(exchange: Exchange) -> bool | None:
        identity = exchange.identity
        return None if identity is None else getattr(identity, field) in wanted

    return listed


KIND = Kind(
    "access-list",
    AccessList,
    build,
    summary="Who may pass, by address, application, plan, subject or credential",
    family="authorisation",
    example={"allow": {"clients": ["127.0.0.0/8", "::1", "10.0.0.0/8"]}},
)
