"""One control plane with its node for the tests of a process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.charts.apiserver import control_plane
from tests.charts.apiserver.control_plane import ControlPlane
from tests.charts.apiserver.node import Node
from tests.charts.run import containers
from tests.charts.run.rendered import CHART, find_helm

NAMESPACE = "apis"


@dataclass
class Cluster:
    plane: ControlPlane
    node: Node

    def helm(self, *arguments: str) -> str:
        """Its standard output. AssertionError with its error, and what the node knows of the pods."""
        helm = find_helm()
        assert helm
        done = self.plane.run(helm, *arguments, "--namespace", NAMESPACE)
        assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stdout}\n{done.stderr}\n{self.state()}"
        return done.stdout

    def state(self) -> str:
        told = [f"{each.name}: {each.phase} {each.why} {each.text()[-600:]}" for each in self.node.kubelet.pods]
        return "\n".join([f"node: {self.node.error!r}", *told])


def why_not() -> str:
    """Why there is no cluster here; empty: there is. PENSTOCK_REQUIRE_CHART_APPLY makes a failure of it."""
    helm = "" if find_helm() else "needs helm on PATH, or PENSTOCK_HELM"
    crds = "" if os.environ.get("PENSTOCK_CRDS") else "needs PENSTOCK_CRDS, which tests/charts/install makes"
    return containers.usable() or helm or crds or control_plane.missing()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    reason = why_not()
    if reason:
        assert not os.environ.get("PENSTOCK_REQUIRE_CHART_APPLY"), reason
        pytest.skip(f"a real API server: {reason}")
    assert CHART.exists()
    with ControlPlane() as plane:
        plane.api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        with Node(plane.api, NAMESPACE) as node:
            yield Cluster(plane, node)
