"""The values in docs/guide/deploy.md are values that the chart takes, and the first of them is an API that holds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.charts.rendering import CHART, NAMESPACE, ROOT, VALUES, helm, of_kind, rendered

PAGE: Final = ROOT / "docs" / "guide" / "deploy.md"
BLOCKS: Final = dict(re.findall(r"^```yaml\n# ([\w.-]+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL))


def test_the_guide_has_the_files_that_it_speaks_of() -> None:
    assert {"hello.yaml", "store.yaml", "credentials.yaml", "public.yaml", "monitoring.yaml"} <= BLOCKS.keys()


@pytest.mark.parametrize("name", BLOCKS)
def test_the_guides_values_are_taken(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_text(BLOCKS[name])
    assert of_kind(rendered(file), "Deployment")


def test_the_first_api_of_the_guide_holds_and_is_what_the_test_asks(tmp_path: Path) -> None:
    values = yaml.safe_load(BLOCKS["hello.yaml"])
    for folder, files in (("documents", values["documents"]["files"]), ("python", values["processes"]["files"])):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    given = {**os.environ, "PYTHONPATH": str(tmp_path / "python")}
    command = [sys.executable, "-m", "gateway.cli.main", "explain", "GET", values["test"]["path"]]
    options = ["--files", str(tmp_path / "documents"), "--processes", "hello"]
    done = subprocess.run([*command, *options], env=given, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "hello@v1" in done.stdout


def test_names_in_the_guides_commands_are_those_of_the_release(tmp_path: Path) -> None:
    """`hello` of the guide is `shop` here."""
    file = tmp_path / "hello.yaml"
    file.write_text(BLOCKS["hello.yaml"])
    made = {each["metadata"]["name"].replace("shop-", "hello-") for each in rendered(file)}
    commands = PAGE.read_text()
    for name in re.findall(r"(?:svc|job|secret)[/ ](hello-[\w-]+)", commands):
        assert name in made, name
    (store,) = [each for each in of_kind(rendered(file), "StatefulSet") if each["metadata"]["name"].endswith("-store")]
    (claim,) = store["spec"]["volumeClaimTemplates"]
    assert f"pvc {claim['metadata']['name']}-hello-penstock-store-0" in commands


@pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)
def test_what_helm_prints_at_the_end_tells_the_next_command(values: Path) -> None:
    place = ("install", "shop", str(CHART), "--namespace", NAMESPACE)
    done = helm(*place, "--dry-run=client", "--values", str(values))
    notes = done.stdout.partition("NOTES:")[2]
    assert "kubectl -n apis port-forward svc/" in notes, done.stderr
    assert ("penstock list" if of_kind(rendered(values), "Job") else "penstock publish DOCUMENTS") in notes
    assert "curl http" in notes
    assert "helm test shop -n apis" in notes
    secret = next(iter(of_kind(rendered(values), "Secret")), None)
    kept = yaml.safe_load(values.read_text()).get("credentials", {}).get("existingSecret")
    assert f"get secret {kept or secret['metadata']['name']}" in notes  # type: ignore[index]
