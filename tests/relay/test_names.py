"""Names of hosts: followed by TTL, kept when resolvers fail; and aiodns against a DNS server of our own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from gateway.core.egress import Egress
from gateway.core.errors import BadGateway, GatewayTimeout
from gateway.relay.names import AresResolver, FixedResolver, Names, Resolved, Unresolved
from gateway.relay.network import Network
from gateway.relay.pool import open_upstream
from tests.relay.upstream_harness import Time, black_hole, until
from tests.upstreams import upstream


class Dns(asyncio.DatagramProtocol):
    """Answers A queries of `names` with addresses and a TTL; AAAA with nothing; other names do not exist."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {}
        self.ttl = 60
        self.asked: list[tuple[str, int]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], 12
        while length := data[at]:
            labels.append(data[at + 1 : at + 1 + length].decode())
            at += 1 + length
        kind = struct.unpack("!H", data[at + 1 : at + 3])[0]
        name, question = ".".join(labels).lower(), data[12 : at + 5]
        self.asked.append((name, kind))
        addresses = self.names.get(name, []) if kind == 1 else []
        code = 0 if name in self.names else 3
        head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, len(addresses), 0, 0)
        answers = [b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, self.ttl, 4) + socket.inet_aton(each) for each in addresses]
        self.transport.sendto(head + question + b"".join(answers), addr)  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def dns(**names: list[str]) -> AsyncIterator[tuple[Dns, AresResolver]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(Dns, local_addr=("127.0.0.1", 0))
    server.names = {f"{name}.test": addresses for name, addresses in names.items()}
    resolver = AresResolver(["127.0.0.1"], transport.get_extra_info("sockname")[1], timeout=1)
    try:
        yield server, resolver
    finally:
        await resolver.close()
        transport.close()


async def test_the_resolver_tells_all_addresses_and_their_ttl() -> None:
    async with dns(erp=["127.0.0.2", "127.0.0.1"]) as (server, resolver):
        server.ttl = 17
        assert await resolver.resolve("erp.test") == Resolved(("127.0.0.1", "127.0.0.2"), 17.0)


async def test_a_name_that_does_not_exist_is_unresolved() -> None:
    async with dns() as (_, resolver):
        with pytest.raises(Unresolved):
            await resolver.resolve("erp.test")


async def test_the_hosts_file_counts_and_names_no_ttl() -> None:
    resolver = AresResolver()
    answer = await resolver.resolve("localhost")
    await resolver.close()
    assert "127.0.0.1" in answer.addresses
    assert answer.ttl == 0


async def test_a_name_is_asked_again_after_its_ttl_and_not_before() -> None:
    time, resolver = Time(), FixedResolver({"erp": Resolved(("127.0.0.1",), 30)})
    names, told = Names(resolver, time.sleep), []
    end = names.watch("erp", told.append)
    await time.pass_(0)
    await time.pass_(29)
    assert len(resolver.asked) == 1
    resolver.answers["erp"] = Resolved(("127.0.0.2",), 0)
    await time.pass_(1)
    assert told == [("127.0.0.1",), ("127.0.0.2",)]
    await time.pass_(4)
    assert len(resolver.asked) == 2
    await time.pass_(1)
    assert len(resolver.asked) == 3
    end()
    await time.pass_(1000)
    assert len(resolver.asked) == 3


async def test_a_resolver_that_fails_leaves_the_last_addresses(caplog: pytest.LogCaptureFixture) -> None:
    time, resolver = Time(), FixedResolver({"erp": Resolved(("127.0.0.1",), 5)})
    names, told = Names(resolver, time.sleep), []
    end = names.watch("erp", told.append)
    await time.pass_(0)
    resolver.answers.clear()
    with caplog.at_level(logging.WARNING):
        for wait in (5, 1, 2, 5, 10, 30, 30):
            await time.pass_(wait)
    assert len(resolver.asked) == 8
    assert await names.addresses("erp") == ("127.0.0.1",)
    assert told == [("127.0.0.1",)]
    assert len(caplog.records) == 1
    resolver.answers["erp"] = Resolved(("127.0.0.3",), 5)
    await time.pass_(30)
    assert told[-1] == ("127.0.0.3",)
    end()


async def test_who_follows_a_name_says_how_soon_it_is_asked_for_again_when_it_has_no_address() -> None:
    time, resolver = Time(), FixedResolver({})
    names, told = Names(resolver, time.sleep), []
    end = names.watch("erp", told.append, again=2)
    await time.pass_(0)
    for wait in (1, 2, 2, 2):
        await time.pass_(wait)
    assert len(resolver.asked) == 5
    resolver.answers["erp"] = Resolved(("127.0.0.1",), 5)
    await time.pass_(2)
    assert told == [("127.0.0.1",)]
    end()


async def test_a_resolver_that_breaks_is_asked_again() -> None:
    class Broken(FixedResolver):
        async def resolve(self, host: str) -> Resolved:
            if not self.asked:
                self.asked.append(host)
                raise RuntimeError("broken")
            return await super().resolve(host)

    time = Time()
    names, told = Names(Broken({"erp": Resolved(("127.0.0.1",), 5)}), time.sleep), []
    end = names.watch("erp", told.append)
    with pytest.raises(Unresolved, match="broken"):
        await names.addresses("erp")
    await time.pass_(1)
    assert told == [("127.0.0.1",)]
    end()


async def test_every_address_that_stays_silent_is_tried_within_the_connect_timeout() -> None:
    addresses = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
    async with black_hole(*addresses) as port:
        network = Network(resolver=FixedResolver({"erp": Resolved(addresses, 5)}))
        opened = open_upstream([f"http://erp:{port}"], network=network, connect_timeout=0.3)
        await asyncio.sleep(0)
        with pytest.raises(GatewayTimeout):
            await opened.fetch(b"GET", b"/")
        assert [pool.state.missed for pool in opened._rotation.pools] == [1, 1, 1]
        assert sum(pool._connector.timeout for pool in opened._rotation.pools) == pytest.approx(0.3)
        await opened.close()


async def test_two_upstreams_share_a_name_and_its_look_ups() -> None:
    time, resolver = Time(), FixedResolver({"erp": Resolved(("127.0.0.1",), 30)})
    names, told = Names(resolver, time.sleep), []
    ends = [names.watch("erp", told.append)]
    await time.pass_(0)
    ends.append(names.watch("erp", told.append))
    assert (len(told), len(resolver.asked)) == (2, 1)
    ends[0]()
    await time.pass_(30)
    assert len(resolver.asked) == 2
    ends[1]()


async def test_requests_go_to_every_address_of_a_name() -> None:
    async with upstream() as recording, dns(erp=["127.0.0.1", "127.0.0.2"]) as (_, resolver):
        second = await asyncio.start_server(lambda _reader, writer: answer(writer), "127.0.0.2", recording.port)
        hits = 0

        async def answer(writer: asyncio.StreamWriter) -> None:
            nonlocal hits
            hits += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            writer.close()

        network = Network(resolver=resolver)
        opened = open_upstream([f"http://erp.test:{recording.port}"], network=network)
        for _ in range(9):
            assert (await opened.fetch(b"GET", b"/")).status == 200
        await opened.close()
        second.close()
    assert recording.received[0].get(b"host") == b"erp.test:%d" % recording.port
    assert abs(hits - len(recording.received)) <= 1


async def test_the_next_address_is_tried_when_one_cannot_be_connected() -> None:
    """Also for a POST, without retries: nothing was sent."""
    async with upstream() as recording, dns(erp=["127.0.0.1", "127.0.0.2", "127.0.0.3"]) as (_, resolver):
        opened = open_upstream([f"http://erp.test:{recording.port}"], retries=0, network=Network(resolver=resolver))
        for _ in range(6):
            assert (await opened.fetch(b"POST", b"/", body=b"x")).status == 200
        await opened.close()
    assert len(recording.received) == 6


async def test_a_name_that_cannot_be_resolved_is_502_at_once_and_serves_when_it_can_be() -> None:
    time, resolver = Time(), FixedResolver({})
    async with upstream() as recording:
        network = Network(resolver=resolver, sleep=time.sleep)
        opened = open_upstream([f"http://erp.test:{recording.port}"], network=network)
        for _ in range(3):
            with pytest.raises(BadGateway, match="resolved"):
                await opened.fetch(b"GET", b"/")
        resolver.answers["erp.test"] = Resolved(("127.0.0.1",), 5)
        await time.pass_(1)
        assert (await opened.fetch(b"GET", b"/")).status == 200
        await opened.close()
    assert len(resolver.asked) == 2


async def test_an_address_that_is_gone_finishes_what_it_has_and_gets_nothing_new() -> None:
    time, resolver = Time(), FixedResolver({"erp": Resolved(("127.0.0.1",), 5)})
    async with upstream() as one:
        network = Network(resolver=resolver, sleep=time.sleep)
        opened = open_upstream([f"http://erp:{one.port}"], network=network, retries=0)
        await opened.fetch(b"GET", b"/")
        resolver.answers["erp"] = Resolved(("127.0.0.2",), 5)
        await time.pass_(5)
        with pytest.raises(BadGateway):
            await opened.fetch(b"GET", b"/")
        await opened.close()
    assert len(one.received) == 1


async def test_m73_a_name_that_is_rebound_to_a_forbidden_address_is_never_connected(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What was allowed when it was published is asked again for the very address that is connected."""
    async with upstream() as recording, dns(evil=["127.0.0.1"]) as (server, resolver):
        time, server.ttl = Time(), 0  # the resolver keeps answers by the machine's clock
        network = Network(Egress.parse(["!127.0.0.9"]), resolver, sleep=time.sleep)
        opened = open_upstream([f"http://evil.test:{recording.port}"], network=network)
        assert (await opened.fetch(b"GET", b"/")).status == 200
        for address in ("169.254.169.254", "127.0.0.9"):
            server.names["evil.test"] = [address]
            await time.pass_(5)
            await until(lambda expected=address: opened._rotation.pools[0].address == expected)  # type: ignore[misc]
            with caplog.at_level(logging.WARNING), pytest.raises(BadGateway) as refused:
                await opened.fetch(b"GET", b"/")
            assert refused.value.detail == "The upstream cannot be reached."
            assert address in caplog.text
        await opened.close()
    assert len(recording.received) == 1


@pytest.mark.parametrize("target", ["http://169.254.169.254", "http://[::ffff:169.254.169.254]:80", "http://0.0.0.0:1"])
def test_m73_a_literal_address_is_refused_when_it_is_opened(target: str) -> None:
    with pytest.raises(ValueError, match="not allowed"):
        open_upstream([target])
