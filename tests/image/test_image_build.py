"""The image as its Dockerfile makes it: what stands in it, and that the same source makes the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.image import licences
from tests.image.building import Build, Image, shell

PREFIX = "opt/penstock"


def _site(image: Image) -> Path:
    return next((image.root / PREFIX / "lib").glob("python3.*/site-packages"))


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if not path.is_symlink() and path.is_file())


def _hashes(root: Path) -> dict[str, tuple[str, int, float]]:
    """Of all below: content (or where a link leads), mode and time."""
    told = {}
    for path in sorted(root.rglob("*")):
        found = path.lstat()
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        told[str(path.relative_to(root))] = (hashlib.sha256(content).hexdigest(), found.st_mode, found.st_mtime)
    return told


def test_the_same_source_installs_the_same_bytes_again(built: Build, image: Image) -> None:
    stage = built.images["build"]
    wheel = next((stage.root / "build/wheels").glob("penstock-*.whl"))
    first = wheel.read_bytes()
    shell(stage, f"mv /{PREFIX} /{PREFIX}.first && image/install.sh /build /{PREFIX}")
    assert wheel.read_bytes() == first
    assert _hashes(stage.root / PREFIX) == _hashes(stage.root / f"{PREFIX}.first") == _hashes(image.root / PREFIX)


def test_no_packager_compiler_or_test_is_in_it(image: Image) -> None:
    names = {each.name.partition("-")[0].lower() for each in _site(image).iterdir()}
    assert not names & {"pip", "setuptools", "wheel", "hatchling", "pytest", "cyclonedx_bom", "cyclonedx_py"}
    assert not [each for each in _site(image).rglob("*") if each.is_dir() and each.name == "tests"]
    for tool in ("pip", "pip3", "gcc", "cc", "make", "curl", "wget"):
        assert not list(image.root.glob(f"usr/bin/{tool}")), tool


def test_every_module_has_its_bytecode_and_python_trusts_it_unseen(image: Image) -> None:
    """PEP 552: flags 1 are a hash that is not checked."""
    sources = [path for path in _files(_site(image)) if path.suffix == ".py"]
    compiled = [path for path in _files(_site(image)) if path.suffix == ".pyc"]
    assert len(compiled) == len(sources) > 1000
    assert {path.read_bytes()[4:8] for path in compiled} == {b"\x01\x00\x00\x00"}


def test_nothing_in_it_belongs_to_the_user_but_the_data_folder(image: Image) -> None:
    user = int(image.user.partition(":")[0])
    own = [path for path in image.root.rglob("*") if path.lstat().st_uid == user]
    assert own == [image.root / "data"]
    assert stat.S_IMODE(own[0].stat().st_mode) == 0o700


def test_the_users_number_is_fixed_and_has_a_name(image: Image) -> None:
    assert image.user == "10001:10001"
    assert "penstock:x:10001:10001:" in (image.root / "etc/passwd").read_text()


def test_it_tells_an_engine_what_it_needs(image: Image) -> None:
    assert (image.entrypoint, image.command) == (["penstock"], ["serve"])
    assert (image.ports, image.volumes, image.stopsignal) == ([8080, 8081], ["/data"], "SIGTERM")
    assert image.healthcheck == ["penstock", "health"]
    assert image.labels["org.opencontainers.image.version"] in (image.root / PREFIX / "sbom.cdx.json").read_text()


def test_the_bill_of_materials_lists_exactly_what_is_installed(image: Image) -> None:
    bill = json.loads((image.root / PREFIX / "sbom.cdx.json").read_text())
    installed = {
        tuple(each.name.removesuffix(".dist-info").lower().replace("_", "-").replace(".", "-", 1).rsplit("-", 1))
        for each in _site(image).glob("*.dist-info")
    }
    libraries = [each for each in bill["components"] if each.get("purl", "").startswith("pkg:pypi/")]
    assert len(libraries) == len(installed) - 1  # Penstock itself is what the bill is of
    assert bill["metadata"]["component"]["name"] == "penstock"
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")


def test_the_bill_of_materials_lists_debians_packages_as_dpkg_does(image: Image) -> None:
    bill = json.loads((image.root / PREFIX / "sbom.cdx.json").read_text())
    (system,) = [each for each in bill["components"] if each["type"] == "operating-system"]
    assert (system["name"], system["version"]) == ("debian", "13")
    told = {
        (each["name"], each["version"], parse_qs(urlsplit(each["purl"]).query)["arch"][0])
        for each in bill["components"]
        if each.get("purl", "").startswith("pkg:deb/debian/")
    }
    listed = shell(image, r"dpkg-query --show --showformat '${Package} ${Version} ${Architecture}\n'")
    assert told == {tuple(line.split()) for line in listed.splitlines()}
    assert {"python3", "libc6", "dpkg"} <= {name for name, _, _ in told}


def test_the_bill_of_materials_holds_by_cyclonedxs_schema(built: Build, image: Image) -> None:
    """Those that its maker brings along."""
    (folder,) = built.images["build"].root.glob("build/tools/lib/python3.*/site-packages/cyclonedx/schema/_res")
    base = "http://cyclonedx.org/schema/"
    found = {path.name: json.loads(path.read_text()) for path in folder.glob("*.schema.json")}
    known = Registry().with_resources((base + name, DRAFT7.create_resource(each)) for name, each in found.items())
    bill = found["bom-1.6.SNAPSHOT.schema.json"] | {"$id": f"{base}bom.json"}
    validator = Draft7Validator(bill, registry=known)
    assert [*validator.iter_errors(json.loads((image.root / PREFIX / "sbom.cdx.json").read_text()))] == []


def test_the_bill_of_materials_names_no_licence_that_is_forbidden(image: Image) -> None:
    bill = json.loads((image.root / PREFIX / "sbom.cdx.json").read_text())
    libraries = [each for each in bill["components"] if each.get("purl", "").startswith("pkg:pypi/")]
    assert len(libraries) > 50
    for component in libraries:
        told = component.get("licenses", [])
        named = [each.get("expression") or each["license"].get("id") or each["license"]["name"] for each in told]
        assert not licences.refused(named or [licences.JUDGED.get(component["name"], "none")]), component["name"]


def test_every_stripped_library_still_loads(built: Build) -> None:
    """In the stage that made it, with the interpreter that it was made for."""
    every = (
        "import importlib,pathlib,sys\n"
        "site=pathlib.Path([p for p in sys.path if p.endswith('site-packages')][0])\n"
        "for each in sorted(site.rglob('*.so')):\n"
        "    name='.'.join(each.relative_to(site).parts).split('.cpython')[0].split('.abi3')[0].removesuffix('.so')\n"
        "    importlib.import_module(name)\n"
        "    print(name)\n"
    )
    loaded = shell(built.images["build"], f'/{PREFIX}/bin/python -c "{every}"').split()
    assert len(loaded) > 30


def test_it_stays_small(image: Image) -> None:
    """A library that doubles it shall be noticed; the figures by part stand in docs/guide/image.md."""
    size = sum(path.lstat().st_size for path in image.root.rglob("*") if not path.is_dir())
    assert size < 300_000_000
