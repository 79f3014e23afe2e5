"""Every example of every --help is run as it stands there and ends as it should."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.admin.admin_harness import PLAN, TOPIC, policy, shop
from tests.admin.admin_server import Served, serving
from tests.cli.cli_harness import help_of, penstock, use
from tests.cli.test_cli_output import commands

_EXAMPLE = re.compile(r"Example: (penstock .*?)(?= Options:| Arguments:| Usage:|$)")
UNENDING = {("serve",), ("runtime",), ("demo",)}  # run until a signal comes: tests/e2e starts them
NAMES = {"policies": "team", "plans": "gold", "topics": "events"}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("node")) as served:
        yield served


def example(names: tuple[str, ...]) -> list[str]:
    found = _EXAMPLE.search(help_of(*names))
    assert found, f"{' '.join(names)} has no example in its --help"
    return shlex.split(found[1])[1:]


RUN = [names for names in commands() if names not in UNENDING]


def _seed(names: tuple[str, ...]) -> str:
    """What the examples speak of, made again before each. Returns what ID stands for."""
    for folder in ("api_components", "policies", "FILE"):
        Path(folder).mkdir()
    for version in ("v1", "v2"):
        Path(f"api_components/shop-{version}.yaml").write_text(_version(version))
    for folder in ("policies", "FILE"):
        Path(folder, "rules.yaml").write_text(f"{policy()}---\n{PLAN}---\n{TOPIC}")
    assert penstock("publish", "api_components", "FILE").code == 0
    if names in {("policies", "diff"), ("policies", "rollback")}:
        Path("FILE", "rules.yaml").write_text(f"{policy(team='green')}---\n{PLAN}---\n{TOPIC}")
        assert penstock("publish", "FILE").code == 0
    if names in {("rollback",), ("canary",)}:
        _another_revision(names)
    penstock("apps", "delete", "partner")
    assert names != ("restore",) or penstock("backup", "penstock.backup").code == 0
    return "" if names in {("apps", "create"), ("plans", "delete")} else _identified(names[0])


def _version(version: str, text: str = "hello") -> str:
    return shop(text=text).replace("version: v1", f"version: {version}")


def _another_revision(names: tuple[str, ...]) -> None:
    folder = Path("another")
    folder.mkdir()
    (folder / "shop.yaml").write_text(_version("v2", "bye"))
    beside = ["--canary", "10%"] if names == ("canary",) else []
    ran = penstock("publish", folder, *beside)
    assert ran.code == 0, ran.err


def _identified(group: str) -> str:
    assert penstock("apps", "create", "partner").code == 0
    made = penstock("keys", "create", "--app", "partner", "--api", "shop", "--plan", "gold", "--json").json
    if group == "credentials":
        made = penstock("credentials", "create", "basic", "--app", "partner", "--api", "shop", "--json").json
    if group == "tokens":
        made = penstock("tokens", "create", "other", "--role", "viewer", "--json").json
    return str(made["id"])


REFUSED = {  # what the example needs is not there: it is understood, and refused for that reason alone
    ("login",): "signs nobody in",
    ("import", "openapi"): "petstore.yaml: it cannot be read",
    ("import", "wsdl"): "stock.wsdl: it cannot be read",
    ("import", "csdl"): "metadata.xml: it cannot be read",
    ("import", "database"): "There is no database file shop.db",
    ("policies", "test"): "The module tenant_check cannot be imported",
    ("topics", "redrive"): "There is no subscription shop@v2/bill_order",
    ("signing-keys", "rotate"): "This gateway issues no tokens",
    ("signing-keys", "retire"): "This gateway issues no tokens",
}


@pytest.mark.parametrize("names", RUN, ids=" ".join)
def test_the_example_does_what_it_says(
    names: tuple[str, ...], started: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(started, monkeypatch)
    places = {"NAME": NAMES.get(names[0], ""), "ID": _seed(names)}
    ran = penstock(*(places.get(word, word) for word in example(names)))
    told = ran.out + ran.err
    if names in REFUSED:
        assert (ran.code, REFUSED[names] in ran.err) == (1, True), told
    else:
        assert ran.code == 0, told
