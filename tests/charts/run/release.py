"""A release of the chart, running on this machine: `with Release(values) as release:` installs it and takes it away.

What helm would do is in `install` and `upgrade`; what a cluster would do is in the modules beside this one.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tests.charts.run.controllers import Deployment, Job, Loop, StatefulSet
from tests.charts.run.environment import data
from tests.charts.run.machine import Machine
from tests.charts.run.pods import Pod
from tests.charts.run.probes import wait
from tests.charts.run.rendered import Object, Objects, hooks, plain, render

NAMESPACE: Final = "apis"
_CONTROLLED: Final = {"Deployment": Deployment, "StatefulSet": StatefulSet}
_RESTARTS: Final = 3  # of a pod that does not come up
_PATIENCE: Final = 120.0  # seconds that only a failure reaches


class Release(Machine):
    """`delay`: seconds until the node's rules know of a change, as in a cluster."""

    def __init__(self, values: Iterable[Path], name: str = "shop", delay: float = 1.0) -> None:
        super().__init__(Objects(), delay)
        self.name, self._values = name, list(values)
        self.loop = Loop()
        self.sets: dict[str, Deployment | StatefulSet] = {}
        self.jobs: list[Job] = []
        self._rendered: list[Object] = []

    def close(self) -> None:
        self.loop.close()
        super().close()

    def install(self, settings: Mapping[str, Any] | None = None) -> None:
        """Everything but hooks; `hook` runs those."""
        self._rendered = render(self._values, settings, self.name, NAMESPACE)
        self.objects.replace(plain(self._rendered))
        self._apply()

    def upgrade(self, settings: Mapping[str, Any] | None = None) -> None:
        self.install(settings)

    def hook(self, event: str, seconds: float = _PATIENCE) -> list[Job]:
        """Runs the Jobs of an event, one after the other; the AssertionError tells what a failed one said."""
        done = []
        for each in hooks(self._rendered, event):
            assert each["kind"] in ("Job", "Pod"), f"a hook that this run does not know: {each['kind']}"
            job = Job(each if each["kind"] == "Job" else _once(each), self.kubelet, NAMESPACE)
            self.jobs.append(job)
            self.loop.all.append(job)
            wait(lambda job=job: job.state != "Running", seconds, lambda job=job: self._told(job))  # type: ignore[misc]
            assert job.state == "Complete", self._told(job)
            done.append(job)
        return done

    def settle(self, seconds: float = _PATIENCE) -> float:
        """Seconds until every Deployment and StatefulSet is as it should be."""
        return wait(self._settled, seconds, self.state)

    def _settled(self) -> bool:
        looping = [pod.name for pod in self.pods() if pod.restarts > _RESTARTS]
        assert not looping, self.state()
        assert self.proxy.error is None, self.state()
        return all(each.settled() for each in self.sets.values())

    def gateways(self) -> Deployment:
        found = self.sets[f"Deployment/{self.full}"]
        assert isinstance(found, Deployment)
        return found

    def runtime(self, name: str) -> Deployment:
        found = self.sets[f"Deployment/{self.full}-runtime-{name}"]
        assert isinstance(found, Deployment)
        return found

    def store(self) -> StatefulSet:
        found = self.sets[f"StatefulSet/{self.full}-store"]
        assert isinstance(found, StatefulSet)
        return found

    @property
    def full(self) -> str:
        """The chart's full name of this release."""
        return self.name if "penstock" in self.name else f"{self.name}-penstock"

    def labels(self, part: str) -> dict[str, str]:
        """What the chart's selectors ask of a pod of that part."""
        names = {"name": "penstock", "instance": self.name, "component": part}
        return {f"app.kubernetes.io/{name}": value for name, value in names.items()}

    def service(self, name: str) -> tuple[str, int]:
        """Its address and first port."""
        found = self.proxy.services[NAMESPACE, name]
        return found.address, found.ports[0][1]

    def secret(self, name: str, key: str) -> str:
        return data(self.objects.get("Secret", name))[key].decode()

    def put_secret(self, name: str, **values: str) -> None:
        """One that the chart expects to be there."""
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        metadata = {"name": name, "annotations": {"helm.sh/resource-policy": "keep"}}
        self.objects.put({"kind": "Secret", "apiVersion": "v1", "metadata": metadata, "data": encoded})

    def pods(self) -> list[Pod]:
        return [pod for each in self.loop.all for pod in each.pods]

    def state(self) -> str:
        """For the text of a failure."""
        lines = [f"loop: {self.loop.error!r}, proxy: {self.proxy.error!r}"]
        for pod in self.pods():
            lines.append(f"{pod.name}: {pod.phase}, ready={pod.ready}, restarts={pod.restarts}, {pod.codes} {pod.why}")
            for each in pod.running:
                lines += [
                    f"  {name}: {passed} {said.splitlines()[:1]}" for _, name, passed, said in each.probes.log[-3:]
                ]
            lines += [f"  | {line}" for line in pod.text().splitlines()[-30:]]
        return "\n".join(lines)

    def _told(self, job: Job) -> str:
        return "\n".join([*job.tried, self.state()])

    def _apply(self) -> None:
        for each in self.objects.of("Service"):
            self.proxy.put(each, NAMESPACE)
        self.policies.replace(self.objects.of("NetworkPolicy"), NAMESPACE)
        self.proxy.change()
        for kind, made in _CONTROLLED.items():
            for each in self.objects.of(kind):
                key = f"{kind}/{each['metadata']['name']}"
                if key in self.sets:
                    self.sets[key].apply(each)
                else:
                    self.sets[key] = made(each, self.kubelet, NAMESPACE)
                    self.loop.all.append(self.sets[key])


def _once(pod: Object) -> Object:
    """A hook that is a Pod, as a Job of one try: so `helm test` runs it."""
    template = {"metadata": dict(pod["metadata"]), "spec": pod["spec"]}
    return {"kind": "Job", "metadata": pod["metadata"], "spec": {"backoffLimit": 0, "template": template}}
