"""What every authenticating kind does with an identity that it has proved."""

from __future__ import annotations

from gateway.core.exchange import SWITCH, Exchange, Switch
from gateway.core.identity import Identity


def admit(exchange: Exchange, identity: Identity) -> Switch | None:
    """Puts the identity on the exchange. From here its plan's variant of the chain runs, which has the same steps up to
    this one."""
    exchange.identity = identity
    if identity.plan is None:
        return None
    variant = exchange.chain.plans.get(identity.plan)
    if variant is None:
        return None
    exchange.chain = variant
    return SWITCH
