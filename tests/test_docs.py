"""The guides name every setting with its true default, every field of an HTTP backend and of a route, and link to what
there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import pytest
from pydantic import BaseModel

from gateway.core.kinds import Stage
from gateway.core.live import Limits
from gateway.core.settings import HOST, PORT, Settings
from gateway.manifest.documents import Endpoint
from gateway.manifest.http_backend import HttpBackend
from gateway.server.kinds import POLICY_KINDS

ROOT: Final = Path(__file__).resolve().parent.parent
GUIDE: Final = ROOT / "docs" / "guide"
DOCUMENTS: Final = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")])
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LIMITS: Final = Limits()
_DEFAULTS: Final = {"host": HOST, "port": PORT, "store": "an embedded one", "egress": "nothing listed"}


def section(page: str, title: str) -> str:
    text = (GUIDE / page).read_text()
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of a section's tables."""
    for line in text.splitlines():
        if line.startswith("| "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def told() -> dict[str, str]:
    """Setting: the default in the guide's table."""
    found: dict[str, str] = {}
    for names, defaults, *_ in rows(section("operating.md", "Settings")):
        keys = re.findall(r"`(\w+)`", names)
        several = defaults.split(", ")
        found.update(zip(keys, several if len(several) == len(keys) else [defaults] * len(keys), strict=True))
    return found


def test_every_setting_of_a_node_stands_in_the_guide() -> None:
    assert set(told()) == set(Settings.model_fields)


@pytest.mark.parametrize("name", tuple(Settings.model_fields))
def test_the_guide_tells_a_settings_true_default(name: str) -> None:
    default = _DEFAULTS.get(name, Settings.model_fields[name].default)
    written = told()[name].strip("`")
    if default is None or default == ():
        assert not re.fullmatch(r"[\d.]+", written), "there is no fixed default"
    elif isinstance(default, bool):
        assert written == str(default).lower()
    elif isinstance(default, int | float):
        assert float(written) == default
    else:
        assert written == (",".join(default) if isinstance(default, tuple) else str(default))


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A model and those that its fields hold."""
    yield model
    for field in model.model_fields.values():
        waiting = [field.annotation]
        while waiting:
            each = waiting.pop()
            waiting.extend(get_args(each))
            if isinstance(each, type) and issubclass(each, BaseModel):
                yield from models(each)


@pytest.mark.parametrize("model", tuple(models(HttpBackend)), ids=lambda model: model.__name__)
def test_every_field_of_an_http_backend_stands_in_the_guide(model: type[BaseModel]) -> None:
    text = (GUIDE / "upstreams.md").read_text()
    missing = [
        name
        for name in model.model_fields
        if not re.search(rf"`[^`\n]*\b{name}\b|^\s*{name}:|[{{,] ?{name}:", text, re.M)
    ]
    assert not missing


@pytest.mark.parametrize("model", [Endpoint, *models(HttpBackend)], ids=lambda model: model.__name__)
def test_the_documents_page_has_every_field_with_its_default(model: type[BaseModel]) -> None:
    text = (GUIDE / "documents.md").read_text()
    part = text.partition(f"\n### {model.__name__}\n")[2].partition("\n### ")[0]
    defaults = {cells[0].strip("`"): cells[2].strip("`") for cells in rows(part)}
    assert set(defaults) - {"field"} == set(model.model_fields)
    for name, field in model.model_fields.items():
        if isinstance(field.default, str | int | float) and not isinstance(field.default, bool) and field.default != "":
            assert defaults[name].strip('"') == str(field.default)


@pytest.mark.parametrize(
    ("page", "kind"),
    [
        *(("authentication.md", each) for each in ("any-of", "basic", "client-certificate", "hmac", "http-signature")),
        *(("authorisation.md", each) for each in ("scopes", "access-list", "cel", "external-decision")),
    ],
)
def test_the_guide_has_every_setting_of_a_kind_with_its_default(page: str, kind: str) -> None:
    model = POLICY_KINDS[kind].config
    defaults = {cells[0].strip("`"): cells[1].strip("`") for cells in rows(section(page, kind)) if len(cells) == 3}
    assert set(model.model_fields) <= set(defaults)
    for name, field in model.model_fields.items():
        if (
            isinstance(field.default, str | int)
            and not isinstance(field.default, bool)
            and len(str(field.default)) < 20
        ):
            assert defaults[name] == str(field.default)
        assert (defaults[name] == "required") == field.is_required()


def test_every_field_of_a_relay_route_stands_in_its_guide() -> None:
    of_calls = {"call", "body", "query", "headers", "status"}
    stand = {name for cells in rows(section("relay.md", "Settings")) for name in re.findall(r"`(\w+)`", cells[0])}
    assert set(Endpoint.model_fields) - of_calls <= stand
    assert set(HttpBackend.model_fields) <= stand


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("request line and fields of a request", f"{LIMITS.head // 1024} KiB"),
        ("a target", f"{LIMITS.target // 1024} KiB"),
        ("fields of a request", str(LIMITS.fields)),
        ("chunk extensions", f"{LIMITS.extensions // 1024} KiB"),
        ("a body that a step needs whole", f"{LIMITS.body // 1024**2} MiB"),
        ("connections of clients", f"{LIMITS.connections:,}"),
        ("exchanges in flight", f"{LIMITS.exchanges:,}"),
        ("lateness of a worker's loop", f"{LIMITS.lag} s"),
    ],
)
def test_the_guide_tells_the_limits_that_hold(what: str, limit: str) -> None:
    assert limit in next(cells[1] for cells in rows(section("relay.md", "Limits")) if cells[0].startswith(what))


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", _CODE.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in _LINK.findall(_CODE.sub("", path.read_text())):
        name, _, anchor = link.partition("#")
        if "://" in name:
            continue
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", tuple(POLICY_KINDS))
def test_every_policy_kind_stands_in_the_guide_with_its_stage(name: str) -> None:
    kind = POLICY_KINDS[name]
    found = [cells for cells in rows((GUIDE / "policies.md").read_text()) if cells[0].startswith(f"[`{name}`](")]
    stage = kind.stage.name + (", response BODY" if kind.reply_stage == Stage.BODY else "")
    assert [cells[1:] for cells in found] == [[stage, "yes" if kind.protects else "no", kind.summary]]
