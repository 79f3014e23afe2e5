"""One base root and one built image for a whole run of tests, however many processes share it."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.image.building import Build, Image, bootstrap
from tests.image.container import Container

NEEDED = ("debootstrap", "unshare", "nsenter", "setpriv", "chroot")


def _missing() -> str | None:
    if os.geteuid() != 0:
        return "a root file system is made by root alone"
    if lacking := [each for each in NEEDED if shutil.which(each) is None]:
        return f"not installed: {', '.join(lacking)}"
    tried = subprocess.run(["unshare", "--mount", "--pid", "--net", "--fork", "true"], capture_output=True, check=False)
    return None if not tried.returncode else "this machine gives no namespaces"


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """All stages of the Dockerfile, run; the first process that asks does it, the others wait."""
    reason = _missing()
    if reason is not None:
        assert not os.environ.get("PENSTOCK_REQUIRE_IMAGE"), reason
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "image"
    shared.mkdir(exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = shared / "build.pickle"
        if not done.exists():
            bootstrap(shared / "base")
            build = Build(shared / "base", shared)
            build.run()
            done.write_bytes(pickle.dumps(build))
        build = pickle.loads(done.read_bytes())
    assert isinstance(build, Build)
    return build


@pytest.fixture(scope="session")
def image(built: Build) -> Image:
    return list(built.images.values())[-1]


@pytest.fixture
def start(image: Image, tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Starts a container: command and environment as of `docker run`, `at` its volume. The end is the test's."""
    started: list[Container] = []

    def begin(*command: str, at: Path | None = None, **environment: str) -> Container:
        container = Container(image, at or tmp_path / f"data{len(started)}", command or None, environment)
        started.append(container)
        return container.__enter__()

    yield begin
    for each in started:
        each.__exit__()
