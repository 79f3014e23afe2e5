"""Pages of topics and their dead letters."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response

from gateway.admin.console.visit import Page, Visit


async def all(visit: Visit) -> Response:
    return visit.page("topics.html", topics=await visit.pages("topics"))


async def one(visit: Visit) -> Response:
    name = visit.named("name")
    topic = (await visit.get("topics", name)).value
    letters = (await visit.get("topics", name, "dead-letters")).items
    return visit.page("topic.html", topic=topic, letters=letters)


async def redrive(visit: Visit) -> Response:
    name, listener, id = visit.named("name"), visit.form.text("listener"), visit.form.text("id")
    await visit.send("POST", "topics", name, "dead-letters", *listener.split("/"), id, "redrive", match="*")
    return visit.go(f"{id} is delivered again.", "topics", name)


PAGES: Final[tuple[tuple[str, str, Page], ...]] = (
    ("/topics", "GET", all),
    ("/topics/{name}", "GET", one),
    ("/topics/{name}/redrive", "POST", redrive),
)
