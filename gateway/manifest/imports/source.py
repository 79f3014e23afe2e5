"""What is imported: a file, or the one URL that the user named. Bounded in bytes and time; nothing else is fetched, but
files beside it (below its folder), and URLs below a prefix that the user allowed."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml
from lxml import etree

from gateway.manifest.imports.draft import refused
from gateway.schema.xml_parser import xml_parser

MAX_BYTES: Final = 16 * 1024 * 1024  # of one document
MAX_FILES: Final = 200
MAX_NODES: Final = 1_000_000  # values of one document, aliases unfolded
MAX_DEPTH: Final = 200
TIMEOUT: Final = 20.0  # seconds without a byte

Element = etree._Element
Value = dict[str, Any]


@dataclass(slots=True)
class Sources:
    """The named document and those that it leads to, each read once. `origin` is what the report calls the first."""

    named: str
    allow: Sequence[str] = ()
    timeout: float = TIMEOUT
    _bytes: dict[str, bytes] = field(default_factory=dict)
    _values: dict[str, Value] = field(default_factory=dict)

    @property
    def is_url(self) -> bool:
        return is_url(self.named)

    @property
    def origin(self) -> str:
        """Without user, password and query: they may be secret."""
        if not self.is_url:
            return Path(self.named).name
        parts = urllib.parse.urlsplit(self.named)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @property
    def root(self) -> str:
        return self.named if self.is_url else str(Path(self.named).resolve())

    def beside(self, reference: str, base: str) -> str:
        """Where a reference within `base` leads. DocumentsRefused when that is not allowed."""
        if is_url(reference) or is_url(base):
            found = urllib.parse.urljoin(base, reference) if is_url(base) else reference
            folder = self.root.partition("?")[0].rpartition("/")[0] + "/" if self.is_url else None
            if any(_below(found, prefix) for prefix in (*self.allow, *([folder] if folder else []))):
                return found
            hint = f"Allow it: --allow {found.rpartition('/')[0]}/"
            raise refused(self.origin, f"it refers to {found}, which was not named.", hint, "import-reference")
        path = (Path(base).parent / urllib.parse.unquote(reference)).resolve()
        allowed = [Path(self.root).parent, *(Path(each).resolve() for each in self.allow if not is_url(each))]
        if not any(path.is_relative_to(folder) for folder in allowed):
            hint = "Put it beside the document, or allow its folder: --allow FOLDER."
            raise refused(self.origin, f"it refers to {reference}, outside of its folder.", hint, "import-reference")
        return str(path)

    def read(self, where: str) -> bytes:
        if where not in self._bytes:
            if len(self._bytes) >= MAX_FILES:
                raise refused(self.origin, f"it leads to more than {MAX_FILES} documents.", "Bundle it into one.")
            self._bytes[where] = self._fetch(where) if is_url(where) else _file(where)
        return self._bytes[where]

    def value(self, where: str) -> Value:
        """A JSON or YAML document, which is a map."""
        if where not in self._values:
            self._values[where] = parse(self.read(where), label(where))
        return self._values[where]

    def replace(self, where: str, value: Value) -> None:
        """Puts another form of a document in its place: references lead there."""
        self._values[where] = value

    def xml(self, where: str) -> Element:
        return parse_xml(self.read(where), label(where))

    def _fetch(self, url: str) -> bytes:
        try:
            request = urllib.request.Request(url, headers={"User-Agent": "penstock", "Accept": "*/*"})  # noqa: S310 - http(s) only: is_url
            with _OPENER.open(request, timeout=self.timeout) as answer:
                found: bytes = answer.read(MAX_BYTES + 1)
        except urllib.error.HTTPError as error:
            hint = "Name the URL that it redirects to." if 300 <= error.code < 400 else ""
            error.close()
            raise refused(label(url), f"the server answered {error.code}.", hint, "import-source") from None
        except (OSError, HTTPException, ValueError) as error:
            reason = type(getattr(error, "reason", error)).__name__
            raise refused(label(url), f"it cannot be fetched ({reason}).", "", "import-source") from None
        return _sized(found, label(url))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect may lead to where nobody meant to go."""

    def redirect_request(self, *_arguments: Any) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def label(where: str) -> str:
    return where.partition("?")[0].rpartition("@")[2] if is_url(where) else Path(where).name


def _below(url: str, prefix: str) -> bool:
    parts, allowed = urllib.parse.urlsplit(url), urllib.parse.urlsplit(prefix)
    dots = any(part in (".", "..") for part in urllib.parse.unquote(parts.path).split("/"))
    same = (parts.scheme, parts.netloc) == (allowed.scheme, allowed.netloc)
    return same and not dots and parts.path.startswith(allowed.path)


def _file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return _sized(file.read(MAX_BYTES + 1), path)
    except OSError as error:
        raise refused(Path(path).name, f"it cannot be read: {error.strerror}.", "", "import-source") from None


def _sized(found: bytes, where: str) -> bytes:
    if len(found) > MAX_BYTES:
        raise refused(where, f"it is larger than {MAX_BYTES // 2**20} MiB.", "Divide it.", "import-size")
    return found


def parse(raw: bytes, where: str) -> Value:
    """JSON, or YAML with JSON's types alone. DocumentsRefused for what is neither, and for bombs."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refused(where, f"byte {error.start} is not UTF-8.", "Save it as UTF-8.", "import-syntax") from None
    if text.lstrip()[:1] == "<":
        hint = "For XML there are: penstock import wsdl, penstock import csdl."
        raise refused(where, "this is XML or HTML, neither JSON nor YAML.", hint, "import-syntax")
    value = _json(text, where) if text.lstrip()[:1] == "{" else _NOT_JSON
    if value is _NOT_JSON:
        value = _yaml(text, where)
    if not isinstance(value, dict):
        raise refused(where, "it is no map (key: value).", "", "import-syntax")
    return value


_NOT_JSON: Final = object()


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise refused(where, f"it is nested deeper than {MAX_DEPTH} levels.", "", "import-size") from None
    except ValueError:
        return _NOT_JSON  # a YAML document may begin with a brace, too


class _Loader(yaml.CSafeLoader if hasattr(yaml, "CSafeLoader") else yaml.SafeLoader):  # type: ignore[misc]
    """Scalars of YAML 1.2's core schema: dates, `yes` and `1:30` are texts."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", list("-+.0123456789")),
    ("merge", r"<<", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _yaml(text: str, where: str) -> Any:
    try:
        _check_bomb(text, where)
        return _texts(yaml.load(text, Loader=_Loader))  # noqa: S506 - a SafeLoader with fewer types
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        words = getattr(error, "problem", None) or type(error).__name__
        raise refused(place, f"neither JSON nor YAML: {words}.", "", "import-syntax") from None
    except (RecursionError, ValueError, TypeError):
        raise refused(where, "it is neither JSON nor YAML that can be read.", "", "import-syntax") from None


def _check_bomb(text: str, where: str) -> None:
    """Counts values with aliases unfolded, before anything is built."""
    total = depth = 0
    open_: list[tuple[str | None, int]] = []
    sizes: dict[str, int] = {}
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            total += sizes.get(str(event.anchor), MAX_NODES)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, total))
            depth = max(depth, len(open_))
            total += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_.pop()
            if anchor is not None:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.ScalarEvent):
            total += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        if total > MAX_NODES or depth > MAX_DEPTH:
            hint = "Aliases count as what they stand for."
            raise refused(where, f"it has more than {MAX_NODES} values, or {MAX_DEPTH} levels.", hint, "import-size")


def _texts(value: Any) -> Any:
    """Keys as texts: `200:` is the number in YAML."""
    if isinstance(value, dict):
        return {_key(key): _texts(part) for key, part in value.items()}
    return [_texts(part) for part in value] if isinstance(value, list) else value


def _key(key: Any) -> str:
    return str(key).lower() if isinstance(key, bool) else str(key)


def parse_xml(raw: bytes, where: str) -> Element:
    """Without a DOCTYPE, entities, network and files. DocumentsRefused."""
    parser = xml_parser(remove_pis=True)
    try:
        root = etree.fromstring(raw, parser)
    except etree.XMLSyntaxError as error:
        line, column = error.position
        raise refused(f"{where}:{line}:{column}", f"not XML: {error.msg}.", "", "import-syntax") from None
    if root.getroottree().docinfo.doctype:
        raise refused(where, "a DOCTYPE is not read.", "Take it out.", "import-syntax")
    return root
