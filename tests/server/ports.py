"""A gateway in this process on listeners of any kind, and certificates for it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from starlette.applications import Starlette

from gateway.core.listening import UNIX, split
from gateway.core.live import LiveCell
from gateway.core.secrets import Secret
from gateway.core.settings import Settings
from gateway.server.launch import Launch
from gateway.server.opening import open_listener
from gateway.server.port import GatewayServer, Port, open_port
from gateway.server.protocol import GatewayProtocol
from gateway.server.protocol_shared import SHARED, Shared
from gateway.server.tls_keeper import Keeper
from tests.serving import Client, end

AUTHORITY = trustme.CA()


class Certificates:
    """Files of certificates in a folder, by name."""

    def __init__(self, folder: Path, authority: trustme.CA = AUTHORITY) -> None:
        self.folder = folder
        self.authority = authority
        authority.cert_pem.write_to_path(folder / "ca.pem")

    def put(self, name: str, *hosts: str) -> str:
        """Writes `name.pem` and `name.key`; the words of a listener that name them."""
        made = self.authority.issue_cert(*hosts)
        (self.folder / f"{name}.pem").write_bytes(b"".join(each.bytes() for each in made.cert_chain_pems))
        made.private_key_pem.write_to_path(self.folder / f"{name}.key")
        return f"certificate={self.folder}/{name}.pem key={self.folder}/{name}.key"

    @property
    def ca(self) -> str:
        return f"client_ca={self.folder}/ca.pem"


def trusting(authority: trustme.CA = AUTHORITY, own: trustme.LeafCert | None = None, **sets: Any) -> ssl.SSLContext:
    """A client's context, with a certificate of its own if it is given."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if own is not None:
        own.configure_cert(context)
    for name, value in sets.items():
        setattr(context, name, value)
    return context


@contextlib.asynccontextmanager
async def listening(live: LiveCell, *listen: str, **settings: Any) -> AsyncIterator[tuple[Port, list[str]]]:
    """The port of a worker that serves the cell, and the places of its listeners."""
    given = Settings.model_validate({"listen": list(listen), **settings})
    opened = [open_listener(each, 1) for each in given.listeners]
    launch = Launch(
        settings=given,
        store_url="",
        data=Path(),
        control_socket=Path("control.sock"),
        node="",
        places=tuple(each.place for each in opened),
        admin_port=0,
        key_secret=Secret("x" * 16),
        gateway_fds=tuple((each.sockets[0].detach(),) for each in opened),
        tls=tuple(Keeper.open(each).material if each.tls else None for each in given.listeners),
    )
    shared = Shared(live)
    port = open_port(launch, shared.overload)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"live": live, SHARED: shared}

    config = uvicorn.Config(Starlette(lifespan=lifespan), http=GatewayProtocol, ws="none", log_config=None)
    config.load()
    server = GatewayServer(config, port.acceptor)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield port, list(launch.places)
    finally:
        for connection in list(server.server_state.connections):
            connection._transport.abort()  # type: ignore[union-attr]
        port.acceptor.close()
        await port.acceptor.settled(0)
        await end(server)
        for each in opened:
            each.close()


@contextlib.asynccontextmanager
async def reaching(place: str, tls: ssl.SSLContext | None = None, name: str = "gw.example") -> AsyncIterator[Client]:
    """A raw connection to a place, with or without TLS."""
    more: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": name}
    if place.startswith(UNIX):
        streams = await asyncio.open_unix_connection(place[len(UNIX) :], **more)
    else:
        streams = await asyncio.open_connection(*split(place), **more)
    client = Client(*streams)
    try:
        yield client
    finally:
        await client.close()
