"""Resolving with real files, published parents and databases that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.manifest.bundle import Bundle, Table
from gateway.manifest.loading import load, load_text
from gateway.manifest.resolve import resolve

HEAD = "kind: ApiComponent\nname: shop\nversion: v1\nbase_path: /shop/{version}\n"
CHILD = "kind: ApiComponent\nname: shop\nversion: v2\nextends: v1\n"
SQL = 'values: {ledger_url: {default: "x://u"}}\nbackends: {ledger: {sql: {url: "${ledger_url}"}}}\n'
SQL += "odata: {entity_sets: {Orders: {table: ledger.orders}}}\n"


async def no_table(_url: str, table: str) -> Table:
    raise LookupError(f"there is no table {table}")


async def bundles(loaded: Any, folder: Path | None = None, **given: Any) -> list[Bundle]:
    settings: dict[str, Any] = {
        "contracts": {},
        "parents": lambda _component, _version: None,
        "policies": {},
        "reflect": no_table,
        "values": {},
    }
    return await resolve(loaded, folder=folder, **(settings | given))


async def refused(loaded: Any, folder: Path | None = None, **given: Any) -> str:
    with pytest.raises(DocumentsRefused) as caught:
        await bundles(loaded, folder, **given)
    return str(caught.value)


async def test_an_included_file_is_read_relative_to_the_document_and_keeps_its_place(tmp_path: Path) -> None:
    (tmp_path / "team" / "types").mkdir(parents=True)
    (tmp_path / "team" / "types" / "a.yaml").write_text("\nA: string\n")
    (tmp_path / "team" / "shop.yaml").write_text(HEAD + "types: {$ref: types/a.yaml}\n")
    (bundle,) = await bundles(load([tmp_path / "team" / "shop.yaml"]), tmp_path)
    assert bundle.types == {"A": {"type": "string"}}
    assert bundle.places["/types/A"] == "team/types/a.yaml:2:1"


async def test_a_symbolic_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("A: string\n")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "types.yaml").symlink_to(tmp_path / "secret.yaml")
    (tmp_path / "inside" / "shop.yaml").write_text(HEAD + "types: {$ref: types.yaml}\n")
    found = await refused(load([tmp_path / "inside" / "shop.yaml"]), tmp_path / "inside")
    assert "types.yaml leads out of the manifest's folder" in found


async def test_a_document_without_a_folder_includes_nothing() -> None:
    found = await refused(load_text(HEAD + "types: {$ref: types.yaml}\n", "request"))
    assert "this document came without a folder" in found


async def test_a_published_parent_is_inherited_and_locked() -> None:
    (parent,) = await bundles(load_text(HEAD + "title: Shop\noperations: {a: {fixed: 1, output: int32}}\n", "v1.yaml"))
    stored = Bundle.model_validate(json.loads(json.dumps(parent.content())))
    (child,) = await bundles(load_text(CHILD, "v2.yaml"), parents=lambda _component, _version: stored)
    assert child.parent == parent.revision
    assert child.manifest.title == "Shop"
    assert (child.places["/operations/a"], child.places["/extends"]) == ("v1.yaml:6:14", "v2.yaml:4:1")


async def test_a_child_has_the_same_revision_whether_its_parent_was_stored_or_not() -> None:
    text = HEAD + "select_by: [path]\nrest: {GET /a: a}\noperations: {a: {fixed: 1, output: int32}}\n"
    parent, fresh = await bundles(load_text(f"{text}---\n{CHILD}", "both.yaml"))
    (later,) = await bundles(load_text(CHILD, "v2.yaml"), parents=lambda _component, _version: parent)
    assert later.revision == fresh.revision


async def test_the_lifecycle_of_a_parent_is_its_own() -> None:
    text = HEAD + "default: true\nlifecycle: {status: retired}\n---\n" + CHILD
    _, child = await bundles(load_text(text, "both.yaml"))
    assert (child.manifest.lifecycle.status, child.manifest.default) == ("published", False)


async def test_a_revision_covers_contracts_and_not_places() -> None:
    contract = {"effect": "safe", "input": {"type": "object", "properties": {}}, "output": None, "digest": "one"}
    text = HEAD + "operations: {a: {python: a}}\n"

    async def revision(text: str, digest: str) -> str:
        described = {"a": {"contract": contract | {"digest": digest}, "types": {}}}
        return (await bundles(load_text(text, "a.yaml"), contracts=described))[0].revision

    assert await revision(text, "one") == await revision("\n\n" + text, "one")
    assert await revision(text, "one") != await revision(text, "two")


async def test_a_database_is_reached_by_the_environment_s_value_before_the_default() -> None:
    urls = []

    async def reflect(url: str, table: str) -> Table:
        urls.append(url)
        return Table(name=table, columns=())

    loaded = load_text(HEAD + SQL, "a.yaml")
    await bundles(loaded, reflect=reflect)
    await bundles(loaded, reflect=reflect, values={"ledger_url": "y://u", "other": 1})
    assert urls == ["x://u", "y://u"]


async def test_the_text_of_a_driver_s_error_is_not_told() -> None:
    async def reflect(_url: str, _table: str) -> Table:
        raise ConnectionError("no route to x://user:hush@host")

    found = await refused(load_text(HEAD + SQL, "a.yaml"), reflect=reflect)
    assert "the table ledger.orders cannot be read (ConnectionError)" in found
    assert "hush" not in found


async def test_a_missing_value_of_a_database_is_named() -> None:
    text = HEAD + SQL.replace('{default: "x://u"}', "{required: true}")
    assert "no value 'ledger_url'" in await refused(load_text(text, "a.yaml"))


async def test_documents_of_several_files_that_clash_are_refused() -> None:
    both = load_text(HEAD, "a.yaml") + load_text(HEAD, "b.yaml")
    assert "ApiComponent shop@v1 is here twice" in await refused(both)


async def test_documents_of_other_kinds_are_passed_over() -> None:
    assert await bundles(load_text("kind: Topic\nname: a\n", "a.yaml")) == []
