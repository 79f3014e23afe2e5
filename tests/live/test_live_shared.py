"""What the endpoints of a version share, and what a worker does without."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.core.kinds import Built, Kind, Services, Site
from gateway.live import libraries
from gateway.live.router import Made, Methods, Trie
from gateway.live.slots import Builder, Shared, Slot, build_slots
from gateway.snapshot.spec import BackendSpec, EndpointSpec, ODataSpec, SoapSpec, StepSpec, VersionSpec


class Nothing(BaseModel):
    asks: bool = False


class Counting:
    """Builds steps; `late` are functions that ask for the endpoint after the step was built."""

    def __init__(self) -> None:
        self.built: list[str] = []
        self.late: list[Any] = []

    def build(self, config: Nothing, site: Site) -> Built:
        self.built.append(f"{site.scope}/{site.step} {site.endpoint if config.asks else ''}".strip())
        self.late.append(lambda: site.endpoint)
        return Built()

    def slots(self, endpoint: str, shared: Shared, *steps: StepSpec) -> tuple[Slot, ...]:
        kinds = {"count": Kind("count", Nothing, self.build)}
        return build_slots(steps, "shop", "v1", endpoint, Builder(kinds, Services(), {}), shared)


def step(scope: str = "shop@v1", **config: Any) -> StepSpec:
    return StepSpec(id="one", use="count", scope=scope, config=config)


def test_a_step_before_many_endpoints_is_built_once() -> None:
    counting, shared = Counting(), Shared()
    first = counting.slots("GET /a", shared, step())
    second = counting.slots("GET /b", shared, step())
    assert counting.built == ["shop@v1/one"]
    assert first[0].built is second[0].built


def test_a_step_that_asks_for_its_endpoint_is_built_for_each() -> None:
    counting, shared = Counting(), Shared()
    for endpoint in ("GET /a", "GET /b"):
        counting.slots(endpoint, shared, step(asks=True))
    assert counting.built == ["shop@v1/one GET /a", "shop@v1/one GET /b"]
    assert [late() for late in counting.late] == ["GET /a", "GET /b"]


def test_steps_that_differ_are_not_shared() -> None:
    counting, shared = Counting(), Shared()
    counting.slots("GET /a", shared, step(), step(scope="plan gold"))
    counting.slots("GET /b", shared, step(), step(scope="shop@v1 GET /b"))
    assert counting.built == ["shop@v1/one", "plan gold/one", "shop@v1 GET /b/one"]


def test_a_shared_step_that_asks_for_the_endpoint_later_fails() -> None:
    counting = Counting()
    counting.slots("GET /a", Shared(), step())
    with pytest.raises(RuntimeError, match="in `build`, not later"):
        counting.late[0]()


def test_leaves_of_tries_share_nothing_that_is_written() -> None:
    one, two = Trie(), Trie()
    methods = Methods({}, None, Made(None, None))  # type: ignore[arg-type]
    one.add(("a",), methods)
    one.add(("a", "b"), methods)
    assert two.find([b"a"], 0) is None
    two.add(("c",), methods)
    assert two.find([b"c", b"b"], 0) is None
    assert one.find([b"a", b"b"], 0) is not None


LIBRARIES = ("sqlalchemy", "spyne", "lxml.etree", "odata_query", "cryptography.x509")


def test_a_worker_begins_without_what_only_some_versions_need() -> None:
    """Together they are 40 MB of each worker."""
    code = f"import sys, gateway.server.worker; print([each for each in {LIBRARIES} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_a_version_needs_is_known_before_it_is_built() -> None:
    plain: dict[str, Any] = {"component": "a", "version": "v1", "revision": "", "base_path": "/a"}
    assert not list(libraries.needed(VersionSpec(**plain, backends={"up": BackendSpec(kind="http")}), {}, {}))
    whole = VersionSpec(
        **plain,
        backends={"db": BackendSpec(kind="sql")},
        soap=SoapSpec(namespace="urn:a", operations=()),
        odata=ODataSpec(namespace="a"),
    )
    assert list(libraries.needed(whole, {}, {})) == [libraries.SOAP, *libraries.ODATA, libraries.SQL]


def test_so_is_what_the_steps_of_chains_and_plans_need() -> None:
    build = Counting().build
    kinds = {name: Kind(name, Nothing, build, libraries=(f"lib.{name}",)) for name in ("a", "b", "c")}
    own, of_plan = (StepSpec(id=use, use=use, scope="x") for use in ("a", "b"))
    endpoint = EndpointSpec(key="GET /", protocol="rest", steps=(own,))
    spec = VersionSpec(component="a", version="v1", revision="", base_path="/a", endpoints=(endpoint,))
    assert list(libraries.needed(spec, {"gold": (of_plan,)}, kinds)) == ["lib.a", "lib.b"]


async def test_it_is_loaded_by_a_thread_and_only_once() -> None:
    spec = VersionSpec(component="a", version="v1", revision="", base_path="/a", odata=ODataSpec(namespace="a"))
    await libraries.load(spec, {}, {})
    assert set(libraries.ODATA) <= sys.modules.keys()
    await libraries.load(spec, {}, {})
