"""The settings of a command that runs something: its flags, variables and a file, and its help that lists them all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from typer.core import TyperCommand

from gateway.cli import setting_words
from gateway.cli.failures import USAGE, Failed

if TYPE_CHECKING:
    from pydantic import BaseModel

S = TypeVar("S", bound="BaseModel")


class WithSettings(TyperCommand):
    """Its help lists every setting, those without a flag too."""

    @classmethod
    def model(cls) -> tuple[type[BaseModel], str]:
        """The settings, and the prefix of their variables; imported when it is asked for."""
        raise NotImplementedError

    def format_epilog(self, _ctx: Any, formatter: Any) -> None:
        model, prefix = self.model()
        fields = model.model_fields.items()
        with formatter.section("Settings; a flag wins over a variable, a variable over a line of --config"):
            formatter.write_dl([(f"{prefix}{name.upper()}", _meaning(field)) for name, field in fields])


def _meaning(field: Any) -> str:
    text = field.description or ""
    if field.default is None or field.default == ():
        return text
    default = field.default
    default = (
        f"{default:g}"
        if isinstance(default, float)
        else ",".join(default)
        if isinstance(default, tuple)
        else getattr(default, "place", default)
    )
    return f"{text}; default {default}" if text else f"default {default}"


def given_settings(
    model: type[S],
    prefix: str,
    flags: Mapping[str, Any],
    config: Path | None,
    standard: Mapping[str, Any] | None = None,
    sources: Mapping[str, str] | None = None,
) -> S:
    """Flags over variables over the file, over what is `standard` (given by its `sources`). Failed names each setting
    that cannot be used, and where it was given."""
    from pydantic import ValidationError

    from gateway.core.settings import from_environment

    from_file = _read(config) if config else {}
    from_variables = from_environment(os.environ, model, prefix)
    given = {name: value for name, value in flags.items() if value is not None}
    known = model.model_fields

    def source(name: str) -> str:
        if name in given:
            return "--" + name.replace("_", "-")
        if name in from_variables:
            return prefix + name.upper()
        return str(config) if name in from_file else (sources or {}).get(name, str(config))

    wrong = setting_words.misspelt(os.environ, prefix, known)
    try:
        settings = model.model_validate({**(standard or {}), **from_file, **from_variables, **given})
    except ValidationError as error:
        wrong = setting_words.lines(error, source, known) + wrong
    if wrong:
        text = "These settings cannot be used:\n" + "\n".join(f"  {line}" for line in wrong)
        raise Failed(text, USAGE)
    return settings


def _read(path: Path) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        found = YAML(typ="safe", pure=True).load(path.read_text())
    except YAMLError as error:
        raise Failed(f"{path} cannot be read: {error}", USAGE) from None
    if not isinstance(found, dict):
        raise Failed(f"{path} is no list of settings: write `name: value` lines.", USAGE)
    return found
