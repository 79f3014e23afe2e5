"""CustomResourceDefinitions that the chart's optional objects need, as their projects publish them in Go modules."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

_SOURCES: Final = {
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
    "sigs.k8s.io/gateway-api@v1.6.3": (
        "config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    ),
}


def definitions() -> Iterator[dict[str, Any]]:
    """Fetched once by the ordinary client of Go modules, which checks their sums."""
    for module, paths in _SOURCES.items():
        done = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, text=True, check=True)
        folder = Path(json.loads(done.stdout)["Dir"])
        for path in paths:
            yield from filter(None, yaml.safe_load_all((folder / path).read_text()))
