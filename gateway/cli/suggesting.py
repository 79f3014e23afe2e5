"""Near misses: what somebody may have meant by a name that the admin REST does not know.

The names are those that the caller's own token may list, so that nothing is told that it could not read anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import unquote

import orjson

LISTED: Final = {  # collections by the first part of a path, with the field that names an item
    "applications": "name",
    "components": "name",
    "credentials": "id",
    "environments": "node",
    "keys": "id",
    "nodes": "name",
    "plans": "name",
    "policies": "name",
    "policy-kinds": "name",
    "runtimes": "name",
    "subscriptions": "application",
    "tokens": "id",
    "topics": "name",
    "versions": "name",
}
REFERRED: Final = {"application": "applications", "api": "components", "plan": "plans"}  # fields of a body
COMPARED: Final = {"/diff", "/changelog"}  # whose query names versions
MOST: Final = 3

Listing = Callable[[str], list[Mapping[str, Any]]]
Asked = Iterator[tuple[str, str]]  # collection and name


def near(path: str, query: Mapping[str, Any], listing: Listing) -> list[str]:
    """The nearest names to those that a request asked for which was answered 404; none when one of them is there.
    `listing` may raise whatever it likes: a suggestion never hides the refusal."""
    return _all_nearest(_asked(path, query), listing)


def near_referred(body: Any, problem: Mapping[str, Any], listing: Listing) -> list[str]:
    """The same of what a refused request's JSON body refers to: of the field that the problem names as its `target`,
    or of all where a 404 names none."""
    return _all_nearest(_referred(_object(body), problem), listing)


def _all_nearest(asked: Asked, listing: Listing) -> list[str]:
    try:
        return [each for collection, name in asked for each in _nearest(collection, name, listing)]
    except Exception:  # a second request beside a refusal: no gateway, no right to list
        return []


def _object(body: Any) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body) if isinstance(body, bytes) and body[:1] == b"{" else {}
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _referred(body: Mapping[str, Any], problem: Mapping[str, Any]) -> Asked:
    target = problem.get("target")
    if target == "version" and {"api", "version"} <= body.keys():
        yield "versions", f"{body['api']}@{body['version']}"
    for field in [target] if target or problem.get("status") != 404 else REFERRED:
        if field in REFERRED and isinstance(body.get(field), str):
            yield REFERRED[field], body[field]


def _asked(path: str, query: Mapping[str, Any]) -> Asked:
    collection, _, rest = path.lstrip("/").partition("/")
    if path in COMPARED:
        yield from (("versions", str(query[side])) for side in ("from", "to") if side in query)
    elif rest and collection in LISTED:
        yield collection, unquote(rest.partition("/")[0])


def _nearest(collection: str, name: str, listing: Listing) -> list[str]:
    known = {str(each[LISTED[collection]]) for each in listing(f"/{collection}")}
    lower = {each.lower(): each for each in sorted(known)}
    found = [] if name in known else get_close_matches(name[:128].lower(), lower, n=MOST)
    return [lower[each] for each in found]
