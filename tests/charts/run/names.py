"""The cluster's DNS: names of Services and of pods behind headless ones. Runs in a pod of the run's own.

RFC 1035, A records over UDP; a name that is there without an A record is answered empty, any other does not exist. Both
answers say how long they may be remembered (RFC 2308), as those of a cluster do.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from typing import Final

from tests.charts.run.network import socket_in
from tests.charts.run.places import Place, Places
from tests.charts.run.services import Proxy, Service

_CHANCE: Final = random.Random()  # its own: a thread that draws from the common one disturbs the tests beside it
DOMAIN: Final = "cluster.local"
ADDRESS: Final = "10.96.0.10"
LABELS: Final = {"k8s-app": "kube-dns"}


class Names:
    """Serves until it is closed. `ttl` in seconds: clusters have 5 to 30."""

    ttl = 2

    def __init__(self, places: Places, proxy: Proxy) -> None:
        self._places, self._proxy = places, proxy
        self.place = places.bare("coredns", "kube-system", LABELS, dns=53)
        self._socket = socket_in(self.place.link.namespace, socket.SOCK_DGRAM)
        self._socket.bind((self.place.address, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def resolver(self, namespace: str) -> str:
        """resolv.conf of a pod."""
        search = f"{namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}"
        return f"search {search}\nnameserver {self.place.address}\noptions ndots:5\n"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                question, sender = self._socket.recvfrom(4096)
                if not question:
                    return
                self._socket.sendto(self._answer(question), sender)
            except OSError:
                return

    def _answer(self, question: bytes) -> bytes:
        """RFC 1035, 4.1: the question stands in the answer; names in the records point at it."""
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode("latin-1").lower())
            at += 1 + length
        kind = struct.unpack_from(">H", question, at + 1)[0]
        addresses = self.addresses(".".join(labels))
        records = b""
        for address in addresses or [] if kind == 1 else []:
            records += struct.pack(">HHHIH", 0xC00C, 1, 1, self.ttl, 4) + socket.inet_aton(address)
        flags = 0x8580 | (3 if addresses is None else 0)
        head = question[:2] + struct.pack(">HHHHH", flags, 1, len(records) // 16, 0 if records else 1, 0)
        return head + question[12 : at + 5] + (records or self._authority())

    def _authority(self) -> bytes:
        """The SOA record of the domain, whose last number is for how long there is no such name."""
        zone = b"".join(bytes([len(label)]) + label.encode() for label in DOMAIN.split(".")) + b"\0"
        told = zone + zone + struct.pack(">IIIII", 1, 7200, 1800, 86400, self.ttl)
        return zone + struct.pack(">HHIH", 6, 1, self.ttl, len(told)) + told

    def addresses(self, name: str) -> list[str] | None:
        """None: there is no such name."""
        parts = name.removesuffix("." + DOMAIN).split(".") if name.endswith("." + DOMAIN) else []
        if len(parts) not in (3, 4) or parts[-1] != "svc":
            return None
        service = self._proxy.services.get((parts[-2], parts[-3]))
        if service is None:
            return None
        if len(parts) == 4:
            found = [
                each.address for each in self._behind(service) if (each.hostname, each.subdomain) == tuple(parts[:2])
            ]
            return found or None
        if service.address:
            return [service.address]
        found = [each.address for each in self._behind(service)]
        _CHANCE.shuffle(found)
        return found or None

    def _behind(self, service: Service) -> list[Place]:
        return service.places(self._places)
