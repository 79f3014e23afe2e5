"""Pages of applications, their subscriptions and keys; and of admin tokens. A secret is shown once, in the answer."""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from gateway.admin.console.visit import Page, Visit, to
from gateway.consumers.tokens import ROLES


async def all(visit: Visit) -> Response:
    asked = dict(visit.request.query_params)
    query = {name: asked[name] for name in ("cursor",) if asked.get(name)}
    answer = await visit.get("applications", query=query)
    return visit.page("applications.html", applications=answer.items, more=answer.more)


async def create(visit: Visit) -> Response:
    body = visit.form.given("name", "title", "owner")
    await visit.send("POST", "applications", body=body)
    return visit.go(f"Application {body.get('name', '')} is there.", "applications", body.get("name", ""))


async def one(visit: Visit) -> Response:
    name = visit.named("name")
    query = {"application": name}
    return visit.page(
        "application.html",
        application=(await visit.get("applications", name)).value,
        subscriptions=await visit.pages("subscriptions", query=query),
        keys=await visit.pages("keys", query=query),
        credentials=await visit.pages("credentials", query=query),
        components=[each["name"] for each in await visit.pages("components")],
        plans=[each["name"] for each in await visit.pages("plans")],
    )


async def status(visit: Visit) -> Response:
    name, wanted = visit.named("name"), visit.form.text("status")
    await visit.send("PATCH", "applications", name, body={"status": wanted}, match="*")
    return visit.go(f"{name} is {wanted}.", "applications", name)


async def delete(visit: Visit) -> Response:
    name = visit.named("name")
    await visit.send("DELETE", "applications", name, match="*")
    return visit.go(f"Application {name} is gone.", "applications")


async def subscribe(visit: Visit) -> Response:
    name = visit.named("name")
    body = {"application": name, **visit.form.given("api", "plan", "version")}
    await visit.send("POST", "subscriptions", body=body)
    return visit.go(f"{name} is subscribed to {body.get('api', '')}.", "applications", name)


async def unsubscribe(visit: Visit) -> Response:
    name, api = visit.named("name"), visit.form.text("api")
    await visit.send("DELETE", "subscriptions", name, api, match="*")
    return visit.go(f"{name} is no longer subscribed to {api}.", "applications", name)


def _once(visit: Visit, what: str, made: dict[str, Any], secret: str, back: str) -> Response:
    return visit.page("once.html", what=what, id=made["id"], secret=secret, back=back)


async def create_key(visit: Visit) -> Response:
    name = visit.named("name")
    body = {"application": name, **visit.form.given("api", "plan", "ends")}
    made = (await visit.send("POST", "keys", body=body)).value
    return _once(visit, f"Key of {name}", made, made["key"], to("applications", name))


async def rotate_key(visit: Visit) -> Response:
    name, id = visit.named("name"), visit.named("id")
    hours = visit.form.text("hours") or "24"
    overlap = int(hours) * 3600 if hours.isdecimal() and len(hours) < 6 else hours
    made = (await visit.send("POST", "keys", id, "rotate", body={"overlap": overlap}, match="*")).value
    return _once(visit, f"New key of {name}, in place of {id}", made, made["key"], to("applications", name))


async def revoke_key(visit: Visit) -> Response:
    name, id = visit.named("name"), visit.named("id")
    await visit.send("DELETE", "keys", id, match="*")
    return visit.go(f"Key {id} is revoked.", "applications", name)


async def tokens(visit: Visit) -> Response:
    return visit.page("tokens.html", tokens=await visit.pages("tokens"), roles=ROLES)


async def create_token(visit: Visit) -> Response:
    body: dict[str, Any] = {**visit.form.given("name", "ends"), "roles": list(visit.form.all("roles"))}
    if components := [each.strip() for each in visit.form.text("components").split(",") if each.strip()]:
        body["components"] = components
    made = (await visit.send("POST", "tokens", body=body)).value
    return _once(visit, f"Token {body.get('name', '')}", made, made["token"], to("tokens"))


async def revoke_token(visit: Visit) -> Response:
    id = visit.named("id")
    await visit.send("DELETE", "tokens", id, match="*")
    return visit.go(f"Token {id} is revoked.", "tokens")


PAGES: Final[tuple[tuple[str, str, Page], ...]] = (
    ("/applications", "GET", all),
    ("/applications", "POST", create),
    ("/applications/{name}", "GET", one),
    ("/applications/{name}/status", "POST", status),
    ("/applications/{name}/delete", "POST", delete),
    ("/applications/{name}/subscriptions", "POST", subscribe),
    ("/applications/{name}/unsubscribe", "POST", unsubscribe),
    ("/applications/{name}/keys", "POST", create_key),
    ("/applications/{name}/keys/{id}/rotate", "POST", rotate_key),
    ("/applications/{name}/keys/{id}/revoke", "POST", revoke_key),
    ("/tokens", "GET", tokens),
    ("/tokens", "POST", create_token),
    ("/tokens/{id}/revoke", "POST", revoke_token),
)
