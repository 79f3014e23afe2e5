"""What may be subscribed to: checked where somebody types a name."""

from __future__ import annotations

from starlette.requests import Request

from gateway.admin.service import Service
from gateway.consumers.subscriptions import refusal
from gateway.core.durations import seconds
from gateway.core.errors import BadRequest, Conflict, InvalidInput
from gateway.store.store import PLANS


class TakesNoMore(Conflict):
    """What is deprecated goes on for who uses it, and takes nobody new."""

    title, code = "This version takes no new consumers", "version_deprecated"


def known(service: Service, api: str | None, plan: str | None, version: str | None = None) -> None:
    """A key for an API that is not there, or a plan that nobody wrote, is a typing error."""
    there = {each["name"]: each["versions"] for each in service.versions.components()}
    if api is not None and api not in there:
        raise InvalidInput(f"There is no API {api}. Live are: {', '.join(there) or 'none'}.", target="api")
    if api is not None and version is not None and version not in there[api]:
        live = ", ".join(there[api])
        raise InvalidInput(f"{api} has no version {version}. Live are: {live}.", target="version")
    plans = service.node.state.rows(PLANS)
    if plan is not None and plan not in plans:
        raise InvalidInput(f"There is no plan {plan}. There are: {', '.join(sorted(plans)) or 'none'}.", target="plan")


def takes_new(service: Service, api: str, version: str | None) -> None:
    """Of the version that a subscription is pinned to, or of any; TakesNoMore."""
    live: list[str] = next((each["versions"] for each in service.versions.components() if each["name"] == api), [])
    statuses = {each: str(service.versions.one(f"{api}@{each}")["status"]) for each in live}
    reason = refusal(api, version, statuses.items())
    if reason is not None:
        raise TakesNoMore(reason, target="api" if version is None else "version")


def ending(request: Request, service: Service) -> tuple[float, float] | None:
    """Now, and the end of `?expiring=30d`."""
    text = request.query_params.get("expiring")
    if text is None:
        return None
    now = service.clock.time()
    try:
        return now, now + seconds(text)
    except ValueError as error:
        raise BadRequest(f"`expiring`: {error}", target="expiring") from None
