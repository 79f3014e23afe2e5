"""`scopes`: what the caller's credential must have been granted (RFC 6750 section 3.1).

`{use: scopes, with: {all: [orders:read]}}`,
`{use: scopes, with: {operations: {get_order: [orders:read], create_order: {any: [orders:write, admin]}}}}`. It decides
on the operation that runs, in REST, SOAP and OData alike.
"""

from __future__ import annotations

from gateway.core.errors import InsufficientScope, Unauthorized
from gateway.core.exchange import Exchange
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.required import Required, Rule, chooser, named


class Scopes(Required):
    """The words are scopes."""


def build(config: Scopes, site: Site) -> Built:
    choose = chooser(config)
    realm = f'Bearer realm="{site.component}"'
    nobody = ((b"WWW-Authenticate", realm.encode()),)

    def check(exchange: Exchange) -> None:
        rule = choose(exchange)
        identity = exchange.identity
        if rule is not None and rule.met_by(frozenset() if identity is None else identity.scopes):
            return
        if identity is None or identity.method == "anonymous":
            raise Unauthorized("Send a credential that was granted the scopes of this operation.", headers=nobody)
        raise _refusal(rule, realm)

    return Built(step=check)


def _refusal(rule: Rule | None, realm: str) -> InsufficientScope:
    if rule is None:
        return InsufficientScope("This operation is not open to callers.", headers=[_challenge(realm, "")])
    wanted = " ".join(rule.all + rule.any)
    parts = [f"all of {', '.join(rule.all)}" if rule.all else "", f"one of {', '.join(rule.any)}" if rule.any else ""]
    text = " and ".join(filter(None, parts))
    return InsufficientScope(f"This operation needs {text}.", headers=[_challenge(realm, wanted)])


def _challenge(realm: str, wanted: str) -> tuple[bytes, bytes]:
    scope = f', scope="{wanted}"' if wanted else ""
    return b"WWW-Authenticate", f'{realm}, error="insufficient_scope"{scope}'.encode()


KIND = Kind(
    "scopes",
    Scopes,
    build,
    protects=False,
    summary="What the caller's credential must have been granted, by operation",
    family="authorisation",
    example={"all": ["orders:read"], "operations": {"get_status": {"any": ["orders:read", "status"]}}},
    by_operation=True,
    operations=named,
)
