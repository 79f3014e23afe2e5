"""Records and values as OData JSON (JSON Format 4.01): one compiled writer per property and form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

from gateway.core.errors import InternalError
from gateway.core.exchange import Reply
from gateway.frontend.odata.errors import VERSION
from gateway.frontend.odata.negotiation import Format
from gateway.schema.edm import edm_type, json_writer, to_base64url
from gateway.schema.lexical import FORMATTERS
from gateway.schema.types import Enumeration, Field, Record, Scalar, Type, Types

Write = Callable[[Any], Any]
_NATIVE: Final = ("Edm.String", "Edm.Boolean", "Edm.Double")  # JSON shows these types by itself


class Writers:
    """A record's properties, written one by one, so that a selection writes what it names. An optional property that
    is absent is null: a declared property is always there (JSON Format, section 4.5)."""

    def __init__(self, record: Record, types: Types, namespace: str) -> None:
        self.names = tuple(part.name for part in record.fields)
        self._record = record
        edm = {part.name: _edm_name(record, part, types, namespace) for part in record.fields}
        self._writers: Mapping[bool, dict[str, Write]] = {
            ieee754: {
                part.name: json_writer(part.type, part.nullable or not part.required, types, ieee754)
                for part in record.fields
            }
            for ieee754 in (False, True)
        }
        self._annotations = {
            name: annotation for name, kind in edm.items() if (annotation := _annotation(kind)) is not None
        }

    def write(self, row: Mapping[str, Any], names: Sequence[str], format_: Format) -> dict[str, Any]:
        writers = self._writers[format_.ieee754]
        written: dict[str, Any] = {}
        for name in names:
            if format_.metadata == "full" and name in self._annotations:
                written[f"{name}@odata.type"] = self._annotations[name]
            written[name] = self._value(writers[name], row, name)
        return written

    def _value(self, write: Write, row: Mapping[str, Any], name: str) -> Any:
        value = row.get(name)
        try:
            return write(value)
        except InternalError as error:
            raise InternalError(f"The property {name} of {self._record.name}: {error.detail}") from error


def _edm_name(record: Record, part: Field, types: Types, namespace: str) -> str:
    try:
        return edm_type(part.type, types, namespace).name
    except ValueError as error:
        raise ValueError(f"the property {part.name} of {record.name}: {error}, or leave the property out") from None


def _annotation(name: str) -> str | None:
    """The value of `@odata.type` (JSON Format, section 4.6.3)."""
    if name in _NATIVE:
        return None
    inner = name[11:-1] if name.startswith("Collection(") else None
    if inner is not None:
        return f"#Collection({inner.removeprefix('Edm.')})"
    return f"#{name.removeprefix('Edm.')}"


def literal(value: Any, type_: Scalar | Enumeration) -> str:
    """A canonical value as a key's literal, percent-encoded."""
    if isinstance(type_, Enumeration):
        name = type_.names[list(type_.values).index(value)]
        return f"'{name}'"
    if type_.kind == "string":
        return "'" + quote(value.replace("'", "''"), safe="") + "'"
    if type_.kind == "bytes":
        return f"binary'{to_base64url(value)}'"
    text = FORMATTERS[type_.kind](value)
    return f"duration'{text}'" if type_.kind == "duration" else quote(text, safe="")


def answer(document: Mapping[str, Any], format_: Format, status: int = 200) -> Reply:
    return Reply(status, [(b"content-type", format_.media_type), VERSION], orjson.dumps(document))


def nothing() -> Reply:
    """204: a null result (Protocol, section 11.4.1)."""
    return Reply(204, [VERSION])


def text(value: str) -> Reply:
    return Reply(200, [(b"content-type", b"text/plain;charset=utf-8"), VERSION], value.encode())


def type_of(type_: Type, types: Types, namespace: str) -> str:
    return edm_type(type_, types, namespace).name
