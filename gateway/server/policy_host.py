"""The process of an isolated runtime: imports one package, tells the supervisor of its policies, and runs them.

It is given no secret of the node, and none of its environment but what `child.plain` leaves. Its memory is limited, it
writes no core, and what its code prints goes to the log.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict

from gateway.core.findings import DocumentsRefused
from gateway.runtime.host import Host
from gateway.runtime.policies import PythonPolicy, load_policies
from gateway.server import launch
from gateway.server.logs import configure

OPEN_FILES: Final = 1024
GRACE: Final = 2.0  # seconds for what runs when it is told to end


class HostLaunch(BaseModel):
    """`taken` are names that other kinds have; `limit` bounds bodies, `memory` the process, in bytes."""

    model_config = ConfigDict(frozen=True)

    package: str
    socket: Path
    taken: tuple[str, ...] = ()
    limit: int
    memory: int
    log_level: str = "info"
    log_format: str = "text"
    beat_fd: int = -1

    @property
    def descriptors(self) -> tuple[int, ...]:
        return (self.beat_fd,) if self.beat_fd >= 0 else ()

    def dump(self) -> bytes:
        return self.model_dump_json().encode() + b"\n"


def read() -> HostLaunch:
    first = sys.stdin.buffer.readline()
    if not first:
        sys.exit("This process is started by a supervisor: penstock serve --policies-code PACKAGE.")
    return HostLaunch.model_validate_json(first)


def confine(memory: int) -> None:
    """Limits that the code in this process cannot lift."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
    os.umask(0o077)


def events() -> int:
    """Standard output is for the supervisor alone: what the package prints joins the log."""
    told = os.dup(1)
    os.set_inheritable(told, False)
    os.dup2(2, 1)
    return told


def tell(told: int, **event: Any) -> None:
    os.write(told, orjson.dumps(event) + b"\n")


async def serve(given: HostLaunch, policies: dict[str, PythonPolicy], told: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await Host(policies, given.limit).listen(given.socket)
    beating = asyncio.create_task(launch.beat(given.beat_fd))
    tell(told, event="hosted", policies=[each.described() for each in policies.values()])
    await stop.wait()
    server.close()
    beating.cancel()


def main() -> None:
    given, told = read(), events()
    confine(given.memory)
    configure(f"policies {given.package}", given.log_level, given.log_format)
    launch.end_with_supervisor(GRACE)
    try:
        policies = load_policies([given.package], given.taken)
    except DocumentsRefused as error:
        tell(told, event="failed", text=f"The policies of {given.package} cannot be hosted:\n{error}")
        sys.exit(1)
    if not policies:
        text = f"The package {given.package} has no class marked with `policy_kind`; name another in --policies-code."
        tell(told, event="failed", text=text)
        sys.exit(1)
    asyncio.run(serve(given, policies, told))


if __name__ == "__main__":
    main()
