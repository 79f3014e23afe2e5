"""Commands that need no gateway: check, plan --against, explain --files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.admin.admin_harness import PLAN, policy, shop
from tests.cli.cli_harness import penstock

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = """\
kind: Environment
name: demo
values: {erp_url: "http://127.0.0.1:9", ledger_url: "sqlite+aiosqlite:///ledger.db"}
"""


def test_good_documents_are_called_good() -> None:
    Path("shop.yaml").write_text(shop())
    ran = penstock("check", "shop.yaml")
    assert (ran.code, ran.out) == (0, "All good: shop@v1.\n")
    assert penstock("check", "shop.yaml", "--json").json["versions"] == ["shop@v1"]


def test_the_sample_shop_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.demo.database import make

    make(Path("ledger.db"))
    Path("environment.yaml").write_text(DEMO)
    options = ["--processes", "gateway.demo", "--environment", "environment.yaml"]
    ran = penstock("check", ROOT / "api_components", ROOT / "policies", *options)
    assert (ran.code, ran.out) == (0, "All good: shop@v1, shop@v2.\n")


@pytest.mark.parametrize(
    ("wrong", "right", "place"),
    [
        ("effect: never", "effect: safe", "shop.yaml:7:"),
        ("[gret]", "[greet]", "shop.yaml:15:"),
        ("use: api-keys", "use: api-key", "shop.yaml:12:"),
        ("fixed: 7", "fixed: hello", "shop.yaml:10:5"),
        ("{whom}: greet", "{who}: greet", "shop.yaml:14:3"),
        ("http://schemas.xmlsoap.org/wsdl/", "urn:example:shop", "shop.yaml:15:1"),
        ("output: string\n    colour: red", "output: string", "shop.yaml:10:5"),
    ],
)
def test_every_finding_has_file_line_and_column(wrong: str, right: str, place: str) -> None:
    assert right in shop()
    Path("shop.yaml").write_text(shop().replace(right, wrong))
    ran = penstock("check", "shop.yaml")
    assert (ran.code, ran.out) == (1, "")
    assert place in ran.err


def test_everything_that_is_wrong_is_told_at_once() -> None:
    Path("shop.yaml").write_text(shop(text="7").replace("urn:example:shop", "http://schemas.xmlsoap.org/wsdl/"))
    ran = penstock("check", "shop.yaml")
    assert ran.err.startswith("2 findings:")


def test_secrets_need_not_be_known_to_check() -> None:
    step = "  - {id: to, use: headers, with: {request: {set: {X-Key: 'secret:erp'}}}}\n"
    Path("shop.yaml").write_text(shop().replace("rest:\n", f"{step}rest:\n"))
    assert penstock("check", "shop.yaml").code == 0
    Path("environment.yaml").write_text("kind: Environment\nname: here\n")
    ran = penstock("check", "shop.yaml", "--environment", "environment.yaml")
    assert (ran.code, "erp" in ran.err) == (1, True)


def test_folders_are_compared_without_a_gateway() -> None:
    for folder, text in (("before", "hello"), ("after", "bye")):
        Path(folder).mkdir()
        Path(folder, "shop.yaml").write_text(shop(text=text))
    ran = penstock("plan", "after", "--against", "before")
    assert ran.code == 2
    assert '- "hello"' in ran.out
    assert '+ "bye"' in ran.out
    same = penstock("plan", "before", "--against", "before")
    assert (same.code, same.out) == (0, "No difference.\n")
    assert penstock("plan", "after", "--against", "before", "--json").json["items"]


def test_a_request_is_explained_from_files() -> None:
    Path("shop.yaml").write_text(shop())
    ran = penstock("explain", "GET", "/shop/v1/greet/you", "--files", "shop.yaml")
    assert ran.code == 0
    assert "runs GET /greet/{who}" in ran.out
    assert "shop.yaml:12:" in ran.out
    missing = penstock("explain", "GET", "/nothing", "--files", "shop.yaml", "--json").json
    assert missing["outcome"].startswith("404")


def test_policies_and_plans_are_checked_alone() -> None:
    Path("rules.yaml").write_text(f"{policy()}---\n{PLAN}")
    assert penstock("check", "rules.yaml").code == 0
    Path("rules.yaml").write_text(PLAN.replace("10/1m", "often"))
    ran = penstock("check", "rules.yaml")
    assert (ran.code, "often" in ran.err or "limit" in ran.err) == (1, True)


def test_processes_that_are_not_there_are_told() -> None:
    Path("shop.yaml").write_text(shop())
    ran = penstock("check", "shop.yaml", "--processes", "no.such.package")
    assert (ran.code, "no.such.package" in ran.err) == (1, True)
