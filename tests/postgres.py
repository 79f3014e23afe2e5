"""A PostgreSQL of the tests' own, of the machine's packages: one for each module that asks, gone with it.

It does not run as root, so that a test process which is root gives it to another user. Where there is none, tests are
skipped, unless PENSTOCK_REQUIRE_POSTGRES says that it has to be there.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.servers import free_port

USER, PASSWORD = "penny", "planted:pass/word"
WAIT = 60.0  # seconds that only a failing start reaches


def _programs() -> Path | None:
    """The folder of `initdb` and `postgres`: Debian keeps them out of the way, by version."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[4]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return None if there is None else Path(there).resolve().parent


PROGRAMS = _programs()
MISSING = "" if PROGRAMS is not None else "PostgreSQL is not installed"
if MISSING and os.environ.get("PENSTOCK_REQUIRE_POSTGRES"):
    raise RuntimeError(MISSING)
needed = pytest.mark.skipif(bool(MISSING), reason=MISSING)


@dataclass(frozen=True)
class Postgres:
    port: int

    def url(self, scheme: str = "postgresql", password: str = "planted%3Apass%2Fword") -> str:
        return f"{scheme}://{USER}:{password}@127.0.0.1:{self.port}/postgres"

    def run(self, *statements: str) -> None:
        async def all_of_them() -> None:
            connection = await self.connect()
            try:
                for each in statements:
                    await connection.execute(each)
            finally:
                await connection.close()

        asyncio.run(all_of_them())

    async def connect(self) -> Any:
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=USER, password=PASSWORD, database="postgres", ssl=False
        )


def _owner() -> tuple[int, int] | None:
    if os.geteuid():
        return None
    names = [each.pw_name for each in pwd.getpwall()]
    found = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return found.pw_uid, found.pw_gid


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    assert PROGRAMS is not None
    folder, owner = Path(tempfile.mkdtemp(prefix="penstock-pg-")), _owner()
    given: dict[str, Any] = {} if owner is None else {"user": owner[0], "group": owner[1], "extra_groups": []}
    secret = folder / "password"
    secret.write_text(PASSWORD)
    if owner is not None:
        for path in (folder, secret):
            os.chown(path, *owner)
    data, port = folder / "data", free_port()
    made = [PROGRAMS / "initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}"]
    subprocess.run([*made, "--no-sync", "-E", "UTF8"], check=True, capture_output=True, cwd=folder, **given)
    options = ["listen_addresses=127.0.0.1", f"unix_socket_directories={folder}", "fsync=off"]
    command = [PROGRAMS / "postgres", "-D", data, "-p", str(port), *(part for each in options for part in ("-c", each))]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **given)
    try:
        server = Postgres(port)
        _answers(server, process, folder / "log")
        yield server
    finally:
        process.send_signal(signal.SIGINT)  # fast: it waits for no client
        process.wait(WAIT)
        shutil.rmtree(folder)


def _answers(server: Postgres, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + WAIT
    while True:
        try:
            server.run("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        else:
            return
