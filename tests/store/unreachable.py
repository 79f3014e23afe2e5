"""What is expected of both ways to a store, the hot line and the client, where there is none."""

from __future__ import annotations

import pytest

from gateway.core.errors import StoreUnavailable
from gateway.store.client import Client
from gateway.store.hot import HotConnection


async def is_no_store(url: str) -> None:
    connection, client = HotConnection(url), Client(url)
    try:
        assert not await connection.connect()
        with pytest.raises(StoreUnavailable):
            await client.execute("PING")
    finally:
        await connection.close()
        await client.close()
