"""The one node of the API server's cluster: what it schedules it runs, as tests/charts/run does, and tells its state.

Deployments, ReplicaSets, StatefulSets, Jobs, EndpointSlices are the work of Kubernetes' own controllers; here is what a
scheduler, a kubelet, a proxy and a provisioner of volumes do of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from tests.charts.apiserver.control_plane import Api, Refused
from tests.charts.run.machine import Machine
from tests.charts.run.places import Place, Places
from tests.charts.run.pods import Pod
from tests.charts.run.rendered import Object, Objects
from tests.charts.run.services import Service, service

NAME: Final = "node-1"
_TURN: Final = 0.2
_BEAT: Final = 5.0
_PATHS: Final = {"ConfigMap": "configmaps", "Secret": "secrets"}


class ApiObjects(Objects):
    """ConfigMaps and Secrets as they are in the API server."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__()
        self._api, self._namespace = api, namespace

    def get(self, kind: str, name: str) -> Object:
        try:
            return {"kind": kind, **self._api.get(f"/api/v1/namespaces/{self._namespace}/{_PATHS[kind]}/{name}")}
        except Refused as error:
            if error.status != 404:
                raise
            raise KeyError(f"{kind} {name} is not there") from None

    def has(self, kind: str, name: str) -> bool:
        try:
            self.get(kind, name)
        except KeyError:
            return False
        return True


@dataclass(frozen=True)
class Sliced(Service):
    """A Service whose endpoints are those of its EndpointSlices."""

    addresses: frozenset[str] = field(default=frozenset())

    def places(self, everybody: Places) -> list[Place]:
        return [each for each in everybody if each.address in self.addresses]


class Node(Machine):
    """Turns in a thread of its own from the start to its end; `error` is what went wrong last."""

    def __init__(self, api: Api, namespace: str, delay: float = 0.2) -> None:
        super().__init__(ApiObjects(api, namespace), delay)
        self.api, self.namespace = api, namespace
        self.error: BaseException | None = None
        self._known: dict[str, Pod] = {}
        self._told: dict[str, Object] = {}
        self._beat = 0.0
        self._stop = threading.Event()
        self._register()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        super().close()

    def pod(self, name: str) -> Pod:
        return next(each for each in self._known.values() if each.name == name and not each.gone.is_set())

    def _register(self) -> None:
        metadata = {"name": NAME, "labels": {"kubernetes.io/hostname": NAME, "topology.kubernetes.io/zone": "zone-1"}}
        self.api.ask("POST", "/api/v1/nodes", {"metadata": metadata})

    def _run(self) -> None:
        while not self._stop.wait(_TURN):
            try:
                self._turn()
            except BaseException as error:
                self.error = error

    def _turn(self) -> None:
        if time.monotonic() > self._beat + _BEAT:
            self._beat = time.monotonic()
            self.api.patch(f"/api/v1/nodes/{NAME}/status", {"status": _node_status()})
        self._services()
        self._claims()
        found = {each["metadata"]["uid"]: each for each in self.api.items(f"{self._at}/pods")}
        for uid, pod in found.items():
            self._pod(uid, pod)
        for uid in self._known.keys() - found.keys():
            self._known.pop(uid).delete(grace=0)

    @property
    def _at(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}"

    def _pod(self, uid: str, found: Object) -> None:
        name = found["metadata"]["name"]
        ending = "deletionTimestamp" in found["metadata"]
        pod = self._known.get(uid)
        if pod is None:
            if ending:
                self._forget(uid, name)
                return
            if "nodeName" not in found["spec"]:
                target = {"apiVersion": "v1", "kind": "Node", "name": NAME}
                self.api.ask("POST", f"{self._at}/pods/{name}/binding", {"metadata": {"name": name}, "target": target})
            pod = self._known[uid] = self.kubelet.start(found, self.namespace)
        if ending and not pod.ending:
            pod.delete(found["metadata"].get("deletionGracePeriodSeconds"))
        if pod.gone.is_set():
            if ending:
                self._forget(uid, name)
            return
        status = _pod_status(pod)
        if self._told.get(uid) != status:
            self.api.patch(f"{self._at}/pods/{name}/status", {"status": status})
            self._told[uid] = status

    def _forget(self, uid: str, name: str) -> None:
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
        try:
            self.api.ask("DELETE", f"{self._at}/pods/{name}", options)
        except Refused as error:
            if error.status != 404:
                raise

    def _services(self) -> None:
        slices = self.api.items(f"/apis/discovery.k8s.io/v1/namespaces/{self.namespace}/endpointslices")
        fresh: dict[tuple[str, str], Service] = {}
        for each in self.api.items(f"{self._at}/services"):
            plain = service(each, self.namespace, each["spec"]["clusterIP"])
            found = frozenset(_addresses(slices, plain.name))
            fresh[self.namespace, plain.name] = Sliced(**vars(plain), addresses=found)
        policies = self.api.items(f"/apis/networking.k8s.io/v1/namespaces/{self.namespace}/networkpolicies")
        self.policies.replace(policies, self.namespace)
        if fresh != self.proxy.services:
            self.proxy.services = fresh
        self.proxy.change()

    def _claims(self) -> None:
        """A volume for each claim; the controllers bind the two."""
        for each in self.api.items(f"{self._at}/persistentvolumeclaims"):
            if "volumeName" in each["spec"] or each.get("status", {}).get("phase") == "Bound":
                continue
            name, spec = each["metadata"]["name"], each["spec"]
            volume = {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "storageClassName": spec.get("storageClassName", ""),
                "claimRef": {"namespace": self.namespace, "name": name},
                "hostPath": {"path": str(self.kubelet.claims / name)},
            }
            try:
                self.api.ask("POST", "/api/v1/persistentvolumes", {"metadata": {"name": f"of-{name}"}, "spec": volume})
            except Refused as error:
                if error.status != 409:
                    raise


def _addresses(slices: list[Object], name: str) -> Iterator[str]:
    for each in slices:
        if each["metadata"]["labels"]["kubernetes.io/service-name"] == name:
            for endpoint in each.get("endpoints") or []:
                if endpoint["conditions"].get("ready"):
                    yield from endpoint["addresses"]


def _now() -> str:
    return _stamp(datetime.now(UTC))


def _stamp(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _node_status() -> Object:
    room = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _now()}
    return {"capacity": room, "allocatable": room, "conditions": [condition]}


def _pod_status(pod: Pod) -> Object:
    """As a kubelet tells it, as far as controllers ask: those of Deployments for how long a pod has been ready."""
    since = _stamp(datetime.fromtimestamp(pod.place.since, UTC))
    over = pod.phase in ("Succeeded", "Failed")
    ready = pod.ready and not over
    started = pod.phase != "Pending"
    conditions = [
        {"type": name, "status": "True" if holds else "False", "lastTransitionTime": since}
        for name, holds in (
            ("PodScheduled", True),
            ("Initialized", started),
            ("ContainersReady", ready),
            ("Ready", ready),
        )
    ]
    return {
        "phase": pod.phase,
        "podIP": pod.place.address,
        "podIPs": [{"ip": pod.place.address}],
        "hostIP": "10.244.0.1",
        "conditions": conditions,
        "containerStatuses": [_container_status(pod, each, ready) for each in pod.spec["containers"]],
    }


def _container_status(pod: Pod, container: Object, ready: bool) -> Object:
    state: dict[str, Any] = {"waiting": {"reason": "ContainerCreating", "message": pod.why}}
    if pod.phase in ("Succeeded", "Failed"):
        code = next((code for name, code in reversed(pod.codes) if name == container["name"]), 1)
        state = {"terminated": {"exitCode": code, "reason": "Completed" if code == 0 else "Error"}}
    elif pod.phase == "Running":
        state = {"running": {}}
    return {
        "name": container["name"],
        "ready": ready,
        "started": pod.phase == "Running",
        "restartCount": pod.restarts,
        "image": container["image"],
        "imageID": container["image"],
        "state": state,
    }
