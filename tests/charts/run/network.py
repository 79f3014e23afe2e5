"""Network namespaces of a run: one for the node, one for each pod, joined by nothing but what is made here.

Each pod has one address and a link to the node's namespace, which routes: packets between pods pass its rules, as with
a routing network of a cluster. No link leads to this machine's own network.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

NODE: Final = "10.244.0.1"
SERVICES: Final = "10.96.0.0/24"
_NAMED: Final = Path("/run/netns")
_CLONE_NEWNET: Final = 0x40000000
_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Link:
    """A pod's place in the network."""

    namespace: str
    address: str
    device: str  # its end in the node's namespace

    @property
    def path(self) -> Path:
        return _NAMED / self.namespace


class Network:
    """`clear` takes its namespaces away."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.node = f"{prefix}-node"
        self._numbers = itertools.count(2)
        self._lock = threading.Lock()
        self._links: dict[str, Link] = {}
        _ip(f"netns add {self.node}")
        run_in(self.node, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        _ip("link set lo up", f"address add {NODE}/32 dev lo", at=self.node)

    def join(self) -> Link:
        """A namespace for another pod."""
        with self._lock:
            number = next(self._numbers)
        link = Link(f"{self.prefix}-{number}", f"10.244.{number // 250}.{number % 250}", f"pod{number}")
        _ip(
            f"netns add {link.namespace}",
            f"link add {link.device} netns {self.node} type veth peer name eth0 netns {link.namespace}",
        )
        _ip(f"link set {link.device} up", f"route add {link.address}/32 dev {link.device}", at=self.node)
        run_in(self.node, "sysctl", "-q", "-w", f"net.ipv4.conf.{link.device}.proxy_arp=1")
        _ip(
            "link set lo up",
            "link set eth0 up",
            f"address add {link.address}/32 dev eth0",
            f"route add {NODE}/32 dev eth0 scope link",
            f"route add default via {NODE} dev eth0",
            at=link.namespace,
        )
        with self._lock:
            self._links[link.namespace] = link
        return link

    def leave(self, link: Link) -> None:
        with self._lock:
            found = self._links.pop(link.namespace, None)
        if found:
            subprocess.run(["ip", "netns", "delete", link.namespace], capture_output=True, check=False)

    def rules(self, text: str) -> None:
        """Loads rules into the node's namespace, in one transaction."""
        run_in(self.node, "nft", "-f", "-", given=text)


def run_in(namespace: str, *command: str, given: str = "") -> str:
    """A program's standard output. AssertionError with its error."""
    done = subprocess.run(
        ["ip", "netns", "exec", namespace, *command], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}\n{given}"
    return done.stdout


def socket_in(namespace: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
    """A socket of that namespace. It stays one when it is used by a thread of another."""
    with open("/proc/thread-self/ns/net", "rb") as own, open(_NAMED / namespace, "rb") as other:
        _enter(other.fileno())
        try:
            return socket.socket(socket.AF_INET, kind)
        finally:
            _enter(own.fileno())


def connect_in(namespace: str, address: tuple[str, int], timeout: float) -> socket.socket:
    """OSError, as any connection."""
    found = socket_in(namespace)
    try:
        found.settimeout(timeout)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.connect(address)
    except BaseException:
        found.close()
        raise
    return found


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*lines: str, at: str = "") -> None:
    command = ["ip", *(["-n", at] if at else []), "-batch", "-"]
    done = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{lines}: {done.stderr}"


def clear(prefix: str) -> None:
    """Takes a run's namespaces away, and with them their links and rules."""
    for path in _NAMED.glob(f"{prefix}-*") if _NAMED.exists() else ():
        subprocess.run(["ip", "netns", "delete", path.name], capture_output=True, check=False)
