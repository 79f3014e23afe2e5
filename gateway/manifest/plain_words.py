"""What pydantic found wrong with a document, in plain words, at its place, with the way out."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from gateway.core.findings import Finding, Place
from gateway.manifest.documents import Drop
from gateway.manifest.yaml_reader import pointer

Keys = tuple[str | int, ...]

NOTHING: Final = " There is none yet."
_NEEDS: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a map (key: value)",
    "model_type": "a map (key: value)",
    "model_attributes_type": "a map (key: value)",
    "list_type": "a list",
    "tuple_type": "a list",
    "none_required": "left out",
    "date_type": "a date such as 2026-11-24",
    "date_parsing": "a date such as 2026-11-24",
    "date_from_datetime_parsing": "a date such as 2026-11-24",
    "datetime_type": "a time such as 2026-11-24T12:00:00Z",
    "datetime_parsing": "a time such as 2026-11-24T12:00:00Z",
    "datetime_from_date_parsing": "a time such as 2026-11-24T12:00:00Z",
}
_PATTERNS: Final = (
    ("(GET|HEAD|POST|PUT|PATCH|DELETE|ANY)", "a method and a path, such as GET /orders/{id}", "The methods are "
     "GET, HEAD, POST, PUT, PATCH, DELETE and ANY, in capitals; one space; the path begins with a slash."),
    ("(GET|POST|PUT|PATCH|DELETE)", "a method and a path, such as GET /tax/{country}", "One space between them; "
     "the path begins with a slash."),
    ("(@[0-9]+)", "the name of a policy, such as partner-rules or partner-rules@7", "For a step of your own write "
     "{use: kind}."),
    ("(/[a-z]", "a step's id", "Lower case letters, digits, - and _; it begins with a letter; name/id for a step of "
     "a named policy."),
    ("(/[A-Za-z0-9._~{}-]+)+", "a path such as /shop/{version}", "It begins with a slash and ends without one."),
    ("[a-z][a-z0-9_-]", "a name", "Lower case letters, digits, - and _, at most 63; it begins with a letter."),
    ("[A-Za-z][A-Za-z0-9-]", "a header's name", "Letters, digits and -; it begins with a letter."),
    ("[A-Za-z0-9][A-Za-z0-9._-]", "a version's name", "Letters, digits, '.', '-' and '_', at most 32, such as v2."),
    ("[A-Za-z0-9_.]*\\.", "backend.table", "Such as ledger.orders."),
    ("[A-Za-z_][A-Za-z0-9_]*\\.", "backend.table", "Such as ledger.orders."),
    ("/[!-", "a path such as /health", "It begins with a slash, and holds no blank; a query may follow."),
    ("[A-Za-z0-9$._~-]", "a name", "Letters, digits, $, '.', '-', '_' and ~, at most 64."),
    ("[A-Za-z_]", "an identifier", "Letters, digits and _; it does not begin with a digit."),
)  # fmt: skip
_DURATIONS: Final = frozenset(
    ["delays", "interval", "time", "max_time", "window", "open", "slow_start", "keep_alive", "max_age", "dns_ttl"]
)
_BOUNDS: Final = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}


@dataclass(frozen=True, slots=True)
class _Wrong:
    """One of pydantic's errors: where it is in the document, and which branch of a union it speaks of."""

    keys: Keys
    branches: tuple[tuple[Keys, str], ...]
    error: Mapping[str, Any]


def findings(
    error: ValidationError, model: type[BaseModel], raw: Any, places: Mapping[str, Place], *, partial: bool = False
) -> list[Finding]:
    """`partial`: the document gets more from elsewhere, so that missing keys are no error yet."""
    wrongs = _choose([_locate(each, raw) for each in error.errors(include_url=False)], raw)
    kept = [wrong for wrong in wrongs if not (partial and wrong.error["type"] == "missing")]
    return list(dict.fromkeys(_finding(wrong, model, raw, places) for wrong in kept))


def place_of(keys: Keys, places: Mapping[str, Place]) -> Place:
    """The place of keys, or of the nearest container that has one."""
    for end in range(len(keys), -1, -1):
        found = places.get(pointer(*keys[:end]))
        if found is not None:
            return Place(found.file, found.line, found.column, pointer(*keys) or "/")
    return Place(path=pointer(*keys))


def near(word: str, known: Iterable[str]) -> str:
    """`Did you mean x?` or what there is, sorted."""
    names = sorted(set(known))
    close = difflib.get_close_matches(word, names, n=2)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"There is: {', '.join(names)}." if names else NOTHING.strip()


def _locate(error: Any, raw: Any) -> _Wrong:
    keys: Keys = ()
    branches: list[tuple[Keys, str]] = []
    value, last = raw, len(error["loc"]) - 1
    for at, part in enumerate(error["loc"]):
        if part == "[key]":
            continue
        key = _key(value, part)
        if key is not None:
            keys, value = (*keys, key), value[key]
        elif at == last and error["type"] == "missing":
            keys = (*keys, part)
        else:
            branches.append((keys, str(part)))
    return _Wrong(keys, tuple(branches), error)


def _key(value: Any, part: str | int) -> str | int | None:
    """The key of `value` that a part of pydantic's path names; None: the part names a branch of a union."""
    if isinstance(value, list):
        return part if isinstance(part, int) and part < len(value) else None
    return str(part) if isinstance(value, Mapping) and str(part) in value else None  # keys of JSON are text


def _choose(wrongs: list[_Wrong], raw: Any) -> list[_Wrong]:
    """Of a union's branches only the one that was meant: of maps the model, of anything else the rest."""
    tags: dict[Keys, set[str]] = {}
    for wrong in wrongs:
        for keys, tag in wrong.branches:
            tags.setdefault(keys, set()).add(tag)
    chosen = {keys: _meant(found, _value(raw, keys)) for keys, found in tags.items()}
    fitting = [wrong for wrong in wrongs if all(tag in chosen[keys] for keys, tag in wrong.branches)]
    return list({_site(wrong, at): wrong for at, wrong in reversed(list(enumerate(fitting)))}.values())[::-1]


def _site(wrong: _Wrong, at: int) -> tuple[Keys, int]:
    """Several branches that refuse the same value are one error; anything else is one of its own."""
    same = wrong.branches and wrong.branches[-1][0] == wrong.keys
    return wrong.keys, -1 if same else at


def _meant(tags: set[str], value: Any) -> set[str]:
    models = {tag for tag in tags if tag[:1].isupper()}
    if isinstance(value, dict) and models:
        wanted = "Drop" if "drop" in value else "Step"
        return {wanted} & models or models
    return tags - models or tags


def _value(raw: Any, keys: Keys) -> Any:
    for key in keys:
        raw = raw[key]
    return raw


def _finding(wrong: _Wrong, model: type[BaseModel], raw: Any, places: Mapping[str, Place]) -> Finding:
    kind, keys = wrong.error["type"], wrong.keys
    place = place_of(keys, places)
    last = str(keys[-1]) if keys else ""
    if kind == "missing":
        return Finding(place, "missing-key", f"{last} is missing.", _describe(model, keys, raw))
    if kind == "extra_forbidden":
        owner = _model(model, keys[:-1], raw)
        return Finding(place, "unknown-key", f"unknown key {last!r}.", near(last, known_keys(owner)))
    if kind == "string_pattern_mismatch":
        return _pattern(wrong, place)
    if wrong.error["loc"][-1] == "[key]":
        return Finding(place, "value", f"the key {last!r} must be {_NEEDS.get(kind, 'another')}.")
    message, hint = _words(kind, wrong, _value(raw, keys))
    return Finding(place, "value", f"{last} {message}" if isinstance(keys[-1], str) else message, hint)


def _pattern(wrong: _Wrong, place: Place) -> Finding:
    pattern, given = wrong.error["ctx"]["pattern"], wrong.error["input"]
    what, hint = next(((what, hint) for part, what, hint in _PATTERNS if part in pattern), (pattern, ""))
    return Finding(place, "value", f"{given!r} is not {what}.", hint)


def _words(kind: str, wrong: _Wrong, value: Any) -> tuple[str, str]:
    context = wrong.error.get("ctx", {})
    if kind in _BOUNDS:
        word, bound = _BOUNDS[kind]
        return f"must be {word} {context[bound]}, not {value!r}.", ""
    if kind == "literal_error":
        allowed = [part.strip(" '") for part in context["expected"].replace(" or ", ",").split(",")]
        return f"must be {_either(allowed)}, not {value!r}.", near(str(value), allowed)
    if kind in ("too_short", "string_too_short"):
        return "must not be empty.", ""
    needs = _NEEDS.get(kind)
    if wrong.branches:
        needs = _UNIONS.get(wrong.branches[-1][1], needs)
    if needs is None:
        return f"is not right: {wrong.error['msg']}.", ""
    return f"must be {needs}, not {describe(value)}.", _mend(wrong.keys, needs, value)


def _mend(keys: Keys, needs: str, value: Any) -> str:
    if needs != "text" or not isinstance(value, int | float):
        return ""
    if any(str(key).endswith("timeout") or key in _DURATIONS for key in keys[-2:]):
        return f"Give it a unit: {value}s."
    return f'Put it in quotes: "{value}".'


def needed(kind: str) -> str | None:
    """What one of pydantic's types of errors asks for, in plain words."""
    return _NEEDS.get(kind)


_A_TYPE: Final = "a type: a word such as string, a list such as [Line], or a JSON Schema"
_UNIONS: Final = {
    **dict.fromkeys(("dict[str,any]", "list[any]"), _A_TYPE),
    **dict.fromkeys(("date", "datetime"), "a date such as 2026-11-24, or a time such as 2026-11-24T12:00:00Z"),
    **dict.fromkeys(("int", "float", "bool"), "text, a number, true or false"),
}


def describe(value: Any) -> str:
    """A value's kind in plain words, short values with it."""
    if value is None:
        return "empty (null)"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"the text {value[:60]!r}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a list" if isinstance(value, list) else "a map"


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def known_keys(model: type[BaseModel] | None) -> list[str]:
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _describe(model: type[BaseModel], keys: Keys, raw: Any) -> str:
    owner = _model(model, keys[:-1], raw)
    field = _field(owner, str(keys[-1])) if owner else None
    return f"It is {field.description}." if field is not None and field.description else ""


def _field(model: type[BaseModel], key: str) -> FieldInfo | None:
    for name, field in model.model_fields.items():
        if key in (name, field.alias):
            return field
    return None


def _model(model: type[BaseModel], keys: Keys, raw: Any) -> type[BaseModel] | None:
    """The model of the map at `keys`."""
    annotation: Any = model
    for key in keys:
        raw = raw[key]
        annotation = _inside(annotation, key, raw)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _inside(annotation: Any, key: str | int, value: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = _field(annotation, str(key))
        return _pick(field.annotation if field else None, value)
    arguments = get_args(annotation)
    return _pick(arguments[-1], value) if arguments else None


def _pick(annotation: Any, value: Any) -> Any:
    """A union's branch that fits the value, as `_meant` chooses it."""
    if get_origin(annotation) is Annotated:
        return _pick(get_args(annotation)[0], value)
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    branches = [_pick(part, value) for part in get_args(annotation)]
    models = [part for part in branches if isinstance(part, type) and issubclass(part, BaseModel)]
    if isinstance(value, dict) and models:
        dropped = "drop" in value
        return next((part for part in models if (part is Drop) == dropped), models[0])
    containers = [part for part in branches if get_origin(part) in (list, dict)]
    return containers[0] if containers else branches[0]
