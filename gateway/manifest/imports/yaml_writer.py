"""Manifests as YAML that people like to read: ordered as given, short things on one line, comments above their key.

The same value gives the same text. What is written reads back as the same value by `yaml_reader`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

WIDTH: Final = 110
Path = tuple[str, ...]
Comments = Mapping[Path, list[str]]

_PLAIN: Final = re.compile(r"[A-Za-z/^_$][A-Za-z0-9_./$^*+()' -]*[A-Za-z0-9_./$^*+()?'-]|[A-Za-z/_]")
_LOOKS_ELSE: Final = re.compile(r"(?i)(null|true|false|yes|no|on|off|y|n|~)|[-+.]?[0-9].*|\.inf|\.nan")
_IN_FLOW: Final = re.compile(r"[][{},]")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_BLOCK: Final = frozenset(("values", "types", "backends", "operations", "policies", "rest", "entity_sets"))


def write(value: Mapping[str, Any], comments: Comments, head: list[str]) -> str:
    """The text of one document. `head` are comment lines on top; `comments` are by the path of the key below them."""
    lines = [f"# {_one_line(line)}".rstrip() for line in head]
    lines += _mapping(value, (), "", comments)
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return " ".join(_CONTROL.sub(" ", text).split())


def _mapping(value: Mapping[str, Any], path: Path, indent: str, comments: Comments) -> Iterator[str]:
    for key, part in value.items():
        here = (*path, key)
        for line in comments.get(here, ()):
            yield f"{indent}# {_one_line(line)}"
        yield from _entry(f"{indent}{_key(key)}:", part, here, indent, comments)


def _entry(start: str, part: Any, path: Path, indent: str, comments: Comments) -> Iterator[str]:
    nested = any(key[: len(path)] == path and len(key) > len(path) for key in comments) if len(path) < 3 else False
    keep_open = path[-1] in _BLOCK and len(path) < 3
    flow = f"{start} {_flow(part)}"
    if not isinstance(part, dict | list) or not part:
        yield f"{start} {_scalar(part) if not isinstance(part, dict | list) else flow[len(start) + 1 :]}"
    elif not (nested or keep_open) and len(flow) <= WIDTH and _is_short(part):
        yield flow
    elif isinstance(part, dict):
        yield start
        yield from _mapping(part, path, indent + "  ", comments)
    else:
        yield start
        for item in part:
            yield from _item(item, path, indent + "  ", comments)


def _item(item: Any, path: Path, indent: str, comments: Comments) -> Iterator[str]:
    flow = f"{indent}- {_flow(item)}"
    if len(flow) <= WIDTH or not isinstance(item, dict) or not item:
        yield flow
        return
    inner = list(_mapping(item, (*path, "-"), indent + "  ", comments))
    yield f"{indent}- {inner[0].lstrip()}"
    yield from inner[1:]


def _is_short(part: Any) -> bool:
    """Something that one line shows well: no map of maps of maps."""
    return _depth(part) <= 3


def _depth(part: Any) -> int:
    if isinstance(part, dict):
        return 1 + max((_depth(each) for each in part.values()), default=0)
    return 1 + max((_depth(each) for each in part), default=0) if isinstance(part, list) else 0


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key, flow=True)}: {_flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(part) for part in value) + "]"
    return _scalar(value, flow=True)


def _key(key: str, *, flow: bool = False) -> str:
    """Route keys such as `GET /orders/{id}` stand without quotes in a block."""
    text = str(key)
    if text.isascii() and text.isdigit() and text == str(int(text)):
        return text  # statuses; keys are always texts
    if not flow and re.fullmatch(r"[A-Z]+ /[A-Za-z0-9/{}_.*~$-]*", text):
        return text
    return _scalar(text, flow=flow)


def _scalar(value: Any, *, flow: bool = False) -> str:
    if not isinstance(value, str):
        return orjson.dumps(value).decode()
    plain = _PLAIN.fullmatch(value) and not _LOOKS_ELSE.fullmatch(value) and " #" not in value and "'" not in value[:1]
    if plain and not (flow and _IN_FLOW.search(value)):
        return value
    text = orjson.dumps(value.encode("utf-8", "replace").decode()).decode()
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
