"""What may be subscribed to: checked where somebody types a name."""

from __future__ import annotations

from gateway.admin.service import Service
from gateway.core.errors import InvalidInput
from gateway.store.store import PLANS


def known(service: Service, api: str | None, plan: str | None) -> None:
    """A key for an API that is not there, or a plan that nobody wrote, is a typing error."""
    there = [each["name"] for each in service.components()]
    if api is not None and api not in there:
        raise InvalidInput(f"There is no API {api}. Live are: {', '.join(there) or 'none'}.", target="api")
    plans = service.node.state.rows(PLANS)
    if plan is not None and plan not in plans:
        raise InvalidInput(f"There is no plan {plan}. There are: {', '.join(sorted(plans)) or 'none'}.", target="plan")
