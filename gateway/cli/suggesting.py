"""Near misses: what somebody may have meant by a name that the admin REST does not know.

The names are those that the caller's own token may list, so that nothing is told that it could not read anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import unquote

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
COMPARED: Final = {"/diff", "/changelog"}  # whose query names versions
MOST: Final = 3

Listing = Callable[[str], list[Mapping[str, Any]]]


def near(path: str, query: Mapping[str, Any], listing: Listing) -> list[str]:
    """The nearest names to those that a refused request asked for; none when one of them is there. `listing` may raise
    whatever it likes: a suggestion never hides the refusal."""
    try:
        return [each for collection, name in _asked(path, query) for each in _nearest(collection, name, listing)]
    except Exception:  # a second request beside a refusal: no gateway, no right to list
        return []


def _asked(path: str, query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
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
