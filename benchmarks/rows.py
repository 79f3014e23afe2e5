"""The rows: what is sent to whom, and what of it is compared with what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import messages
from benchmarks.messages import Message
from benchmarks.peers import fastapi, nginx, node, penstock, proxies
from benchmarks.peers.peer import Peer

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        penstock.PENSTOCK,
        nginx.LUA,
        nginx.LUA_LOG,
        nginx.PROXY,
        proxies.HAPROXY,
        proxies.ENVOY,
        proxies.CADDY,
        node.FAST_GATEWAY,
        node.EXPRESS_GATEWAY,
        fastapi.FASTAPI,
    )
}
LIMITED = ("penstock", "nginx-lua")
USUAL = (*LIMITED, "nginx", "haproxy", "envoy")
ALL = tuple(PEERS)


@dataclass(frozen=True)
class Case:
    """One line of a row: `label` in tables, the peer that serves it, what is sent."""

    label: str
    peer: str
    message: Message


@dataclass(frozen=True)
class Row:
    """Cases that are measured in turn, round by round. `paced`: at 80 % of what each peer reached at 32 connections."""

    name: str
    title: str
    cases: tuple[Case, ...]
    connections: int = 32
    paced: bool = False
    tls: bool = False


def row(name: str, title: str, message: Message, peers: Sequence[str], connections: int = 32, **how: bool) -> Row:
    """The same message to each of these peers."""
    return Row(name, title, tuple(Case(peer, peer, message) for peer in peers), connections, **how)


def _call(name: str, title: str, message: Message, *peers: str) -> Row:
    return row(name, title, message, ("penstock", *peers))


ROWS: dict[str, Row] = {
    each.name: each
    for each in (
        row("relay-32", "Relay, API key and exact limit, 32 connections", messages.RELAY, ALL),
        row("relay-1", "The same, 1 connection", messages.RELAY, USUAL, 1),
        row("relay-8", "The same, 8 connections", messages.RELAY, USUAL, 8),
        row("relay-128", "The same, 128 connections", messages.RELAY, USUAL, 128),
        row("relay-paced", "The same, paced at 80 % of what each reached", messages.RELAY, USUAL, 64, paced=True),
        row(
            "open-32",
            "Relay without a policy, 32 connections",
            messages.OPEN,
            ("penstock", "nginx", "haproxy", "envoy"),
        ),
        row("body-10k", "Relay, response of 10 kB", messages.LARGE, USUAL),
        row("body-1m", "Relay, response of 1 MB", messages.HUGE, USUAL),
        row("post-1k", "Relay, POST of 1 kB", messages.POST, USUAL),
        row("browser", "Relay, header fields of a browser", messages.AS_BROWSER, USUAL),
        row("paths", "The same, each request with another path", messages.PATHS, USUAL),
        row("varied", "The same, each request with another path, key and trace id", messages.VARIED, USUAL),
        row("tls", "Relay, TLS to the client", messages.RELAY, LIMITED, tls=True),
        Row(
            "policies",
            "Relay without and with ten further policies that edit request headers",
            (Case("no edits", "penstock", messages.OPEN), Case("ten edits", "penstock", messages.EDITED)),
        ),
        _call("rest", "REST call of a typed process, JSON out", messages.REST, "fastapi-httpx"),
        _call("soap", "SOAP call of the same process", messages.SOAP),
        _call("odata", "OData filter, order, top 20 over SQLite", messages.ODATA),
    )
}
