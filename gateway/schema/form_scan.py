"""One look through a form (WHATWG URL section 5, RFC 7578) against limits. Linear; nothing is decoded or kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway.core.errors import Detail

_BOUNDARY: Final = re.compile(
    rb';[ \t]*+boundary=(?:"([^"\r\n]{1,70})"|([A-Za-z0-9\'()+_,./:=?-]{1,70}))', re.IGNORECASE
)
_NAMES_BOUNDARY: Final = re.compile(rb"boundary[ \t]*+=", re.IGNORECASE)
_DISPOSITION: Final = re.compile(rb"content-disposition:[ \t]*+form-data[ \t]*+;([^\r\n]*+)", re.IGNORECASE)
_NAME: Final = re.compile(rb'(?:^|;)[ \t]*+name="((?:[^"\\\r\n]|\\.)*+)"', re.IGNORECASE)
_FILE: Final = re.compile(rb";[ \t]*+filename\*?=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FormLimits:
    """Counts of: fields, files among them, bytes of one name, of one field's value, of one file, of one part's head."""

    fields: int = 1_000
    files: int = 20
    name: int = 256
    value: int = 100_000
    file: int = 10_000_000
    head: int = 8_192


def scan_urlencoded(data: bytes, limits: FormLimits) -> Detail | None:
    """What is wrong first; None: the form is sound. Sizes are those of the encoded text."""
    if data.count(b"&") + data.count(b";") >= limits.fields:
        return _limit("$", f"the form has more than {limits.fields} fields")
    for part in data.split(b"&"):
        name, _, value = part.partition(b"=")
        if len(name) > limits.name:
            return _limit("$", f"the form has a name with more than {limits.name} bytes")
        if len(value) > limits.value:
            return _limit(f"$.{_told(name)}", f"is longer than {limits.value} bytes")
    return None


def scan_multipart(data: bytes, content_type: bytes, limits: FormLimits) -> Detail | None:
    """The same of multipart/form-data with this Content-Type."""
    match = _BOUNDARY.search(content_type)
    if match is None or len(_NAMES_BOUNDARY.findall(content_type)) > 1:  # of two, others may take the other one
        return Detail("header.Content-Type", "names no boundary, or more than one", "form")
    delimiter = b"\r\n--" + (match[1] or match[2])
    data = b"\r\n" + data
    at, fields, files = data.find(delimiter), 0, 0
    if at < 0:
        return Detail("$", "does not begin with its boundary", "form")
    at += len(delimiter)
    while data[at : at + 2] != b"--":
        end = data.find(delimiter, at)
        if end < 0:
            return Detail("$", "ends without its last boundary", "form")
        fields += 1
        if fields > limits.fields:
            return _limit("$", f"the form has more than {limits.fields} fields")
        wrong, is_file = _part(data, at, end, limits)
        files += is_file
        if wrong is None and files > limits.files:
            wrong = _limit("$", f"the form has more than {limits.files} files")
        if wrong is not None:
            return wrong
        at = end + len(delimiter)
    return None


def _part(data: bytes, at: int, end: int, limits: FormLimits) -> tuple[Detail | None, bool]:
    stop = data.find(b"\r\n\r\n", at, min(end, at + limits.head + 4))
    if stop < 0:
        return _limit("$", f"a part has no head of at most {limits.head} bytes"), False
    head = data[at:stop]
    disposition = _DISPOSITION.search(head)
    name = _NAME.search(disposition[1]) if disposition is not None else None
    if disposition is None or name is None:
        return Detail("$", "a part does not say its name in Content-Disposition: form-data", "form"), False
    if len(name[1]) > limits.name:
        return _limit("$", f"the form has a name with more than {limits.name} bytes"), False
    is_file = _FILE.search(disposition[1]) is not None
    most = limits.file if is_file else limits.value
    if end - stop - 4 > most:
        return _limit(f"$.{_told(name[1])}", f"is longer than {most} bytes"), is_file
    return None, is_file


def _limit(place: str, message: str) -> Detail:
    return Detail(place, message, "limit")


def _told(name: bytes) -> str:
    return re.sub(r"[^\w.-]", "_", name[:60].decode("utf-8", "replace"))
