"""The PROXY protocol on a listener, and unix sockets: who the client is, and who may say so (CASES H35, A57)."""

from __future__ import annotations

import os
import socket
import stat
import struct
from pathlib import Path

import orjson
import pytest

from gateway.core.exchange import Exchange, Reply
from gateway.core.listening import Listener
from gateway.core.proxy_header import SIGNATURE
from gateway.server.opening import CannotListen, open_listener
from tests.server.ports import Certificates, listening, reaching, trusting
from tests.serving import Client, cell

LOOP = "uvloop"
GET = b"GET / HTTP/1.1\r\nHost: gw.example\r\n\r\n"
V1 = b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 80\r\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"
PROXIED = "127.0.0.1:0 proxy_protocol=127.0.0.0/8"


def v2(address: str, port: int, more: bytes = b"") -> bytes:
    packed = socket.inet_pton(socket.AF_INET, address)
    body = packed + packed + struct.pack("!HH", port, 80) + more
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11, len(body)) + body


def peer(exchange: Exchange) -> Reply:
    found = exchange.head.peer
    return Reply(200, body=orjson.dumps([found.client, found.port, found.scheme]))


async def told(client: Client, data: bytes = GET) -> list[object]:
    client.send(data)
    status, _, body = await client.answer()
    assert status == 200
    return list(orjson.loads(body))


async def test_a_proxy_tells_whose_connection_it_is_in_either_version() -> None:
    """CASES H35"""
    async with listening(cell(peer), PROXIED) as (_, [place]):
        for header, known in (
            (V1, ["198.51.100.7", 4711, "http"]),
            (v2("198.51.100.8", 4712), ["198.51.100.8", 4712, "http"]),
            (v2("198.51.100.9", 4713, b"\x20\0\5\1\0\0\0\0"), ["198.51.100.9", 4713, "https"]),
        ):
            async with reaching(place) as client:
                assert await told(client, header + GET) == known
                assert await told(client) == known


async def test_a_header_may_come_byte_by_byte() -> None:
    async with listening(cell(peer), PROXIED) as (_, [place]), reaching(place) as client:
        for byte in V1:
            client.send(bytes([byte]))
            await client.writer.drain()
        assert (await told(client))[0] == "198.51.100.7"


async def test_a_proxys_own_health_check_is_served() -> None:
    async with listening(cell(peer), PROXIED) as (_, [place]), reaching(place) as client:
        assert (await told(client, LOCAL + GET))[0] == "127.0.0.1"


@pytest.mark.parametrize("data", [GET, b"PROXY TCP4 1.1.1.1\r\n" + GET, SIGNATURE + b"\x21\x11\0\x01x" + GET, b"PROXX"])
async def test_without_a_strict_header_the_connection_is_closed_and_nothing_is_answered(data: bytes) -> None:
    live = cell(peer)
    async with listening(live, PROXIED) as (port, [place]):
        async with reaching(place) as client:
            client.send(data)
            assert await client.rest() == b""
        assert port.told(0)["load"]["counters"]["proxy_header_failures"] == 1
    assert not live.observe.exchanges  # type: ignore[attr-defined]


async def test_a_header_that_does_not_come_in_time_ends_the_connection() -> None:
    async with listening(cell(peer), PROXIED, head_timeout=0.2) as (port, [place]), reaching(place) as client:
        client.send(V1[:9])
        assert await client.rest() == b""
        assert port.told(0)["load"]["counters"]["proxy_header_failures"] == 1


async def test_a_peer_that_is_no_proxy_is_refused_with_and_without_a_header() -> None:
    """CASES H35"""
    live = cell(peer)
    async with listening(live, "127.0.0.1:0 proxy_protocol=192.0.2.0/24") as (port, [place]):
        for data in (V1 + GET, GET):
            async with reaching(place) as client:
                client.send(data)
                assert await client.rest() == b""
        assert port.told(0)["load"]["counters"]["proxy_header_failures"] == 2
    assert not live.observe.exchanges  # type: ignore[attr-defined]


async def test_a_header_on_a_listener_without_the_protocol_is_a_bad_request() -> None:
    async with listening(cell(peer), "127.0.0.1:0") as (_, [place]), reaching(place) as client:
        client.send(V1 + GET)
        assert (await client.answer())[0] == 400


async def test_tls_comes_behind_the_header(tmp_path: Path) -> None:
    words = Certificates(tmp_path).put("a", "gw.example")
    async with listening(cell(peer), f"{PROXIED} {words}") as (_, [place]), reaching(place) as client:
        client.send(V1)
        await client.writer.start_tls(trusting(), server_hostname="gw.example")
        assert await told(client) == ["198.51.100.7", 4711, "https"]


@pytest.mark.parametrize(("networks", "client"), [(["198.51.100.0/24"], "6.6.6.6"), ([], "198.51.100.7")])
async def test_a_forwarded_client_is_believed_by_the_address_that_the_proxy_told(
    networks: list[str], client: str
) -> None:
    """CASES H35: the balancer's own address is no reason to believe what its client says."""
    live = cell(peer)
    live.trusted = tuple(networks)
    async with listening(live, PROXIED) as (_, [place]), reaching(place) as connection:
        request = V1 + b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
        assert (await told(connection, request))[0] == client


# unix sockets


async def test_a_unix_socket_serves_with_its_mode_and_is_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    async with listening(cell(peer), f"unix:{path} mode=0640") as (_, [place]), reaching(place) as client:
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        assert (await told(client))[0] == ""
    assert not path.exists()


async def test_a_unix_socket_takes_the_proxy_protocol_from_whoever_may_connect(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/gw.sock proxy_protocol=true"
    async with listening(cell(peer), listen) as (_, [place]), reaching(place) as client:
        assert (await told(client, V1 + GET))[0] == "198.51.100.7"


def unix(path: Path) -> Listener:
    return Listener(unix=path)


def test_the_socket_that_a_killed_gateway_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    open_listener(unix(path), 1).sockets[0].close()
    assert path.exists()
    open_listener(unix(path), 1).close()
    assert not path.exists()


def test_a_living_socket_and_another_kind_of_file_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    first = open_listener(unix(path), 1)
    with pytest.raises(CannotListen, match="another process listens there"):
        open_listener(unix(path), 1)
    first.close()
    path.write_text("precious")
    with pytest.raises(CannotListen, match="another kind of file is there"):
        open_listener(unix(path), 1)
    assert path.read_text() == "precious"
    with pytest.raises(CannotListen, match="No such file or directory"):
        open_listener(unix(tmp_path / "none" / "gw.sock"), 1)


def test_a_socket_that_somebody_else_has_put_there_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    first = open_listener(unix(path), 1)
    os.unlink(path)
    second = open_listener(unix(path), 1)
    first.close()
    assert path.exists()
    second.close()


# tcp


def test_the_port_of_another_gateway_is_refused_and_not_shared() -> None:
    first = open_listener(Listener(address="127.0.0.1:0"), 2)
    with pytest.raises(CannotListen, match="Address already in use"):
        open_listener(Listener(address=first.place), 2)
    first.close()


def test_a_host_that_does_not_exist_is_told_with_its_place() -> None:
    with pytest.raises(CannotListen, match=r"Cannot listen on 192\.0\.2\.1:80: .*listen"):
        open_listener(Listener(address="192.0.2.1:80"), 1)
