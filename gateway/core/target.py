"""The request target: which paths are served at all. The path that is matched is the path that is forwarded, byte
for byte, so that a path which some upstream would read as another one is refused with 400. The decisions (CASES
P26-P29), one a line:

| in the path | decision |
|---|---|
| segments `.` and `..`, plain or encoded, alone or before `;` or `%3b` | refused: servers resolve them |
| `//` | refused: servers merge them |
| `%2f`, `%5c`, `%00` | refused: servers decode them into separators or ends |
| `%61` and every other encoded letter, digit, `-`, `.`, `_`, `~` | refused: it equals the plain character |
| percent escapes that decode to invalid UTF-8, overlong forms included; `%zz` | refused |
| backslash, control and non-ASCII bytes, `"`, `<`, `>`, `^`, `` ` ``, `{`, `|`, `}` | refused: not in a URI |
| `#` | refused: a fragment is never sent |
| `;x` | an ordinary part of its segment, matched and forwarded |
| other escapes (`%20`, `%0a`) | kept as written; a template's literal never equals them |
| case, a trailing slash | significant |

The query is kept as written; it may hold any visible ASCII but `#`. An absolute-form target must name the request's
own Host; `*` and authority-form are not served.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import unquote_to_bytes

from gateway.core.errors import BadRequest

# The usual path, of which there is nothing to check. Segments that begin with a dot and all escapes are not.
_SEGMENT: Final = rb"[0-9A-Za-z_~!$&'()*+,;=:@-][0-9A-Za-z._~!$&'()*+,;=:@-]*+"
USUAL: Final = rb"/(?:" + _SEGMENT + rb"(?:/" + _SEGMENT + rb")*+/?+)?+"
_usual: Final = re.compile(USUAL).fullmatch
_legal: Final = re.compile(rb"/[0-9A-Za-z._~!$&'()*+,;=:@/%-]*+").fullmatch
_bad_escape: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})").search
_dots: Final = re.compile(rb"/(?:\.|%2[eE]){1,2}(?:[/;]|%3[bB]|\Z)").search
_separator: Final = re.compile(rb"%(?:2[fF]|5[cC]|00)").search
_unreserved: Final = re.compile(rb"%(?:4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9AaEe]|3[0-9]|2[DdEe]|5[Ff])").search
_absolute: Final = re.compile(rb"(https?)://([^/?#@]+)(/[^?]*)?(?:\?(.*))?", re.IGNORECASE).fullmatch
_authority: Final = re.compile(
    rb"(?:[0-9A-Za-z._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])"
    rb"(?::(?:[0-9]{0,4}|[0-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
).fullmatch
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}


def check_authority(host: bytes) -> None:
    """BadRequest for a Host that is no name or address with an optional port (RFC 9110 section 7.2, CASES F12)."""
    if _authority(host) is None or (host[0] == 91 and not _is_ipv6(host[1:].partition(b"]")[0])):
        raise BadRequest("Host is not a host name or an address with an optional port.")


def _is_ipv6(text: bytes) -> bool:
    try:
        IPv6Address(text.decode())
    except ValueError:
        return False
    return True


def split(target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Path and query of a request target. BadRequest when it is not served."""
    if b"#" in target:
        raise BadRequest("The target holds a fragment; a fragment is never sent.")
    if target[0] != 47:
        return _absolute_form(target, host)
    path, _, query = target.partition(b"?")
    if _usual(path) is None:
        check(path)
    return path, query


def _absolute_form(target: bytes, host: bytes) -> tuple[bytes, bytes]:
    match = _absolute(target)
    if match is None:
        raise BadRequest("The target must be a path that begins with /.")
    scheme, authority, path, query = match.groups()
    check_authority(authority)
    port = _DEFAULT_PORTS[scheme.lower()]
    if host and _named(authority, port) != _named(host, port):  # only HTTP/1.0 may come without Host
        raise BadRequest("The target names another host than the Host field.")
    check(path or b"/")
    return path or b"/", query or b""


def _named(authority: bytes, port: bytes) -> bytes:
    """An authority as it is compared: without case, an empty or the default port (RFC 3986 section 6.2.3)."""
    return authority.lower().removesuffix(port).removesuffix(b":")


def check(path: bytes) -> None:
    """BadRequest that says why a path is not served; the table above."""
    if _usual(path) is not None:
        return
    if _legal(path) is None:
        raise BadRequest("The path holds a character that must be percent-encoded as UTF-8.")
    if b"//" in path:
        raise BadRequest("The path holds an empty segment: //.")
    if _bad_escape(path) is not None:
        raise BadRequest("The path holds a % without two hexadecimal digits.")
    if _dots(path) is not None:
        raise BadRequest("The path holds a . or .. segment; send the path that is meant.")
    if _separator(path) is not None:
        raise BadRequest("The path holds %2F, %5C or %00, which servers read in different ways.")
    if _unreserved(path) is not None:
        raise BadRequest("The path encodes a letter, digit, - . _ or ~; write it plain (RFC 3986 section 6.2.2.2).")
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError:
        raise BadRequest("The path's percent escapes are not UTF-8.") from None
