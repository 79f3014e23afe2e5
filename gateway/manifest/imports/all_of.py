"""`allOf` as one schema: what a manifest's types have instead of it."""

from __future__ import annotations

from gateway.manifest.imports.keywords import GROUP, SILENT, TEXTS, Schema, items
from gateway.manifest.imports.references import References, Site


class AllOf:
    """Of one source. `merging` are the places that are on their way, as one may contain itself."""

    def __init__(self, references: References) -> None:
        self.references = references
        self.merging: list[Site] = []

    def merge(self, schema: Schema, site: Site) -> Schema | None:
        own = {key: part for key, part in schema.items() if key != "allOf"}
        result: Schema = self.references.absolute(own, site)
        parts = schema["allOf"] if isinstance(schema["allOf"], list) else []
        for index, part in enumerate(parts):
            value, there = self.references.follow(part, site.at("allOf", index))
            if there in self.merging or not isinstance(value, dict):
                return None
            if "allOf" in value:
                self.merging.append(there)
                inner = self.merge(value, there)
                self.merging.pop()
                if inner is None:
                    return None
            else:
                inner = self.references.absolute(value, there)
            if len(parts) == 1 and not (set(own) - SILENT):
                return inner | {key: own[key] for key in own if key in TEXTS or key == "nullable"}
            if not self.combine(result, inner, there):
                return None
        return result

    def combine(self, into: Schema, part: Schema, site: Site) -> bool:
        """False: together they are no single schema."""
        if GROUP & set(part) or (GROUP - {"allOf"}) & set(into):
            return False
        for key, value in part.items():
            if key == "properties" and isinstance(value, dict):
                own = into.get("properties")
                into["properties"] = {**(own if isinstance(own, dict) else {}), **value}
            elif key == "required" and isinstance(value, list):
                into["required"] = [*items(into.get("required")), *value]
            elif key in SILENT or key not in into:
                into.setdefault(key, value)
            elif key == "additionalProperties":
                into[key] = False if False in (into[key], value) else into[key]
            elif into[key] != value:
                if key == "type":
                    return False
                self.references.note(site, f"allOf: two values of {key}; the first one counts")
        return True
