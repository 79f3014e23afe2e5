"""The one list of kinds. A new policy or backend kind is its own file and one line here."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gateway.backend import fixed, process, sql_kind, topic
from gateway.backend.http import http_kind
from gateway.core.kinds import BackendKinds, Kind
from gateway.relay.pool import open_upstream
from gateway.runtime.embedded_policies import embedded_kind
from gateway.runtime.hosted_policies import hosted_kind
from gateway.runtime.hosts import Hosted
from gateway.runtime.policies import load_policies

# The name of each kind and its module in gateway/policy, in the order in which they are told.
_AUTHENTICATION: Final = {
    "api-key": "api_key",
    "jwt": "jwt",
    "introspection": "introspection",
    "openid-connect": "openid_connect",
    "basic": "basic",
    "client-certificate": "client_certificate",
    "hmac": "hmac_signed",
    "http-signature": "http_signature",
    "any-of": "any_of",
    "anonymous": "anonymous",
}
_AUTHORISATION: Final = {
    "scopes": "scopes",
    "roles": "roles",
    "access-list": "access_list",
    "cel": "cel",
    "external-decision": "external_decision",
}
_TRAFFIC: Final = {
    "rate-limit": "rate_limit",
    "quota": "quota",
    "spike-arrest": "spike_arrest",
    "concurrency": "concurrency",
    "priority": "priority",
    "cors": "cors",
    "cache": "cache",
    "idempotency": "idempotency",
    "upstream": "upstream",
    "mirror": "mirror",
    "trace": "trace",
}
_VALIDATION: Final = {
    "message-size": "message_size",
    "json-limits": "json_limits",
    "json-schema": "json_schema",
    "openapi": "openapi",
    "pattern": "pattern",
    "body-pattern": "body_pattern",
    "form-limits": "form_limits",
    "xml-limits": "xml_limits",
    "xml-schema": "xml_schema",
}
_TRANSFORMATION: Final = {
    "headers": "headers",
    "query": "query",
    "path": "path",
    "body": "body",
    "json-to-xml": "json_to_xml",
    "xml-to-json": "xml_to_json",
    "jmespath": "jmespath",
    "template": "template",
    "xslt": "xslt",
    "redact": "redact",
    "compress": "compress",
    "enrich": "enrich",
    "mock": "mock",
    "respond": "respond",
}


class KindTable(Mapping[str, Kind[Any]]):
    """Kinds by name: those of `modules` are imported when one is asked for, as few nodes use them all; `others` are
    there already."""

    def __init__(self, modules: Mapping[str, str], others: Mapping[str, Kind[Any]] | None = None) -> None:
        self._modules = modules
        self._others = {} if others is None else others

    def __getitem__(self, name: str) -> Kind[Any]:
        module = self._modules.get(name)
        if module is None:
            return self._others[name]
        kind: Kind[Any] = importlib.import_module(f"gateway.policy.{module}").KIND
        return kind

    def __contains__(self, name: object) -> bool:
        return name in self._modules or name in self._others

    def __iter__(self) -> Iterator[str]:
        yield from self._modules
        yield from self._others

    def __len__(self) -> int:
        return len(self._modules) + len(self._others)

    def load(self) -> None:
        """Imports all of them: for who will be asked about any, and may take its time now."""
        for name in self._modules:
            self[name]

    __eq__ = object.__eq__  # what is compared is whether a snapshot was compiled with the same table
    __hash__ = object.__hash__


MODULES: Final = {**_AUTHENTICATION, **_AUTHORISATION, **_TRAFFIC, **_VALIDATION, **_TRANSFORMATION}
POLICY_KINDS: Final = KindTable(MODULES)


def node_kinds(packages: Iterable[str], hosted: Iterable[Hosted] = ()) -> KindTable:
    """The kinds of a node: the gateway's own, those of the packages that run inside of its processes, and those of
    isolated runtimes. DocumentsRefused when one of them has no right to its name."""
    others: dict[str, Kind[Any]] = {}
    for each in hosted:
        for described in each.policies:
            others[described["name"]] = hosted_kind(each.package, described)
    embedded = load_policies(packages, [*MODULES, *others])
    others |= {name: embedded_kind(policy) for name, policy in embedded.items()}
    return KindTable(MODULES, others)


BACKEND_KINDS: Final[BackendKinds] = {
    kind.name: kind for kind in (process.KIND, http_kind(open_upstream), sql_kind.KIND, fixed.KIND, topic.KIND)
}
