"""Files that a manifest includes by `$ref`, and texts that its steps include by `$file`: from its own folder only, each
part keeping the place it came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.core.findings import Finding, Place
from gateway.manifest import loading, texts, yaml_reader
from gateway.manifest.plain_words import near, place_of
from gateway.manifest.yaml_reader import Tree

MAX_FILES: Final = 100  # included by one manifest, repeats counted
_DATA: Final = frozenset(("with", "when", "fixed", "default"))

Keys = tuple[str | int, ...]


def include(loaded: loading.Loaded, folder: Path | None) -> tuple[Tree, list[Finding]]:
    """The document with `{$ref: file}` and `{$ref: file#/key}` replaced by what they name. `folder` is the one that
    nothing may leave; None: the document came without one, and may include nothing."""
    root = folder.resolve() if folder is not None else None
    including = _Including(root, dict(loaded.places))
    base = _base(loaded.file, root)
    value = including.walk(loaded.raw, (), base, ())
    return Tree(value, including.places), including.findings


def _base(file: str, root: Path | None) -> Path | None:
    """The folder of the document's file; for a text under a mere label the manifest folder itself."""
    parent = Path(file).resolve().parent
    return parent if root is not None and Path(file).is_file() and parent.is_relative_to(root) else root


class _RefusedError(Exception):
    pass


@dataclass(slots=True)
class _Including:
    root: Path | None
    places: dict[str, Place]
    findings: list[Finding] = field(default_factory=list)
    files: int = 0

    def walk(self, value: Any, at: Keys, base: Path | None, chain: tuple[str, ...]) -> Any:
        if loading.is_file_reference(value):
            return self.replace(value, at, base, chain)
        if isinstance(value, dict):
            walked = {
                key: part if key in _DATA else self.walk(part, (*at, key), base, chain) for key, part in value.items()
            }
            if "use" in value and "with" in value:
                walked["with"] = self.texts(value["with"], (*at, "with"), base)
            return walked
        if isinstance(value, list):
            return [self.walk(part, (*at, index), base, chain) for index, part in enumerate(value)]
        return value

    def replace(self, value: dict[str, Any], at: Keys, base: Path | None, chain: tuple[str, ...]) -> Any:
        try:
            return self.file(value, at, base, chain)
        except _RefusedError as error:
            message, hint = error.args
            self.findings.append(Finding(place_of((*at, "$ref"), self.places), "include", message, hint))
            return {}

    def texts(self, value: Any, at: Keys, base: Path | None) -> Any:
        """A step's configuration with the texts that it names."""
        if texts.names_file(value):
            try:
                return {texts.FILE: value[texts.FILE], texts.TEXT: self.text(value, base)}
            except _RefusedError as error:
                message, hint = error.args
                self.findings.append(Finding(place_of((*at, texts.FILE), self.places), "include", message, hint))
                return {}
        if isinstance(value, dict) and not texts.is_text(value):
            return {key: self.texts(part, (*at, key), base) for key, part in value.items()}
        if isinstance(value, list):
            return [self.texts(part, (*at, index), base) for index, part in enumerate(value)]
        return value

    def text(self, value: dict[str, Any], base: Path | None) -> str:
        name = value[texts.FILE]
        if len(value) > 1 or not isinstance(name, str):
            raise _RefusedError("a text is named by {$file: path} alone.", "Nothing may stand beside it.")
        path = self.path(name, base)
        self.count()
        wrong: list[Finding] = []
        text = loading.read_text(path, wrong)
        self.findings += wrong
        if text is None:
            raise _RefusedError(f"{name} cannot be included.", "What is wrong with it is told at its own place.")
        if len(text) > yaml_reader.MAX_BYTES:
            raise _RefusedError(f"{name} has more than {yaml_reader.MAX_BYTES} bytes.", "Divide it, or shorten it.")
        return text

    def file(self, value: dict[str, Any], at: Keys, base: Path | None, chain: tuple[str, ...]) -> Any:
        if len(value) > 1:
            raise _RefusedError("nothing may stand beside a $ref of a file.", "Move the rest into that file.")
        name, _, fragment = value["$ref"].partition("#")
        path = self.path(name, base)
        target = f"{path}#{fragment}"
        if target in chain:
            files = " -> ".join(Path(each.split("#")[0]).name for each in (*chain, target))
            raise _RefusedError(f"files include each other in a circle: {files}.", "Name types: #/types/Name.")
        return self.insert(path, fragment, at, (*chain, target))

    def path(self, name: str, base: Path | None) -> Path:
        inside = "Include files below the manifest's folder by a relative path, such as types/shop.yaml."
        if base is None or self.root is None:
            raise _RefusedError(f"{name} cannot be included: this document came without a folder.", "Write it out.")
        if "://" in name or name.startswith(("/", "\\", "~")) or ".." in Path(name).parts or "\0" in name:
            raise _RefusedError(f"{name!r} is not a path below the manifest's folder.", inside)
        path = (base / name).resolve()
        if not path.is_relative_to(self.root):
            raise _RefusedError(f"{name} leads out of the manifest's folder.", inside)
        if not path.is_file():
            there = [each.name for each in path.parent.iterdir() if each.is_file()] if path.parent.is_dir() else []
            raise _RefusedError(f"there is no file {name}.", near(path.name, there) if there else inside)
        return path

    def count(self) -> None:
        self.files += 1
        if self.files > MAX_FILES:
            raise _RefusedError(f"more than {MAX_FILES} files are included.", "Put them together.")

    def insert(self, path: Path, fragment: str, at: Keys, chain: tuple[str, ...]) -> Any:
        self.count()
        tree = self.read(path)
        value, keys = _at(tree.value, fragment, path.name)
        here, there = yaml_reader.pointer(*at), yaml_reader.pointer(*keys)
        for key, place in tree.places.items():
            if key == there or key.startswith(there + "/"):
                moved = here + key[len(there) :]
                self.places[moved] = Place(place.file, place.line, place.column, moved)
        return self.walk(value, at, path.parent, chain)

    def read(self, path: Path) -> Tree:
        wrong: list[Finding] = []
        text = loading.read_text(path, wrong)
        label = path.relative_to(self.root).as_posix() if self.root else path.name
        trees, broken = yaml_reader.read(text or "", label, as_json=path.suffix == ".json")
        self.findings += wrong + broken
        if wrong or broken:
            raise _RefusedError(f"{label} cannot be included.", "What is wrong in it is told at its own place.")
        if len(trees) != 1:
            raise _RefusedError(f"{label} holds {len(trees)} documents.", "Exactly one can be included.")
        return trees[0]


def _at(value: Any, fragment: str, file: str) -> tuple[Any, Keys]:
    """What a fragment (a JSON pointer, RFC 6901) names within a file."""
    keys: list[str | int] = []
    for part in fragment.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, dict) or key not in value:
            known = value if isinstance(value, dict) else ()
            raise _RefusedError(f"{file} has nothing at #{fragment}.", near(key, known))
        keys.append(key)
        value = value[key]
    return value, tuple(keys)
