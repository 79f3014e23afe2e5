"""A container's environment: `env` and `envFrom`, from values, ConfigMaps, Secrets and fields of the pod."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.charts.run.rendered import Object, Objects

_REFERENCE: Final = re.compile(r"\$(\$|\(([A-Za-z_][A-Za-z0-9_.-]*)\))")


def environment(container: Object, pod: Object, objects: Objects) -> dict[str, str]:
    """KeyError names a Secret, ConfigMap or key that is not there; so a kubelet does not start the container."""
    found: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        found |= dict(_all_of(source, objects))
    names = [each["name"] for each in container.get("env") or []]
    assert len(set(names)) == len(names), f"{container['name']} names a variable twice: {sorted(names)}"
    for each in container.get("env") or []:
        value = _value(each, container, pod, objects)
        if value is not None:
            found[each["name"]] = expand(value, found)
    return found


def expand(text: str, known: Mapping[str, str]) -> str:
    """`$(NAME)` of a variable that is known; `$$` is a dollar."""

    def replaced(match: re.Match[str]) -> str:
        return "$" if match[1] == "$" else known.get(match[2], match[0])

    return _REFERENCE.sub(replaced, text)


def data(found: Object) -> dict[str, bytes]:
    """What a ConfigMap or Secret holds."""
    if found["kind"] == "Secret":
        plain = {name: text.encode() for name, text in (found.get("stringData") or {}).items()}
        return {name: base64.b64decode(text) for name, text in (found.get("data") or {}).items()} | plain
    binary = {name: base64.b64decode(text) for name, text in (found.get("binaryData") or {}).items()}
    return {name: text.encode() for name, text in (found.get("data") or {}).items()} | binary


def _all_of(source: Object, objects: Objects) -> Iterator[tuple[str, str]]:
    for kind, at in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
        if ref := source.get(at):
            if ref.get("optional") and not objects.has(kind, ref["name"]):
                continue
            for name, value in data(objects.get(kind, ref["name"])).items():
                yield source.get("prefix", "") + name, value.decode()


def _value(each: Object, container: Object, pod: Object, objects: Objects) -> str | None:
    source = each.get("valueFrom")
    if source is None:
        return str(each.get("value", ""))
    if ref := source.get("secretKeyRef"):
        return _keyed("Secret", ref, objects)
    if ref := source.get("configMapKeyRef"):
        return _keyed("ConfigMap", ref, objects)
    if ref := source.get("fieldRef"):
        return field(ref["fieldPath"], pod)
    raise AssertionError(f"{each['name']} of {container['name']}: a source that this run does not know: {source}")


def _keyed(kind: str, ref: Object, objects: Objects) -> str | None:
    found = data(objects.get(kind, ref["name"])) if objects.has(kind, ref["name"]) else {}
    if ref["key"] in found:
        return found[ref["key"]].decode()
    if ref.get("optional"):
        return None
    raise KeyError(f"{kind} {ref['name']} has no key {ref['key']}")


def field(path: str, pod: Object) -> str:
    if match := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str((pod["metadata"].get(match[1]) or {}).get(match[2], ""))
    found: Any = pod
    for part in path.split("."):
        found = found[part]
    return str(found)
