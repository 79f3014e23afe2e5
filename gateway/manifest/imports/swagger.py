"""Swagger 2.0 as OpenAPI 3.0, before it is read; what 3.0 has no word for is noted."""

from __future__ import annotations

from typing import Any, Final

from gateway.manifest.imports.draft import Draft
from gateway.manifest.imports.source import Value

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_PARAMETER_KEYS: Final = frozenset(
    ("name", "in", "description", "required", "collectionFormat", "schema", "allowEmptyValue")
)
_MOVED: Final = {
    "#/definitions/": "#/components/schemas/",
    "#/parameters/": "#/components/parameters/",
    "#/responses/": "#/components/responses/",
}
_STYLES: Final = {"ssv": "spaceDelimited", "pipes": "pipeDelimited", "csv": "form", "tsv": "tabDelimited"}
_FLOWS: Final = {"accessCode": "authorizationCode", "application": "clientCredentials"}


def converted(given: Value, draft: Draft) -> Value:
    """The document in the form of 3.0. Its own places stay readable: `definitions` are `components/schemas`."""
    return _Conversion(given, draft).document()


class _Conversion:
    def __init__(self, given: Value, draft: Draft) -> None:
        self.given = given
        self.draft = draft
        self.consumes = _list(given.get("consumes")) or ["application/json"]
        self.produces = _list(given.get("produces")) or ["application/json"]

    def document(self) -> Value:
        given = self.given
        shared = _map(given.get("parameters"))
        moved: Value = _moved(
            {
                "openapi": "3.0.3",
                "info": _map(given.get("info")),
                "servers": self.servers(),
                "paths": {path: self.item(_map(item), path) for path, item in _map(given.get("paths")).items()},
                "components": {
                    "schemas": _map(given.get("definitions")),
                    "parameters": {name: self.parameter(_map(each)) for name, each in shared.items()},
                    "responses": {
                        name: self.response(_map(each), self.produces)
                        for name, each in _map(given.get("responses")).items()
                    },
                    "securitySchemes": {
                        name: _scheme(_map(each)) for name, each in _map(given.get("securityDefinitions")).items()
                    },
                },
                "security": given.get("security") or [],
            }
        )
        return moved

    def servers(self) -> list[Value]:
        host, base = self.given.get("host"), str(self.given.get("basePath") or "")
        if not host:
            return [{"url": base or "/"}]
        schemes = _list(self.given.get("schemes")) or ["https"]
        best = "https" if "https" in schemes else next((each for each in schemes if each in ("http", "https")), "https")
        return [{"url": f"{best}://{host}{base}"}]

    def item(self, item: Value, path: str) -> Value:
        made: Value = {key: part for key, part in item.items() if key not in (*_METHODS, "parameters")}
        shared = _list(item.get("parameters"))
        for method in _METHODS:
            if isinstance(item.get(method), dict):
                made[method] = self.operation(item[method], shared, f"#/paths/{path}/{method}")
        return made

    def operation(self, operation: Value, shared: list[Any], place: str) -> Value:
        consumes = _list(operation.get("consumes")) or self.consumes
        produces = _list(operation.get("produces")) or self.produces
        named: dict[tuple[Any, Any], Value] = {}
        for each in [*shared, *_list(operation.get("parameters"))]:
            raw = self.resolved(_map(each))
            named[str(raw.get("name")), str(raw.get("in"))] = raw
        given = list(named.values())
        made = {key: part for key, part in operation.items() if key not in ("consumes", "produces", "parameters")}
        made["parameters"] = [self.parameter(each) for each in given if each.get("in") not in ("body", "formData")]
        body = [each for each in given if each.get("in") == "body"]
        form = [each for each in given if each.get("in") == "formData"]
        if body:
            content = {str(media): {"schema": body[0].get("schema", {})} for media in consumes}
            made["requestBody"] = {"required": body[0].get("required", False), "content": content}
        elif form:
            made["requestBody"] = {"required": True, "content": {_form_media(form, consumes): {"schema": {}}}}
        made["responses"] = {
            status: self.response(_map(each), produces) for status, each in _map(operation.get("responses")).items()
        }
        if operation.get("schemes"):
            self.draft.note(place, "its own schemes are not carried over")
        return made

    def resolved(self, parameter: Value) -> Value:
        reference = parameter.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/parameters/"):
            return _map(_map(self.given.get("parameters")).get(reference.rpartition("/")[2]))
        return parameter

    def parameter(self, parameter: Value) -> Value:
        if "$ref" in parameter or parameter.get("in") in ("body", "formData"):
            return parameter
        made: Value = {key: parameter[key] for key in ("name", "in", "description", "required") if key in parameter}
        made["schema"] = {key: part for key, part in parameter.items() if key not in _PARAMETER_KEYS}
        if parameter.get("type") == "array":
            how = str(parameter.get("collectionFormat", "csv"))
            made["style"] = "form" if how == "multi" else _STYLES.get(how, how)
            made["explode"] = how == "multi"
            if parameter.get("in") != "query":
                del made["style"]
        return made

    def response(self, response: Value, produces: list[Any]) -> Value:
        made = {key: part for key, part in response.items() if key not in ("schema", "examples")}
        if "schema" in response:
            file = _map(response["schema"]).get("type") == "file"
            medias = ["application/octet-stream"] if file else produces
            made["content"] = {str(media): {"schema": response["schema"]} for media in medias}
        return made


def _form_media(form: list[Value], consumes: list[Any]) -> str:
    has_file = any(each.get("type") == "file" for each in form)
    return (
        "multipart/form-data" if has_file or "multipart/form-data" in consumes else "application/x-www-form-urlencoded"
    )


def _scheme(scheme: Value) -> Value:
    if scheme.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    if scheme.get("type") == "oauth2":
        flow = str(scheme.get("flow"))
        return {"type": "oauth2", "flows": {_FLOWS.get(flow, flow): scheme}}
    return scheme


def _moved(value: Any) -> Any:
    """With references to where things stand in 3.0."""
    if isinstance(value, dict):
        made = {key: _moved(part) for key, part in value.items()}
        reference = made.get("$ref")
        if isinstance(reference, str):
            for old, new in _MOVED.items():
                made["$ref"] = made["$ref"].replace(old, new, 1) if reference.startswith(old) else made["$ref"]
        if made.get("x-nullable") is True:
            made["nullable"] = True
        return made
    return [_moved(part) for part in value] if isinstance(value, list) else value


def _map(value: Any) -> Value:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
