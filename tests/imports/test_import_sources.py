"""What is read: bounded, strict, and nothing that was not named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports import source
from gateway.manifest.imports.openapi import import_openapi
from gateway.manifest.imports.source import Sources, parse, parse_xml

OPENAPI = """openapi: 3.0.0
info: {title: Shop, version: '1'}
paths:
  /things:
    get:
      operationId: things
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: 'REF'}}}}}
"""
TYPES = """
Thing: {type: object, properties: {part: {$ref: '#/Part'}}}
Part: {type: object, properties: {id: {type: integer}}}
"""


class Files(BaseHTTPRequestHandler):
    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        content = self.files.get(self.path.partition("?")[0])
        self.send_response(302 if self.path == "/moved" else 200 if content is not None else 404)
        if self.path == "/moved":
            self.send_header("Location", "/api/shop.yaml")
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    Files.files, Files.asked = {}, Files.asked
    Files.asked.clear()
    serving = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = Thread(target=serving.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{serving.server_address[1]}"
    serving.shutdown()
    serving.server_close()
    thread.join()


def refusal(run: object, *arguments: object) -> str:
    with pytest.raises(DocumentsRefused) as refused:
        run(*arguments)  # type: ignore[operator]
    return str(refused.value)


def shop(folder: Path, reference: str) -> Sources:
    (folder / "shop.yaml").write_text(OPENAPI.replace("REF", reference))
    return Sources(str(folder / "shop.yaml"))


def test_a_reference_into_a_file_beside_it_is_followed(tmp_path: Path) -> None:
    (tmp_path / "types.yaml").write_text(TYPES)
    draft = import_openapi(shop(tmp_path, "types.yaml#/Thing"))
    assert draft.types == {
        "Thing": {"type": "object", "properties": {"part": "Part"}},
        "Part": {"type": "object", "properties": {"id": "int64"}},
    }


def test_a_reference_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "types.yaml").write_text(TYPES)
    (tmp_path / "inside").mkdir()
    draft = import_openapi(shop(tmp_path / "inside", "../types.yaml#/Thing"))
    assert draft.operations["things"]["output"] == "any"
    assert any("outside of its folder" in note.message for note in draft.notes)


def test_a_folder_that_is_allowed_is_followed_into(tmp_path: Path) -> None:
    (tmp_path / "types.yaml").write_text(TYPES)
    (tmp_path / "inside").mkdir()
    sources = shop(tmp_path / "inside", "../types.yaml#/Thing")
    sources.allow = [str(tmp_path)]
    assert "Thing" in import_openapi(sources).types


def test_a_url_is_fetched_and_what_lies_beside_it(server: str) -> None:
    Files.files = {
        "/api/shop.yaml": OPENAPI.replace("REF", "types.yaml#/Thing").encode(),
        "/api/types.yaml": TYPES.encode(),
    }
    draft = import_openapi(Sources(f"{server}/api/shop.yaml?key=hidden"))
    assert "Part" in draft.types
    assert draft.values["shop_url"]["default"] == server
    assert "hidden" not in draft.origin
    assert Files.asked == ["/api/shop.yaml?key=hidden", "/api/types.yaml"]


@pytest.mark.parametrize("reference", ["/secret.yaml#/Thing", "../secret.yaml#/Thing", "%2e%2e/secret.yaml#/Thing"])
def test_a_url_beyond_the_folder_is_not_fetched(server: str, reference: str) -> None:
    Files.files = {"/api/shop.yaml": OPENAPI.replace("REF", reference).encode(), "/secret.yaml": TYPES.encode()}
    draft = import_openapi(Sources(f"{server}/api/shop.yaml"))
    assert draft.operations["things"]["output"] == "any"
    assert Files.asked == ["/api/shop.yaml"]


def test_a_redirect_is_not_followed(server: str) -> None:
    Files.files = {"/api/shop.yaml": OPENAPI.encode()}
    assert "answered 302" in refusal(import_openapi, Sources(f"{server}/moved"))
    assert Files.asked == ["/moved"]


def test_a_document_is_bounded_in_bytes(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MAX_BYTES", 100)
    Files.files = {"/api/shop.yaml": OPENAPI.encode()}
    assert "larger than" in refusal(import_openapi, Sources(f"{server}/api/shop.yaml"))


def test_a_yaml_bomb_is_refused() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in zip("abcdefg", "bcdefgh", strict=True)
    ]
    assert "values" in refusal(parse, "\n".join(lines).encode(), "bomb.yaml")


@pytest.mark.parametrize("text", ["[" * 300 + "]" * 300, "a: " + "[" * 300 + "]" * 300])
def test_deep_nesting_is_refused(text: str) -> None:
    assert refusal(parse, text.encode(), "deep.yaml")


def test_a_tag_is_refused() -> None:
    assert "neither JSON nor YAML" in refusal(parse, b"a: !!python/object/apply:os.system ['true']", "tag.yaml")


def test_scalars_are_those_of_yaml_1_2() -> None:
    value = parse(b"{a: yes, b: 010, c: 1:30, d: 2020-01-01, e: true, f: 12, g: 1.5, h: null, 200: x}", "x.yaml")
    assert value == {
        "a": "yes", "b": "010", "c": "1:30", "d": "2020-01-01", "e": True, "f": 12, "g": 1.5, "h": None, "200": "x"
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ['<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', '<!DOCTYPE a SYSTEM "file:///etc/hostname"><a/>', "<a>", "{}", ""],
)
def test_xml_with_a_doctype_or_that_is_none_is_refused(text: str) -> None:
    assert refusal(parse_xml, text.encode(), "x.xml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("openapi: 4.0.0", "which is not read"),
        ("a: 1", "neither openapi nor swagger"),
        ("openapi: 3.0.0\npaths: {}", "no operation"),
        ("<a/>", "XML"),
        ("a: [", "neither JSON nor YAML"),
        ("- a", "no map"),
    ],
)
def test_what_is_no_openapi_document_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    assert words in refusal(import_openapi, Sources(str(tmp_path / "x.yaml")))


def test_hundreds_of_paths_are_all_there(tmp_path: Path) -> None:
    """A chain of types as long as that is read, too."""
    parameter = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
    types: dict[str, Any] = {
        f"T{n}": {"type": "object", "properties": {"next": {"$ref": f"#/components/schemas/T{n + 1}"}}}
        for n in range(400)
    }
    answers = [
        {"200": {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/T{n}"}}}}}
        for n in range(400)
    ]
    paths = {f"/p{n}/{{id}}": {"get": {"parameters": [parameter], "responses": answers[n]}} for n in range(400)}
    document = {"openapi": "3.1.0", "paths": paths, "components": {"schemas": {**types, "T400": {"type": "string"}}}}
    (tmp_path / "big.json").write_text(json.dumps(document))
    draft = import_openapi(Sources(str(tmp_path / "big.json")))
    assert (draft.typed, draft.relayed, len(draft.types)) == (400, 0, 401)
