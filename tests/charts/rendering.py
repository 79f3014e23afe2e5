"""The chart as the real helm renders it. `.ci/run` installs helm; elsewhere what needs it is skipped, and says so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parent.parent.parent
CHART: Final = ROOT / "charts" / "penstock"
VALUES: Final = tuple(sorted((Path(__file__).parent / "values").glob("*.yaml")))
KUBERNETES: Final = "1.34"
RELEASE: Final = "shop"
NAMESPACE: Final = "apis"
WORKLOADS: Final = {"Deployment", "StatefulSet", "Job", "Pod"}

Object = dict[str, Any]


def tool(name: str) -> str:
    """Its program; PENSTOCK_HELM names helm's, others are on PATH. Skips the test where there is none."""
    found = os.environ.get(f"PENSTOCK_{name.upper().replace('-', '_')}") or shutil.which(name)
    if found is None:
        assert not os.environ.get("PENSTOCK_REQUIRE_HELM"), f"{name} is missing"
        pytest.skip(f"{name} is not installed; .ci/run shows how")
    return found


def helm(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, check=False, **options)


def refusal(*settings: str) -> str:
    """What helm says of values that are refused: `key=value` as --set-json takes them."""
    options = [part for each in settings for part in ("--set-json", each)]
    done = helm("template", RELEASE, str(CHART), "--kube-version", KUBERNETES, *options)
    assert done.returncode, f"{settings} were taken"
    return done.stderr


@lru_cache(maxsize=64)
def text_of(values: Path, *settings: str) -> str:
    options = [part for each in settings for part in ("--set-json", each)]
    release = (RELEASE, str(CHART), "--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    done = helm("template", *release, "--values", str(values), *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rendered(values: Path, *settings: str) -> list[Object]:
    """Every object of the release, hooks too."""
    return [each for each in yaml.safe_load_all(text_of(values, *settings)) if each]


def named(name: str) -> Path:
    return next(each for each in VALUES if each.stem == name)


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def one(objects: list[Object], kind: str, name: str = "") -> Object:
    """The one of that kind, whose name ends so."""
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"].endswith(name)]
    return found


def title(each: Object) -> str:
    return f"{each['kind']} {each['metadata']['name']}"


def template(each: Object) -> Object:
    """A workload's pod: its metadata and spec."""
    return each if each["kind"] == "Pod" else each["spec"]["template"]


def pods(objects: list[Object]) -> list[tuple[str, Object]]:
    """(title of the workload, its pod)."""
    return [(title(each), template(each)) for each in of_kind(objects, *WORKLOADS)]


def containers(pod: Object) -> list[Object]:
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def ours(pod: Object) -> list[Object]:
    """Without what the values bring along."""
    return [each for each in containers(pod) if not each["image"].startswith("example.org/")]


def settings_of(objects: list[Object]) -> Object:
    """What the nodes are started with."""
    (found,) = [each for each in of_kind(objects, "ConfigMap") if "penstock.yaml" in (each.get("data") or {})]
    read: Object = yaml.safe_load(found["data"]["penstock.yaml"])
    return read


def strings(value: Any) -> Iterator[str]:
    """Every text in an object, keys too."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield str(key)
            yield from strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from strings(part)
    else:
        yield str(value)
