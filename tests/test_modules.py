"""Which tests one process keeps together (`tests/modules.py`)."""

from __future__ import annotations

import pytest

from tests import modules


@pytest.mark.parametrize(
    ("test", "whole"),
    [
        ("tests/server/test_node_start.py::test_a[x::y]", "tests/server/test_node_start.py"),
        ("tests/core/test_wires.py::TestWires::test_b", "tests/core/test_wires.py"),
        ("tests/image/test_image_run.py::test_c", "tests/image/"),
        ("tests/charts/run/test_chart_run.py::test_d", "tests/charts/run/"),
        ("tests/charts/test_monitoring.py::test_e", "tests/charts/test_monitoring.py"),
    ],
)
def test_a_module_or_a_dear_folder_is_one_process_s(test: str, whole: str) -> None:
    assert modules.scope(test) == whole
