"""`penstock policies new` and `penstock policies test`: policies of one's own in Python."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.failures import USAGE, Failed
from gateway.cli.options import Json

if TYPE_CHECKING:
    from gateway.runtime.policies import PythonPolicy

TESTS = "tests"


def write_new(
    name: Annotated[str, typer.Argument(help="The policy kind's name, as documents will `use` it.")],
    folder: Annotated[Path, typer.Option("--in", help="Where the package is written.")] = Path(),
) -> None:
    """Writes a package with a policy of your own and its tests. Example: penstock policies new tenant-check"""
    from gateway.cli.policy_template import CODE
    from gateway.cli.policy_template import TESTS as TEST_CODE
    from gateway.core.policy_code import NAME

    if NAME.fullmatch(name) is None:
        raise Failed(f"{name} is no name of a policy kind: write small letters, digits and dashes.", USAGE)
    package = name.replace("-", "_")
    words = {"name": name, "package": package, "code": package, "title": name.replace("-", " ").capitalize()}
    words["Class"] = "".join(part.capitalize() for part in name.split("-"))
    files = {
        folder / package / "__init__.py": CODE.substitute(words),
        folder / TESTS / f"test_{package}.py": TEST_CODE.substitute(words),
    }
    if taken := [str(path) for path in files if path.exists()]:
        raise Failed(f"{', '.join(taken)} is there already. Choose another name, or another folder with --in.")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        output.good(str(path))
    there = f" --in {folder}" if folder != Path() else ""
    output.out.print(f"Try it:   penstock policies test {package}{there}")
    output.out.print(f"Use it:   PYTHONPATH={folder} penstock serve --policies-code {package} …")


def try_out(
    packages: Annotated[list[str], typer.Argument(metavar="PACKAGE…")],
    folder: Annotated[Path, typer.Option("--in", help="Where the packages and their tests are.", exists=True)] = Path(),
    as_json: Json = False,
) -> None:
    """Checks policies of your own, tries each isolated as well, and runs their tests.

    Example: penstock policies test tenant_check
    """
    sys.path.insert(0, str(folder.resolve()))
    policies = _load(packages)
    rows = [_tried(policy, package, folder) for package, policy in policies]
    if as_json:
        output.as_json({"items": rows})
    else:
        output.table(rows, ["name", "stage", "protects", "in_process", "isolated", "summary"], "None.")
    failed = [row["name"] for row in rows if row["in_process"] != "ok" or row["isolated"] != "ok"]
    code = _run_tests(folder, quiet=as_json)
    if failed or code:
        raise Failed(f"{', '.join(failed)} failed." if failed else "Tests failed.")


def _load(packages: list[str]) -> list[tuple[str, PythonPolicy]]:
    from gateway.core.findings import DocumentsRefused
    from gateway.runtime.policies import load_policies
    from gateway.server.kinds import POLICY_KINDS

    found: list[tuple[str, PythonPolicy]] = []
    try:
        for package in packages:
            found += [(package, each) for each in load_policies([package], POLICY_KINDS).values()]
    except DocumentsRefused as error:
        raise Failed(str(error)) from None
    if not found:
        raise Failed(
            f"No class in {', '.join(packages)} is marked with `policy_kind`. Write one: penstock policies new NAME"
        )
    return found


def _tried(policy: PythonPolicy, package: str, folder: Path) -> dict[str, Any]:
    """With its example, here and in a process of its own."""
    mark = policy.mark
    return {
        "name": mark.name,
        "package": package,
        "stage": "BODY" if mark.body else "HEAD",
        "protects": mark.protects,
        "summary": policy.summary,
        "in_process": _outcome(lambda: _here(policy)),
        "isolated": _outcome(lambda: _isolated(policy, package, folder)),
    }


def _outcome(run: Any) -> str:
    try:
        run()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


def _here(policy: PythonPolicy) -> None:
    from gateway.testing import Trial

    Trial(policy.target, **dict(policy.mark.example)).request("GET", "/")


def _isolated(policy: PythonPolicy, package: str, folder: Path) -> None:
    from gateway.server.policy_trial import ask_once

    ask_once(package, policy.mark.name, dict(policy.mark.example), folder.resolve())


def _run_tests(folder: Path, quiet: bool) -> int:
    """The exit code of pytest over the folder's tests; 0 when there are none."""
    tests = list(_test_files(folder))
    if not tests:
        return 0
    if importlib.util.find_spec("pytest") is None:
        output.out.print(f"{len(tests)} test files were not run: pip install pytest")
        return 0
    command = [sys.executable, "-m", "pytest", "-q", *map(str, tests)]
    environment = _with_path(folder)
    return subprocess.run(command, env=environment, check=False, capture_output=quiet).returncode  # noqa: S603


def _with_path(folder: Path) -> dict[str, str]:
    import os

    known = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{folder.resolve()}:{known}" if known else str(folder.resolve())}


def _test_files(folder: Path) -> Iterator[Path]:
    yield from sorted((folder / TESTS).glob("test_*.py"))
