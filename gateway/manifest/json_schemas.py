"""The documents' JSON Schemas for editors: `python -m gateway.manifest.json_schemas --write openapi`.

`--check openapi` tells whether the files there are what the models say now; it exits with 1 if not.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from gateway.manifest.documents import AnyDocument
from gateway.manifest.loading import MODELS

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
IDENTIFIER: Final = "urn:penstock:schema:"
ALL: Final = "documents.schema.json"
COMMAND: Final = "python -m gateway.manifest.json_schemas --write"

Schema = dict[str, Any]

_INCLUDE: Final[Schema] = {
    "title": "Include",
    "description": "A file below the manifest's folder, or a part of one: types/shop.yaml#/Line",
    "type": "object",
    "properties": {"$ref": {"type": "string", "pattern": "^[^#]"}},
    "required": ["$ref"],
    "additionalProperties": False,
}


def schemas() -> dict[str, Schema]:
    """File name: schema. One per kind, and one for a document of any kind."""
    found = {f"{_file(kind)}.schema.json": _schema(kind, model) for kind, model in MODELS.items()}
    every = TypeAdapter(AnyDocument).json_schema(by_alias=True)
    _open(every["$defs"]["ApiComponent"])
    every["$defs"]["Include"] = _INCLUDE
    found[ALL] = _head("documents", "Document", "A document of Penstock, of any kind") | every
    return found


def _file(kind: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind).lstrip("-")


def _schema(kind: str, model: type[BaseModel]) -> Schema:
    schema = model.model_json_schema(by_alias=True)
    description = " ".join((schema.pop("description", None) or f"A document of kind {kind}").split())
    if kind == "ApiComponent":
        _open(schema)
        schema.setdefault("$defs", {})["Include"] = _INCLUDE
    return _head(_file(kind), kind, description) | schema


def _head(name: str, title: str, description: str) -> Schema:
    return {"$schema": DIALECT, "$id": f"{IDENTIFIER}{name}", "title": title, "description": description}


def _open(component: Schema) -> None:
    """What an ApiComponent may write beyond its model: parts in files, and null to take an inherited entry out."""
    component["required"] = [name for name in component["required"] if name != "base_path"]
    component["anyOf"] = [{"required": ["base_path"]}, {"required": ["extends"]}]
    for name, schema in component["properties"].items():
        if "patternProperties" in schema:
            values = {
                pattern: {"anyOf": [value, {"$ref": "#/$defs/Include"}, {"type": "null"}]}
                for pattern, value in schema["patternProperties"].items()
            }
            kept = {key: schema[key] for key in ("title", "description") if key in schema}
            inner = {key: value for key, value in schema.items() if key not in kept}
            maps = inner | {"patternProperties": values, "additionalProperties": False}
            component["properties"][name] = kept | {"anyOf": [maps, {"$ref": "#/$defs/Include"}]}


def text(schema: Mapping[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> list[str]:
    """The names of the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas().items():
        (folder / name).write_text(text(schema), "utf-8")
    return list(schemas())


def drifted(folder: Path) -> list[str]:
    """The names of files that are not what the models say, missing ones too."""
    return [
        name
        for name, schema in schemas().items()
        if not (folder / name).is_file() or (folder / name).read_text("utf-8") != text(schema)
    ]


def main(arguments: list[str] | None = None) -> int:
    """0: written, or nothing has drifted."""
    parser = argparse.ArgumentParser(prog="python -m gateway.manifest.json_schemas", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", metavar="FOLDER", type=Path, help="write the schemas")
    action.add_argument("--check", metavar="FOLDER", type=Path, help="exit with 1 if a file is not what it should be")
    given = parser.parse_args(arguments)
    if given.write is not None:
        sys.stdout.write("".join(f"{given.write / name}\n" for name in write(given.write)))
        return 0
    names = drifted(given.check)
    for name in names:
        sys.stderr.write(f"{given.check / name} is not what the models say. Run: {COMMAND} {given.check}\n")
    return 1 if names else 0


if __name__ == "__main__":
    sys.exit(main())
