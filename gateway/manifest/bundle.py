"""A bundle: one version with everything it refers to resolved and included. Its hash is the revision.

The hash covers the merged manifest, included files, contracts and code digests of processes, table reflections, the
parent's lock and the named policies it was published with. It covers neither the Environment nor `places`.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.manifest.documents import ApiComponent

Schema = dict[str, Any]


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DeclaredErrorPart(Part):
    status: int
    title: str = ""
    detail: Schema | None = None


class ContractPart(Part):
    """An operation's types as JSON Schemas (`{"$ref": "#/types/Name"}` for named ones) and its code's digest."""

    effect: str
    input: Schema
    output: Schema | None = None
    errors: dict[str, DeclaredErrorPart] = Field(default_factory=dict)
    summary: str = ""
    description: str = ""
    digest: str = ""


class Column(Part):
    name: str
    type: Schema
    nullable: bool = False
    primary_key: bool = False


class ForeignKey(Part):
    columns: tuple[str, ...]
    table: str
    remote: tuple[str, ...]


class Table(Part):
    name: str
    schema_name: str | None = None
    columns: tuple[Column, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()


class Bundle(Part):
    """`manifest` is merged with what it extends; `types` holds its own and its processes' named types and one entity
    type per set over a table, in full form; `contracts` has every operation; `tables` is keyed as the manifest names
    them (`ledger.orders`); `entity_types` names the type of each set over a table. `policies`: named policies and the
    revision each had, or is pinned to; `parent`: the revision of the version that is extended."""

    component: str
    version: str
    manifest: ApiComponent
    types: dict[str, Schema] = Field(default_factory=dict)
    contracts: dict[str, ContractPart] = Field(default_factory=dict)
    tables: dict[str, Table] = Field(default_factory=dict)
    entity_types: dict[str, str] = Field(default_factory=dict)
    parent: str | None = None
    policies: dict[str, int] = Field(default_factory=dict)
    places: dict[str, str] = Field(default_factory=dict)  # `/rest/GET ~1orders` (RFC 6901): file:line:column

    def content(self) -> dict[str, Any]:
        """JSON, as it is stored. Reads back with `Bundle.model_validate`."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)

    @property
    def revision(self) -> str:
        """16 hexadecimal digits."""
        content = self.content()
        content.pop("places", None)
        return hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]

    @property
    def name(self) -> str:
        return f"{self.component}@{self.version}"
