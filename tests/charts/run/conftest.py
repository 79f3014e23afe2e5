"""One release for the tests of a process, with a consumer and an upstream."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.charts.run import containers
from tests.charts.run.release import NAMESPACE, Release
from tests.charts.run.rendered import find_helm
from tests.charts.run.sample import Consumer, Upstream

VALUES = Path(__file__).with_name("values.yaml")


@dataclass
class Shop:
    release: Release
    consumer: Consumer
    upstream: Upstream


def why_not() -> str:
    """Why no release can run here; empty: one can. PENSTOCK_REQUIRE_CHART_RUN makes a failure of it."""
    return containers.usable() or ("" if find_helm() else "needs helm on PATH, or PENSTOCK_HELM")


@pytest.fixture(scope="session")
def installed() -> Iterator[Shop]:
    reason = why_not()
    if reason:
        assert not os.environ.get("PENSTOCK_REQUIRE_CHART_RUN"), reason
        pytest.skip(f"running the chart's pods {reason}")
    with Release([VALUES]) as release:
        upstream = Upstream(release.places, NAMESPACE)
        release.proxy.put(Upstream.service(), NAMESPACE)
        release.install()
        release.settle()
        client = release.places.bare("client", "elsewhere", {"app": "client"})
        inside = release.places.bare("publisher", NAMESPACE, release.labels("publish"))
        release.proxy.now()
        consumer = Consumer(
            client,
            inside,
            lambda: release.service(release.full),
            lambda: release.service(f"{release.full}-admin"),
            release.secret(f"{release.full}-credentials", "admin-token"),
        )
        yield Shop(release, consumer, upstream)
        upstream.close()


@pytest.fixture
def shop(installed: Shop) -> Shop:
    """In its resting state: everything is ready, and the rules know of it."""
    installed.release.settle()
    installed.release.proxy.now()
    return installed
