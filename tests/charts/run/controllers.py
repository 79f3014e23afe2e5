"""What a cluster's controllers do with a Deployment, a StatefulSet and a Job, in short: they start and end pods.

They stand in where no API server is built; `make chart-apply` has the real ones.
"""

from __future__ import annotations

import copy
import itertools
import math
import secrets
import threading
import time
from typing import Final, Protocol

from tests.charts.run.pods import Kubelet, Pod
from tests.charts.run.rendered import Object, digest

HASH: Final = "pod-template-hash"
_TURN: Final = 0.1


class Controller(Protocol):
    pods: list[Pod]

    def turn(self) -> None: ...


class Deployment:
    """Rolls out as maxSurge and maxUnavailable allow, by pods that have been ready for minReadySeconds."""

    def __init__(self, found: Object, kubelet: Kubelet, namespace: str) -> None:
        self.object, self._kubelet, self._namespace = found, kubelet, namespace
        self.pods: list[Pod] = []
        self.replicas = int(found["spec"].get("replicas", 1))
        self.least, self.most = 10**6, 0  # ready pods, and pods, seen while it rolled
        self._since: dict[str, float] = {}  # when each pod became ready

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    def apply(self, found: Object) -> None:
        self.object = found
        self.replicas = int(found["spec"].get("replicas", self.replicas))

    def restart(self) -> None:
        """As `kubectl rollout restart`."""
        found = copy.deepcopy(self.object)
        annotations = found["spec"]["template"]["metadata"].setdefault("annotations", {})
        annotations["kubectl.kubernetes.io/restartedAt"] = secrets.token_hex(4)
        self.object = found

    def turn(self) -> None:
        self.pods = [each for each in self.pods if not each.gone.is_set()]
        standing = [each for each in self.pods if not each.ending]
        wanted = digest(self.object["spec"]["template"])
        current = [each for each in standing if each.labels[HASH] == wanted]
        old = [each for each in standing if each.labels[HASH] != wanted]
        surge, unavailable = self._bounds()
        available = self._available(standing)
        if len(current) < self.replicas and len(standing) < self.replicas + (surge if old else 0):
            self._start(wanted)
        elif len(current) > self.replicas:
            min(current, key=lambda each: (each.ready, -each.began)).delete()
        ready = len(available)
        for each in sorted(old, key=lambda each: each.name in available):
            if each.name in available:
                if ready <= self.replicas - unavailable:
                    break
                ready -= 1
            each.delete()
        self.least, self.most = min(self.least, ready), max(self.most, len(standing))

    def _available(self, standing: list[Pod]) -> set[str]:
        now, needed = time.monotonic(), float(self.object["spec"].get("minReadySeconds", 0))
        self._since = {each.name: self._since.get(each.name, now) for each in standing if each.ready}
        return {name for name, since in self._since.items() if now - since >= needed}

    def settled(self) -> bool:
        """Only pods of the present template, all of them ready, and none that is ending."""
        wanted = digest(self.object["spec"]["template"])
        good = {each.name for each in self.pods if each.labels[HASH] == wanted and each.ready and not each.ending}
        needed, now = float(self.object["spec"].get("minReadySeconds", 0)), time.monotonic()
        held = [name for name in good if now - self._since.get(name, now) >= needed]
        return len(held) == len(self.pods) == self.replicas

    def _bounds(self) -> tuple[int, int]:
        rolling = (self.object["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        surge = _share(rolling.get("maxSurge", "25%"), self.replicas, math.ceil)
        return surge, _share(rolling.get("maxUnavailable", "25%"), self.replicas, math.floor)

    def _start(self, wanted: str) -> None:
        template = copy.deepcopy(self.object["spec"]["template"])
        metadata = template["metadata"]
        metadata["name"] = f"{self.name}-{wanted}-{secrets.token_hex(3)[:5]}"
        metadata["labels"][HASH] = wanted
        self.pods.append(self._kubelet.start(template, self._namespace))


def _share(given: int | str, replicas: int, rounded: object) -> int:
    if isinstance(given, int):
        return given
    share = int(given.removesuffix("%")) * replicas / 100
    return math.ceil(share) if rounded is math.ceil else math.floor(share)


class StatefulSet:
    """Pods with names of their own, one after the other, each with its claims; it keeps them over restarts."""

    def __init__(self, found: Object, kubelet: Kubelet, namespace: str) -> None:
        self.object, self._kubelet, self._namespace = found, kubelet, namespace
        self.pods: list[Pod] = []

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    def apply(self, found: Object) -> None:
        self.object = found

    def restart(self) -> None:
        self.object = copy.deepcopy(self.object)
        metadata = self.object["spec"]["template"]["metadata"]
        metadata.setdefault("annotations", {})["kubectl.kubernetes.io/restartedAt"] = secrets.token_hex(4)

    def turn(self) -> None:
        self.pods = [each for each in self.pods if not each.gone.is_set()]
        spec = self.object["spec"]
        wanted = digest(spec["template"])
        by_name = {each.name: each for each in self.pods}
        for number in range(int(spec.get("replicas", 1))):
            pod = by_name.get(f"{self.name}-{number}")
            if pod is None:
                self._start(number, wanted)
                return
            if pod.ending or not pod.ready:
                return
        for pod in reversed(self.pods):
            if pod.labels["controller-revision-hash"] != wanted:
                pod.delete()
                return

    def settled(self) -> bool:
        wanted = digest(self.object["spec"]["template"])
        standing = [each for each in self.pods if each.ready and not each.ending]
        good = [each for each in standing if each.labels["controller-revision-hash"] == wanted]
        return len(good) == len(self.pods) == int(self.object["spec"].get("replicas", 1))

    def _start(self, number: int, wanted: str) -> None:
        template = copy.deepcopy(self.object["spec"]["template"])
        metadata, spec = template["metadata"], template["spec"]
        metadata["name"] = spec["hostname"] = f"{self.name}-{number}"
        metadata["labels"]["controller-revision-hash"] = wanted
        spec["subdomain"] = self.object["spec"]["serviceName"]
        for claim in self.object["spec"].get("volumeClaimTemplates") or []:
            name = claim["metadata"]["name"]
            source = {"claimName": f"{name}-{self.name}-{number}"}
            spec.setdefault("volumes", []).append({"name": name, "persistentVolumeClaim": source})
        self.pods.append(self._kubelet.start(template, self._namespace))


class Job:
    """One pod after another until one succeeds, `backoffLimit` times again."""

    def __init__(self, found: Object, kubelet: Kubelet, namespace: str) -> None:
        self.object, self._kubelet, self._namespace = found, kubelet, namespace
        self.pods: list[Pod] = []
        self._numbers = itertools.count()
        self.tried: list[str] = []  # what each pod said
        self.state = "Running"  # Complete, Failed

    def turn(self) -> None:
        if self.state != "Running":
            return
        if self.pods and self.pods[-1].phase in ("Succeeded", "Failed") and not self.pods[-1].ending:
            pod = self.pods[-1]
            self.tried.append(pod.text() or pod.why)
            if pod.phase == "Succeeded":
                self.state = "Complete"
            elif len(self.tried) > int(self.object["spec"].get("backoffLimit", 6)):
                self.state = "Failed"
            pod.delete()
        elif all(each.gone.is_set() for each in self.pods):
            template = copy.deepcopy(self.object["spec"]["template"])
            template["metadata"]["name"] = f"{self.object['metadata']['name']}-{next(self._numbers)}"
            self.pods.append(self._kubelet.start(template, self._namespace))


class Loop:
    """Turns all controllers in a thread of its own."""

    def __init__(self) -> None:
        self.all: list[Controller] = []
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.wait(_TURN):
            for each in list(self.all):
                try:
                    each.turn()
                except BaseException as error:
                    self.error = error
