"""This machine as the node of a cluster: containers, network, Services, names and policies of one run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, Self

from tests.charts.run import containers, network
from tests.charts.run.containers import Runc
from tests.charts.run.images import Images
from tests.charts.run.names import Names
from tests.charts.run.network import Network
from tests.charts.run.places import Places
from tests.charts.run.pods import Kubelet
from tests.charts.run.policies import Policies
from tests.charts.run.rendered import Objects
from tests.charts.run.services import Proxy

PREFIX: Final = "pst"  # of all that a run makes, then its process id


class Machine:
    """Use as a context: it takes everything away. `delay`: seconds until the rules know of a change."""

    def __init__(self, objects: Objects, delay: float = 1.0) -> None:
        sweep()
        run = f"{PREFIX}{os.getpid()}"
        self.objects = objects
        self.folder = Path(tempfile.mkdtemp(prefix=f"{run}-"))
        self.folder.chmod(0o711)
        self.runc = Runc(run)
        self.network = Network(run)
        self.places = Places(self.network)
        self.policies = Policies()
        self.proxy = Proxy(self.places, self.policies, delay)
        self.names = Names(self.places, self.proxy)
        images = Images(self.folder / "images")
        self.kubelet = Kubelet(self.folder, self.runc, self.places, self.names, objects, images)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Whatever state it is in."""
        pods = list(self.kubelet.pods)
        for pod in pods:
            pod.delete(grace=0)
        for pod in pods:
            pod.gone.wait(15)
        self.names.close()
        self.proxy.close()
        clear(self.runc.name)


def sweep() -> None:
    """Takes away what runs left whose process is gone: killed, they could not."""
    folders = [path.name.partition("-")[0] for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}[0-9]*-*")]
    states = [path.name.removeprefix("penstock-") for path in containers.STATES.glob(f"penstock-{PREFIX}[0-9]*")]
    for run in {*folders, *states}:
        if not Path(f"/proc/{run.removeprefix(PREFIX)}").exists():
            clear(run)


def clear(run: str) -> None:
    """Everything of a run: containers first, then what they stand in."""
    containers.clear(containers.STATES / f"penstock-{run}")
    network.clear(run)
    _cgroups(run)
    for folder in Path(tempfile.gettempdir()).glob(f"{run}-*"):
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unmount(folder: Path) -> None:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for each in sorted((path for path in mounts if path.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", each], capture_output=True, check=False)


def _cgroups(name: str) -> None:
    for root in Path("/sys/fs/cgroup").glob(f"**/penstock-{name}"):
        for each in sorted(root.rglob("*"), reverse=True):
            if each.is_dir():
                each.rmdir()
        root.rmdir()
