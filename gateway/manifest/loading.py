"""Documents out of files, folders and text: strict, and everything that is wrong with them told at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import ValidationError

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.manifest import documents as model
from gateway.manifest import plain_words, yaml_reader
from gateway.manifest.model import Document
from gateway.manifest.yaml_reader import Tree

SUFFIXES: Final = (".yaml", ".yml", ".json")
MODELS: Final[dict[str, type[Document]]] = {
    "ApiComponent": model.ApiComponent,
    "Policy": model.Policy,
    "Plan": model.Plan,
    "Application": model.Application,
    "Environment": model.Environment,
    "Topic": model.Topic,
}
_DATA: Final = frozenset(("with", "when", "fixed", "default"))  # below these keys `$ref` is the writer's own


@dataclass(frozen=True, slots=True)
class Loaded:
    """One document. `document` is None while parts of it stand elsewhere: a version that extends another, or one that
    includes files; `resolve` reads those once they are whole. `places` maps JSON pointers (RFC 6901) to places."""

    document: Document | None
    places: Mapping[str, Place]
    file: str
    raw: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.raw["kind"])

    @property
    def name(self) -> str:
        return str(self.raw.get("name", "default"))

    @property
    def version(self) -> str | None:
        version = self.raw.get("version")
        return None if version is None else str(version)

    @property
    def title(self) -> str:
        """How messages call it: `ApiComponent shop@v2`."""
        return f"{self.kind} {self.name}" + (f"@{self.version}" if self.version else "")

    def place(self, *keys: str | int) -> Place:
        return plain_words.place_of(keys, self.places)


def load(paths: Iterable[Path | str]) -> list[Loaded]:
    """The documents of files and folders (`*.yaml`, `*.yml`, `*.json`, sorted, not deep). DocumentsRefused holds
    everything that is wrong with all of them."""
    found: list[Loaded] = []
    wrong: list[Finding] = []
    for path in _files(map(Path, paths), wrong):
        text = read_text(path, wrong)
        if text is not None:
            found += _read(text, str(path), path.suffix == ".json", wrong)
    return _finish(found, wrong)


def load_text(text: str, label: str, *, as_json: bool = False) -> list[Loaded]:
    """The documents of a text; `label` stands for its file in places. DocumentsRefused."""
    wrong: list[Finding] = []
    return _finish(_read(text, label, as_json or label.endswith(".json"), wrong), wrong)


def _finish(found: list[Loaded], wrong: list[Finding]) -> list[Loaded]:
    wrong += duplicates(found)
    if wrong:
        raise DocumentsRefused(wrong)
    return found


def _files(paths: Iterable[Path], wrong: list[Finding]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(each for each in path.iterdir() if each.suffix in SUFFIXES and each.is_file())
            if not inside:
                hint = "Documents end in .yaml, .yml or .json."
                wrong.append(Finding(Place(str(path)), "no-documents", "the folder holds no documents.", hint))
            yield from inside
        elif path.is_file():
            yield path
        else:
            wrong.append(Finding(Place(str(path)), "no-file", "there is no such file or folder."))


def read_text(path: Path, wrong: list[Finding]) -> str | None:
    """A file as text, at most one character beyond the greatest size. None, with a finding more: it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(yaml_reader.MAX_BYTES + 1).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start >= yaml_reader.MAX_BYTES - 3:  # the cut, not the file, broke a character
            return " " * (yaml_reader.MAX_BYTES + 1)
        message = f"byte {error.start} is not UTF-8."
        wrong.append(Finding(Place(str(path)), "encoding", message, "Save the file as UTF-8."))
    except OSError as error:
        wrong.append(Finding(Place(str(path)), "no-file", f"the file cannot be read: {error.strerror}."))
    return None


def _read(text: str, label: str, as_json: bool, wrong: list[Finding]) -> list[Loaded]:
    trees, broken = yaml_reader.read(text, label, as_json=as_json)
    wrong += broken
    if not trees and not broken:
        wrong.append(
            Finding(Place(label), "no-documents", "there is no document in it.", "Begin with kind: and name:.")
        )
    return [loaded for tree in trees if (loaded := _document(tree, label, wrong)) is not None]


def _document(tree: Tree, label: str, wrong: list[Finding]) -> Loaded | None:
    known = ", ".join(MODELS)
    raw, place = tree.value, tree.places[""]
    if not isinstance(raw, dict):
        message = f"a document must be a map (key: value), not {plain_words.describe(raw)}."
        wrong.append(Finding(place, "value", message, f"Begin with kind: (one of {known})."))
        return None
    kind = raw.get("kind")
    if kind is None:
        openapi = "openapi" in raw or "swagger" in raw
        hint = "Bring an OpenAPI document in by: penstock import openapi FILE." if openapi else f"It is one of {known}."
        wrong.append(Finding(place, "missing-key", "kind is missing.", hint))
        return None
    if not isinstance(kind, str) or kind not in MODELS:
        at = tree.places["/kind"]
        wrong.append(Finding(at, "unknown-kind", f"unknown kind {kind!r}.", plain_words.near(str(kind), MODELS)))
        return None
    document, broken = read_model(raw, tree.places)
    wrong += broken
    return None if broken else Loaded(document, tree.places, label, raw)


def read_model(
    raw: dict[str, Any], places: Mapping[str, Place], *, whole: bool = False
) -> tuple[Document | None, list[Finding]]:
    """The document of plain values with a known `kind`. None when it is wrong, or when more of it stands elsewhere;
    `whole` tells that all of it is here."""
    given, partial = (raw, False) if whole else _own_part(raw)
    kind = MODELS[raw["kind"]]
    try:
        document = kind.model_validate_json(orjson.dumps(given), strict=True)
    except ValidationError as error:
        return None, plain_words.findings(error, kind, given, places, partial=partial)
    return (None if partial else document), []


def is_file_reference(value: Any) -> bool:
    """`{$ref: types/shop.yaml}`; `{$ref: "#/types/Line"}` is one of JSON Schema and stays."""
    return isinstance(value, dict) and isinstance(value.get("$ref"), str) and not value["$ref"].startswith("#")


def _own_part(raw: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """What can be checked of a document alone, and whether there is more of it elsewhere."""
    if raw["kind"] != "ApiComponent":
        return raw, False
    extends = raw.get("extends") is not None
    pruned = _prune(raw, nulls=extends)
    return pruned, extends or pruned != raw


def _prune(value: Any, *, nulls: bool) -> Any:
    if isinstance(value, dict):
        return {
            key: part if key in _DATA else _prune(part, nulls=nulls)
            for key, part in value.items()
            if not (nulls and part is None) and not (is_file_reference(part) and key not in _DATA)
        }
    return [_prune(part, nulls=nulls) for part in value] if isinstance(value, list) else value


def duplicates(found: Iterable[Loaded]) -> list[Finding]:
    """Documents that are there twice, each later one with the place of the first."""
    first: dict[tuple[str, str, str | None], Loaded] = {}
    wrong = []
    for loaded in found:
        seen = first.setdefault((loaded.kind, loaded.name, loaded.version), loaded)
        if seen is not loaded:
            place = Place(loaded.place().file, loaded.place().line, loaded.place().column)
            there = f"{seen.file}:{seen.place().line}:{seen.place().column}"
            hint = f"The first is at {there}; keep one of them."
            wrong.append(Finding(place, "duplicate-document", f"{loaded.title} is here twice.", hint))
    return wrong
