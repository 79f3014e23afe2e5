"""Runtimes of the chart: their pods' settings are what `penstock runtime` takes, gateways are told where they are and
know the same token, and each has its own Service, budget, scaling, policy and monitor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml

from gateway.core.runtime_settings import PREFIX, RuntimeSettings
from gateway.core.runtimes import RuntimeTarget
from gateway.core.settings import from_environment
from tests.charts.rendering import (
    ROOT,
    Object,
    containers,
    named,
    of_kind,
    one,
    refusal,
    rendered,
    settings_of,
    template,
)
from tests.charts.test_chart_start import variables

NAMES: Final = ("greetings", "orders")
SMALL: Final = 'runtimes={"orders":{"processes":{"packages":["orders"]}}}'
each_runtime = pytest.mark.parametrize("name", NAMES)


def objects_of(name: str, objects: list[Object]) -> list[Object]:
    wanted = f"runtime-{name}"
    return [each for each in objects if each["metadata"]["labels"].get("app.kubernetes.io/component") == wanted]


def container_of(name: str, objects: list[Object]) -> Object:
    deployment = one(objects_of(name, objects), "Deployment")
    (found,) = [each for each in containers(template(deployment)) if each["name"] == "runtime"]
    return found


def settings_in(container: Object) -> RuntimeSettings:
    """As `penstock runtime` reads them there."""
    given = variables(container)
    ours = {name for name in given if name.startswith(PREFIX)}
    assert {name[len(PREFIX) :].lower() for name in ours} <= RuntimeSettings.model_fields.keys()
    return RuntimeSettings.model_validate(from_environment(given, RuntimeSettings, PREFIX))


def target(name: str, objects: list[Object]) -> RuntimeTarget:
    """What gateways are told of it."""
    (found,) = [each for each in settings_of(objects)["runtimes"] if each["name"] == name]
    return RuntimeTarget.model_validate(found)


@each_runtime
def test_a_runtime_takes_every_setting_that_it_is_started_with(name: str) -> None:
    container = container_of(name, rendered(named("runtimes")))
    assert [*container["command"], *container["args"]] == ["penstock", "runtime"]
    settings = settings_in(container)
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert (settings.listen.port, settings.metrics_port) == (ports["runtime"], ports["metrics"])
    assert settings.listen.host == settings.metrics_host == "0.0.0.0"


def test_what_the_values_say_of_one_wins_over_what_they_say_of_all() -> None:
    objects = rendered(named("runtimes"))
    settings = settings_in(container_of("orders", objects))
    assert settings.processes == ("orders", "orders.reports")
    assert (settings.threads, settings.waiting, settings.grace, settings.drain_delay) == (64, 1000, 90, 40)
    assert (settings.log_level, settings.log_format, settings.max_message) == ("debug", "json", 134217728)
    assert (target("orders", objects).timeout, target("orders", objects).pin) == (120, "code")
    assert (target("greetings", objects).timeout, target("greetings", objects).pin) == (20, "contract")


def test_a_false_a_nought_and_a_null_of_one_win_as_well() -> None:
    given = ("runtimes.orders.replicas=0", "runtimes.orders.topologySpread.enabled=false")
    deployment = one(rendered(named("default"), SMALL, *given), "Deployment", "-orders")
    assert deployment["spec"]["replicas"] == 0
    assert "topologySpreadConstraints" not in template(deployment)["spec"]
    budgets = (
        "runtimeDefaults.podDisruptionBudget.minAvailable=2",
        "runtimes.orders.podDisruptionBudget.minAvailable=null",
    )
    budget = one(rendered(named("default"), SMALL, *budgets), "PodDisruptionBudget", "-orders")
    assert budget["spec"]["maxUnavailable"] == 1


@each_runtime
def test_gateways_are_led_to_every_pod_by_a_headless_service(name: str) -> None:
    """Also to those that are not ready: whoever does not find a name remembers that."""
    objects = rendered(named("runtimes"))
    service = one(objects_of(name, objects), "Service")
    port = container_of(name, objects)["ports"][0]["containerPort"]
    assert target(name, objects).address == f"{service['metadata']['name']}.apis.svc:{port}"
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert {"name": "runtime", "port": port, "targetPort": "runtime"}.items() <= service["spec"]["ports"][0].items()


def test_a_runtime_elsewhere_stands_beside_those_of_the_chart() -> None:
    found = target("mainframe", rendered(named("runtimes")))
    assert (found.address, found.timeout) == ("mainframe.example:8090", 5)


def test_those_of_the_chart_come_by_their_order_and_then_by_name_before_those_elsewhere() -> None:
    """A process is published with the code of the first that hosts it."""
    told = [each["name"] for each in settings_of(rendered(named("runtimes")))["runtimes"]]
    assert told == ["orders", "greetings", "mainframe"]
    told = [each["name"] for each in settings_of(rendered(named("runtimes"), "runtimes.orders.order=100"))["runtimes"]]
    assert told == ["greetings", "orders", "mainframe"]


def test_both_sides_know_the_same_token_out_of_a_secret_that_is_made_once() -> None:
    objects = rendered(named("runtimes"))
    gateway = template(one(objects, "Deployment", "shop-penstock"))["spec"]["containers"][0]
    token = "from-shop-penstock-credentials-token-of-runtimes"
    for container in (gateway, container_of("orders", objects), container_of("greetings", objects)):
        assert variables(container)["PENSTOCK_RUNTIME_TOKEN"] == token
    secret = one(objects, "Secret")
    assert "token-of-runtimes" in secret["data"]
    assert secret["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_secret_of_ones_own_has_the_token_too() -> None:
    objects = rendered(named("cluster"), SMALL)
    given = variables(container_of("orders", objects))
    assert given["PENSTOCK_RUNTIME_TOKEN"] == "from-penstock-credentials-runtime-token"


def test_without_runtimes_there_is_no_token_and_gateways_are_told_of_none() -> None:
    objects = rendered(named("default"))
    assert "runtime-token" not in one(objects, "Secret")["data"]
    assert "runtimes" not in settings_of(objects)
    gateway = template(one(objects, "Deployment"))["spec"]["containers"][0]
    assert "PENSTOCK_RUNTIME_TOKEN" not in variables(gateway)


@each_runtime
def test_a_runtime_gets_no_secret_of_the_gateways_but_the_token(name: str) -> None:
    read = {text for text in variables(container_of(name, rendered(named("runtimes")))).values() if "from-" in text}
    own = {"from-orders-database-password"} if name == "orders" else set()
    assert read - own == {"from-shop-penstock-credentials-token-of-runtimes", "from-a-field"}


# TLS


def _projected(pod: Object, volume: str) -> dict[str, str]:
    """Path: Secret and key."""
    (found,) = [each for each in pod["spec"]["volumes"] if each["name"] == volume]
    return {
        item["path"]: f"{source['secret']['name']}/{item['key']}"
        for source in found["projected"]["sources"]
        for item in source["secret"]["items"]
    }


def test_with_tls_each_side_has_its_certificate_and_what_the_others_is_known_by() -> None:
    objects = rendered(named("runtimes"))
    runtime = template(one(objects_of("orders", objects), "Deployment"))
    assert _projected(runtime, "tls") == {
        "tls.crt": "orders-tls/tls.crt",
        "tls.key": "orders-tls/tls.key",
        "client-ca.crt": "gateways-tls/ca.crt",
    }
    listen = settings_in(container_of("orders", objects)).listen
    assert listen.tls is not None
    assert (str(listen.tls.client_ca), listen.tls.min_version) == ("/etc/penstock/tls/client-ca.crt", "1.3")
    gateway = template(one(objects, "Deployment", "shop-penstock"))
    assert _projected(gateway, "runtime-orders") == {
        "ca.crt": "orders-tls/ca.crt",
        "tls.crt": "gateways-tls/tls.crt",
        "tls.key": "gateways-tls/tls.key",
    }
    told = target("orders", objects).tls
    assert told is not None
    mount = next(each for each in gateway["spec"]["containers"][0]["volumeMounts"] if each["name"] == "runtime-orders")
    assert {path.parent for path in (told.ca, told.certificate, told.key) if path} == {Path(mount["mountPath"])}


def test_authorities_of_ones_own_and_the_name_of_a_certificate_are_given_on() -> None:
    tls = '{"enabled":true,"secretName":"o","serverName":"orders.example","caSecret":{"name":"root","key":"root.pem"}}'
    objects = rendered(named("default"), SMALL, f"runtimes.orders.tls={tls}")
    gateway = template(one(objects, "Deployment", "shop-penstock"))
    assert _projected(gateway, "runtime-orders") == {"ca.crt": "root/root.pem"}
    told = target("orders", objects).tls
    assert told is not None
    assert (told.server_name, told.certificate) == ("orders.example", None)
    listen = settings_in(container_of("orders", objects)).listen.tls
    assert listen is not None
    assert listen.client_ca is None


# around the pods


@each_runtime
def test_a_runtime_has_a_budget_and_a_monitor_of_its_own(name: str) -> None:
    objects = objects_of(name, rendered(named("runtimes")))
    labels = template(one(objects, "Deployment"))["metadata"]["labels"]
    budget = one(objects, "PodDisruptionBudget")["spec"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()
    assert ("minAvailable" in budget) == (name == "orders")
    monitor = one(objects, "ServiceMonitor")["spec"]
    service = one(objects, "Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {each["port"] for each in monitor["endpoints"]} == {"metrics"}


def test_one_pod_has_no_budget_that_would_hold_up_a_drain() -> None:
    objects = rendered(named("default"), SMALL, "runtimes.orders.replicas=1")
    assert not of_kind(objects_of("orders", objects), "PodDisruptionBudget")


def test_a_runtime_that_scales_leaves_its_number_to_the_scaler() -> None:
    objects = objects_of("orders", rendered(named("runtimes")))
    scaler, deployment = one(objects, "HorizontalPodAutoscaler")["spec"], one(objects, "Deployment")
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (3, 9)
    assert "replicas" not in deployment["spec"]


@each_runtime
def test_only_gateways_call_it_and_only_who_scrapes_sees_its_metrics(name: str) -> None:
    objects = rendered(named("runtimes"))
    rules = one(objects_of(name, objects), "NetworkPolicy")["spec"]["ingress"]
    peers = {rule["ports"][0]["port"]: rule["from"] for rule in rules}
    gateway = template(one(objects, "Deployment", "shop-penstock"))["metadata"]["labels"]
    first, *others = peers["runtime"]
    assert first["podSelector"]["matchLabels"].items() <= gateway.items()
    assert others == ([{"podSelector": {"matchLabels": {"batch": "yes"}}}] if name == "orders" else [])
    values = yaml.safe_load(named("runtimes").read_text())
    assert peers["metrics"] == values["networkPolicy"]["metricsFrom"]
    runtime = template(one(objects_of(name, objects), "Deployment"))["metadata"]["labels"]
    assert not first["podSelector"]["matchLabels"].items() <= runtime.items()


def test_where_a_runtime_connects_to_is_limited_if_the_values_say_so() -> None:
    objects = rendered(named("runtimes"))
    policies = {name: one(objects_of(name, objects), "NetworkPolicy")["spec"] for name in NAMES}
    assert "egress" not in policies["greetings"]
    ports = [[each["port"] for each in rule["ports"]] for rule in policies["orders"]["egress"]]
    assert ports == [[53, 53], [5432]]


def test_a_limited_gateway_still_reaches_its_runtimes() -> None:
    objects = rendered(named("runtimes"))
    egress = one(objects, "NetworkPolicy", "shop-penstock")["spec"]["egress"]
    for name, port in (("greetings", 8090), ("orders", 9090)):
        labels = template(one(objects_of(name, objects), "Deployment"))["metadata"]["labels"]
        assert [
            rule
            for rule in egress
            if {"port": port, "protocol": "TCP"} in rule["ports"]
            and any(peer["podSelector"]["matchLabels"].items() <= labels.items() for peer in rule.get("to", ()))
        ], name


@each_runtime
def test_a_pod_has_more_time_to_end_than_its_calls_have(name: str) -> None:
    objects = rendered(named("runtimes"))
    spec = template(one(objects_of(name, objects), "Deployment"))["spec"]
    settings = settings_in(container_of(name, objects))
    assert spec["terminationGracePeriodSeconds"] >= settings.drain_delay + settings.grace + 10


def test_its_probes_ask_its_own_listener_and_readiness_alone_asks_whether_it_is_ready() -> None:
    container = container_of("greetings", rendered(named("runtimes")))
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {each["port"] for each in asked.values()} == {"metrics"}
    assert [asked[name]["path"] for name in ("startup", "liveness", "readiness")] == ["/live", "/live", "/ready"]


def test_other_code_makes_other_pods_of_its_runtime_alone() -> None:
    setting = r'runtimes.greetings.processes.files.greetings/more\.py="x = 1"'
    before, after = (
        {each["metadata"]["name"]: template(each)["metadata"] for each in of_kind(objects, "Deployment")}
        for objects in (rendered(named("runtimes")), rendered(named("runtimes"), setting))
    )
    changed = {name for name, metadata in before.items() if metadata != after[name]}
    assert changed == {"shop-penstock-runtime-greetings"}


@pytest.mark.parametrize(
    ("image", "whole"),
    [
        ("{}", "penstock:0.1.0"),
        ('{"repository":"registry.example/orders"}', "registry.example/orders:0.1.0"),
        ('{"repository":"registry.example/orders","tag":"3"}', "registry.example/orders:3"),
        ('{"tag":"3"}', "penstock:3"),
        (f'{{"digest":"sha256:{"a" * 64}"}}', f"penstock@sha256:{'a' * 64}"),
    ],
)
def test_an_image_of_its_own_takes_the_place_of_the_gateways(image: str, whole: str) -> None:
    objects = rendered(named("default"), SMALL, f"runtimes.orders.image={image}")
    assert container_of("orders", objects)["image"] == whole


def test_long_names_of_releases_leave_room_for_the_runtimes() -> None:
    objects = rendered(named("default"), f'fullnameOverride="{"r" * 40}"', SMALL)
    name = one(objects_of("orders", objects), "Service")["metadata"]["name"]
    assert name == f"{'r' * 34}-runtime-orders"
    assert target("orders", objects).address == f"{name}.apis.svc:8090"


def test_the_code_in_the_values_is_hosted_as_its_volume_lays_it_out(tmp_path: Path) -> None:
    """By a real `penstock runtime`, which says what it hosts."""
    objects = rendered(named("runtimes"))
    data = one(objects_of("greetings", objects), "ConfigMap")["data"]
    pod = template(one(objects_of("greetings", objects), "Deployment"))
    (volume,) = [each for each in pod["spec"]["volumes"] if each["name"] == "python"]
    for item in volume["projected"]["sources"][0]["configMap"]["items"]:
        file = tmp_path / item["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(data[item["key"]])
    given = {**os.environ, "PYTHONPATH": str(tmp_path), "PENSTOCK_RUNTIME_PROCESSES": "greetings"}
    command = [sys.executable, "-m", "gateway.cli.main", "runtime", "--listen", f"unix:{tmp_path}/socket"]
    with subprocess.Popen(command, env=given, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = [running.stdout.readline() for _ in range(2)]
        running.terminate()
        assert running.wait(30) == 0
    assert said[1] == "hosts    greet\n"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (('runtimes={"orders":{}}',), "name a package in runtimes.orders.processes.packages"),
        ((SMALL, "runtimes.orders.tls.enabled=true"), "needs runtimes.orders.tls.secretName"),
        ((SMALL, 'runtimes.orders.tls.secretName="a"'), "set runtimes.orders.tls.enabled"),
        (
            (SMALL, 'runtimes.orders.tls={"enabled":true,"secretName":"a","clientCaSecret":{"name":"b"}}'),
            "give runtimes.orders.tls.clientSecretName",
        ),
        ((SMALL, 'runtimes.orders.bundle.image="a:1"'), "runtimes.orders.bundle.python go together"),
        ((SMALL, 'runtimes.orders.bundle.python="/p"'), "runtimes.orders.bundle.python go together"),
        ((SMALL, 'runtimes.orders.autoscaling={"enabled":true,"minReplicas":20}'), "is above runtimes.orders"),
        ((SMALL, "runtimes.orders.port=9464"), "runtimes.orders.metricsPort are the same"),
        ((SMALL, 'gateway.settings.runtimes=[{"name":"orders","address":"a:1"}]'), "choose another name"),
        ((SMALL, 'gateway.settings.runtimes=["orders=a:1"]'), "choose another name"),
        (('runtimeDefaults.bundle.image="a:1"', SMALL), "runtimes.orders.bundle.python go together"),
    ],
)
def test_values_of_runtimes_that_do_not_go_together_are_refused_with_the_way_out(
    settings: tuple[str, ...], said: str
) -> None:
    assert said in refusal(*settings)


def test_a_runtime_that_is_null_is_refused_by_name() -> None:
    assert "runtimes" in refusal('runtimes={"orders":null}')
