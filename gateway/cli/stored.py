"""Groups of what is kept under a name: policies, plans, topics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import completing, history, kind_words, output, policy_code
from gateway.cli.client import connect
from gateway.cli.documents import said
from gateway.cli.options import Json, Token, Url
from gateway.cli.tasks import Tasks

Named = Annotated[str, typer.Argument(autocompletion=completing.of_group)]
Topic = Annotated[str, typer.Argument(autocompletion=completing.topics)]
HELP = {"policies": "List, show, apply, compare, roll back, delete and try out policies."}
COLUMNS = {
    "policies": ["name", "revision", "title"],
    "plans": ["name", "title", "limits"],
    "topics": ["name", "title", "max_length"],
}


def groups() -> Iterator[tuple[str, typer.Typer]]:
    for name in COLUMNS:
        group = _group(name)
        if name == "policies":
            group.command("kinds")(kinds)
            group.command("revisions")(history.revisions)
            group.command("diff")(history.diff)
            group.command("rollback")(history.rollback)
            group.command("new")(policy_code.write_new)
            group.command("test")(policy_code.try_out)
        if name == "topics":
            group.command("dead-letters")(dead_letters)
            group.command("redrive")(redrive)
        yield name, group


def _group(name: str) -> typer.Typer:
    group = typer.Typer(cls=Tasks, help=HELP.get(name, f"List, show, apply and delete {name}."), no_args_is_help=True)

    @group.command("list", help=f"Lists {name}. Example: penstock {name} list")
    def list_(url: Url = None, token: Token = None, as_json: Json = False) -> None:
        told = connect(url, token).get(f"/{name}")
        if as_json:
            output.as_json(told)
        else:
            output.table(
                _for_people(told["items"]), COLUMNS[name], f"No {name} yet. Apply some: penstock {name} apply FILE"
            )

    @group.command("show", help=f"Shows one. Example: penstock {name} show NAME")
    def show(each: Named, url: Url = None, token: Token = None, as_json: Json = False) -> None:
        told = connect(url, token).get(f"/{name}/{each}")
        output.as_json(told) if as_json else output.fields(_for_people([told])[0])

    @group.command("apply", help=f"Applies documents. Example: penstock {name} apply FILE")
    def apply(
        paths: Annotated[list[Path], typer.Argument(exists=True)],
        url: Url = None,
        token: Token = None,
        as_json: Json = False,
    ) -> None:
        told = connect(url, token).documents(paths)
        if as_json:
            output.as_json(told)
            return
        output.plan(told)
        said(told)

    @group.command("delete", help=f"Deletes one that nothing uses. Example: penstock {name} delete NAME")
    def delete(each: Named, url: Url = None, token: Token = None, as_json: Json = False) -> None:
        told = connect(url, token).delete(f"/{name}/{each}")
        output.as_json(told) if as_json else output.good(f"{each} is deleted.")

    return group


def _for_people(items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A plan's limits in words."""
    return [{**each, "limits": _limits(each["limits"])} if each.get("limits") else dict(each) for each in items]


def _limits(limits: Mapping[str, Any]) -> str:
    quota = limits.get("quota") or {}
    told = [f"bodies up to {limits['message_size']}"] if limits.get("message_size") else []
    told += [str(limits["rate"])] if limits.get("rate") else []
    told += [f"{quota[name]} a {name}" for name in ("day", "week", "month") if quota.get(name)]
    return ", ".join(told)


def kinds(
    name: Annotated[
        str | None, typer.Argument(help="One kind, with its settings.", autocompletion=completing.kinds)
    ] = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Lists the policy kinds that steps can use, or tells the settings of one. Example: penstock policies kinds"""
    admin = connect(url, token)
    told = admin.get(f"/policy-kinds/{name}") if name else admin.get("/policy-kinds")
    if as_json:
        output.as_json(told)
    elif name:
        kind_words.tell(told)
    else:
        kind_words.tell_all(told["items"])


def dead_letters(topic: Topic, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Lists messages that no delivery could process, with the reason. Example: penstock topics dead-letters NAME"""
    told = connect(url, token).get(f"/topics/{topic}/dead-letters")
    if as_json:
        output.as_json(told)
    else:
        columns = ["id", "listener", "attempts", "reason", "error", "at"]
        output.table(told["items"], columns, "No dead letters.")


def redrive(topic: Topic, listener: str, id: str, url: Url = None, token: Token = None, as_json: Json = False) -> None:
    """Delivers a dead letter again. Example: penstock topics redrive order-events shop@v2/bill_order ID"""
    told = connect(url, token).post(f"/topics/{topic}/dead-letters/{listener}/{id}/redrive")
    output.as_json(told) if as_json else output.good(f"Delivered again as {told['id']}.")
