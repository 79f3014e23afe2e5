"""Who runs what where several processes run the tests: a module is one process's, and so is a folder whose tests share
what is dear to start. A node, a browser or an image is then started once for its tests, and not in every process that
happens to get one of them."""

from __future__ import annotations

from typing import Any, Final

import pytest

WHOLE: Final = ("tests/image/", "tests/charts/run/")  # an image is built, a release is installed


def scope(nodeid: str) -> str:
    """Of a test: its folder, if that is one of `WHOLE`, else its module."""
    return next((folder for folder in WHOLE if nodeid.startswith(folder)), nodeid.partition("::")[0])


def scheduler(config: pytest.Config, log: Any) -> Any:
    """In the order of the modules: `dist` would begin with those of many tests, and end with the few that take long."""
    from xdist.scheduler import LoadScopeScheduling

    class ByModule(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    config.option.loadscopereorder = False
    return ByModule(config, log)
