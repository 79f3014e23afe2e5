"""One child process of the supervisor: started, listened to, and started again when it ends or hangs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, Self

import orjson

from gateway.core.settings import PREFIX

log: Final = logging.getLogger("gateway.supervisor")
SILENCE: Final = 5.0  # seconds without a sign of life after which a child counts as stuck
STARTUP: Final = 60.0  # seconds until the first one
BACKOFF: Final = 0.2
LONGEST: Final = 10.0  # seconds between two starts of a child that ends again and again
STEADY: Final = 30.0  # seconds of life after which its earlier ends are forgotten

Told = Callable[[Mapping[str, Any]], None]
# What a process that runs the code of others may know of the node's environment.
PLAIN: Final = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "PYTHONPATH", "TMPDIR", "TZ", "VIRTUAL_ENV")


class Given(Protocol):
    """What a start is given: `dump` is written to the child's standard input, `descriptors` are inherited."""

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self: ...

    @property
    def descriptors(self) -> tuple[int, ...]: ...

    def dump(self) -> bytes: ...


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """A child's environment: without our settings, as some are secrets, and a process of the integrators' runs in it.
    It gets all of them through the pipe."""
    return {name: value for name, value in environment.items() if not name.startswith(PREFIX)}


def plain(environment: Mapping[str, str]) -> dict[str, str]:
    """Of a child that runs what nobody vouches for: no credential that the node was started with."""
    return {name: environment[name] for name in PLAIN if name in environment}


class Child:
    """`launch` makes what a start is given; `told` hears the events that the child writes on its standard output."""

    def __init__(
        self,
        name: str,
        module: str,
        launch: Callable[[], Given],
        told: Told | None = None,
        environment: Callable[[Mapping[str, str]], dict[str, str]] = inherited,
    ) -> None:
        self.name = name
        self._module = module
        self._launch = launch
        self._told = told
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self.is_up = False  # it has given a sign of life
        self._deadline = 0.0  # when it counts as stuck, on the loop's clock

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def keep(self) -> None:
        """Starts it, and another when that ends, until `stop`."""
        loop = asyncio.get_running_loop()
        pause = BACKOFF
        while not self._stopping.is_set():
            started = loop.time()
            try:
                pid, code = await self._run()
                ended = f"pid {pid}, exit code {code}"
            except OSError as error:
                code, ended = -1, f"not started: {error}"
            if self._stopping.is_set():
                return
            if not code or loop.time() - started > STEADY:  # told to end, or it was well for a while
                pause = BACKOFF
            log.warning("%s ended (%s); starting another", self.name, ended)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST)

    async def _run(self) -> tuple[int, int]:
        """From its start to its end: process id and exit code."""
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        loop.add_reader(reading, self._heard, reading)
        try:
            self.is_up, self._deadline = False, loop.time() + STARTUP
            process = self._process = await self._spawn(writing)
            if self._stopping.is_set():
                self.signal(signal.SIGTERM)
            await self._listen(process)
            return process.pid, await process.wait()
        finally:
            loop.remove_reader(reading)
            os.close(reading)

    async def _spawn(self, beat: int) -> asyncio.subprocess.Process:
        """Secrets go through the pipe to its standard input, which also tells it when this process is gone."""
        try:
            launch = self._launch().model_copy(update={"beat_fd": beat})
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE if self._told else None,
                pass_fds=launch.descriptors,
                env=self._environment(os.environ),
                start_new_session=True,  # a Ctrl-C of the terminal goes to the supervisor alone
            )
        finally:
            os.close(beat)
        assert process.stdin is not None
        process.stdin.write(launch.dump())
        return process

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None or self._told is None:
            return
        while line := await process.stdout.readline():
            try:
                self._told(orjson.loads(line))
            except Exception:
                log.exception("what %s told could not be used", self.name)

    def _heard(self, pipe: int) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(BlockingIOError):
            if os.read(pipe, 4096):
                self.is_up = True
                self._deadline = loop.time() + SILENCE
            else:
                loop.remove_reader(pipe)  # it ended

    def replace_if_stuck(self, now: float) -> None:
        if self.pid is not None and now > self._deadline:
            log.warning("%s (pid %s) hangs; it is replaced", self.name, self.pid)
            self._deadline = now + STARTUP
            self.signal(signal.SIGKILL)

    def pardon(self, now: float) -> None:
        """The supervisor itself stood still, so silence says nothing."""
        self._deadline = max(self._deadline, now + SILENCE)

    def stop(self) -> None:
        """Asks it to end; no other is started."""
        self._stopping.set()
        self.signal(signal.SIGTERM)

    def kill(self) -> None:
        self._stopping.set()
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        if self.pid is not None and self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)
