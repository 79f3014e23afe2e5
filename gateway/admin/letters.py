"""Who listens to a topic, how far each listener is, and the messages that none could process, on the admin REST.

Queues are not there yet: topics are all that messages are published to.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin import pages
from gateway.admin.access import require, require_anywhere
from gateway.admin.bodies import number
from gateway.admin.prefix import PREFIX
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.admin.trial import trial
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest, NotFound
from gateway.store.store import TOPICS


def entries(service: Service) -> Iterator[Entry]:
    letters, listeners = _DeadLetters(service), _Listeners(service)
    yield Entry("/topics/{topic}/subscriptions", "GET", listeners.all, "viewer")
    yield Entry("/topics/{topic}/dead-letters", "GET", letters.all, "viewer")
    yield Entry("/topics/{topic}/dead-letters/{listener:path}/{id}/redrive", "POST", letters.redrive, None)


def listening(service: Service, topic: str) -> list[str]:
    """NAME@VERSION/OPERATION of each listener that is live."""
    return [
        f"{version.name}/{name}"
        for version in service.snapshot().versions
        for name, listener in version.listeners.items()
        if listener.topic == topic
    ]


class _Listeners:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, request: Request, token: Token) -> Any:
        """`waiting` is the lag: never delivered. A group that nobody listens to any more keeps its messages."""
        topic = request.path_params["topic"]
        if topic not in self.service.node.state.rows(TOPICS):
            raise NotFound(f"There is no topic {topic}.")
        info = await self.service.streams.info(topic)
        live = set(listening(self.service, topic))
        seen = [each for each in live | info.groups.keys() if token.may("viewer", each.partition("@")[0])]
        return pages.listed(
            request, (_listener(each, each in live, info.groups.get(each)) for each in seen), "listener"
        )


def _listener(name: str, live: bool, group: Any) -> dict[str, Any]:
    counts = ("waiting", "in_flight", "retrying", "dead")
    return {"listener": name, "live": live, **{each: getattr(group, each, 0) for each in counts}}


class _DeadLetters:
    def __init__(self, service: Service) -> None:
        self.service = service

    async def all(self, request: Request, token: Token) -> Any:
        """Of one listener (`?listener=shop@v2/bill_order`), or of every listener that is live; oldest first. Where a
        listener has more, a `Link` leads to its next page (RFC 8288)."""
        topic = request.path_params["topic"]
        wanted = request.query_params.get("listener")
        groups = [wanted] if wanted else listening(self.service, topic)
        groups = [each for each in groups if token.may("viewer", each.partition("@")[0])]
        limit = number(request, "limit", 1, 1000) or 100
        after = request.query_params.get("after", "")
        if after and not wanted:
            raise BadRequest("`after` is a dead letter of one listener: name it, ?listener=NAME@VERSION/OPERATION.")
        items, links = [], []
        for group in groups:
            found = await self.service.streams.dead_letters(topic, group, limit, after)
            items += [{"listener": group, **_letter(letter)} for letter in found]
            if len(found) == limit:
                query = urlencode({"listener": group, "limit": limit, "after": found[-1].id})
                links.append(f'<{PREFIX}/topics/{quote(topic)}/dead-letters?{query}>; rel="next"')
        return JSONResponse({"items": items}, headers={"Link": ", ".join(links)} if links else None)

    async def redrive(self, request: Request, token: Token) -> Any:
        """A token that is bound to the listener's component may do so."""
        require_anywhere(token, "operator")
        parts = request.path_params
        require(token, "operator", parts["listener"].partition("@")[0])
        if (now := trial()) is not None:
            now.items.append(
                {"kind": "DeadLetter", "name": parts["id"], "action": "delete", "detail": "delivered again"}
            )
            return None
        again = await self.service.streams.redrive(parts["topic"], parts["listener"], parts["id"])
        entry = {"actor": token.name, "action": "dead-letter.redrive", "subject": f"{parts['topic']} {parts['id']}"}
        await self.service.store.commit([], entry)
        return {"id": again}


def _letter(letter: Any) -> dict[str, Any]:
    """Payloads stay out: they are the consumers' data. Reasons, counts and times are what an operator needs."""
    shown = ("id", "origin", "reason", "error", "attempts", "at")
    return {name: getattr(letter, name) for name in shown if hasattr(letter, name)}
