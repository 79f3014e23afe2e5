"""What the endpoints of a version answer, for kinds that answer in their backends' place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.live.slots import Contract
from gateway.schema.types import Operation, Types
from gateway.snapshot.spec import VersionSpec


def contracts(spec: VersionSpec, operations: Mapping[str, Operation], types: Types) -> Contract:
    endpoints = {endpoint.key: endpoint for endpoint in spec.endpoints}

    def contract(key: str) -> tuple[Operation, Types, Mapping[str, Any]] | None:
        endpoint = endpoints.get(key)
        if endpoint is None or endpoint.document:
            return None
        operation = operations.get(endpoint.operation)
        if operation is None:
            what = "relays" if endpoint.relay else "reads an entity set"
            raise ValueError(f"{key} {what}, so it has no operation with a type")
        return operation, types, spec.types

    return contract
