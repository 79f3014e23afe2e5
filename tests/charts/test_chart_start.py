"""What the chart starts is what the product takes: its settings, its Environment, its documents, the store's file; and
what runs when."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import redis

from gateway.core.secrets import Secret
from gateway.core.settings import PREFIX, Settings, from_environment
from gateway.manifest.environment import read_environment
from gateway.store.address import Address
from gateway.store.embedded import find_binary
from tests.charts.rendering import (
    ROOT,
    VALUES,
    Object,
    named,
    of_kind,
    one,
    pods,
    refusal,
    rendered,
    settings_of,
    template,
)
from tests.servers import free_port, until

every = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


def gateway(objects: list[Object]) -> Object:
    (found,) = [pod for name, pod in pods(objects) if pod["spec"]["containers"][0]["name"] == "gateway"]
    container: Object = pod_of(found)
    return container


def pod_of(pod: Object) -> Object:
    container: Object = pod["spec"]["containers"][0]
    return container


def variables(container: Object) -> dict[str, str]:
    """Those with a value of their own, and those from Secrets as a text that tells which."""
    found = {}
    for each in container["env"]:
        read = each.get("valueFrom", {}).get("secretKeyRef")
        found[each["name"]] = f"from-{read['name']}-{read['key']}" if read else each.get("value", "from-a-field")
    return found


@every
def test_the_node_takes_every_setting_that_it_is_started_with(values: Path) -> None:
    objects = rendered(values)
    container = gateway(objects)
    assert [*container["command"], *container["args"]] == [
        "penstock",
        "serve",
        "--config",
        "/etc/penstock/config/penstock.yaml",
    ]
    given = variables(container)
    ours = {name[len(PREFIX) :].lower() for name in given if name.startswith(PREFIX)}
    assert not ours - Settings.model_fields.keys() - {"context"}  # which is the command line's
    told = {**settings_of(objects), **from_environment(given)}
    if told.get("store", "").startswith("from-"):
        del told["store"], told["store_password"]
    settings = Settings.model_validate(told)
    assert settings.admin_host == str(settings.listeners[0].address).rpartition(":")[0].strip("[]")
    if settings.store is not None:
        Address.of(settings.store)


def test_people_sign_in_by_the_clients_of_the_values() -> None:
    objects = rendered(named("everything"))
    told = {name: value for name, value in settings_of(objects).items() if name.startswith("admin_oidc_")}
    assert told == {
        "admin_oidc_issuer": "https://id.example",
        "admin_oidc_audience": "penstock",
        "admin_oidc_claim": "groups",
        "admin_oidc_roles": ["gateway-admins=admin"],
        "admin_oidc_components": "apis",
        "admin_oidc_client_id": "penstock-console",
        "admin_oidc_cli_client_id": "penstock-cli",
        "admin_oidc_scopes": ["openid", "offline_access"],
        "admin_oidc_resource": "https://admin.example/admin/v1",
    }
    assert variables(gateway(objects))["PENSTOCK_ADMIN_OIDC_CLIENT_SECRET"] == "from-console-client-secret"


def test_without_a_provider_nothing_is_said_of_people() -> None:
    objects = rendered(named("default"))
    assert not [name for name in settings_of(objects) if name.startswith("admin_oidc_")]
    assert "PENSTOCK_ADMIN_OIDC_CLIENT_SECRET" not in variables(gateway(objects))


@every
def test_every_file_and_folder_of_the_settings_is_mounted(values: Path) -> None:
    objects = rendered(values)
    container = gateway(objects)
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    listed = [text for text in _paths(settings_of(objects)) if text not in {"/own/health", "/-"}]
    folders = variables(container).get("PYTHONPATH", "").split(":")
    for text in [*listed, *filter(None, folders)]:
        assert [mount for mount in mounts if text.startswith(mount)], text


def _paths(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [path for part in value.values() for path in _paths(part)]
    if isinstance(value, list):
        return [path for part in value for path in _paths(part)]
    return [value] if isinstance(value, str) and value.startswith("/") else []


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("default", "redis://shop-penstock-store.apis.svc:6379"),
        ("sentinel", "redis+sentinel://sentinel-0.redis:26379,sentinel-1.redis:26379,sentinel-2.redis:26379/shop/2"),
        (
            "cluster",
            "rediss+cluster://penstock@redis-0.redis:6379,redis-1.redis:6379,redis-2.redis:6379"
            "?ssl_ca_certs=/etc/penstock/store-ca/ca.crt&ssl_check_hostname=false"
            "&ssl_certfile=/etc/penstock/store-client/tls.crt&ssl_keyfile=/etc/penstock/store-client/tls.key",
        ),
    ],
)
def test_the_store_is_named_without_its_password(name: str, url: str) -> None:
    given = variables(gateway(rendered(named(name))))
    assert given["PENSTOCK_STORE"] == url
    assert given["PENSTOCK_STORE_PASSWORD"].startswith("from-")


def test_a_whole_url_from_a_secret_takes_the_place_of_hosts() -> None:
    settings = ('store.mode="external"', 'store.external.urlSecret={"name":"redis","key":"url"}')
    given = variables(gateway(rendered(named("default"), *settings)))
    assert given["PENSTOCK_STORE"] == "from-redis-url"
    assert "PENSTOCK_STORE_PASSWORD" not in given


@pytest.mark.parametrize(
    ("cpu", "workers"),
    [('{"requests":{"cpu":"250m"}}', 1), ('{"limits":{"cpu":"2500m"}}', 3), ('{"requests":{"cpu":4}}', 4)],
)
def test_a_node_has_a_worker_for_each_cpu_begun(cpu: str, workers: int) -> None:
    settings = (f"gateway.resources={cpu}", 'gateway.resources.limits.memory="1Gi"')
    if "limits" in cpu:
        settings = (*settings, "gateway.resources.requests.cpu=null")
    assert settings_of(rendered(named("default"), *settings))["workers"] == workers


# documents


@pytest.fixture
def laid_out(tmp_path: Path) -> Path:
    """The documents, processes and the Environment of a first installation, as their volumes lay them out."""
    objects = rendered(named("bundled"))
    pod = next(pod for _, pod in pods(objects) if pod["spec"]["containers"][0]["name"] == "gateway")
    data = {each["metadata"]["name"]: each["data"] for each in of_kind(objects, "ConfigMap")}
    for volume in pod["spec"]["volumes"]:
        for source in (volume, *volume.get("projected", {}).get("sources", ())):
            for item in source.get("configMap", {}).get("items", ()):
                file = tmp_path / volume["name"] / item["path"]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(data[source["configMap"]["name"]][item["key"]])
    return tmp_path


def test_documents_processes_and_environment_of_the_values_hold_together(laid_out: Path) -> None:
    environment = str(laid_out / "environment" / "environment.yaml")
    given = {**os.environ, "PYTHONPATH": str(laid_out / "python")}
    command = [sys.executable, "-m", "gateway.cli.main", "check", str(laid_out / "documents"), "--processes", "shop"]
    done = subprocess.run([*command, "--environment", environment], env=given, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "shop@v1" in done.stdout


def test_the_environment_keeps_types_and_has_files_for_secrets(tmp_path: Path) -> None:
    file = tmp_path / "environment.yaml"
    file.write_text(one(rendered(named("everything")), "ConfigMap", "-environment")["data"]["environment.yaml"])
    read = read_environment(file)
    assert read.values == {"limit": 12000000, "mode": "on", "share": 0.5}
    assert {name: source.file for name, source in read.secrets.sources.items()} == {  # type: ignore[attr-defined]
        "a": "/etc/penstock/secrets/a",
        "b": "/etc/penstock/secrets/b",
    }


# what runs when


def test_documents_are_published_after_the_nodes_are_there_and_by_force_after_a_rollback() -> None:
    jobs = {
        name: template(each)["spec"]["containers"][0]["args"]
        for each in of_kind(rendered(named("bundled")), "Job")
        for name in each["metadata"]["annotations"]["helm.sh/hook"].split(",")
    }
    assert set(jobs) == {"post-install", "post-upgrade", "post-rollback"}
    assert jobs["post-install"] == ["publish", "/etc/penstock/documents", "--wait", "240"]
    assert jobs["post-upgrade"] == jobs["post-install"]
    assert jobs["post-rollback"] == [*jobs["post-install"], "--force"]


def test_no_other_object_is_a_hook_but_the_test() -> None:
    for each in rendered(named("everything")):
        if "helm.sh/hook" in (each["metadata"].get("annotations") or {}):
            assert each["kind"] in {"Job", "Pod"}


@every
def test_a_release_that_waits_for_its_pods_gets_them_ready_before_its_hooks_run(values: Path) -> None:
    """Helm runs post-install hooks when every pod is ready: what makes a node ready must not be such a hook alone."""
    objects = rendered(values)
    settings = settings_of(objects)
    publishes = bool(of_kind(objects, "Job"))
    if publishes:
        assert settings["apply_at_start"] == "first"
        assert settings.get("manifests") or settings.get("policies")
    assert settings["ready_when_empty"] is not publishes
    services = {each["metadata"]["name"]: each["spec"] for each in of_kind(objects, "Service")}
    (admin,) = [spec for name, spec in services.items() if name.endswith("-admin")]
    assert admin["publishNotReadyAddresses"] is True


def test_the_job_publishes_the_folders_that_a_first_node_applies() -> None:
    objects = rendered(named("everything"))
    settings = settings_of(objects)
    for each in of_kind(objects, "Job"):
        container = template(each)["spec"]["containers"][0]
        assert container["args"][1:3] == [settings["manifests"], settings["policies"]]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert all(any(path.startswith(mount) for mount in mounts) for path in container["args"][1:3])


def test_the_job_signs_in_with_the_token_of_the_secret_at_the_admin_service() -> None:
    objects = rendered(named("default"), 'documents.configMaps=["apis"]')
    for each in of_kind(objects, "Job"):
        given = variables(template(each)["spec"]["containers"][0])
        assert given["PENSTOCK_URL"] == "http://shop-penstock-admin.apis.svc:8081"
        assert given["PENSTOCK_TOKEN"] == "from-shop-penstock-credentials-admin-token"


def test_what_was_made_once_is_kept_by_an_uninstall() -> None:
    secret = one(rendered(named("default")), "Secret")
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert set(secret["data"]) == {"admin-token", "key-secret", "store-password", "viewer-token"}


def test_an_embedded_store_means_one_node_with_a_volume() -> None:
    objects = rendered(named("embedded"))
    node = one(objects, "StatefulSet")
    assert node["spec"]["replicas"] == 1
    assert [claim["metadata"]["name"] for claim in node["spec"]["volumeClaimTemplates"]] == ["data"]
    assert not of_kind(objects, "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler")
    assert "PENSTOCK_STORE" not in variables(gateway(objects))


@every
def test_every_secret_setting_comes_from_a_secret(values: Path) -> None:
    secret = {name for name, field in Settings.model_fields.items() if Secret in get_args(field.annotation)}
    assert not secret & settings_of(rendered(values)).keys()


# the bundled store


def test_the_bundled_store_takes_any_password_keeps_its_data_and_refuses_when_full(tmp_path: Path) -> None:
    """Its container's own command, on a server of this machine."""
    objects = rendered(named("default"))
    store = one(objects, "StatefulSet", "-store")
    container = template(store)["spec"]["containers"][0]
    port, password = free_port(), 'a"b\\c d&e/f$g'
    for folder in ("data", "run", "config"):
        (tmp_path / folder).mkdir()
    file = one(objects, "ConfigMap", "-store-config")["data"]["valkey.conf"]
    (tmp_path / "config" / "valkey.conf").write_text(
        file.replace("port 6379", f"port {port}").replace("/data", f"{tmp_path}/data")
    )
    script = container["args"][0].replace("/run/valkey", f"{tmp_path}/run").replace("/etc/valkey", f"{tmp_path}/config")
    script = script.replace("valkey-server", str(find_binary()))
    process = subprocess.Popen(
        [*container["command"], script], env={**os.environ, "STORE_PASSWORD": password}, stdout=subprocess.DEVNULL
    )
    try:
        client = redis.Redis(port=port, password=password, decode_responses=True)
        until(lambda: _pong(client), "the store answers")
        assert client.config_get("appendonly", "maxmemory-policy") == {
            "appendonly": "yes",
            "maxmemory-policy": "noeviction",
        }
        assert client.config_get("maxmemory") == {"maxmemory": str(716 * 1024 * 1024)}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()
        assert password not in Path(f"/proc/{process.pid}/cmdline").read_text()
        assert (tmp_path / "run" / "valkey.conf").stat().st_mode & 0o077 == 0
        client.close()
    finally:
        process.terminate()
        process.wait()


def _pong(client: redis.Redis) -> bool:
    with contextlib.suppress(redis.ConnectionError):
        return bool(client.ping())
    return False


# values that do not go together


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (('store.mode="external"',), "give store.external.hosts, or store.external.urlSecret.name"),
        (('store.mode="embedded"', "autoscaling.enabled=true"), "an embedded store means one node"),
        (("gateway.tls.enabled=true",), "needs gateway.tls.secretName"),
        (('admin.oidc.issuer="https://id.example"',), "go together"),
        (('admin.oidc.clientId="console"',), "give admin.oidc.issuer"),
        (('admin.oidc.cliClientId="cli"',), "give admin.oidc.issuer"),
        (('admin.oidc.clientSecret.name="console"',), "give admin.oidc.clientId"),
        (('bundle.documents="/d"',), "bundle.image, which is missing"),
        (('bundle.image="a:1"',), "name a folder"),
        (("ingress.enabled=true",), "needs ingress.hosts"),
        (("httpRoute.enabled=true",), "needs httpRoute.parentRefs"),
        (("autoscaling.enabled=true", "autoscaling.cpu=null"), "needs autoscaling.cpu or autoscaling.exchanges"),
        (("autoscaling.enabled=true", "autoscaling.minReplicas=20"), "is above autoscaling.maxReplicas"),
        (('store.mode="external"', 'store.external.hosts=["a:1","b:1"]'), "say sentinel or cluster"),
        (
            ('store.mode="external"', 'store.external.hosts=["a:1"]', 'store.external.tls.caSecret.name="ca"'),
            "set store.external.tls.enabled",
        ),
        (
            ('store.mode="external"', 'store.external={"hosts":["a:1"],"topology":"cluster","database":1}'),
            "a cluster has 0 alone",
        ),
        (
            ('environment.existingConfigMap.name="a"', 'environment.values={"b":1}'),
            "environment.existingConfigMap names",
        ),
    ],
)
def test_values_that_do_not_go_together_are_refused_with_the_way_out(settings: tuple[str, ...], said: str) -> None:
    assert said in refusal(*settings)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    told = refusal("gateway.tls.enabled=true", "ingress.enabled=true", 'bundle.python="/p"')
    assert "gateway.tls.secretName" in told
    assert "ingress.hosts" in told
    assert "bundle.image" in told
