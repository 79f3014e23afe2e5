"""The admin REST as an OpenAPI 3.1 document: `python -m gateway.admin.describe --write openapi`.

`--check openapi` tells whether `admin.yaml` there is what the code says now; it exits with 1 if not. Paths, methods and
roles come from the routes; what stands here are the words, parameters and bodies of each. A route without an entry
here, or an entry without a route, is an error.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from gateway import __version__
from gateway.admin import described
from gateway.admin.described import About, Schema
from gateway.admin.described_all import DESCRIBED, SCHEMAS
from gateway.admin.prefix import PREFIX

FILE: Final = "admin.yaml"
COMMAND: Final = "python -m gateway.admin.describe --write"


@dataclass(frozen=True, slots=True)
class Operation:
    path: str
    method: str
    role: str | None
    about: About = field(default_factory=About)


def document() -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for each in operations():
        paths.setdefault(each.path.replace(":path", ""), {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Penstock admin REST",
            "version": __version__,
            "description": described.INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": SCHEMAS,
            "responses": {"Problem": _problem()},
        },
    }


def operations() -> list[Operation]:
    """Every operation that is served, with what is said of it."""
    from gateway.admin.app import entries

    served = {(each.method, each.path): each.role for each in entries(None)}  # type: ignore[arg-type]  # never called
    served |= {("GET", "/health"): None, ("GET", "/metrics"): "viewer", ("GET", "/sign-in"): None}
    if wrong := sorted(served.keys() ^ DESCRIBED.keys()):
        raise LookupError(f"described and served differ: {wrong}")
    return [Operation(path, method, role, DESCRIBED[method, path]) for (method, path), role in served.items()]


def _operation(each: Operation) -> dict[str, Any]:
    about = each.about
    role = about.role or each.role
    text = about.text + (f"\n\nTakes the role `{role}`." if role else "")
    found: dict[str, Any] = {
        "operationId": _identifier(each),
        "tags": [each.path.split("/")[1]],
        "summary": about.summary,
        "description": text.strip(),
    }
    if each.path == "/health":
        found["security"] = [{}, {"token": []}]
    if each.path == "/sign-in":
        found["security"] = [{}]
    if parameters := [*_path_parameters(each.path), *map(_query, about.query), *map(_header, about.headers)]:
        found["parameters"] = parameters
    if about.body is not None:
        content = {media: {"schema": about.body} for media in about.media}
        found["requestBody"] = {"required": about.body_required, "content": content}
    found["responses"] = _responses(about)
    return {key: value for key, value in found.items() if value != ""}


def _identifier(each: Operation) -> str:
    words = re.findall(r"[a-z]+", each.path.replace("{listener:path}", "{listener}"))
    return "_".join([each.method.lower(), *words])


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)", path)
    return [{"name": name, "in": "path", "required": True, "schema": _segment(name)} for name in names]


def _segment(name: str) -> Schema:
    """A listener's name, such as shop@v2/bill_order, is the only one with a slash."""
    whole: Schema = {"type": "string", "minLength": 1}
    return whole if name == "listener" else whole | {"pattern": "^[^/?#%]+$"}


def _query(parameter: tuple[str, Schema, str]) -> dict[str, Any]:
    name, schema, text = parameter
    required = {"required": True} if text.startswith("Required") else {}
    return {"name": name, "in": "query", **required, "description": text, "schema": schema}


def _header(parameter: tuple[str, str]) -> dict[str, Any]:
    name, text = parameter
    return {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}


def _responses(about: About) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    for status in about.statuses:
        answer: dict[str, Any] = {"description": about.answer_text}
        if about.answer is not None:
            answer["content"] = {about.answer_media: {"schema": about.answer}}
        if about.answer_headers:
            answer["headers"] = {name: {"schema": {"type": "string"}} for name in about.answer_headers}
        answers[str(status)] = answer
    if "dry_run" in {name for name, _, _ in about.query}:
        answers["200"] = _tried(answers.get("200", {"description": "What would happen, of a dry run"}))
    refusals = {str(status): {"$ref": "#/components/responses/Problem"} for status in about.refusals}
    return dict(sorted((refusals | answers).items()))


def _tried(answer: dict[str, Any]) -> dict[str, Any]:
    """What would happen, beside what has happened."""
    applied: Schema = {"$ref": "#/components/schemas/Applied"}
    meant = answer.get("content", {}).get("application/json", {}).get("schema", applied)
    schema = applied if meant == applied else {"anyOf": [meant, applied]}
    return {**answer, "content": {"application/json": {"schema": schema}}}


def _problem() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": "A refusal or a failure (RFC 9457)",
        "content": {"application/problem+json": {"schema": schema}},
    }


def text() -> str:
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.ignore_aliases = lambda *_data: True
    stream = StringIO()
    yaml.dump(document(), stream)
    return f"# Generated by {COMMAND} openapi; do not edit.\n{stream.getvalue()}"


def main(arguments: list[str] | None = None) -> int:
    """0: written, or nothing has drifted."""
    parser = argparse.ArgumentParser(prog="python -m gateway.admin.describe", description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", metavar="FOLDER", type=Path, help=f"write {FILE}")
    action.add_argument("--check", metavar="FOLDER", type=Path, help="exit with 1 if it is not what it should be")
    given = parser.parse_args(arguments)
    if given.write is not None:
        (given.write / FILE).write_text(text(), "utf-8")
        sys.stdout.write(f"{given.write / FILE}\n")
        return 0
    path = given.check / FILE
    if path.is_file() and path.read_text("utf-8") == text():
        return 0
    sys.stderr.write(f"{path} is not what the code says. Run: {COMMAND} {given.check}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
