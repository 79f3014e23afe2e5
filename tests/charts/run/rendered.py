"""The chart's objects, as `helm template` renders them, and the store that a run keeps them in."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

Object = dict[str, Any]

ROOT: Final = Path(__file__).resolve().parents[3]
CHART: Final = Path(os.environ.get("PENSTOCK_CHART", ROOT / "charts/penstock"))
KUBERNETES: Final = "1.34.0"  # whose words the chart is rendered in
HOOK: Final = "helm.sh/hook"
KEPT: Final = "helm.sh/resource-policy"


def find_helm() -> str | None:
    """PENSTOCK_HELM, or the one on PATH."""
    return os.environ.get("PENSTOCK_HELM") or shutil.which("helm")


def render(
    values: Iterable[Path], settings: Mapping[str, Any] | None = None, release: str = "shop", namespace: str = "apis"
) -> list[Object]:
    """What helm would apply, hooks included. AssertionError tells what helm says."""
    helm = find_helm()
    assert helm, "helm is not on PATH, and PENSTOCK_HELM does not name it"
    command = [helm, "template", release, str(CHART), "--namespace", namespace, "--kube-version", KUBERNETES]
    for path in values:
        command += ["--values", str(path)]
    for name, value in (settings or {}).items():
        command += ["--set-json", f"{name}={json.dumps(value)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


class Objects:
    """By kind and name, of one namespace."""

    def __init__(self, objects: Iterable[Object] = ()) -> None:
        self._objects: dict[tuple[str, str], Object] = {}
        for each in objects:
            self.put(each)

    def put(self, found: Object) -> None:
        self._objects[found["kind"], found["metadata"]["name"]] = found

    def remove(self, kind: str, name: str) -> None:
        self._objects.pop((kind, name), None)

    def get(self, kind: str, name: str) -> Object:
        """KeyError names what the chart refers to, but does not have."""
        try:
            return self._objects[kind, name]
        except KeyError:
            raise KeyError(f"{kind} {name} is not there") from None

    def has(self, kind: str, name: str) -> bool:
        return (kind, name) in self._objects

    def of(self, kind: str) -> list[Object]:
        return [each for (found, _), each in self._objects.items() if found == kind]

    def __iter__(self) -> Iterator[Object]:
        return iter(self._objects.values())

    def replace(self, objects: Iterable[Object]) -> None:
        """As an upgrade does: what is there no longer goes; what helm keeps stays as it is, as `lookup` finds it."""
        kept = {key: each for key, each in self._objects.items() if annotation(each, KEPT) == "keep"}
        self._objects = {}
        for each in objects:
            self.put(each)
        self._objects |= kept


def annotation(found: Object, name: str) -> str:
    return str((found["metadata"].get("annotations") or {}).get(name, ""))


def hooks(objects: Iterable[Object], event: str) -> list[Object]:
    """Those of an event (`post-install`), by weight."""
    found = [each for each in objects if event in annotation(each, HOOK).split(",")]
    return sorted(found, key=lambda each: int(annotation(each, "helm.sh/hook-weight") or 0))


def plain(objects: Iterable[Object]) -> list[Object]:
    return [each for each in objects if not annotation(each, HOOK)]


def digest(value: Any) -> str:
    """Short, of a pod's template: as the hash in a ReplicaSet's name."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:9]


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """A label selector (matchLabels, matchExpressions); an empty one selects everything."""
    selector = selector or {}
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(each, labels) for each in selector.get("matchExpressions") or [])


def _matches(rule: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value = labels.get(rule["key"])
    match rule["operator"]:
        case "In":
            return value in rule["values"]
        case "NotIn":
            return value not in rule["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise AssertionError(f"an operator of no selector: {rule['operator']}")
