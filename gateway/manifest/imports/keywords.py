"""The keywords of schemas in OpenAPI (3.0, 3.1), by what an import makes of them."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]

TEXTS: Final = ("title", "description", "readOnly", "writeOnly", "deprecated")
SILENT: Final = frozenset(
    ("title", "description", "readOnly", "writeOnly", "deprecated", "example", "examples", "externalDocs", "xml",
     "$schema", "$id", "$comment", "$anchor", "$defs", "definitions", "nullable", "discriminator", "default",
     "contentEncoding", "contentMediaType", "collectionFormat", "allowEmptyValue")
)  # fmt: skip
SCALAR: Final = ("minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
LOST: Final = frozenset(
    ("uniqueItems", "minProperties", "maxProperties", "multipleOf", "contains", "minContains", "maxContains",
     "propertyNames", "dependentRequired", "contentSchema")
)  # fmt: skip
OPEN: Final = ("not", "if", "then", "else", "patternProperties", "prefixItems", "dependentSchemas",
               "unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef")  # fmt: skip
GROUP: Final = frozenset(("allOf", "anyOf", "oneOf", "not", "if", "then", "else"))
DROPPED_FIRST: Final = frozenset((*SCALAR, "default", "format", "x-enum-varnames", "minItems", "maxItems"))


def carried(schema: Schema, *but: str) -> list[str]:
    """The keywords that say something, without extensions and those named."""
    return [key for key in schema if key not in but and key not in SILENT and not key.startswith("x-")]


def items(value: Any) -> list[Any]:
    """Of a list; of anything else none."""
    return value if isinstance(value, list) else []
