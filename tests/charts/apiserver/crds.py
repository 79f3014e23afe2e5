"""CustomResourceDefinitions that the chart's optional objects need, from the folder that tests/charts/install made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml


def definitions() -> Iterator[dict[str, Any]]:
    """Those of the operator of Prometheus and of the Gateway API. PENSTOCK_CRDS names the folder."""
    for path in sorted(Path(os.environ["PENSTOCK_CRDS"]).glob("*.yaml")):
        yield from filter(None, yaml.safe_load_all(path.read_text()))
