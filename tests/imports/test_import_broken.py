"""Documents that are broken somewhere are refused or read around; nothing else is ever raised."""

from __future__ import annotations

import copy
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.core.findings import DocumentsRefused
from gateway.manifest.imports.csdl import import_csdl
from gateway.manifest.imports.draft import Draft
from gateway.manifest.imports.openapi import import_openapi
from gateway.manifest.imports.source import Sources, parse
from gateway.manifest.imports.wsdl import import_wsdl
from gateway.manifest.imports.yaml_writer import write

GOLDEN = Path(__file__).parent.parent / "golden" / "imports"
JUNK = st.sampled_from([None, True, 1, -1.5, "", "x", "#/nowhere", "../x", [], {}, [1], {"a": 1}, [{}], {"$ref": "#"}])
XML_JUNK = [
    "",
    "x",
    "t:Quote",
    "F.Car",
    "Edm.Nothing",
    "Collection(F.Car)",
    "nope:x",
    "-1",
    "unbounded",
    "true",
    "http://[",
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, part in pairs for place in places(part, (*at, key)))]


def replaced(value: Any, at: tuple[Any, ...], by: Any) -> Any:
    made = copy.deepcopy(value)
    part = made
    for key in at[:-1]:
        part = part[key]
    part[at[-1]] = by
    return made


def run(make: Callable[[Sources], Draft], content: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "document"
        path.write_text(content)
        try:
            draft = make(Sources(str(path)))
        except DocumentsRefused:
            return
        assert write(draft.document(), draft.comments, [])


@pytest.mark.parametrize(
    "name", ["pets.openapi.in.yaml", "styles.openapi.in.yaml", "swagger.openapi.in.json", "notes.csdl.in.json"]
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.data())
def test_json_that_is_broken_somewhere(name: str, data: st.DataObject) -> None:
    value = parse((GOLDEN / name).read_bytes(), name)
    for _ in range(data.draw(st.integers(1, 3))):
        value = replaced(value, data.draw(st.sampled_from(places(value)[1:])), data.draw(JUNK))
    run(import_csdl if "csdl" in name else import_openapi, json.dumps(value))


@pytest.mark.parametrize("name", ["stock.wsdl.in.xml", "rpc.wsdl.in.xml", "fleet.csdl.in.xml"])
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.data())
def test_xml_that_is_broken_somewhere(name: str, data: st.DataObject) -> None:
    text = (GOLDEN / name).read_text()
    for _ in range(data.draw(st.integers(1, 3))):
        found = list(re.finditer(r'(?<= )(?!xmlns)[A-Za-z]+="([^"]*)"', text))
        one = data.draw(st.sampled_from(found))
        junk = data.draw(st.sampled_from([None, *XML_JUNK]))
        text = (
            text[: one.start()] + ("" if junk is None else one[0].partition("=")[0] + f'="{junk}"') + text[one.end() :]
        )
    run(import_csdl if "csdl" in name else import_wsdl, text)
