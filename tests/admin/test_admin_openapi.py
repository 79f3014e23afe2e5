"""openapi/admin.yaml: it is what the code says, it is valid, and the admin REST does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from openapi_spec_validator import validate
from ruamel.yaml import YAML
from schemathesis.checks import CHECKS, load_all_checks

from gateway.admin import describe
from gateway.admin.backup_file import MEDIA_TYPE as BACKUP
from tests.admin.admin_harness import PLAN, TOPIC, policy, shop
from tests.admin.admin_server import Served, serving

TOKEN = {"name": "ci", "roles": ["viewer"]}
ROOT = Path(__file__).resolve().parent.parent.parent
SCHEMA = schemathesis.openapi.from_dict(describe.document())
load_all_checks()


@schemathesis.serializer(BACKUP)
def _backup(_context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


@schemathesis.deserializer(BACKUP)
def _text(_context: Any, response: Any) -> str:
    return str(response.content.decode())


CHECKED = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "ignored_auth",
        "unsupported_method",
    )
]

THERE: dict[Any, str] = {
    ("applications", "name"): "kept", ("components", "name"): "shop", ("versions", "name"): "shop@v1",
    ("policies", "name"): "team", ("plans", "name"): "gold", ("topics", "name"): "events",
    ("policy-kinds", "name"): "api-key", ("nodes", "name"): "n1",
    "application": "kept", "api": "shop", "topic": "events", "node": "n1", "listener": "shop@v1/greet",
}  # fmt: skip


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("admin")) as served:
        served.apply(shop(), policy(), PLAN, TOPIC)
        key = {"application": "kept", "api": "shop", "plan": "gold"}
        assert served.run(served.node.send("POST", "/applications", json={"name": "kept"})).status_code == 201
        for what, body in (("keys", key), ("credentials", {**key, "type": "hmac", "plan": None}), ("tokens", TOKEN)):
            made = served.run(served.node.send("POST", f"/{what}", json=body))
            assert made.status_code == 201, made.text
            THERE[what, "id"] = made.json()["id"]
        version = served.run(served.node.send("GET", "/versions/shop@v1")).json()
        THERE["revisions", "revision"] = version["revision"]
        yield served


def test_the_document_in_the_repository_is_what_the_code_says() -> None:
    assert describe.main(["--check", str(ROOT / "openapi")]) == 0


def test_a_document_that_has_drifted_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert describe.main(["--check", str(tmp_path)]) == 1
    assert "--write" in capsys.readouterr().err
    assert describe.main(["--write", str(tmp_path)]) == 0
    assert describe.main(["--check", str(tmp_path)]) == 0


def test_the_document_is_valid_openapi() -> None:
    validate(YAML(typ="safe").load(describe.text()))


@SCHEMA.parametrize()
@settings(
    max_examples=6, deadline=None, phases=[Phase.generate], derandomize=True,
    suppress_health_check=list(HealthCheck), database=None,
)  # fmt: skip
def test_the_admin_rest_does_what_its_document_says(case: schemathesis.Case, admin: Served) -> None:
    headers = {"Authorization": f"Bearer {admin.node.tokens['admin']}"}
    case.call_and_validate(base_url=f"{admin.url}/admin/v1", headers=headers, checks=CHECKED)


@SCHEMA.parametrize()
@settings(
    max_examples=4, deadline=None, phases=[Phase.generate], derandomize=True,
    suppress_health_check=list(HealthCheck), database=None,
)  # fmt: skip
def test_what_is_there_is_as_the_document_says(case: schemathesis.Case, admin: Served) -> None:
    """The same of things that exist, with a condition that holds: so that more than refusals is seen. What would take
    them away is tried dry."""
    for name in case.path_parameters or {}:
        case.path_parameters[name] = THERE.get((case.operation.path.split("/")[1], name), THERE.get(name, "1"))
    if case.method == "DELETE":
        case.query = {"dry_run": "true"}
    headers = {"Authorization": f"Bearer {admin.node.tokens['admin']}"}
    if case.method in {"PUT", "PATCH", "DELETE"}:
        headers["If-Match"] = "*"
    case.call_and_validate(base_url=f"{admin.url}/admin/v1", headers=headers, checks=CHECKED)
