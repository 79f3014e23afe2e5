"""What the copies of a version's requests got, beside what the requests themselves got: numbers of all nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request

from gateway.admin.access import require
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.telemetry.mirrors import same, total_mirrors


def entries(service: Service) -> Iterator[Entry]:
    async def one(request: Request, token: Token) -> Any:
        """Since the nodes started; each tells once a second."""
        name: str = request.path_params["name"]
        require(token, "viewer", name.partition("@")[0])
        service.versions.one(name)
        nodes = await service.store.nodes()
        found = [each for each in total_mirrors(nodes.values()) if f"{each['component']}@{each['version']}" == name]
        return {"name": name, "items": [_told(each) for each in found]}

    yield Entry("/versions/{name}/mirror", "GET", one, None)


def _told(entry: dict[str, Any]) -> dict[str, Any]:
    """Times are means, in seconds; None where nothing was compared."""
    statuses: dict[str, int] = entry["statuses"]
    compared = sum(statuses.values())
    original, copy = (round(each / compared, 6) if compared else None for each in entry["seconds"])
    return {
        "endpoint": entry["endpoint"],
        "to": entry["to"],
        "compared": compared,
        "different": sum(count for pair, count in statuses.items() if not same(pair)),
        "statuses": statuses,
        "original_seconds": original,
        "copy_seconds": copy,
        "dropped": entry["dropped"],
    }
