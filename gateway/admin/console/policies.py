"""Pages of documents: policies, plans and their kinds; written as YAML, tried first, with every finding at its line."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any, Final

from ruamel.yaml import YAML
from starlette.responses import Response

from gateway.admin.console.inside import RestRefused
from gateway.admin.console.visit import Page, Visit, to

TABLES: Final = {"policies": "Policy", "plans": "Plan"}
_LINE: Final = re.compile(r":(\d+):\d+")
NEW: Final = {
    "policies": "kind: Policy\nname: \ntitle: \nsteps:\n  - {id: team, use: headers, "
    "with: {request: {set: {X-Team: shop}}}}\n",
    "plans": "kind: Plan\nname: \ntitle: \npolicies:\n  - {id: minute, use: rate-limit, "
    "with: {limit: 100/1m, by: application}}\n",
    "documents": "",
}


def yaml_of(value: Any) -> str:
    writer, text = YAML(typ="safe", pure=True), io.StringIO()
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = 110
    writer.dump(value, text)
    return text.getvalue()


def document_of(kind: str, stored: Mapping[str, Any], revision: str = "") -> dict[str, Any]:
    """What somebody would apply to have what is stored."""
    head = {"kind": kind, "name": stored["name"]} | ({"title": stored["title"]} if stored.get("title") else {})
    if kind == "Policy":
        return head | {"steps": stored["revisions"][revision or str(stored["revision"])]}
    plan = {name: part for name in ("limits", "policies") if (part := _plain(stored.get(name)))}
    return head | plan


def _plain(value: Any) -> Any:
    """Without what says nothing: null, false, and what is empty."""
    if isinstance(value, dict):
        kept = {name: _plain(part) for name, part in value.items()}
        return {name: part for name, part in kept.items() if part not in (None, False, {}, [])}
    return [_plain(part) for part in value] if isinstance(value, list) else value


async def all(visit: Visit) -> Response:
    found = {table: await visit.pages(table) for table in TABLES}
    return visit.page("policies.html", policies=found["policies"], plans=found["plans"])


def _table(visit: Visit) -> str:
    table: str = visit.request.url.path.split("/")[2]
    return table


async def one(visit: Visit) -> Response:
    table, name = _table(visit), visit.named("name")
    answer = await visit.get(table, name)
    kind, stored = TABLES[table], answer.value
    revisions = sorted(stored.get("revisions", {}), key=int, reverse=True)
    asked = visit.asked("revision")
    shown = document_of(kind, stored, asked if asked in revisions else "")
    users = _users(kind, name, (await visit.get("snapshot")).value)
    return visit.page(
        "policy.html",
        table=table,
        kind=kind,
        stored=stored,
        steps=shown.get("steps", shown.get("policies", [])),
        text=yaml_of(shown),
        revisions=revisions,
        asked=asked if asked in revisions else "",
        users=users,
        etag=answer.etag,
    )


def _users(kind: str, name: str, snapshot: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(component@version, endpoint) of each chain with a step of the policy."""
    if kind != "Policy":
        return []
    return [
        (f"{version['component']}@{version['version']}", endpoint["key"])
        for version in snapshot["versions"]
        for endpoint in version["endpoints"]
        if any(step["id"].startswith(f"{name}/") or step["scope"] == name for step in endpoint["steps"])
    ]


async def edit(visit: Visit) -> Response:
    """A stored one as YAML, as it is or as an earlier revision was; or a new one."""
    parts = visit.request.url.path.split("/")
    table, name = parts[2], visit.request.path_params.get("name", "")
    if not name:
        return _editor(visit, table, "", NEW[table], "")
    answer = await visit.get(table, name)
    asked = visit.asked("revision")
    revision = asked if asked in answer.value.get("revisions", {}) else ""
    return _editor(visit, table, name, yaml_of(document_of(TABLES[table], answer.value, revision)), answer.etag)


async def save(visit: Visit) -> Response:
    """Tries the document; writes it when the button says so. What was refused is shown with the text."""
    table, name = _table(visit), visit.request.path_params.get("name", "")
    text, etag, really = visit.form.raw("text"), visit.form.text("etag"), visit.form.text("verb") == "apply"
    query = {} if really else {"dry_run": "true"}
    try:
        if name:
            told = (await visit.send("PUT", table, name, query=query, body=text, match=etag or "*")).value
        else:
            force = {"force": "true"} if visit.form.text("force") == "yes" else {}
            told = (await visit.send("POST", "apply", query=query | force, body=text)).value
    except RestRefused as error:
        return _editor(visit, table, name, text, etag, problem=error.problem, status=error.status)
    if not really:
        users = [] if "touched" in told or not name else _users(
            TABLES[table], name, (await visit.get("snapshot")).value
        )  # fmt: skip
        return _editor(visit, table, name, text, etag, told=told, users=users)
    done = ", ".join(f"{each['kind']} {each['name']}: {each['action']}" for each in told["items"])
    live = f"; live on {', '.join(told['live'])}" if told["live"] else ""
    back = ("apis",) if table == "documents" else (table, name) if name else ("policies",)
    return visit.go(f"{done}{live}.", *back)


def _editor(
    visit: Visit,
    table: str,
    name: str,
    text: str,
    etag: str,
    *,
    problem: Mapping[str, Any] | None = None,
    told: Mapping[str, Any] | None = None,
    users: Any = (),
    status: int = 200,
) -> Response:
    found = [
        {**each, "line": int(match[1]) if (match := _LINE.search(each["target"])) else None}
        for each in (problem or {}).get("errors", ())
    ]
    wrong = {each["line"] for each in found if each["line"]}
    return visit.page(
        "editor.html",
        status,
        table=table,
        kind=TABLES.get(table, "Documents"),
        name=name,
        text=text,
        etag=etag,
        problem=problem,
        findings=found,
        lines=[(number, line, number in wrong) for number, line in enumerate(text.split("\n"), 1)] if wrong else [],
        tried=told,
        users=users,
        back=to(table, name) if name else to("apis" if table == "documents" else "policies"),
    )


async def remove(visit: Visit) -> Response:
    table, name = _table(visit), visit.named("name")
    await visit.send("DELETE", table, name, match="*")
    return visit.go(f"{TABLES[table]} {name} is gone.", "policies")


async def kinds(visit: Visit) -> Response:
    families: dict[str, list[dict[str, Any]]] = {}
    for each in (await visit.get("policy-kinds")).items:
        families.setdefault(str(each["family"]), []).append(each)
    return visit.page("kinds.html", families=families)


async def kind(visit: Visit) -> Response:
    name = visit.named("name")
    found = next((each for each in (await visit.get("policy-kinds")).items if each["name"] == name), None)
    if found is None:
        return visit.page("refused.html", 404, problem={"title": "Not found", "detail": f"There is no kind {name}."})
    schema = found["config"]
    example = yaml_of([{"id": name, "use": name} | ({"with": found["example"]} if found["example"] else {})])
    settings = [
        {
            "name": key,
            "type": type_of(part, schema.get("$defs", {})),
            "needed": key in schema.get("required", ()),
            "default": part.get("default"),
            "about": part.get("description", ""),
        }
        for key, part in schema.get("properties", {}).items()
    ]
    return visit.page("kind.html", kind=found, example=example, settings=settings)


def type_of(schema: Any, named: Mapping[str, Any], depth: int = 3) -> str:
    """A JSON Schema in few words."""
    if not isinstance(schema, dict) or not depth:
        return "…"
    if "$ref" in schema:
        key = schema["$ref"].rpartition("/")[2]
        return key if depth == 1 else type_of(named.get(key, {}), named, depth - 1)
    if "enum" in schema or "const" in schema:
        return " | ".join(str(each) for each in schema.get("enum", [schema.get("const")]))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " | ".join(dict.fromkeys(type_of(each, named, depth - 1) for each in schema[several]))
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}), named, depth - 1)}"
    if kind == "object" and schema.get("properties"):
        return "{" + ", ".join(schema["properties"]) + "}"
    return str(kind)


PAGES: Final[tuple[tuple[str, str, Page], ...]] = (
    ("/policies", "GET", all),
    ("/policy-kinds", "GET", kinds),
    ("/policy-kinds/{name}", "GET", kind),
    ("/documents/new", "GET", edit),
    ("/documents/new", "POST", save),
    *(
        (f"/{table}{path}", method, answer)
        for table in TABLES
        for path, method, answer in (
            ("/new", "GET", edit),
            ("/new", "POST", save),
            ("/{name}", "GET", one),
            ("/{name}/edit", "GET", edit),
            ("/{name}/edit", "POST", save),
            ("/{name}/delete", "POST", remove),
        )
    ),
)
