"""One request to a policy in an isolated runtime, started for it alone: what `penstock policies test` shows."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.core.policy_code import Request
from gateway.core.settings import Settings
from gateway.runtime.hosts import Asking
from gateway.runtime.policy_messages import request_message
from gateway.server.child import plain
from gateway.server.policy_host import HostLaunch

LIMIT: Final = 1_048_576


class TrialFailed(Exception):
    """The policy does not run isolated; the text says why."""


def ask_once(package: str, policy: str, settings: Mapping[str, Any], folder: Path) -> None:
    """TrialFailed when the runtime cannot be started, refuses the settings, or the policy fails in it. A request that
    the policy itself refuses is none of these."""
    with _host(package, folder) as path, Asking(path, LIMIT) as host:
        told = host.ask({"do": "make", "policy": policy, "config": "trial", "settings": settings})
        if "unfit" in told:
            raise TrialFailed(str(told["unfit"]))
        request = request_message(Request("GET", "/", id="trial", body=b""))
        told = host.ask({"do": "request", "policy": policy, "config": "trial", "request": request})
        if "failed" in told:
            raise TrialFailed(f"{told['failed']}; the lines above tell more")


@contextlib.contextmanager
def _host(package: str, folder: Path) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="penstock-") as name:
        path = Path(name) / "host.sock"
        memory = Settings.model_fields["policies_memory"].default
        given = HostLaunch(package=package, socket=path, limit=LIMIT, memory=memory, log_level="warning")
        environment = plain(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), environment.get("PYTHONPATH", "")]))
        with subprocess.Popen(
            [sys.executable, "-m", "gateway.server.policy_host"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(given.dump())
                process.stdin.flush()
                event = orjson.loads(process.stdout.readline() or b'{"event": "failed", "text": "it ended at once"}')
                if event["event"] == "failed":
                    raise TrialFailed(event["text"])
                yield str(path)
            finally:
                process.terminate()
