"""`roles`: what the caller must be. `{use: roles, with: {any: [clerk, admin], operations: {delete_order: [admin]}}}`.

It decides on the operation that runs, in REST, SOAP and OData alike.
"""

from __future__ import annotations

from gateway.core.errors import Forbidden
from gateway.core.exchange import Exchange
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.required import Required, chooser, named


class Roles(Required):
    """The words are roles."""


def build(config: Roles, _site: Site) -> Built:
    choose = chooser(config)

    def check(exchange: Exchange) -> None:
        """Which roles would do is not told: they are the provider's own words."""
        rule = choose(exchange)
        identity = exchange.identity
        if rule is None or not rule.met_by(frozenset() if identity is None else identity.roles):
            raise Forbidden("The caller has no role that may run this.")

    return Built(step=check)


KIND = Kind(
    "roles",
    Roles,
    build,
    summary="What the caller must be, by operation",
    family="authorisation",
    example={"any": ["clerk", "admin"], "operations": {"delete_order": ["admin"]}},
    by_operation=True,
    operations=named,
)
