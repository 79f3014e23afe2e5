"""Contexts of calls as JSON, for the frames between a gateway and a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.core.call import Context
from gateway.runtime.policy_messages import identity_from, identity_message

_PLAIN: Final = ("call_id", "component", "version", "operation", "protocol", "attempt", "message_id", "traceparent")


def context_message(context: Context) -> dict[str, Any]:
    told: dict[str, Any] = {name: getattr(context, name) for name in _PLAIN}
    told["identity"] = identity_message(context.identity)
    told["properties"] = dict(context.properties)
    return told


def context_from(told: Mapping[str, Any]) -> Context:
    """KeyError, TypeError or ValueError for what is none."""
    return Context(
        **{name: told[name] for name in _PLAIN},
        identity=identity_from(told["identity"]),
        properties=dict(told["properties"]),
    )
