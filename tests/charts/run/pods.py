"""A pod's life, as a kubelet leads it: volumes, init containers in turn, containers, probes, restarts, an end.

The end: out of the endpoints and preStop and SIGTERM at one time, SIGKILL after terminationGracePeriodSeconds.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.charts.run import bundle
from tests.charts.run.containers import Container, Runc
from tests.charts.run.environment import environment
from tests.charts.run.images import Images
from tests.charts.run.names import Names
from tests.charts.run.places import Place, Places
from tests.charts.run.probes import Outcome, Probes, Target
from tests.charts.run.rendered import Object, Objects
from tests.charts.run.volumes import Volumes

_TURN: Final = 0.05
_BACKOFF: Final = 0.5  # seconds before a restart, doubled up to 8; a kubelet begins with 10
_numbers: Final = itertools.count(1)


class Kubelet:
    """What all pods of a run share."""

    def __init__(
        self, folder: Path, runc: Runc, places: Places, names: Names, objects: Objects, images: Images
    ) -> None:
        self.folder, self.runc, self.places, self.names = folder, runc, places, names
        self.objects, self.images = objects, images
        self.claims = folder / "claims"
        self.pods: list[Pod] = []

    def start(self, pod: Object, namespace: str) -> Pod:
        self.pods = [each for each in self.pods if not each.gone.is_set()]
        self.pods.append(Pod(self, pod, namespace))
        return self.pods[-1]


class Running:
    """A started container with its probes."""

    def __init__(self, pod: Pod, spec: Object) -> None:
        self.spec = spec
        self.container = pod.container(spec)
        ports = {each["name"]: each["containerPort"] for each in spec.get("ports") or [] if "name" in each}
        target = Target(pod.kubelet.places.network.node, pod.place.address, ports, self.container)
        self.probes = Probes(spec, target)
        self.outcome = Outcome(False, False)


class Pod:
    """A started one. `phase`: Pending, Running, Succeeded, Failed; `why` says what keeps it."""

    def __init__(self, kubelet: Kubelet, pod: Object, namespace: str) -> None:
        self.kubelet, self.spec = kubelet, pod["spec"]
        self.object: Object = {
            **pod,
            "metadata": {**pod["metadata"], "namespace": namespace, "uid": f"pod-{next(_numbers)}"},
            "status": {},
        }
        self.name: str = pod["metadata"]["name"]
        self.labels: dict[str, str] = pod["metadata"].get("labels") or {}
        self.folder = kubelet.folder / "pods" / f"{self.name}-{next(_numbers)}"
        self.log = self.folder / "log"
        self.phase, self.why = "Pending", ""
        self.began = time.monotonic()
        self.ready_after: float | None = None
        self.ended_after: float | None = None  # seconds from the order to end
        self.codes: list[tuple[str, int]] = []  # of containers that ended
        self.restarts = 0
        self.killed = False  # by the grace period's end
        self.running: list[Running] = []
        self.volumes: Volumes | None = None
        self.place = self._place(namespace)
        self._stop = threading.Event()
        self._grace: float | None = None
        self.gone = threading.Event()
        self._thread = threading.Thread(target=self._live, daemon=True, name=self.name)
        self._thread.start()

    @property
    def ready(self) -> bool:
        return self.place.ready

    @property
    def ending(self) -> bool:
        return self._stop.is_set()

    def delete(self, grace: float | None = None) -> None:
        """Orders its end; `gone` is set when it has come."""
        self._grace = grace
        self.kubelet.places.set(self.place, gone=True)
        self._stop.set()

    def execute(self, *command: str, container: str = "", timeout: float = 30.0) -> tuple[int, str]:
        found = next(each for each in self.running if container in ("", each.spec["name"]))
        return found.container.execute(command, timeout)

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def container(self, spec: Object) -> Container:
        """Starts one."""
        kubelet = self.kubelet
        variables = environment(spec, self.object, kubelet.objects)
        assert self.volumes is not None
        name = f"{self.folder.name}-{spec['name']}-{next(_numbers)}"
        config = bundle.config(
            self.object,
            spec,
            kubelet.images.of(spec["image"]),
            variables,
            self.volumes.paths,
            self._files(),
            self.place.link.path,
            f"/penstock-{kubelet.runc.name}/{name}",
        )
        return Container(kubelet.runc, name, self.folder / "bundles" / name, config, self.log)

    def _place(self, namespace: str) -> Place:
        link = self.kubelet.places.network.join()
        ports = {
            each["name"]: each["containerPort"]
            for container in self.spec["containers"]
            for each in container.get("ports") or []
            if "name" in each
        }
        hostname, subdomain = self.spec.get("hostname", self.name), self.spec.get("subdomain", "")
        self.object["status"]["podIP"] = link.address
        self.object["status"]["hostIP"] = "10.244.0.1"
        return self.kubelet.places.join(Place(self.name, namespace, self.labels, link, ports, hostname, subdomain))

    def _files(self) -> dict[str, Path]:
        """What the kubelet itself puts into /etc."""
        own = {
            "/etc/hosts": f"127.0.0.1 localhost\n::1 localhost\n{self.place.address} {self.name}\n",
            "/etc/hostname": f"{self.name}\n",
            "/etc/resolv.conf": self.kubelet.names.resolver(self.place.namespace),
        }
        paths = {}
        for at, text in own.items():
            path = self.folder / Path(at).name
            path.write_text(text)
            paths[at] = path
        return paths

    def _live(self) -> None:
        self.folder.mkdir(parents=True)
        try:
            if self._prepared() and self._initialised():
                self.phase = "Running"
                self._serve()
            self._end()
        except BaseException as error:
            self.phase, self.why = "Failed", repr(error)
            self.kubelet.places.set(self.place, ready=False)
            self._stop.wait()
        finally:
            self._clear()

    def _prepared(self) -> bool:
        """Waits for ConfigMaps and Secrets that are not there yet, as a kubelet does."""
        while not self._stop.is_set():
            try:
                self.volumes = Volumes(self.object, self.kubelet.objects, self.folder / "volumes", self.kubelet.claims)
                for each in self.spec["containers"]:
                    environment(each, self.object, self.kubelet.objects)
            except KeyError as error:
                self.why = str(error)
                self._stop.wait(0.2)
            else:
                self.why = ""
                return True
        return False

    def _initialised(self) -> bool:
        for spec in self.spec.get("initContainers") or []:
            while (code := self._finished(spec)) != 0:
                if self._stop.is_set():
                    return False
                self.why = f"{spec['name']} ended with {code}: {self.text()[-300:]}"
                if self.spec.get("restartPolicy", "Always") == "Never":
                    self.phase = "Failed"
                    return False
                self._stop.wait(_BACKOFF)
        return not self._stop.is_set()

    def _finished(self, spec: Object) -> int:
        container = self.container(spec)
        try:
            while not container.ended.wait(_TURN):
                if self._stop.is_set():
                    container.kill("KILL")
        finally:
            container.remove()
        assert container.code is not None
        return container.code

    def _serve(self) -> None:
        self.running = [Running(self, spec) for spec in self.spec["containers"]]
        while not self._stop.wait(_TURN):
            for number, each in enumerate(self.running):
                self.running[number] = self._turn(each)
            if self.phase != "Running":
                return
            if all(each.outcome.ready for each in self.running) and self.ready_after is None:
                self.ready_after = time.monotonic() - self.began
            self.kubelet.places.set(self.place, ready=all(each.outcome.ready for each in self.running))

    def _turn(self, running: Running) -> Running:
        if running.container.ended.is_set():
            return self._ended(running)
        running.outcome = running.probes.turn()
        if running.outcome.failed:
            self.why = running.outcome.failed
            running.container.kill("TERM")
            if not running.container.ended.wait(self._allowed()):
                running.container.kill("KILL")
                running.container.ended.wait(10)
        return running

    def _ended(self, running: Running) -> Running:
        code = running.container.code
        assert code is not None
        self.codes.append((running.spec["name"], code))
        running.container.remove()
        running.outcome = Outcome(False, False)
        self.kubelet.places.set(self.place, ready=False)
        policy = self.spec.get("restartPolicy", "Always")
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            self.phase = "Failed" if code else "Succeeded"
            return running
        self.why = f"{running.spec['name']} ended with {code}: {self.text()[-300:]}"
        self.restarts += 1
        if self._stop.wait(min(8.0, _BACKOFF * 2**self.restarts)):
            return running
        return Running(self, running.spec)

    def _allowed(self) -> float:
        return float(self.spec.get("terminationGracePeriodSeconds", 30))

    def _end(self) -> None:
        """Waits for the order; then preStop and SIGTERM, and SIGKILL for what is still there."""
        if self.phase in ("Succeeded", "Failed"):
            self.kubelet.places.set(self.place, ready=False)
        self._stop.wait()
        began = time.monotonic()
        until = began + (self._allowed() if self._grace is None else self._grace)
        left = [each for each in self.running if not each.container.ended.is_set()]
        threads = [threading.Thread(target=self._ask_to_end, args=(each, until), daemon=True) for each in left]
        for thread in threads:
            thread.start()
        for each in left:
            if not each.container.ended.wait(max(0.0, until - time.monotonic())):
                self.killed = True
                each.container.kill("KILL")
                each.container.ended.wait(10)
            if each.container.code is not None:
                self.codes.append((each.spec["name"], each.container.code))
        self.ended_after = time.monotonic() - began

    def _ask_to_end(self, running: Running, until: float) -> None:
        hook = (running.spec.get("lifecycle") or {}).get("preStop") or {}
        if command := (hook.get("exec") or {}).get("command"):
            running.container.execute(command, max(0.1, until - time.monotonic()))
        elif sleep := hook.get("sleep"):
            running.container.ended.wait(min(float(sleep["seconds"]), until - time.monotonic()))
        running.container.kill("TERM")

    def _clear(self) -> None:
        for each in self.running:
            each.container.remove()
        self.kubelet.places.leave(self.place)
        if self.volumes is not None:
            self.volumes.close()
        self.gone.set()


def all_of(pods: list[Pod], check: Callable[[Pod], bool]) -> bool:
    return bool(pods) and all(map(check, pods))
