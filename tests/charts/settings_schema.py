"""`gateway.settings` and `runtimeDefaults.settings` in values.schema.json, out of the product's settings: `python -m
tests.charts.settings_schema` writes them anew when a setting came or went."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path
from typing import Annotated, Any, Final, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from gateway.core.runtime_settings import RuntimeSettings
from gateway.core.secrets import Secret
from gateway.core.settings import Settings

SCHEMA: Final = Path(__file__).resolve().parent.parent.parent / "charts" / "penstock" / "values.schema.json"
# What other values of the chart say, or what a pod decides.
OWNED: Final = frozenset(
    {
        "data",
        "host",
        "port",
        "admin_host",
        "admin_port",
        "admin_origins",
        "workers",
        "node",
        "store",
        "environment",
        "manifests",
        "policies",
        "apply_at_start",
        "processes",
        "policies_code",
        "policies_memory",
        "health_path",
        "ready_when_empty",
        "grace",
        "drain_delay",
        "trusted_proxies",
        "egress",
        "metrics_host",
        "metrics_port",
        "admin_oidc_issuer",
        "admin_oidc_audience",
        "admin_oidc_claim",
        "admin_oidc_roles",
        "admin_oidc_components",
        "admin_oidc_client_id",
        "admin_oidc_cli_client_id",
        "admin_oidc_scopes",
        "admin_oidc_resource",
    }
)
OWNED_OF_RUNTIMES: Final = frozenset(
    {
        "processes",
        "listen",
        "token",
        "name",
        "threads",
        "waiting",
        "metrics_host",
        "metrics_port",
        "drain_delay",
        "grace",
    }
)
_KEPT: Final = ("type", "minimum", "maximum", "exclusiveMinimum", "minLength", "enum", "pattern")
_WIDTH: Final = 150


def settings(model: type[BaseModel] = Settings, owned: Set[str] = OWNED) -> dict[str, Any]:
    """The schema of each setting that is offered: no secret, and nothing that the chart owns."""
    found = {}
    for name, field in model.model_fields.items():
        if name not in owned and Secret not in get_args(field.annotation):
            found[name] = {"description": field.description, **_checked(Annotated[field.annotation, field])}
    return found


def _checked(annotation: Any) -> dict[str, Any]:
    """What can be checked before a node starts: the node checks the rest."""
    try:
        told = TypeAdapter(annotation).json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError):
        return {}
    branches = [each for each in told.get("anyOf", [told]) if each.get("type") != "null"]
    if len(branches) != 1 or "$ref" in branches[0]:
        return {}
    return {key: value for key, value in branches[0].items() if key in _KEPT}


def formatted(node: Any, depth: int = 0) -> str:
    """JSON with what is short on one line."""
    pad = "  " * depth
    flat = json.dumps(node, ensure_ascii=False)
    if len(flat) + len(pad) <= _WIDTH or not isinstance(node, dict | list):
        return flat
    if isinstance(node, dict):
        lines = [f"{pad}  {json.dumps(key)}: {formatted(part, depth + 1)}" for key, part in node.items()]
        return "{\n" + ",\n".join(lines) + f"\n{pad}}}"
    return "[\n" + ",\n".join(f"{pad}  {formatted(part, depth + 1)}" for part in node) + f"\n{pad}]"


if __name__ == "__main__":
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["gateway"]["properties"]["settings"]["properties"] = settings()
    of_runtimes = schema["properties"]["runtimeDefaults"]["properties"]["settings"]
    of_runtimes["properties"] = settings(RuntimeSettings, OWNED_OF_RUNTIMES)
    SCHEMA.write_text(formatted(schema) + "\n")
