"""The written schema is true: what it admits, the reader accepts (PROTOCOLS R7)."""

import json
from decimal import Decimal
from typing import Any, get_args

import schemathesis
from hypothesis import HealthCheck, given, settings

from gateway.schema import json_schema
from gateway.schema.json_codec import loads, reader
from gateway.schema.types import Field, Record, Scalar, ScalarKind, Types

SCALARS = (
    *(Scalar(kind) for kind in get_args(ScalarKind)),
    Scalar("decimal", precision=12, scale=2, minimum=Decimal(0)),
    Scalar("decimal", precision=12, scale=2, exclusive_minimum=Decimal(0)),
    Scalar("decimal", precision=5),
    Scalar("decimal", precision=4, scale=4),
    Scalar("bytes", min_length=2, max_length=5),
    Scalar("string", pattern=r"^[A-Z]{2}\d+$"),
    Scalar("string", min_length=2, max_length=4),
)
BODY = Record("Body", tuple(Field(f"f{at}", scalar) for at, scalar in enumerate(SCALARS)))


def operation() -> Any:
    content = {"application/json": {"schema": json_schema.write(BODY)}}
    post = {"requestBody": {"required": True, "content": content}, "responses": {"200": {"description": "ok"}}}
    document = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/x": {"post": post}}}
    return schemathesis.openapi.from_dict(document)["/x"]["POST"]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(operation().as_strategy())
def test_what_the_written_schema_admits_the_reader_accepts(case: Any) -> None:
    reader(BODY, False, Types())(loads(json.dumps(case.body).encode()))
