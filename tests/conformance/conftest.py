"""One started node for the conformance tests of a test process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.gateway_node import MAX_BODY, TRUSTED, Gateway, well_formed
from tests.conformance.raw_upstream import RawUpstream
from tests.server.nodes import Node


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    upstream = RawUpstream()
    upstream.start()
    settings = {
        "PENSTOCK_MAX_BODY": str(MAX_BODY),
        "PENSTOCK_TRUSTED_PROXIES": f"{TRUSTED}/32",
        "PENSTOCK_MAX_LAG": "0",  # what the rest of the machine does must not shed a case
    }
    try:
        with Node(tmp_path_factory.mktemp("conformance"), workers=1, **settings) as node:
            node.start()
            made = Gateway(node, upstream)
            made.publish()
            yield made
            upstream.settle()
            broken = [bytes(stream.raw) for stream in upstream.streams if not well_formed(bytes(stream.raw))]
            assert not broken, "the upstream got what is no request"
    finally:
        upstream.stop()
