"""The published JSON Schemas are what the models say, and take what loading takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from gateway.manifest.json_schemas import ALL, main, schemas
from gateway.manifest.yaml_reader import read

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "manifest"
GOOD = sorted(path.name.removesuffix(".out.json") for path in GOLDEN.glob("*.out.json"))


def documents(name: str) -> list[Any]:
    trees, findings = read((GOLDEN / f"{name}.in.yaml").read_text(), name)
    assert not findings
    return [tree.value for tree in trees]


def test_the_published_schemas_have_not_drifted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check", str(ROOT / "openapi")]) == 0, capsys.readouterr().err


def test_a_drifted_schema_is_named_with_the_command_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--write", str(tmp_path)]) == 0
    (tmp_path / "plan.schema.json").write_text("{}")
    assert main(["--check", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path / 'plan.schema.json'} is not what the models say" in error
    assert "python -m gateway.manifest.json_schemas --write" in error


@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_schema_is_valid_and_says_what_it_is(name: str) -> None:
    schema = schemas()[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert all(schema[key] for key in ("$schema", "$id", "title", "description"))


@pytest.mark.parametrize("name", GOOD)
def test_documents_that_load_fit_the_schemas(name: str) -> None:
    for document in documents(name):
        for schema in ("api-component.schema.json", ALL):
            jsonschema.Draft202012Validator(schemas()[schema]).validate(document)


@pytest.mark.parametrize("name", ["unknown-key", "missing-keys", "unknown-kind"])
def test_documents_of_a_wrong_shape_do_not_fit_the_schemas(name: str) -> None:
    (document,) = documents(name)
    assert not jsonschema.Draft202012Validator(schemas()[ALL]).is_valid(document)
