"""Golden pairs: NAME.in.yaml becomes NAME.out.json (bundles) or NAME.errors.txt (findings as printed).

What a manifest may include lies in tests/golden/manifest/files; NAME.contracts.json replaces the processes.
`pytest tests/manifest --update-golden` rewrites what is expected: look at the difference before committing it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.manifest.bundle import Bundle, Column, ForeignKey, Table
from gateway.manifest.check import check
from gateway.manifest.loading import load_text
from gateway.manifest.resolve import resolve

GOLDEN = Path(__file__).parent.parent / "golden" / "manifest"
NAMES = sorted(path.name.removesuffix(".in.yaml") for path in GOLDEN.glob("*.in.yaml"))
INTEGER = {"type": "integer", "format": "int64"}
TABLES = {
    "orders": Table(
        name="orders",
        columns=(
            Column(name="id", type=INTEGER, primary_key=True),
            Column(name="note", type={"type": "string", "maxLength": 40}, nullable=True),
        ),
    ),
    "lines": Table(
        name="lines",
        columns=(Column(name="order_id", type=INTEGER), Column(name="sku", type={"type": "string"})),
        foreign_keys=(ForeignKey(columns=("order_id",), table="orders", remote=("id",)),),
    ),
}


async def reflect(url: str, table: str) -> Table:
    assert url == "sqlite+aiosqlite:///ledger.db"
    if table not in TABLES:
        raise LookupError(f"the database has no table {table}")
    return TABLES[table]


async def outcome(name: str) -> tuple[str, str]:
    """(ending, text) of what a golden input becomes."""
    own = GOLDEN / f"{name}.contracts.json"
    contracts = json.loads((own if own.exists() else GOLDEN / "contracts.json").read_text())
    text = (GOLDEN / f"{name}.in.yaml").read_text()
    try:
        bundles = await resolve(
            load_text(text, f"{name}.in.yaml"),
            folder=GOLDEN / "files",
            contracts=contracts,
            parents=lambda _component, _version: None,
            policies={"partner-rules": 7},
            reflect=reflect,
            values={"ledger_url": "sqlite+aiosqlite:///ledger.db"},
        )
    except DocumentsRefused as refused:
        return "errors.txt", f"{refused}\n"
    findings = [finding for bundle in bundles for finding in check(bundle)]
    if findings:
        return "errors.txt", f"{DocumentsRefused(findings)}\n"
    return "out.json", json.dumps([written(bundle) for bundle in bundles], indent=1, sort_keys=True) + "\n"


def written(bundle: Bundle) -> dict[str, Any]:
    return {"revision": bundle.revision} | bundle.content()


@pytest.mark.parametrize("name", NAMES)
async def test_a_golden_input_becomes_what_is_expected(name: str, update_golden: bool) -> None:
    ending, text = await outcome(name)
    expected = GOLDEN / f"{name}.{ending}"
    if update_golden:
        for other in ("errors.txt", "out.json"):
            (GOLDEN / f"{name}.{other}").unlink(missing_ok=True)
        expected.write_text(text)
    assert expected.exists(), f"{name} became {ending}:\n{text}"
    assert text == expected.read_text()


def test_there_are_golden_pairs_and_nothing_else_is_expected() -> None:
    expected = {
        path.name.split(".")[0] for path in GOLDEN.iterdir() if path.name.endswith((".out.json", ".errors.txt"))
    }
    assert len(NAMES) >= 25
    assert expected == set(NAMES)
