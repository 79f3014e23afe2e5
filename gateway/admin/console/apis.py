"""Pages of components, versions and endpoints: what is live, its history, its life cycle, its canary, its callers."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from gateway.admin.console.visit import Page, Visit

STATUSES: Final = ("published", "deprecated", "retired")


async def all(visit: Visit) -> Response:
    return visit.page("apis.html", versions=await visit.pages("versions"))


async def one(visit: Visit) -> Response:
    name = visit.named("name")
    version = (await visit.get("versions", name)).value
    component = name.partition("@")[0]
    snapshot = (await visit.get("snapshot")).value
    spec: dict[str, Any] = next(
        (
            each
            for each in snapshot["versions"]
            if f"{each['component']}@{each['version']}" == name and not each["canary"]
        ),
        {"endpoints": []},
    )
    known = {each["revision"]: each for each in await visit.pages("revisions", query={"name": name})}
    callers = (await visit.get("versions", name, "callers")).value
    others = [each["name"] for each in await visit.pages("versions") if each["name"].startswith(f"{component}@")]
    return visit.page(
        "version.html",
        version=version,
        component=component,
        endpoints=spec["endpoints"],
        history=[known.get(each, {"revision": each, "at": None, "actor": ""}) for each in reversed(version["history"])],
        known=known,
        callers=callers,
        statuses=STATUSES,
        successors=[each.partition("@")[2] for each in others if each != name],
    )


async def compare(visit: Visit) -> Response:
    name, other = visit.named("name"), visit.named("revision")
    query = {"from": other, "to": name}
    changes = (await visit.get("diff", query=query)).items
    words = (await visit.get("changelog", query=query)).items
    return visit.page("diff.html", name=name, revision=other, changes=changes, words=words)


async def rollback(visit: Visit) -> Response:
    name, target = visit.named("name"), visit.form.text("to")
    body = {"to": target, "with_policies": visit.form.text("with_policies") == "yes"}
    await visit.send("POST", "versions", name, "rollback", body=body, match="*")
    return visit.go(f"{name} serves revision {target} again.", "apis", name)


async def lifecycle(visit: Visit) -> Response:
    name = visit.named("name")
    body = visit.form.given("status", "sunset", "successor")
    await visit.send("PUT", "versions", name, "lifecycle", body=body, match="*")
    return visit.go(f"{name} is {body.get('status', '')}.", "apis", name)


async def reinstate(visit: Visit) -> Response:
    name = visit.named("name")
    await visit.send("DELETE", "versions", name, "lifecycle", match="*")
    return visit.go(f"The manifest of {name} tells its life cycle again.", "apis", name)


async def canary(visit: Visit) -> Response:
    """Promote, abort, or another share."""
    name, verb = visit.named("name"), visit.form.text("verb")
    if verb == "promote":
        await visit.send("POST", "versions", name, "canary", "promote", match="*")
        told = f"The canary of {name} is its active revision."
    elif verb == "abort":
        await visit.send("DELETE", "versions", name, "canary", match="*")
        told = f"The canary of {name} is gone."
    else:
        await visit.send("PUT", "versions", name, "canary", body={"share": visit.form.text("share")}, match="*")
        told = f"The canary of {name} gets {visit.form.text('share')}."
    return visit.go(told, "apis", name)


PAGES: Final[tuple[tuple[str, str, Page], ...]] = (
    ("/apis", "GET", all),
    ("/apis/{name}", "GET", one),
    ("/apis/{name}/diff/{revision}", "GET", compare),
    ("/apis/{name}/rollback", "POST", rollback),
    ("/apis/{name}/lifecycle", "POST", lifecycle),
    ("/apis/{name}/reinstate", "POST", reinstate),
    ("/apis/{name}/canary", "POST", canary),
)
