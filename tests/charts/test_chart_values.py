"""The chart's values: each is checked, described, and has its row in the README."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import __version__
from gateway.core.runtime_settings import RuntimeSettings
from tests.charts import settings_schema, value_table
from tests.charts.rendering import (
    CHART,
    KUBERNETES,
    NAMESPACE,
    RELEASE,
    helm,
    named,
    refusal,
    rendered,
    settings_of,
    text_of,
)

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())


def schemas(node: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """(path, schema) of every value that has one."""
    for name, part in node.get("properties", {}).items():
        yield f"{at}.{name}".lstrip("."), part
        yield from schemas(part, f"{at}.{name}")


def leaves(value: Any, at: str = "") -> Iterator[str]:
    for name, part in value.items():
        yield f"{at}.{name}".lstrip(".")
        if isinstance(part, dict):
            yield from leaves(part, f"{at}.{name}")


def test_every_default_has_a_schema_and_every_described_value_a_default() -> None:
    known = {path for path, _ in schemas(SCHEMA)}
    free = {path for path, part in schemas(SCHEMA) if "properties" not in part}
    given = {path for path in leaves(DEFAULTS) if not any(path.startswith(f"{each}.") for each in free)}
    settings = {path for path in known if path.startswith(("gateway.settings.", "runtimeDefaults.settings."))}
    assert given - settings == known - settings - {"global"}


def test_every_value_is_described() -> None:
    assert not [path for path, part in schemas(SCHEMA) if not part.get("description")]


def test_every_object_of_the_charts_own_refuses_what_it_does_not_know() -> None:
    own = [(path, part) for path, part in schemas(SCHEMA) if "properties" in part]
    assert SCHEMA["additionalProperties"] is False
    assert len(own) > 40
    assert not [path for path, part in own if part.get("additionalProperties") is not False]


OBJECTS = sorted(path for path, part in schemas(SCHEMA) if "properties" in part)


def test_a_typo_is_refused_at_every_level() -> None:
    """All at once: helm tells each."""
    told = refusal("typo=1", *(f"{path}.typo=1" for path in OBJECTS))
    missing = [path for path in OBJECTS if f"'/{path.replace('.', '/')}'" not in told]
    assert not missing
    assert "at ''" in told


@pytest.mark.parametrize(
    ("setting", "at"),
    [
        ("gateway.replicas=-1", "/gateway/replicas"),
        ('gateway.port="http"', "/gateway/port"),
        ('gateway.healthPath="ready"', "/gateway/healthPath"),
        ('gateway.resources={"limit":{}}', "/gateway/resources"),
        ('gateway.resources={"limits":{"memory":"1 GB"}}', "/gateway/resources/limits/memory"),
        ('gateway.probes.liveness={"periodSecond":1}', "/gateway/probes/liveness"),
        ('gateway.settings={"max_lag":"soon"}', "/gateway/settings/max_lag"),
        ('gateway.settings={"log_level":"loud"}', "/gateway/settings/log_level"),
        ('gateway.settings={"store":"redis://a"}', "/gateway/settings"),
        ('gateway.settings={"admin_token":"pt_a"}', "/gateway/settings"),
        ('gateway.settings={"admin_oidc_client_id":"console"}', "/gateway/settings"),
        ('admin.oidc.scopes=["profile"]', "/admin/oidc/scopes"),
        ('admin.oidc.clientSecret.key=""', "/admin/oidc/clientSecret/key"),
        ('store.mode="redis"', "/store/mode"),
        ('store.external.hosts=["redis"]', "/store/external/hosts/0"),
        ('store.bundled.persistence.accessModes=["Once"]', "/store/bundled/persistence/accessModes/0"),
        ('documents.files={"../a.yaml":""}', "/documents/files"),
        ('documents.files={"a b.yaml":""}', "/documents/files"),
        ('environment.values={"a-b":1}', "/environment/values"),
        ('environment.secrets={"a":{"secret":"s"}}', "/environment/secrets/a"),
        ('image.digest="sha256:1"', "/image/digest"),
        ('ingress.hosts=[{"hots":"a"}]', "/ingress/hosts/0"),
        ('podSecurityContext={"runAsNonroot":true}', "/podSecurityContext"),
        ('containerSecurityContext={"capability":{}}', "/containerSecurityContext"),
        ('commonLabels={"a":1}', "/commonLabels/a"),
        ('fullnameOverride="A_b"', "/fullnameOverride"),
        ('runtimes={"Orders":{}}', "/runtimes"),
        ('runtimes={"a-name-of-too-many-characters":{}}', "/runtimes"),
        ('runtimes={"orders":{"replica":1}}', "/runtimes/orders"),
        ('runtimes={"orders":{"processes":["orders"]}}', "/runtimes/orders/processes"),
        ('runtimes={"orders":{"processes":{"package":[]}}}', "/runtimes/orders/processes"),
        ('runtimes={"orders":{"tls":{"secret":"a"}}}', "/runtimes/orders/tls"),
        ('runtimes={"orders":{"settings":{"token":"a"}}}', "/runtimes/orders/settings"),
        ('runtimes={"orders":{"pin":"digest"}}', "/runtimes/orders/pin"),
    ],
)
def test_a_wrong_value_is_refused_at_its_place(setting: str, at: str) -> None:
    assert f"'{at}'" in refusal(setting)


def test_the_settings_are_the_products_but_those_that_the_chart_gives_and_secrets() -> None:
    """`python -m tests.charts.settings_schema` writes them."""
    offered = SCHEMA["properties"]["gateway"]["properties"]["settings"]["properties"]
    assert offered == settings_schema.settings()
    of_runtimes = SCHEMA["properties"]["runtimeDefaults"]["properties"]["settings"]["properties"]
    assert of_runtimes == settings_schema.settings(RuntimeSettings, settings_schema.OWNED_OF_RUNTIMES)
    given = set(settings_of(rendered(named("everything")))) - offered.keys()
    assert given <= settings_schema.OWNED


def test_the_readme_has_a_row_for_each_value_as_it_is() -> None:
    """`python -m tests.charts.value_table` writes it."""
    assert value_table.written() == value_table.table()


def test_the_chart_is_of_this_version_of_the_product() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


def test_a_packed_chart_renders_as_the_folder_does(tmp_path: Path) -> None:
    packed = helm("package", str(CHART), "--destination", str(tmp_path))
    assert packed.returncode == 0, packed.stderr
    (archive,) = tmp_path.iterdir()
    place = ("--namespace", NAMESPACE, "--kube-version", KUBERNETES, "--values", str(named("cluster")))
    assert helm("template", RELEASE, str(archive), *place).stdout == text_of(named("cluster"))
