"""Documents on their way to a gateway: complete (files are included here, where they are), each key with its place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.manifest.loading import MODELS, Loaded, duplicates, load, read_model
from gateway.manifest.references import include

MEDIA_TYPE: Final = "application/vnd.penstock.documents+json"


def gather(paths: Iterable[Path]) -> list[Loaded]:
    """The documents of files and folders with everything that they include. DocumentsRefused with every finding."""
    found: list[Loaded] = []
    wrong: list[Finding] = []
    for path in paths:
        folder = path if path.is_dir() else path.parent
        for loaded in load([path]):
            tree, findings = include(loaded, folder)
            wrong += findings
            if not findings:
                found += _whole(tree.value, tree.places, loaded.file, wrong)
    wrong += duplicates(found)
    if wrong:
        raise DocumentsRefused(wrong)
    return found


def _whole(raw: Any, places: dict[str, Place], file: str, wrong: list[Finding]) -> list[Loaded]:
    document, findings = read_model(raw, places)
    wrong += findings
    return [] if findings else [Loaded(document, places, file, raw)]


def pack(documents: Iterable[Loaded]) -> bytes:
    """As JSON: `{"documents": [{"file", "value", "places": {pointer: [file, line, column]}}]}`."""
    return orjson.dumps(
        {
            "documents": [
                {
                    "file": each.file,
                    "value": each.raw,
                    "places": {key: [at.file, at.line, at.column] for key, at in each.places.items()},
                }
                for each in documents
            ]
        }
    )


def unpack(data: bytes) -> list[Loaded]:
    """The inverse of `pack`; checked as strictly as a file. DocumentsRefused with every finding."""
    found: list[Loaded] = []
    wrong: list[Finding] = []
    for each in _entries(data):
        try:
            raw, file = each["value"], str(each["file"])
            places = {key: Place(str(at[0]), int(at[1]), int(at[2]), key) for key, at in each["places"].items()}
            places.setdefault("", Place(file))
            kind = raw["kind"]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise _malformed() from None
        if kind not in MODELS:
            wrong.append(Finding(places[""], "unknown-kind", f"unknown kind {kind!r}.", f"One of {', '.join(MODELS)}."))
        else:
            found += _whole(raw, places, file, wrong)
    wrong += duplicates(found)
    if wrong:
        raise DocumentsRefused(wrong)
    return found


def _entries(data: bytes) -> list[Any]:
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise _malformed() from None
    entries = value.get("documents") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise _malformed()
    return entries


def _malformed() -> DocumentsRefused:
    text = f"the body is no {MEDIA_TYPE}."
    return DocumentsRefused(
        [Finding(Place("body"), "no-documents", text, "Send YAML, or let penstock publish send it.")]
    )
