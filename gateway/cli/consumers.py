"""Groups of consumers: apps, keys, and the admin's own tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import typer

from gateway.cli import completing, output
from gateway.cli.client import connect
from gateway.cli.failures import USAGE, Failed
from gateway.cli.options import Json, Token, Url
from gateway.cli.tasks import Tasks

apps = typer.Typer(cls=Tasks, help="Applications: who calls.", no_args_is_help=True)
keys = typer.Typer(cls=Tasks, help="API keys of applications.", no_args_is_help=True)
tokens = typer.Typer(cls=Tasks, help="Tokens for the admin REST.", no_args_is_help=True)


def groups() -> Iterator[tuple[str, typer.Typer]]:
    yield "apps", apps
    yield "keys", keys
    yield "tokens", tokens


Application = Annotated[str, typer.Argument(autocompletion=completing.applications)]
Contacts = Annotated[list[str] | None, typer.Option("--contact", help="Whom to tell; repeat it.")]
Attributes = Annotated[list[str] | None, typer.Option("--attribute", help="NAME=VALUE, no value takes it away.")]


KEY_COLUMNS = ["id", "application", "api", "plan", "starts", "ends", "revoked"]


@apps.command("list")
def list_apps(
    status: Annotated[str | None, typer.Option("--status", help="active or suspended.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists applications. Example: penstock apps list --status suspended"""
    told = connect(url, token).get("/applications", status=status)
    if as_json:
        output.as_json(told)
    else:
        empty = "No applications yet. Create one: penstock apps create NAME"
        output.table(told["items"], ["name", "title", "owner", "status", "created"], empty)


@apps.command("create")
def create_app(
    name: str,
    title: Annotated[str, typer.Option(help="A title for people.")] = "",
    owner: Annotated[str, typer.Option(help="Who to ask.")] = "",
    contact: Contacts = None,
    attribute: Attributes = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Creates an application. Example: penstock apps create partner --owner ops@example.org"""
    more = {"contacts": contact or [], "attributes": _attributes(attribute)}
    told = connect(url, token).post("/applications", {"name": name, "title": title, "owner": owner, **more})
    output.as_json(told) if as_json else output.good(
        f"{name} is there. Next: penstock keys create --app {name} --api API"
    )


def _attributes(pairs: list[str] | None) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for pair in pairs or []:
        name, sign, value = pair.partition("=")
        if not sign:
            raise Failed(f"--attribute {pair!r} is none. Write it as NAME=VALUE.", USAGE)
        found[name] = value or None
    return found


@apps.command("update")
def update_app(
    name: Application,
    title: Annotated[str | None, typer.Option(help="A title for people.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who to ask.")] = None,
    contact: Contacts = None,
    attribute: Attributes = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Changes what is named of an application. Example: penstock apps update partner --attribute tier=1"""
    body = {"title": title, "owner": owner, "contacts": contact, "attributes": _attributes(attribute)}
    told = connect(url, token).patch(f"/applications/{name}", body)
    output.as_json(told) if as_json else output.fields(told)


@apps.command("suspend")
def suspend_app(name: Application, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Closes everything that is an application's own, at once. Example: penstock apps suspend partner"""
    told = connect(url, token).patch(f"/applications/{name}", {"status": "suspended"})
    output.as_json(told) if as_json else output.good(f"{name} is suspended: nothing of it opens anything.")


@apps.command("activate")
def activate_app(name: Application, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Opens a suspended application again. Example: penstock apps activate partner"""
    told = connect(url, token).patch(f"/applications/{name}", {"status": "active"})
    output.as_json(told) if as_json else output.good(f"{name} is active.")


@apps.command("show")
def show_app(name: Application, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Shows an application. Example: penstock apps show partner"""
    told = connect(url, token).get(f"/applications/{name}")
    output.as_json(told) if as_json else output.fields(told)


@apps.command("subscriptions")
def list_subscriptions(
    app: Annotated[str | None, typer.Option("--app", autocompletion=completing.applications)] = None,
    api: Annotated[str | None, typer.Option("--api")] = None,
    plan: Annotated[str | None, typer.Option("--plan", autocompletion=completing.plans)] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists which application may call which API. Example: penstock apps subscriptions --plan gold"""
    told = connect(url, token).get("/subscriptions", application=app, api=api, plan=plan)
    if as_json:
        output.as_json(told)
    else:
        empty = "No subscriptions yet. Make one: penstock apps subscribe NAME --api API"
        output.table(told["items"], ["application", "api", "plan", "version", "created"], empty)


@apps.command("subscribe")
def subscribe(
    name: Application,
    api: Annotated[str, typer.Option("--api", help="The API component.")],
    plan: Annotated[
        str | None,
        typer.Option("--plan", help="The plan; none: no limits but the API's own.", autocompletion=completing.plans),
    ] = None,
    version: Annotated[str | None, typer.Option("--version", help="The version that it is pinned to.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Subscribes an application to an API, or moves it to another plan and version with its keys.

    Example: penstock apps subscribe partner --api shop --plan gold
    """
    told = connect(url, token).post(
        "/subscriptions", {"application": name, "api": api, "plan": plan, "version": version}
    )
    output.as_json(told) if as_json else output.good(
        f"{name} is subscribed to {api}{f' on the plan {plan}' if plan else ''}."
    )


@apps.command("unsubscribe")
def unsubscribe(
    name: Application,
    api: Annotated[str, typer.Option("--api", help="The API component.")],
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Ends a subscription; its keys open nothing. Example: penstock apps unsubscribe partner --api shop"""
    told = connect(url, token).delete(f"/subscriptions/{name}/{api}")
    output.as_json(told) if as_json else output.good(f"{name} is no longer subscribed to {api}.")


@apps.command("delete")
def delete_app(name: Application, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Deletes an application; its keys stop at once. Example: penstock apps delete partner"""
    told = connect(url, token).delete(f"/applications/{name}")
    output.as_json(told) if as_json else output.good(f"{name} is deleted.")


@keys.command("create")
def create_key(
    app: Annotated[str, typer.Option("--app", help="The application.", autocompletion=completing.applications)],
    api: Annotated[str, typer.Option("--api", help="The API component.")],
    plan: Annotated[
        str | None, typer.Option("--plan", help="The plan of a new subscription.", autocompletion=completing.plans)
    ] = None,
    starts: Annotated[str | None, typer.Option(help="Date or time from which it holds.")] = None,
    ends: Annotated[str | None, typer.Option(help="Date or time at which it ends.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Creates a key; it is shown once. Example: penstock keys create --app partner --api shop --plan gold"""
    body = {"application": app, "api": api, "plan": plan, "starts": starts, "ends": ends}
    told = connect(url, token).post("/keys", body)
    _shown_once(told, as_json)


def _shown_once(told: dict[str, str], as_json: bool) -> None:
    if as_json:
        output.as_json(told)
        return
    output.out.print(told["key"])
    output.err.print(f"Key {told['id']}. It is not shown again: keep it now.", style="dim")


@keys.command("list")
def list_keys(
    app: Annotated[str | None, typer.Option("--app", autocompletion=completing.applications)] = None,
    api: Annotated[str | None, typer.Option("--api")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists keys, without their secrets. Example: penstock keys list --app partner"""
    told = connect(url, token).get("/keys", application=app, api=api)
    if as_json:
        output.as_json(told)
    else:
        output.table(told["items"], KEY_COLUMNS, "No keys yet. Create one: penstock keys create --app NAME --api API")


@keys.command("expiring")
def list_expiring(
    within: Annotated[str, typer.Option("--within", help="How soon, as in 30d or 12h.")] = "30d",
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists keys, and other credentials, that end soon. Example: penstock keys expiring --within 14d"""
    admin = connect(url, token)
    found = [{"type": "key", **each} for each in admin.get("/keys", expiring=within)["items"]]
    found += admin.get("/credentials", expiring=within)["items"]
    found.sort(key=lambda each: float(each["ends"]))
    if as_json:
        output.as_json({"items": found})
    else:
        output.table(found, ["ends", "type", "id", "application", "api"], f"None ends within {within}.")


@keys.command("rotate")
def rotate_key(
    id: str,
    overlap: Annotated[int, typer.Option(help="Seconds for which the old key goes on.", min=0)] = 86_400,
    ends: Annotated[str | None, typer.Option(help="Date or time at which the new one ends.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Makes a successor; both hold during the overlap. Example: penstock keys rotate ID --overlap 3600"""
    _shown_once(connect(url, token).post(f"/keys/{id}/rotate", {"overlap": overlap, "ends": ends}), as_json)


@keys.command("revoke")
def revoke_key(id: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Ends a key at once, on every node. Example: penstock keys revoke ID"""
    told = connect(url, token).delete(f"/keys/{id}")
    output.as_json(told) if as_json else output.good(f"{id} is revoked.")


@tokens.command("list")
def list_tokens(url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Lists admin tokens. Example: penstock tokens list"""
    told = connect(url, token).get("/tokens")
    if as_json:
        output.as_json(told)
    else:
        output.table(told["items"], ["id", "name", "roles", "components", "ends", "revoked"], "None.")


@tokens.command("create")
def create_token(
    name: str,
    role: Annotated[list[str], typer.Option("--role", help="viewer, publisher, policy-editor, operator, admin")],
    component: Annotated[list[str] | None, typer.Option("--component", help="Bind it to this component.")] = None,
    ends: Annotated[str | None, typer.Option(help="Date or time at which it ends.")] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Creates an admin token; it is shown once. Example: penstock tokens create ci --role publisher"""
    body = {"name": name, "roles": role, "components": component or None, "ends": ends}
    told = connect(url, token).post("/tokens", body)
    _shown_once({"id": told["id"], "key": told["token"]}, False) if not as_json else output.as_json(told)


@tokens.command("revoke")
def revoke_token(id: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Ends an admin token at once. Example: penstock tokens revoke ID"""
    told = connect(url, token).delete(f"/tokens/{id}")
    output.as_json(told) if as_json else output.good(f"{id} is revoked.")
