"""What every authenticating kind does with an identity that it has proved."""

from __future__ import annotations

from gateway.core.errors import Unavailable
from gateway.core.exchange import SWITCH, Exchange, Switch
from gateway.core.identity import Identity


def admit(exchange: Exchange, identity: Identity) -> Switch | None:
    """Puts the identity on the exchange. From here its plan's variant of the chain runs, which has the same steps up to
    this one. Unavailable when the gateway does not know the plan."""
    exchange.identity = identity
    if identity.plan is None or identity.plan == exchange.chain.plan:
        return None
    variant = exchange.chain.plans.get(identity.plan)
    if variant is None:  # its limits cannot be applied, so nobody may pass without them
        raise Unavailable(f"The plan {identity.plan} of this credential is not known here.")
    exchange.chain = variant
    return SWITCH
