"""The router: which chain a request gets. Chains are told apart by their names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.chain import Chain
from gateway.core.exchange import Head
from gateway.frontend.rest.problems import render
from gateway.live.router import Made, Methods, Trie
from gateway.snapshot.routes import matches, rank, segments_of, shape
from tests.live.live_harness import World

SHOP = """kind: ApiComponent
name: shop
version: {version}
default: {default}
base_path: /shop/{{version}}
select_by: [path, header]
policies: [{{use: anonymous}}]
operations:
  one: {{effect: safe, fixed: {version}, output: string}}
  by: {{effect: safe, input: {{id: string}}, fixed: by, output: string}}
  two: {{effect: safe, input: {{id: string, part: string}}, fixed: two, output: string}}
  set: {{effect: writing, input: {{id: string}}, fixed: set, output: string}}
backends: {{erp: {{http: {{targets: ["http://erp"]}}}}}}
rest:
  GET /: one
  GET /a: one
  GET /a/b: one
  GET /a/{{id}}: by
  PUT /a/{{id}}: set
  GET /a/{{id}}/c: by
  GET /a/b/d/e: one
  GET /{{id}}/b/{{part}}: two
  ANY /files/**: {{relay: erp}}
"""
DEEP = """kind: ApiComponent
name: deep
version: v1
base_path: /shop/v1/deep
policies: [{use: anonymous}]
operations: {one: {effect: safe, fixed: deep, output: string}}
rest: {GET /a: one}
"""
BARE = """kind: ApiComponent
name: bare
version: {version}
base_path: /bare
select_by: [header]
version_header: X-Version
policies: [{{use: anonymous}}]
operations: {{one: {{effect: safe, fixed: {version}, output: string}}}}
rest: {{GET /a: one}}
"""


@pytest.fixture
async def shop() -> World:
    world = World()
    v1 = SHOP.format(version="v1", default="false")
    v2 = SHOP.format(version="v2", default="true")
    await world.serve(v1, v2, DEEP, BARE.format(version="x1"), BARE.format(version="x2"))
    return world


def found(world: World, method: str, path: str, block: bytes = b"") -> tuple[str, tuple[bytes, ...]]:
    chain, values = world.live.current.find(Head(method.encode(), path.encode(), block=block))
    return chain.name, values


@pytest.mark.parametrize(
    ("path", "name", "values"),
    [
        ("/shop/v1/a/b", "shop@v1 GET /a/b", ()),
        ("/shop/v1/a/x", "shop@v1 GET /a/{id}", (b"x",)),
        ("/shop/v1/a/b/c", "shop@v1 GET /a/{id}/c", (b"b",)),
        ("/shop/v1/x/b/y", "shop@v1 GET /{id}/b/{part}", (b"x", b"y")),
        ("/shop/v1/a/b/d/e", "shop@v1 GET /a/b/d/e", ()),
        ("/shop/v1/a/b/d", "shop@v1 GET /{id}/b/{part}", (b"a", b"d")),
        ("/shop/v1/files/x/y%20z", "shop@v1 ANY /files/**", (b"x/y%20z",)),
        ("/shop/v1/files", "shop@v1 ANY /files/**", (b"",)),
        ("/shop/v1/files/", "shop@v1 ANY /files/**", (b"",)),
        ("/shop/v1", "shop@v1 GET /", ()),
    ],
)  # fmt: skip
async def test_the_most_specific_template_wins_and_a_dead_end_is_taken_back(
    shop: World, path: str, name: str, values: tuple[bytes, ...]
) -> None:
    """PROTOCOLS B3: static beats {name} beats **, segment by segment."""
    assert found(shop, "GET", path) == (name, values)


async def test_the_longest_base_path_decides_and_there_is_no_way_back(shop: World) -> None:
    """PROTOCOLS B3: what the longer one does not have is not looked for in the shorter one."""
    assert found(shop, "GET", "/shop/v1/deep/a")[0] == "deep@v1 GET /a"
    assert found(shop, "GET", "/shop/v1/deep/b/x")[0] == "no route"


@pytest.mark.parametrize("path", ["/", "/shop/v1/", "/shop/v1/a/", "/shop/v1/a/x/nothing", "/shopx/v1/a", "/SHOP/v1/a"])
async def test_what_is_not_there_is_not_found(shop: World, path: str) -> None:
    assert (await shop.request("GET", path)).status == 404


async def test_an_empty_segment_is_no_parameter(shop: World) -> None:
    assert found(shop, "GET", "/shop/v1/a/")[0] == "no route"


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b'"v2"'), ({"Api_Version": "v1"}, b'"v1"'), ({"api_version": "v2"}, b'"v2"')],
)
async def test_a_header_chooses_the_version_and_the_default_answers_without(
    shop: World, headers: dict[str, str], body: bytes
) -> None:
    """PROTOCOLS R4."""
    assert (await shop.request("GET", "/shop/a", **headers)).body == body


async def test_a_header_that_names_another_version_than_the_path_is_refused(shop: World) -> None:
    answer = await shop.request("GET", "/shop/v1/a", Api_Version="v2")
    assert (answer.status, b"conflicting_versions" in answer.body) == (400, True)
    assert (await shop.request("GET", "/shop/v1/a", Api_Version="v1")).body == b'"v1"'


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/shop/v9/a", {}), ("/shop/a", {"Api_Version": "v9"}), ("/bare/a", {"X_Version": "v1"}), ("/bare/a", {})],
)
async def test_a_version_that_is_not_there_lists_those_that_are(
    shop: World, path: str, headers: dict[str, str]
) -> None:
    """PROTOCOLS R4; /bare has no default."""
    answer = await shop.request("GET", path, **headers)
    assert answer.status == 404
    assert b'"unknown_version"' in answer.body
    assert (b'"versions":["v1","v2"]' if "shop" in path else b'"versions":["x1","x2"]') in answer.body


async def test_a_wrong_path_below_a_version_is_no_wrong_version(shop: World) -> None:
    answer = await shop.request("GET", "/shop/v1/nothing")
    assert b'"not_found"' in answer.body


async def test_a_wrong_method_is_refused_with_those_that_are_offered(shop: World) -> None:
    """PROTOCOLS R1."""
    answer = await shop.request("DELETE", "/shop/v1/a/x")
    assert (answer.status, answer.get(b"allow")) == (405, b"GET, HEAD, OPTIONS, PUT")


async def test_options_tells_the_methods(shop: World) -> None:
    answer = await shop.request("OPTIONS", "/shop/v1/a/x")
    assert (answer.status, answer.get(b"allow"), answer.body) == (204, b"GET, HEAD, OPTIONS, PUT", b"")


async def test_head_runs_the_chain_of_get(shop: World) -> None:
    get, head = [await shop.request(method, "/shop/v1/a/b") for method in ("GET", "HEAD")]
    assert (head.status, head.body) == (200, b"")
    assert head.get(b"content-length") == get.get(b"content-length")


async def test_any_takes_every_method_options_too(shop: World) -> None:
    for method in ("GET", "POST", "OPTIONS", "DELETE", "PURGE"):
        assert found(shop, method, "/shop/v1/files/x")[0] == "shop@v1 ANY /files/**"


# the trie against the rule that it compiles

SEGMENTS = ["a", "b", "{x}", "{y}", "**"]
templates = st.lists(st.lists(st.sampled_from(SEGMENTS), max_size=4), max_size=8).map(
    lambda found: {shape("/" + "/".join(_cut(each))): _cut(each) for each in found}
)
paths = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=5)


def _cut(segments: list[str]) -> list[str]:
    """`**` stands last only."""
    return segments[: segments.index("**") + 1] if "**" in segments else segments


def named(name: str) -> Methods:
    chain = Chain(name, (), render)
    return Methods({b"GET": chain}, None, Made(chain, chain))


@given(templates, paths)
def test_the_trie_finds_what_a_linear_search_by_rank_finds(
    templates: dict[tuple[str, ...], list[str]], path: list[str]
) -> None:
    trie = Trie()
    for segments in templates.values():
        trie.add(tuple(segments), named("/".join(segments)))
    fitting = sorted(
        (rank(tuple(segments)), "/".join(segments), values)
        for segments in templates.values()
        if (values := matches(tuple(segments), path)) is not None
    )
    hit = trie.find([part.encode() for part in path], 0)
    expected = None if not fitting else (fitting[0][1], tuple(value.encode() for value in fitting[0][2]))
    assert (None if hit is None else (hit[0].rest.other().name, hit[1])) == expected


def test_templates_of_one_shape_differ_in_names_only() -> None:
    assert shape("/a/{id}") == shape("/a/{other}/") != shape("/a/b")
    assert segments_of("/a/**") == ("a", "**")
