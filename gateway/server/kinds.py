"""The one list of kinds. A new policy or backend kind is its own file and one line here."""

from __future__ import annotations

from collections.abc import Iterable
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
    body,
    body_pattern,
    cache,
    cel,
    client_certificate,
    compress,
    concurrency,
    cors,
    enrich,
    external_decision,
    form_limits,
    headers,
    hmac_signed,
    http_signature,
    idempotency,
    introspection,
    jmespath,
    json_limits,
    json_schema,
    json_to_xml,
    jwt,
    message_size,
    mock,
    openapi,
    openid_connect,
    path,
    pattern,
    priority,
    query,
    quota,
    rate_limit,
    redact,
    respond,
    roles,
    scopes,
    spike_arrest,
    template,
    upstream,
    xml_limits,
    xml_schema,
    xml_to_json,
    xslt,
)
from gateway.relay.pool import open_upstream
from gateway.runtime.embedded_policies import embedded_kind
from gateway.runtime.hosted_policies import hosted_kind
from gateway.runtime.hosts import Hosted
from gateway.runtime.policies import load_policies

_AUTHENTICATION: Final = (
    api_key.KIND,
    jwt.KIND,
    introspection.KIND,
    openid_connect.KIND,
    anonymous.KIND,
    any_of.KIND,
    basic.KIND,
    client_certificate.KIND,
    hmac_signed.KIND,
    http_signature.KIND,
)
_AUTHORISATION: Final = (
    scopes.KIND,
    roles.KIND,
    access_list.KIND,
    cel.KIND,
    external_decision.KIND,
)
_TRAFFIC: Final = (
    rate_limit.KIND,
    quota.KIND,
    spike_arrest.KIND,
    concurrency.KIND,
    priority.KIND,
    cors.KIND,
    cache.KIND,
    idempotency.KIND,
    upstream.KIND,
)
_VALIDATION: Final = (
    message_size.KIND,
    json_limits.KIND,
    json_schema.KIND,
    openapi.KIND,
    pattern.KIND,
    body_pattern.KIND,
    form_limits.KIND,
    xml_limits.KIND,
    xml_schema.KIND,
)
_TRANSFORMATION: Final = (
    headers.KIND,
    query.KIND,
    path.KIND,
    body.KIND,
    json_to_xml.KIND,
    xml_to_json.KIND,
    jmespath.KIND,
    template.KIND,
    xslt.KIND,
    redact.KIND,
    compress.KIND,
    enrich.KIND,
    mock.KIND,
    respond.KIND,
)

POLICY_KINDS: Final[Kinds] = {
    kind.name: kind for kind in (*_AUTHENTICATION, *_AUTHORISATION, *_TRAFFIC, *_VALIDATION, *_TRANSFORMATION)
}


def node_kinds(packages: Iterable[str], hosted: Iterable[Hosted] = ()) -> Kinds:
    """The kinds of a node: the gateway's own, those of the packages that run inside of its processes, and those of
    isolated runtimes. DocumentsRefused when one of them has no right to its name."""
    found = dict(POLICY_KINDS)
    for each in hosted:
        for described in each.policies:
            found[described["name"]] = hosted_kind(each.package, described)
    embedded = load_policies(packages, found)
    return found | {name: embedded_kind(policy) for name, policy in embedded.items()}


BACKEND_KINDS: Final[BackendKinds] = {
    kind.name: kind for kind in (process.KIND, http_kind(open_upstream), sql_kind.KIND, fixed.KIND, topic.KIND)
}
