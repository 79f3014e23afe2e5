"""The guide of validation has every setting of its kinds with its true default."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from gateway.server.kinds import POLICY_KINDS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "guide" / "validation.md").read_text()
KINDS = [name for name, kind in POLICY_KINDS.items() if kind.family == "validation"]


def models(annotation: Any) -> Iterator[type[BaseModel]]:
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            yield each
        elif each is not annotation:
            yield from models(each)


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        if prefix or name not in ("mode", "status"):
            yield prefix + (field.alias or name), field
            for inner in models(field.annotation):
                yield from settings(inner, f"{prefix}{field.alias or name}.")


def default(field: Any) -> str:
    value = "needed" if field.is_required() else field.get_default(call_default_factory=True)
    if value is None or value == "":
        return "none"
    if isinstance(value, BaseModel):
        return "with its defaults"
    if isinstance(value, tuple):
        return f"`[{', '.join(value)}]`"
    return value if value == "needed" else f"`{str(value).lower()}`"


@pytest.mark.parametrize("name", KINDS)
def test_the_guide_tells_every_setting_with_its_default(name: str) -> None:
    part = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for setting, field in settings(POLICY_KINDS[name].config):
        assert f"| `{setting}` | {default(field)} |" in part
