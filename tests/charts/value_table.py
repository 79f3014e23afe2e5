"""The table of values in the chart's README, out of values.yaml and values.schema.json: `python -m
tests.charts.value_table` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).resolve().parent.parent.parent / "charts" / "penstock"
README: Final = CHART / "README.md"
BEGIN: Final = "<!-- values: written by python -m tests.charts.value_table -->\n"
END: Final = "<!-- end of values -->\n"


def table() -> str:
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    lines = ["| value | default | what it is |", "|---|---|---|"]
    for path, default, text in _rows(schema, defaults):
        lines.append(f"| `{path}` | {_shown(default)} | {text} |")
    return "\n".join(lines) + "\n"


def _rows(schema: Any, defaults: Any, at: str = "") -> Iterator[tuple[str, Any, str]]:
    """Objects have no row but their members; those that anything may stand in have one."""
    for name, part in schema["properties"].items():
        path = f"{at}.{name}".lstrip(".")
        if name not in defaults:
            continue
        if "properties" in part and name not in {"settings", "podSecurityContext", "containerSecurityContext"}:
            yield from _rows(part, defaults[name], path)
        else:
            yield path, defaults[name], part["description"]


def _shown(default: Any) -> str:
    if default is None:
        return "null"
    text = json.dumps(default, separators=(", ", ": ")) if not isinstance(default, str) else default or '""'
    return f"`{text}`"


def written() -> str:
    return README.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    README.write_text(before + BEGIN + table() + END + rest.partition(END)[2])
