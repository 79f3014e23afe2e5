"""What an API server keeps as a map though it is written as a list: no key of it twice, over all value files.

Server-side apply refuses such an object (`listType=map` in Kubernetes' OpenAPI); helm 4 applies so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.charts.rendering import VALUES, WORKLOADS, Object, rendered


def _lists(spec: Object) -> Iterator[tuple[str, list[object]]]:
    containers = [*spec.get("initContainers", []), *spec["containers"]]
    yield "containers", [each["name"] for each in containers]
    yield "volumes", [each["name"] for each in spec.get("volumes", [])]
    for each in containers:
        yield f"env of {each['name']}", [one["name"] for one in each.get("env", [])]
        yield f"mounts of {each['name']}", [one["mountPath"] for one in each.get("volumeMounts", [])]
        ports = each.get("ports", [])
        yield f"ports of {each['name']}", [(one["containerPort"], one["protocol"]) for one in ports]


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_no_key_of_a_list_that_is_a_map_stands_twice(values: Path) -> None:
    pods = [each for each in rendered(values) if each["kind"] in WORKLOADS]
    assert pods
    for each in pods:
        spec = each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
        for what, keys in _lists(spec):
            twice = [key for key, count in Counter(keys).items() if count > 1]
            assert not twice, f"{each['kind']} {each['metadata']['name']}: {what}"
