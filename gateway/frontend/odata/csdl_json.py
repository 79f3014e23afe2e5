"""`$metadata` as CSDL JSON 4.01, made of the XML document, so that both say the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from lxml import etree

from gateway.frontend.odata.csdl import CONTAINER, EDM, EDMX

_E: Final = f"{{{EDM}}}"


def document(xml: bytes) -> bytes:
    """CSDL JSON of what `csdl.document` wrote."""
    root = etree.fromstring(xml)
    schema = root.find(f".//{_E}Schema")
    assert schema is not None
    namespace = schema.get("Namespace", "")
    made = {
        "$Version": "4.01",
        "$EntityContainer": f"{namespace}.{CONTAINER}",
        "$Reference": {
            reference.get("Uri", ""): {
                "$Include": [{"$Namespace": each.get("Namespace")} for each in reference.iter(f"{{{EDMX}}}Include")]
            }
            for reference in root.iter(f"{{{EDMX}}}Reference")
        },
        namespace: {each.get("Name", ""): _ELEMENTS[_tag(each)](each) for each in schema},
    }
    return orjson.dumps(made)


def _tag(element: etree._Element) -> str:
    return etree.QName(element).localname


def _typed(element: etree._Element) -> dict[str, Any]:
    """Edm.String, not null and Scale variable are the defaults of CSDL JSON (sections 7.1 and 7.2)."""
    name = element.get("Type", "")
    made: dict[str, Any] = {}
    if name.startswith("Collection("):
        made["$Collection"] = True
        name = name[11:-1]
    if name != "Edm.String":
        made["$Type"] = name
    if element.get("Nullable") != "false":
        made["$Nullable"] = True
    for facet in ("MaxLength", "Precision", "Scale"):
        value = element.get(facet)
        if value is not None and value != "variable":
            made[f"${facet}"] = int(value)
    return made | _annotations(element)


def _annotations(element: etree._Element) -> dict[str, Any]:
    return {f"@{each.get('Term')}": _value(each) for each in element.findall(f"{_E}Annotation")}


def _value(annotation: etree._Element) -> Any:
    """A record of booleans, or true: a term's default."""
    values = {each.get("Property"): each.get("Bool") == "true" for each in annotation.iter(f"{_E}PropertyValue")}
    return values or True


def _structure(element: etree._Element) -> dict[str, Any]:
    made: dict[str, Any] = {"$Kind": _tag(element)}
    if keys := [each.get("Name") for each in element.iter(f"{_E}PropertyRef")]:
        made["$Key"] = keys
    return made | {each.get("Name", ""): _typed(each) for each in element.findall(f"{_E}Property")}


def _enumeration(element: etree._Element) -> dict[str, Any]:
    members = {each.get("Name", ""): int(each.get("Value", "0")) for each in element}
    return {"$Kind": "EnumType", **members}


def _operation(element: etree._Element) -> list[dict[str, Any]]:
    """A list: operations have overloads."""
    made: dict[str, Any] = {"$Kind": _tag(element)}
    parameters = [{"$Name": each.get("Name")} | _typed(each) for each in element.findall(f"{_E}Parameter")]
    if parameters:
        made["$Parameter"] = parameters
    result = element.find(f"{_E}ReturnType")
    return [made if result is None else made | {"$ReturnType": _typed(result)}]


def _container(element: etree._Element) -> dict[str, Any]:
    return {"$Kind": "EntityContainer"} | {each.get("Name", ""): _resource(each) for each in element}


def _resource(element: etree._Element) -> dict[str, Any]:
    if _tag(element) == "EntitySet":
        return {"$Collection": True, "$Type": element.get("EntityType")} | _annotations(element)
    kind = _tag(element).removesuffix("Import")
    return {f"${kind}": element.get(kind)}


_ELEMENTS: Final[Mapping[str, Callable[[etree._Element], Any]]] = {
    "EntityType": _structure,
    "ComplexType": _structure,
    "EnumType": _enumeration,
    "Function": _operation,
    "Action": _operation,
    "EntityContainer": _container,
}
