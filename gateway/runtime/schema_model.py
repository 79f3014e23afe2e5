"""A configuration model for a policy that another process has imported, made of the JSON Schema that it tells.

It knows the settings by name, so that misspelt and missing ones are told as those of any other kind, and checks what
they hold against the schema. What only the policy itself can tell is asked of its host when documents are applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator


def schema_model(name: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    """`schema` is what pydantic writes for a model: an object with `properties` and `required`."""
    wanted = set(schema.get("required", ()))
    fields: dict[str, Any] = {
        f"setting_{number}": (Any, Field(... if key in wanted else None, alias=key))
        for number, key in enumerate(schema.get("properties", {}))
    }
    return create_model(name, __base__=_base(schema), **fields)


def _base(schema: Mapping[str, Any]) -> type[BaseModel]:
    class Described(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)

        @model_validator(mode="after")
        def _fits(self) -> Described:
            if wrong := next(iter(_errors(schema, settings_of(self))), None):
                raise ValueError(wrong)
            return self

        @classmethod
        def model_json_schema(cls, *_args: Any, **_kwargs: Any) -> dict[str, Any]:
            return dict(schema)

    return Described


def settings_of(config: BaseModel) -> dict[str, Any]:
    """As they were written."""
    return config.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _errors(schema: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    import jsonschema_rs

    found = jsonschema_rs.validator_for(dict(schema)).iter_errors(settings)
    return [f"`{'.'.join(map(str, each.instance_path))}`: {each.message}" for each in found]
