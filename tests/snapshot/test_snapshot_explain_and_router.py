"""What explain says is what the router does: both over one snapshot, for any request."""

from __future__ import annotations

import asyncio

from hypothesis import example, given, settings, strategies

from gateway.core import target
from gateway.core.chain import Chain
from gateway.core.errors import BadRequest
from gateway.core.exchange import Head
from gateway.core.headers import block
from gateway.frontend.rest.problems import render
from gateway.live.build import LiveVersion
from gateway.live.router import LiveRouter
from gateway.live.space import build_router
from gateway.schema.types import Types
from gateway.snapshot.explain import explain
from gateway.snapshot.spec import Snapshot, VersionSpec
from tests.snapshot.snapshot_harness import KINDS, compiled, component, documents

SHOP = """kind: ApiComponent
name: shop
version: {version}
base_path: /shop/{{version}}
select_by: [path, header]
default: {default}
policies: [{{use: anonymous}}]
operations:
  one: {{effect: safe, fixed: 1, input: {{id: string}}, output: int32}}
  two: {{effect: safe, fixed: 1, input: {{id: string, part: string}}, output: int32}}
  ping: {{effect: safe, fixed: pong, output: string}}
backends: {{erp: {{http: {{targets: ["http://erp"]}}}}}}
rest:
  GET /a/{{id}}: one
  PUT /a/{{id}}: one
  GET /a/b: ping
  HEAD /a/b: ping
  GET /{{id}}/b/{{part}}: two
  GET /a/b/**: {{relay: erp}}
  ANY /c/**: {{relay: erp}}
  POST /c/a: ping
soap: {{namespace: "urn:shop", operations: [ping]}}
odata: {{operations: [ping]}}
"""


def _live(version: VersionSpec) -> LiveVersion:
    def chain(key: str) -> Chain:
        return Chain(f"{version.name} {key}", (), render)

    chains = {each.key: chain(each.key) for each in version.endpoints if each.protocol in {"rest", "document"}}
    mounts = {name: chain(name) for name in ("soap", "odata") if getattr(version, name) is not None}
    return LiveVersion(version, Types(), {}, {}, chains, mounts)


def _prepared() -> tuple[Snapshot, LiveRouter]:
    shops = (SHOP.format(version="v1", default="true"), SHOP.format(version="v2", default="false"))
    deep = component(name="deep", path="/shop/v1/c/deep")
    header = component("select_by: [header]\n", name="header", path="/header")
    named = [
        component(
            f"select_by: [{ways}]\nreleased: {released}\ndefault: {default}\n",
            name=name,
            version=version,
            path=f"/{name}",
        )
        for name, ways in (("pick", "query, media-type, date"), ("dated", "date"))
        for version, released, default in (("v1", "2025-01-01", "true"), ("v2", "2026-01-01", "false"))
    ]
    snapshot = asyncio.run(compiled(documents(*shops, deep, header, *named)))
    return snapshot, build_router(_live(version) for version in snapshot.versions)


SNAPSHOT, ROUTER = _prepared()

SEGMENTS = strategies.sampled_from(
    ["shop", "v1", "v2", "v9", "a", "b", "c", "deep", "header", "soap", "odata", "$metadata", "openapi.json", "7", ""]
)
PATHS = strategies.builds(
    lambda start, rest: "/" + "/".join([*start, *rest]),
    strategies.sampled_from([[], ["shop"], ["shop", "v1"], ["shop", "v2"], ["shop", "v1", "c"], ["header"]]),
    strategies.lists(SEGMENTS, max_size=4),
)
METHODS = strategies.sampled_from(["GET", "HEAD", "PUT", "POST", "PATCH", "OPTIONS"])
SAID = [None, "v1", "v2", "v9", "2024-12-31", "2025-01-01", "2026-05-20", "2026-13-01"]
NAMED_PATHS = strategies.sampled_from(["/pick/a", "/pick/nothing", "/dated/a", "/dated"])
ACCEPTS = strategies.sampled_from(
    [
        None,
        "*/*",
        "application/vnd.pick.v1+json",
        "application/json; version=2, application/vnd.pick.v1+json;q=0.5",
        "application/vnd.pick.v9+json",
    ]
)
VERSIONS = strategies.sampled_from([None, "v1", "v2", "v9"])


def routed(method: str, path: str, version: str | None, query: str | None = None, accept: str | None = None) -> str:
    """The name of the chain that the router finds."""
    try:
        target.check(path.encode())
    except BadRequest:
        return "400"
    fields = block((name.encode(), value.encode()) for name, value in _fields(version, accept).items())
    said = f"api-version={query}".encode() if query else b""
    return ROUTER.find(Head(method.encode(), path.encode(), said, fields))[0].name


def _fields(version: str | None, accept: str | None) -> dict[str, str]:
    return {name: value for name, value in (("Api-Version", version), ("Accept", accept)) if value is not None}


def explained(method: str, path: str, version: str | None, query: str | None = None, accept: str | None = None) -> str:
    """The name that the router's chain must have."""
    url = f"{path}?api-version={query}" if query else path
    found = explain(SNAPSHOT, method, url, _fields(version, accept), KINDS)
    if found.endpoint:
        mounts = {"SOAP": "soap", "ODat": "odata"}
        return f"{found.version} {mounts.get(found.endpoint[:4], found.endpoint)}"
    return found.outcome


@settings(max_examples=1000, deadline=None)
@example("GET", "/shop/v1/odata/", None)
@example("POST", "/shop/odata/", "v2")
@given(method=METHODS, path=PATHS, version=VERSIONS)
def test_explain_tells_what_the_router_does(method: str, path: str, version: str | None) -> None:
    """PROTOCOLS B3"""
    _agree(explained(method, path, version), routed(method, path, version))


@settings(max_examples=1000, deadline=None)
@given(path=NAMED_PATHS, version=strategies.sampled_from(SAID), query=strategies.sampled_from(SAID), accept=ACCEPTS)
def test_explain_and_router_choose_the_same_version_whatever_names_it(
    path: str, version: str | None, query: str | None, accept: str | None
) -> None:
    """By a query parameter, a media type, a release date, and several at once."""
    _agree(explained("GET", path, version, query, accept), routed("GET", path, version, query, accept))


def _agree(told: str, done: str) -> None:
    if told.startswith("400: two versions"):
        assert done.endswith(" two versions")
    elif told.startswith("400"):
        assert done == "400"
    elif told.startswith("405"):
        assert done.endswith(" 405")
    elif told.startswith("204"):
        assert done.endswith(" OPTIONS")
    elif " no version " in told or " names no version" in told or " has no version " in told:
        assert done.endswith((" unknown version", " no version"))
    elif told.startswith("404"):
        assert done == "no route"
    else:
        assert told == done
