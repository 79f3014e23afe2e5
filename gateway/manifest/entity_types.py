"""How entity types of tables are named: one rule, for the bundle that adds them and for the sets that use them."""

from __future__ import annotations


def entity_type_name(entity_set: str) -> str:
    """`Orders` → `Order`, `Categories` → `Category`, `Staff` → `StaffRow`. OData wants set and type told apart."""
    if entity_set.endswith("ies") and len(entity_set) > 4:
        return entity_set[:-3] + "y"
    if entity_set.endswith(("sses", "xes", "ches", "shes")):
        return entity_set[:-2]
    if entity_set.endswith("s") and not entity_set.endswith("ss"):
        return entity_set[:-1]
    return entity_set + "Row"
