"""`json-schema`: JSON bodies against a JSON Schema 2020-12.

`{use: json-schema, with: {request: {schema: {$file: schemas/order.json}}, response: {schema: {$ref: "#/types/Tax"}}}}`.
The schema stands in the configuration, in a file of the manifest's folder, or among the component's types.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy.content import media
from gateway.policy.content.inspection import Check, Inspection, Settings, StatusNames, required_body, statuses


class RequestSchema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: dict[str, Any] | bool | str = Field(alias="schema", description="the schema, or {$file: path} of one")
    required: bool | None = Field(None, description="a body must be there; default: of POST, PUT and PATCH")
    other_types: Literal["refuse", "pass"] = Field("refuse", description="bodies that do not say that they are JSON")


class ResponseSchema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_: dict[str, Any] | bool | str = Field(alias="schema", description="the schema, or {$file: path} of one")
    statuses: StatusNames = Field(("2xx",), description="of replies that are looked at: 200, 2xx")
    other_types: Literal["refuse", "pass"] = Field("refuse", description="replies that do not say that they are JSON")


class JsonSchema(Settings):
    request: RequestSchema | None = None
    response: ResponseSchema | None = None


def build(config: JsonSchema, site: Site) -> Built:
    if config.request is None and config.response is None:
        raise ValueError("it needs `request`, `response`, or both")
    inspection = Inspection(site, config)
    step = after = None
    if config.request is not None:
        check = _check(config.request.schema_, site, "the schema of requests")
        step = inspection.request_step(check, media.is_json, config.request.other_types, b"application/json")
        step = required_body(step, inspection, config.request.required, "a JSON body", "$")
    if config.response is not None:
        check = _check(config.response.schema_, site, "the schema of replies")
        wanted, other = statuses(config.response.statuses), config.response.other_types
        after = inspection.reply_after(check, media.is_json, wanted, other)
    return Built(step=step, after=after)


def _check(given: Any, site: Site, what: str) -> Check:
    from gateway.policy.content import json_schemas

    schema = json_schemas.document(given, what)
    types = site.openapi()["components"]["schemas"] if site.openapi is not None else {}
    return json_schemas.check_bodies(json_schemas.compiled(schema, types, what))


KIND = Kind(
    "json-schema",
    JsonSchema,
    build,
    stage=Stage.BODY,
    reply_stage=Stage.BODY,
    summary="JSON bodies against a JSON Schema, of requests and replies",
    family="validation",
    example={"request": {"schema": {"type": "object", "required": ["id"]}}},
    libraries=("gateway.policy.content.json_schemas",),
)
