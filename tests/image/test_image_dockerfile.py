"""The reader of our Dockerfile, and what the Dockerfile and its neighbours promise each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.image import dockerfile
from tests.image.building import SOURCE, Context


def _read(tmp_path: Path, text: str) -> list[dockerfile.Stage]:
    (tmp_path / "Dockerfile").write_text(text)
    return dockerfile.read(tmp_path / "Dockerfile")


def test_a_line_goes_on_behind_a_backslash_and_over_a_comment(tmp_path: Path) -> None:
    (stage,) = _read(tmp_path, "FROM a AS b\nRUN one \\\n# why\n && two\n")
    assert stage.steps == (dockerfile.Step("RUN", "one  && two"),)


def test_an_argument_before_the_first_stage_names_its_base(tmp_path: Path) -> None:
    (stage,) = _read(tmp_path, "ARG BASE=debian:stable\nFROM ${BASE}\n")
    assert (stage.base, stage.name) == ("debian:stable", "0")


@pytest.mark.parametrize("line", ["ADD a b", 'SHELL ["bash"]', "ONBUILD RUN x", "run x"])
def test_what_it_does_not_know_it_refuses(tmp_path: Path, line: str) -> None:
    with pytest.raises(dockerfile.NotUnderstood):
        _read(tmp_path, f"FROM a\n{line}\n")


def test_a_command_in_shell_form_is_refused() -> None:
    with pytest.raises(dockerfile.NotUnderstood):
        dockerfile.words("penstock serve")


def test_all_stages_start_from_the_one_base_that_the_proof_stands_for() -> None:
    stages = dockerfile.read(SOURCE / "Dockerfile")
    assert {stage.base for stage in stages} - {stage.name for stage in stages} == {"debian:trixie-slim"}


def test_only_what_the_dockerfile_copies_goes_to_the_builder() -> None:
    context = Context.of(SOURCE)
    passing = {name for name in (each.name for each in SOURCE.iterdir()) if context.lets(name)}
    copied = set()
    for stage in dockerfile.read(SOURCE / "Dockerfile"):
        for step in stage.steps:
            if step.instruction == "COPY" and "from" not in step.flags:
                copied |= {each.rstrip("/") for each in step.text.split()[:-1]}
    assert passing == copied


@pytest.mark.parametrize(
    "name", [".git/config", "tests/conftest.py", "var/key-secret", "gateway/__pycache__/x.pyc", ".venv/x"]
)
def test_secrets_tests_and_leftovers_do_not_go_to_the_builder(name: str) -> None:
    assert not Context.of(SOURCE).lets(name)


def test_its_version_label_is_the_projects() -> None:
    text = (SOURCE / "Dockerfile").read_text()
    version = re.search(r'^version = "(.*)"', (SOURCE / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert f'org.opencontainers.image.version="{version[1]}"' in text


def test_its_variables_stand_in_the_guide() -> None:
    page = (SOURCE / "docs/guide/image.md").read_text()
    for stage in dockerfile.read(SOURCE / "Dockerfile"):
        for step in stage.steps:
            if step.instruction == "ENV":
                for name, value in dockerfile.pairs(step.text).items():
                    if name.startswith("PENSTOCK_"):
                        assert re.search(rf"\| `{name}` \| `{re.escape(value)}`", page), name
