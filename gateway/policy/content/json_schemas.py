"""JSON Schemas (2020-12), compiled to validators that run in linear time and fetch nothing.

Imported by `build` of the kinds that need it, and by nobody else: the engine behind it is large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from gateway.core.errors import Detail, InvalidInput
from gateway.manifest import yaml_reader
from gateway.policy.content.inspection import MOST
from gateway.schema.json_codec import loads
from gateway.schema.places import Path, render

_TYPES: Final = "#/types/"
_SCHEMAS: Final = "#/components/schemas/"
_CODES: Final = {"required": "required", "type": "type", "additionalProperties": "unknown", "enum": "choice"}
_LONGEST: Final = 300  # characters of a message

Validate = Callable[[Any], list[Detail]]


def document(given: Any, what: str) -> Any:
    """What a setting holds: a value, or the text of a file in YAML or JSON. ValueError with the place in it."""
    if not isinstance(given, str):
        return given
    trees, wrong = yaml_reader.read(given, what, as_json=given.lstrip()[:1] in ("{", "["))
    if wrong:
        first = wrong[0]
        raise ValueError(f"{what} cannot be read at line {first.place.line}: {first.message}")
    if len(trees) != 1:
        raise ValueError(f"{what} holds {len(trees)} documents; exactly one is wanted")
    return trees[0].value


def compiled(
    schema: Any, types: Mapping[str, Any], what: str, registry: jsonschema_rs.Registry | None = None
) -> Validate:
    """A function that lists what is wrong with a value. `types` are reached as `#/types/Name` or as
    `#/components/schemas/Name`; `registry` has documents that it may refer to. ValueError: the schema is none, or
    refers to what is not here."""
    schema = _with_types(schema, types)
    try:
        jsonschema_rs.meta.validate(schema)
        validator = jsonschema_rs.Draft202012Validator(
            schema,
            validate_formats=True,
            ignore_unknown_formats=True,
            mask="the value",
            pattern_options=jsonschema_rs.RegexOptions(),
            retriever=_nothing,
            registry=registry,
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError) as error:
        raise ValueError(f"{what} is no usable JSON Schema: {_told(error)}") from None
    return lambda value: [_detail(error) for error in islice(validator.iter_errors(value), MOST)]


def check_bodies(validate: Validate) -> Callable[[bytes], list[Detail]]:
    """The same of a JSON text, which is read as strictly as typed endpoints read it (CASES B54)."""

    def check(body: bytes) -> list[Detail]:
        try:
            value = loads(body)
        except InvalidInput as error:
            return list(error.details)
        return validate(value)

    return check


def _with_types(schema: Any, types: Mapping[str, Any]) -> Any:
    if isinstance(schema, bool):
        return schema
    if not isinstance(schema, dict):
        raise ValueError("a schema is a map, true or false")
    schema = _referring(schema)
    if types and "components" not in schema:
        schema = {**schema, "components": {"schemas": types}}
    return schema


def _referring(part: Any) -> Any:
    """References to the component's types, as its document has them."""
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(_TYPES):
            part = part | {"$ref": _SCHEMAS + reference.removeprefix(_TYPES)}
        return {key: _referring(value) for key, value in part.items()}
    return [_referring(value) for value in part] if isinstance(part, list) else part


def _nothing(uri: str) -> Any:
    raise ValueError(f"{uri} is not part of it, and nothing is fetched; include it")


def _told(error: Exception) -> str:
    message = error.message if isinstance(error, jsonschema_rs.ValidationError) else str(error)
    if message.endswith('is not a "regex"'):
        return "a pattern is malformed, or needs look-around or back-references, which are not matched in linear time"
    return message[:_LONGEST].rstrip(".")


def _detail(error: Any) -> Detail:
    """Values are masked: what a client sent is not told back, nor to the log."""
    path: Path = ()
    for key in error.instance_path:
        path = (path, key)
    return Detail(render(path), error.message[:_LONGEST], _CODES.get(error.kind.name, "invalid"))
