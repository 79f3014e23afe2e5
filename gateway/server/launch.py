"""What the supervisor hands to a child: plain JSON on its standard input, so that no secret stands in its arguments or
its environment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
from itertools import chain
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict

from gateway.core.secrets import Secret
from gateway.core.settings import Settings
from gateway.runtime.hosts import Hosted
from gateway.server.tls_files import Material

PASSWORDS: Final = ("store_password", "sentinel_password")  # which stand in the store's URL by now
TOKENS: Final = ("admin_token", "viewer_token")  # settings that the control process makes admin tokens of
# Settings that only the pipe of a child gets.
_SECRET: Final = (*TOKENS, "admin_oidc_client_secret", "otlp_headers", "runtime_token")
BEAT: Final = 0.5  # seconds between signs of life


class Launch(BaseModel):
    """`gateway_fds` are inherited listening sockets, for each listener this worker's own first; `admin_fd` likewise.
    `probe_fd` is of the private socket through which a node asks itself where no listener lets it. `places` are where
    the listeners listen indeed, `tls` what their certificate files held when they last held something good. `beat_fd`
    is the pipe on which a child's loop tells that it turns. `run` is made anew by each supervisor: a worker that
    outlived its own is told from one of this node. `first` is False for a control process that replaces another."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    settings: Settings
    run: str = ""
    first: bool = True
    store_url: str
    data: Path
    control_socket: Path
    node: str
    places: tuple[str, ...]
    admin_port: int
    metrics_place: str = ""
    gateway_fds: tuple[tuple[int, ...], ...] = ()
    probe_fd: int = -1
    admin_fd: int = -1
    metrics_fd: int = -1
    beat_fd: int = -1
    key_secret: Secret
    tls: tuple[Material | None, ...] = ()
    index: int = 0
    hosted: tuple[Hosted, ...] = ()  # packages whose policies run in processes of their own

    def dump(self) -> bytes:
        """The one place that writes secrets out: into the pipe of a child."""
        return self.model_dump_json(exclude={"settings", "key_secret", "tls"}).encode() + b"\n" + _revealed(self)

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What the child inherits."""
        given = [*chain.from_iterable(self.gateway_fds), self.probe_fd, self.admin_fd, self.metrics_fd, self.beat_fd]
        return tuple(fd for fd in given if fd >= 0)


def _revealed(launch: Launch) -> bytes:
    settings = launch.settings.model_dump(mode="json", exclude={"key_secret", *PASSWORDS, *_SECRET})
    extra: dict[str, Any] = {
        "settings": settings,
        "key_secret": launch.key_secret.reveal(),
        **{name: secret and secret.reveal() for name in _SECRET for secret in [getattr(launch.settings, name)]},
        "tls": [material and material.reveal() for material in launch.tls],
    }
    return orjson.dumps(extra) + b"\n"


def end_with_supervisor(grace: float) -> None:
    """Ends this process when its supervisor is gone, however that happened: standard input is a pipe that only the
    supervisor holds. A thread, so that a blocked loop cannot keep a process alive; `grace` in seconds."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-supervisor", daemon=True).start()


def read() -> Launch:
    """What the supervisor wrote to this process."""
    first = sys.stdin.buffer.readline()
    if not first:
        sys.exit("This process is started by a supervisor: penstock serve.")
    plain = orjson.loads(first)
    extra = orjson.loads(sys.stdin.buffer.readline())
    secrets = {name: extra[name] and Secret(extra[name]) for name in _SECRET}
    settings = Settings.model_validate({**extra["settings"], **secrets})
    tls = tuple(material and Material.load(material) for material in extra["tls"])
    return Launch.model_validate({**plain, "settings": settings, "key_secret": Secret(extra["key_secret"]), "tls": tls})


async def beat(descriptor: int) -> None:
    """A byte for each half second in which the loop turned. The supervisor replaces a child that stays silent."""
    while True:
        with contextlib.suppress(BlockingIOError):
            os.write(descriptor, b".")
        await asyncio.sleep(BEAT)
