"""The steps that the guide to transformation shows can be published, and it has every setting with its default."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from gateway.manifest import texts
from gateway.server.kinds import POLICY_KINDS

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "transformation.md").read_text()
EXAMPLES = re.findall(r"^`(\{use: .*\})`", GUIDE, re.MULTILINE)
SHEET = POLICY_KINDS["xslt"].example["response"]["stylesheet"]
KINDS = (
    "query",
    "body",
    "json-to-xml",
    "xml-to-json",
    "jmespath",
    "template",
    "xslt",
    "redact",
    "compress",
    "enrich",
    "mock",
)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_guide_fits_its_model(example: str) -> None:
    step = YAML(typ="safe").load(example)
    config: Any = _included(step.get("with", {}))
    POLICY_KINDS[step["use"]].config.model_validate(texts.plain(config))


def _included(config: Any) -> Any:
    """With the text of its file."""
    if texts.names_file(config):
        return config | {"$text": SHEET}
    return {key: _included(part) for key, part in config.items()} if isinstance(config, dict) else config


def _settings(kind: str) -> set[str]:
    """Of the kind's model, or those of its two directions."""
    fields = POLICY_KINDS[kind].config.model_fields
    if {"request", "response"} <= fields.keys():
        (model,) = [each for each in fields["response"].annotation.__args__ if each is not type(None)]
        fields = model.model_fields
    return {field.alias or name for name, field in fields.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_stands_in_the_guide(kind: str) -> None:
    heading = "json-to-xml and xml-to-json" if kind.endswith(("xml", "json")) and "-to-" in kind else kind
    section = GUIDE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    common = GUIDE.split("\n## What holds")[1].split("\n## ")[0]
    assert {name for name in _settings(kind) if f"`{name}`" not in section + common} == set()
