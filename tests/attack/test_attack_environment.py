"""What a process of an integrator can read of the node that hosts it."""

from __future__ import annotations

from gateway.server.child import inherited


def test_no_secret_of_the_node_stands_in_a_childs_environment() -> None:
    """CASES C41: a worker runs processes, which would read the admin token and the key secret there"""
    given = {"PATH": "/bin", "SHOP_DATABASE": "x", "PENSTOCK_ADMIN_TOKEN": "t", "PENSTOCK_KEY_SECRET": "s"}
    assert inherited(given) == {"PATH": "/bin", "SHOP_DATABASE": "x"}
