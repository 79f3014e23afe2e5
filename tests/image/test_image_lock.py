"""requirements.lock: everything the image installs, by its hash, and nothing that the rules of licences forbid."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.image import licences

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-build.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TARGETS = [
    {
        "python_version": python, "python_full_version": f"{python}.9", "platform_machine": machine,
        "sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "extra": "",
        "platform_python_implementation": "CPython", "implementation_name": "cpython",
    }
    for python in ("3.11", "3.12", "3.13")
    for machine in ("x86_64", "aarch64")
]  # fmt: skip


def _entries(lock: str) -> dict[str, tuple[Requirement, list[str]]]:
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    found = {}
    for line in text.splitlines():
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        each = Requirement(requirement)
        found[canonicalize_name(each.name)] = (each, hashes)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_one_version_by_its_hashes(lock: str) -> None:
    for name, (requirement, hashes) in _entries(lock).items():
        assert [each.operator for each in requirement.specifier] == ["=="], name
        assert hashes, name
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes), name


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_stands_in_it(lock: str) -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|file:", (ROOT / lock).read_text())


@pytest.mark.parametrize("target", TARGETS, ids=lambda each: f"{each['python_version']}-{each['platform_machine']}")
def test_it_satisfies_the_project_on_every_platform_of_the_image(target: dict[str, str]) -> None:
    entries = _entries("requirements.lock")
    for text in PROJECT["project"]["dependencies"]:
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate(target):
            locked, _ = entries[canonicalize_name(wanted.name)]
            assert locked.marker is None or Marker(str(locked.marker)).evaluate(target), text
            assert wanted.specifier.contains(_version(locked), prereleases=True), f"{text}: run make lock"


def test_the_build_lock_satisfies_its_group() -> None:
    entries = _entries("requirements-build.lock")
    for text in (*PROJECT["dependency-groups"]["image-build"], *PROJECT["build-system"]["requires"]):
        wanted = Requirement(text)
        assert wanted.specifier.contains(_version(entries[wanted.name][0])), f"{text}: run make lock"


def test_what_the_locked_libraries_need_is_locked() -> None:
    """As far as they are installed here in the version that is locked."""
    entries = _entries("requirements.lock")
    for name, (locked, _) in entries.items():
        if not _is_here(name, locked):
            continue
        for text in metadata.requires(name) or []:
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate(TARGETS[0]):
                assert canonicalize_name(needed.name) in entries, f"{name} needs {text}: run make lock"


def test_licences_are_such_as_may_be_passed_on() -> None:
    """No SSPL, RSAL or AGPL; no GPL. Of what is locked and installed here."""
    seen = 0
    for name, (locked, _) in _entries("requirements.lock").items():
        if not _is_here(name, locked):
            continue
        seen += 1
        words = _licences(name)
        assert words, f"{name} says no licence: judge it"
        assert not licences.refused(words), name
    assert seen > 50


def _version(locked: Requirement) -> Version:
    return Version(next(iter(locked.specifier)).version)


def _is_here(name: str, locked: Requirement) -> bool:
    try:
        return Version(metadata.version(name)) == _version(locked)
    except metadata.PackageNotFoundError:
        return False


def _licences(name: str) -> list[str]:
    """Its expression; without one its classifiers, or its field."""
    told = metadata.metadata(name)
    if name in licences.JUDGED:
        return [licences.JUDGED[name]]
    if expression := told.get("License-Expression"):
        return [expression]
    classified = [each for each in told.get_all("Classifier") or [] if each.startswith("License ::")]
    return classified or [told["License"]] * bool(told.get("License"))


@pytest.mark.parametrize(
    "expression",
    ["AGPL-3.0-only", "SSPL-1.0", "GPL-2.0-or-later", "MIT AND AGPL-3.0-only", "RSALv2", ""],
)
def test_what_the_rule_forbids_is_found(expression: str) -> None:
    assert licences.refused([expression]) == [expression]
