"""`$metadata`: the model as CSDL XML (OData CSDL XML Representation 4.01, written as version 4.0, which all read)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lxml import etree

from gateway.schema.edm import edm_type
from gateway.schema.types import Array, Enumeration, Field, Operation, Record, Ref, Type, Types
from gateway.snapshot.spec import ODataSpec

EDMX: Final = "http://docs.oasis-open.org/odata/ns/edmx"
EDM: Final = "http://docs.oasis-open.org/odata/ns/edm"
CONTAINER: Final = "Container"
_VOCABULARIES: Final = "https://oasis-tcs.github.io/odata-vocabularies/vocabularies/"
_CORE: Final = "Org.OData.Core.V1"
_CAPABILITIES: Final = "Org.OData.Capabilities.V1"


def document(odata: ODataSpec, operations: Mapping[str, Operation], types: Types) -> bytes:
    """The whole document. ValueError for what EDM cannot say: two types of one name, any JSON, a key that is null."""
    root = etree.Element(f"{{{EDMX}}}Edmx", {"Version": "4.0"}, nsmap={"edmx": EDMX})
    for namespace in (_CORE, _CAPABILITIES):
        reference = etree.SubElement(root, f"{{{EDMX}}}Reference", {"Uri": f"{_VOCABULARIES}{namespace}.xml"})
        etree.SubElement(reference, f"{{{EDMX}}}Include", {"Namespace": namespace})
    services = etree.SubElement(root, f"{{{EDMX}}}DataServices")
    schema = etree.SubElement(services, f"{{{EDM}}}Schema", {"Namespace": odata.namespace}, nsmap={None: EDM})
    keys = _keys(odata)
    for type_ in _reachable(odata, operations, types):
        if isinstance(type_, Enumeration):
            _enumeration(schema, type_)
        else:
            _structure(schema, type_, keys.get(type_.name), types, odata.namespace)
    for operation in operations.values():
        _operation(schema, operation, types, odata.namespace)
    _container(schema, odata, operations)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def _keys(odata: ODataSpec) -> dict[str, tuple[str, ...]]:
    keys: dict[str, tuple[str, ...]] = {}
    for entity_set in odata.entity_sets.values():
        if keys.setdefault(entity_set.type, entity_set.key) != entity_set.key:
            raise ValueError(f"two entity sets of {entity_set.type} have different keys; give them types of their own")
    return keys


def _reachable(odata: ODataSpec, operations: Mapping[str, Operation], types: Types) -> list[Record | Enumeration]:
    """Every named or inline type that a set or an operation shows, once, in the order in which they are met."""
    found: dict[str, Record | Enumeration] = {}
    waiting: list[Type] = [Ref(entity_set.type) for entity_set in odata.entity_sets.values()]
    for operation in operations.values():
        waiting += [part.type for part in operation.input.fields]
        waiting += [] if operation.output is None else [operation.output]
    while waiting:
        type_ = types.resolve(waiting.pop(0))
        if isinstance(type_, Array):
            waiting.append(type_.item)
        if not isinstance(type_, Record | Enumeration) or found.get(type_.name) is type_:
            continue
        if found.setdefault(type_.name, type_) != type_:
            raise ValueError(f"two types are named {type_.name}; name the inner one among the types")
        if isinstance(type_, Record):
            waiting += [part.type for part in type_.fields]
    return list(found.values())


def _add(parent: etree._Element, tag: str, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{EDM}}}{tag}", attributes)


def _enumeration(schema: etree._Element, enumeration: Enumeration) -> None:
    element = _add(schema, "EnumType", Name=enumeration.name)
    for number, (name, value) in enumerate(zip(enumeration.names, enumeration.values, strict=True)):
        _add(element, "Member", Name=name, Value=str(value if isinstance(value, int) else number))


def _structure(
    schema: etree._Element, record: Record, key: tuple[str, ...] | None, types: Types, namespace: str
) -> None:
    element = _add(schema, "ComplexType" if key is None else "EntityType", Name=record.name)
    if key is not None:
        references = _add(element, "Key")
        for name in key:
            if name not in record:
                raise ValueError(f"the key {name} is no property of {record.name}")
            _add(references, "PropertyRef", Name=name)
    for part in record.fields:
        nullable = _nullable(part) and part.name not in (key or ())
        _typed(_add(element, "Property", Name=part.name), part.type, nullable, types, namespace)


def _nullable(part: Field) -> bool:
    return part.nullable or not part.required


def _typed(element: etree._Element, type_: Type, nullable: bool, types: Types, namespace: str) -> None:
    edm = edm_type(type_, types, namespace)
    element.set("Type", edm.name)
    for name, value in edm.facets.items():
        element.set(name, value)
    if not nullable:
        element.set("Nullable", "false")


def _operation(schema: etree._Element, operation: Operation, types: Types, namespace: str) -> None:
    element = _add(schema, "Function" if operation.effect == "safe" else "Action", Name=operation.name)
    for part in operation.input.fields:
        parameter = _add(element, "Parameter", Name=part.name)
        _typed(parameter, part.type, _nullable(part), types, namespace)
        if not part.required:
            _add(parameter, "Annotation", Term=f"{_CORE}.OptionalParameter")
    if operation.output is None and operation.effect == "safe":
        raise ValueError(f"{operation.name} is safe and answers nothing: an OData function has a result")
    if operation.output is not None:
        _typed(_add(element, "ReturnType"), operation.output, operation.output_nullable, types, namespace)


def _container(schema: etree._Element, odata: ODataSpec, operations: Mapping[str, Operation]) -> None:
    container = _add(schema, "EntityContainer", Name=CONTAINER)
    for name, entity_set in odata.entity_sets.items():
        element = _add(container, "EntitySet", Name=name, EntityType=f"{odata.namespace}.{entity_set.type}")
        _restrictions(element)
    for operation in operations.values():
        kind = "Function" if operation.effect == "safe" else "Action"
        imported = _add(container, f"{kind}Import", Name=operation.name)
        imported.set(kind, f"{odata.namespace}.{operation.name}")
        if kind == "Function":
            imported.set("IncludeInServiceDocument", "false")


_REFUSED: Final = {
    "SearchRestrictions": "Searchable",
    "ExpandRestrictions": "Expandable",
    "InsertRestrictions": "Insertable",
    "UpdateRestrictions": "Updatable",
    "DeleteRestrictions": "Deletable",
}


def _restrictions(element: etree._Element) -> None:
    """What a client need not try (Capabilities vocabulary)."""
    for term, name in _REFUSED.items():
        annotation = _add(element, "Annotation", Term=f"{_CAPABILITIES}.{term}")
        _add(_add(annotation, "Record"), "PropertyValue", Property=name, Bool="false")
