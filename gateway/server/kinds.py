"""The one list of kinds. A new policy or backend kind is its own file and one line here."""

from __future__ import annotations

from typing import Final

from gateway.backend import fixed, process, sql_kind, topic
from gateway.backend.http import http_kind
from gateway.core.kinds import BackendKinds, Kinds
from gateway.policy import (
    access_list,
    anonymous,
    any_of,
    api_key,
    basic,
    cel,
    cors,
    headers,
    rate_limit,
    respond,
    roles,
    scopes,
)
from gateway.relay.pool import open_upstream

_AUTHENTICATION: Final = (
    api_key.KIND,
    anonymous.KIND,
    any_of.KIND,
    basic.KIND,
)
_AUTHORISATION: Final = (
    scopes.KIND,
    roles.KIND,
    access_list.KIND,
    cel.KIND,
)
_TRAFFIC: Final = (
    rate_limit.KIND,
    cors.KIND,
)
_TRANSFORMATION: Final = (
    headers.KIND,
    respond.KIND,
)

POLICY_KINDS: Final[Kinds] = {
    kind.name: kind for kind in (*_AUTHENTICATION, *_AUTHORISATION, *_TRAFFIC, *_TRANSFORMATION)
}

BACKEND_KINDS: Final[BackendKinds] = {
    kind.name: kind for kind in (process.KIND, http_kind(open_upstream), sql_kind.KIND, fixed.KIND, topic.KIND)
}
