"""What the chart renders, over all value files: each promise is a sentence."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.rendering import (
    CHART,
    KUBERNETES,
    NAMESPACE,
    VALUES,
    Object,
    containers,
    helm,
    named,
    of_kind,
    one,
    ours,
    pods,
    rendered,
    settings_of,
    strings,
    template,
    text_of,
    title,
)

every = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


@every
def test_lint_finds_nothing_even_when_strict(values: Path) -> None:
    done = helm("lint", "--strict", "--kube-version", KUBERNETES, str(CHART), "-f", str(values))
    assert done.returncode == 0, done.stdout


@every
def test_rendering_twice_gives_the_same_but_for_the_secret_that_is_made_once(values: Path) -> None:
    again = [each for each in yaml.safe_load_all(_again(values)) if each]
    assert _without_secrets(rendered(values)) == _without_secrets(again)


def _again(values: Path) -> str:
    return text_of.__wrapped__(values)


def _without_secrets(objects: list[Object]) -> list[Object]:
    return [each for each in objects if each["kind"] != "Secret"]


def test_with_credentials_of_ones_own_nothing_is_made_up() -> None:
    values = named("cluster")
    assert text_of(values) == _again(values)
    assert not of_kind(rendered(values), "Secret")


# pods


@every
def test_no_pod_runs_as_root_writes_its_root_or_may_gain_anything(values: Path) -> None:
    for name, pod in pods(rendered(values)):
        about = pod["spec"]["securityContext"]
        assert about["runAsNonRoot"] is True, name
        assert about["runAsUser"] > 0, name
        assert about["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for each in containers(pod):
            held = each["securityContext"]
            assert held["readOnlyRootFilesystem"] is True, (name, each["name"])
            assert held["allowPrivilegeEscalation"] is False, (name, each["name"])
            assert held["capabilities"] == {"drop": ["ALL"]}, (name, each["name"])


@every
def test_no_pod_has_a_token_of_the_cluster_or_variables_of_its_services(values: Path) -> None:
    """A Service named penstock would become PENSTOCK_PORT, which is a setting."""
    for name, pod in pods(rendered(values)):
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert pod["spec"]["enableServiceLinks"] is False, name


@every
def test_every_container_says_what_it_needs(values: Path) -> None:
    for name, pod in pods(rendered(values)):
        for each in containers(pod):
            assert {"cpu", "memory", "ephemeral-storage"} <= set(each["resources"]["requests"]), (name, each["name"])
            assert {"memory", "ephemeral-storage"} <= set(each["resources"]["limits"]), (name, each["name"])


@every
def test_every_mount_has_its_volume_and_every_volume_its_mount(values: Path) -> None:
    objects = rendered(values)
    for each in of_kind(objects, "Deployment", "StatefulSet", "Job", "Pod"):
        pod = template(each)
        claimed = {claim["metadata"]["name"] for claim in each["spec"].get("volumeClaimTemplates", ())}
        listed = [volume["name"] for volume in pod["spec"].get("volumes", ())]
        mounted = {mount["name"] for one in containers(pod) for mount in one.get("volumeMounts", ())}
        assert len(listed) == len(set(listed)), title(each)
        assert mounted == set(listed) | claimed, title(each)
        for one_of in containers(pod):
            paths = [mount["mountPath"] for mount in one_of.get("volumeMounts", ())]
            assert len(paths) == len(set(paths)), title(each)


@every
def test_no_variable_of_a_container_is_given_twice(values: Path) -> None:
    for name, pod in pods(rendered(values)):
        for each in containers(pod):
            given = [variable["name"] for variable in each.get("env", ())]
            assert len(given) == len(set(given)), (name, each["name"])


def _named_in(value: Any, kind: str) -> set[str]:
    """Secrets or ConfigMaps that a pod names: `kind` is secret or configMap."""
    found: set[str] = set()
    if isinstance(value, dict):
        for key, part in value.items():
            if key in {f"{kind}KeyRef", f"{kind}Ref", kind} and isinstance(part, dict):
                found |= {part[name] for name in ("name", "secretName") if name in part}
            found |= _named_in(part, kind)
    elif isinstance(value, list):
        for part in value:
            found |= _named_in(part, kind)
    return found


def _words(values: Path) -> set[str]:
    return set(strings(yaml.safe_load(values.read_text())))


@every
@pytest.mark.parametrize("kind", ["Secret", "ConfigMap"])
def test_every_secret_and_configmap_that_a_pod_reads_is_made_or_was_named_in_the_values(
    values: Path, kind: str
) -> None:
    objects = rendered(values)
    made = {each["metadata"]["name"] for each in of_kind(objects, kind)}
    for name, pod in pods(objects):
        read = _named_in(pod["spec"], kind[0].lower() + kind[1:])
        assert read <= made | _words(values), name


@every
def test_every_key_that_is_read_of_an_object_of_the_chart_is_in_it(values: Path) -> None:
    objects = rendered(values)
    held = {each["metadata"]["name"]: set(each.get("data") or {}) for each in of_kind(objects, "Secret", "ConfigMap")}
    for name, pod in pods(objects):
        for each in containers(pod):
            for variable in each.get("env", ()):
                read = (variable.get("valueFrom") or {}).get("secretKeyRef")
                if read and read["name"] in held:
                    assert read["key"] in held[read["name"]], (name, variable["name"])
        for volume in pod["spec"].get("volumes", ()):
            for source in (volume, *volume.get("projected", {}).get("sources", ())):
                read = source.get("configMap")
                if read and read["name"] in held:
                    assert {item["key"] for item in read.get("items", ())} <= held[read["name"]], (name, volume["name"])


@every
def test_no_secret_stands_in_a_configmap_an_argument_or_a_variable(values: Path) -> None:
    objects = rendered(values)
    secret = [base64.b64decode(text).decode() for each in of_kind(objects, "Secret") for text in each["data"].values()]
    for each in objects:
        if each["kind"] != "Secret":
            told = "\n".join(strings(each))
            assert not [text for text in secret if text in told], title(each)
    for _name, pod in pods(objects):
        for each in ours(pod):
            for variable in each.get("env", ()):
                if variable["name"].endswith(("_TOKEN", "_SECRET", "_PASSWORD")):
                    assert "secretKeyRef" in variable["valueFrom"], variable["name"]


@every
def test_every_object_is_in_the_releases_namespace_and_has_the_same_labels(values: Path) -> None:
    common = yaml.safe_load(values.read_text()).get("commonLabels", {})
    for each in rendered(values):
        if each["metadata"]["name"] in {"shop-ours", "theirs"}:
            continue
        labels = each["metadata"]["labels"]
        assert each["metadata"]["namespace"] == NAMESPACE
        assert labels["app.kubernetes.io/instance"] == "shop"
        assert labels["app.kubernetes.io/part-of"] == "penstock"
        assert common.items() <= labels.items()


@every
def test_names_are_unique_in_their_kind(values: Path) -> None:
    titles = [title(each) for each in rendered(values)]
    assert len(titles) == len(set(titles))


# selectors and ports


def _selects(selector: Object, pod: Object) -> bool:
    return bool(selector.items() <= pod["metadata"]["labels"].items())


@every
def test_workloads_select_their_own_pods_and_no_others(values: Path) -> None:
    objects = rendered(values)
    for each in of_kind(objects, "Deployment", "StatefulSet"):
        selector = each["spec"]["selector"]["matchLabels"]
        chosen = [name for name, pod in pods(objects) if _selects(selector, pod)]
        assert chosen == [title(each)]


@every
def test_services_lead_to_named_ports_of_one_workload(values: Path) -> None:
    objects = rendered(values)
    for each in of_kind(objects, "Service"):
        (chosen,) = [pod for _, pod in pods(objects) if _selects(each["spec"]["selector"], pod)]
        ports = {port["name"] for one_of in containers(chosen) for port in one_of.get("ports", ())}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports, title(each)


@every
def test_nothing_outside_of_the_cluster_reaches_admin_store_or_metrics(values: Path) -> None:
    objects = rendered(values)
    (gateway,) = {
        each["metadata"]["name"] for each in of_kind(objects, "Deployment", "StatefulSet") if _is(each, "gateway")
    }
    for each in of_kind(objects, "Service"):
        if each["metadata"]["name"] != gateway:
            assert each["spec"]["type"] == "ClusterIP", title(each)
    for each in of_kind(objects, "Ingress"):
        for rule in each["spec"]["rules"]:
            assert {path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {gateway}


def _is(each: Object, part: str) -> bool:
    return bool(each["metadata"]["labels"]["app.kubernetes.io/component"] == part)


def _of_runtime(each: Object) -> bool:
    labels: Object = each["metadata"].get("labels", {})
    return str(labels.get("app.kubernetes.io/component")).startswith("runtime-")


@every
def test_budget_scaling_and_monitor_are_of_the_gateway(values: Path) -> None:
    """Those of runtimes: `test_chart_runtimes.py`."""
    objects = [each for each in rendered(values) if not _of_runtime(each)]
    (gateway,) = [each for each in of_kind(objects, "Deployment", "StatefulSet") if _is(each, "gateway")]
    for each in of_kind(objects, "PodDisruptionBudget"):
        assert _selects(each["spec"]["selector"]["matchLabels"], template(gateway))
    for each in of_kind(objects, "HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == (gateway["kind"], gateway["metadata"]["name"])
        assert "replicas" not in gateway["spec"]
    for each in of_kind(objects, "ServiceMonitor"):
        wanted = each["spec"]["selector"]["matchLabels"]
        (service,) = [one for one in of_kind(objects, "Service") if wanted.items() <= one["metadata"]["labels"].items()]
        ports = {port["name"] for port in service["spec"]["ports"]}
        assert {endpoint["port"] for endpoint in each["spec"]["endpoints"]} <= ports


# who may connect to whom


def _ingress(objects: list[Object], part: str) -> list[Object]:
    (found,) = [each for each in of_kind(objects, "NetworkPolicy") if _is(each, part)]
    rules: list[Object] = found["spec"]["ingress"]
    return rules


@pytest.mark.parametrize("name", ["default", "bundled", "everything"])
def test_only_the_gateway_reaches_the_bundled_store(name: str) -> None:
    objects = rendered(named(name))
    ((rule,), gateway) = _ingress(objects, "store"), template(_gateway(objects))
    ((peer),) = rule["from"]
    assert _selects(peer["podSelector"]["matchLabels"], gateway)
    assert [port["port"] for port in rule["ports"]] == ["redis"]


def _gateway(objects: list[Object]) -> Object:
    (found,) = [each for each in of_kind(objects, "Deployment", "StatefulSet") if _is(each, "gateway")]
    return found


@pytest.mark.parametrize("name", ["default", "bundled", "cluster", "everything"])
def test_the_admin_rest_is_reached_by_the_hook_job_and_by_who_is_named(name: str) -> None:
    objects = rendered(named(name))
    given = yaml.safe_load(named(name).read_text()).get("networkPolicy", {})
    (rule,) = [each for each in _ingress(objects, "gateway") if {"port": "admin", "protocol": "TCP"} in each["ports"]]
    job, *others = rule["from"]
    assert others == given.get("adminFrom", [])
    for each in of_kind(objects, "Job"):
        assert _selects(job["podSelector"]["matchLabels"], template(each))


def test_where_metrics_have_a_port_prometheus_has_no_way_to_the_admin_rest() -> None:
    objects = rendered(named("ingress"))
    rules = {tuple(port["port"] for port in each["ports"]): each.get("from") for each in _ingress(objects, "gateway")}
    assert rules[("metrics",)] == [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    ]
    assert len(rules[("admin",)]) == 1  # type: ignore[arg-type]
    (endpoint,) = one(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", "/metrics")
    assert "authorization" not in endpoint


def test_without_such_a_port_prometheus_shows_the_token_that_may_only_look() -> None:
    objects = rendered(named("ingress"), "metrics.port=null")
    (endpoint,) = one(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("admin", "/admin/v1/metrics")
    assert endpoint["authorization"]["credentials"] == {"name": "shop-penstock-credentials", "key": "viewer-token"}


def test_a_gateway_that_some_may_call_lets_its_own_test_in() -> None:
    objects = rendered(named("everything"))
    (rule,) = [each for each in _ingress(objects, "gateway") if each["ports"][0]["port"] == "http"]
    test = template(one(objects, "Pod"))
    assert [peer for peer in rule["from"] if _selects(peer["podSelector"]["matchLabels"], test)]


@pytest.mark.parametrize("name", ["cluster", "everything"])
def test_a_limited_gateway_still_reaches_its_store(name: str) -> None:
    objects = rendered(named(name))
    (found,) = [each for each in of_kind(objects, "NetworkPolicy") if _is(each, "gateway")]
    assert [rule for rule in found["spec"]["egress"] if {"port": 6379, "protocol": "TCP"} in rule["ports"]]


# drain


@every
def test_a_pod_has_more_time_to_end_than_its_node_takes(values: Path) -> None:
    objects = rendered(values)
    spec = template(_gateway(objects))["spec"]
    config = settings_of(objects)
    assert spec["terminationGracePeriodSeconds"] >= config["grace"] + 10
    assert config["drain_delay"] < config["grace"]
