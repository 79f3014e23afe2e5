"""Values and secrets of a node: `${name}` and `secret:name` in configurations, filled at activation only."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.secrets import Secret
from gateway.manifest.documents import Environment, SecretSource
from gateway.manifest.loading import load
from gateway.manifest.plain_words import NOTHING, near
from gateway.manifest.texts import TEXT, is_text

Value = str | int | float | bool

SECRET: Final = "secret:"  # noqa: S105 - a prefix, no secret
_REFERENCE: Final = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET: Final = re.compile(rf"{SECRET}([A-Za-z_][A-Za-z0-9_]*)(?![A-Za-z0-9_])")


class SecretMissing(LookupError):
    """A secret that cannot be had. The text names its source, never a value."""


@dataclass(frozen=True, slots=True)
class Secrets(Mapping[str, Secret]):
    """Secrets by name, read from their source when they are asked for. Raises SecretMissing."""

    sources: Mapping[str, SecretSource] = field(default_factory=dict)
    folder: Path = Path()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def __getitem__(self, name: str) -> Secret:
        source = self.sources.get(name)
        if source is None:
            raise SecretMissing(f"the Environment declares no secret {name!r}. {near(name, self.sources)}")
        return self._variable(name, source.env) if source.env is not None else self._file(name, source.file or "")

    def __iter__(self) -> Iterator[str]:
        return iter(self.sources)

    def __len__(self) -> int:
        return len(self.sources)

    def _variable(self, name: str, variable: str) -> Secret:
        text = self.environ.get(variable)
        if not text:
            raise SecretMissing(f"the secret {name!r} is not there: set the environment variable {variable}.")
        return Secret(text)

    def _file(self, name: str, file: str) -> Secret:
        path = self.folder / file
        try:
            text = path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise SecretMissing(f"the secret {name!r} cannot be read from {path} ({type(error).__name__}).") from None
        if not text:
            raise SecretMissing(f"the secret {name!r} is not there: the file {path} is empty.")
        return Secret(text)


@dataclass(frozen=True, slots=True)
class EnvironmentValues:
    values: Mapping[str, Value] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=Secrets)


def read_environment(path: Path, environ: Mapping[str, str] | None = None) -> EnvironmentValues:
    """The one Environment document of a file. Files of secrets are relative to its folder. DocumentsRefused."""
    loaded = load([path])
    wrong = []
    for each in loaded:
        if not isinstance(each.document, Environment):
            wrong.append(Finding(each.place("kind"), "kind", f"not an Environment but {each.kind}.", "Move it."))
    if len(loaded) > 1:
        wrong.append(Finding(Place(str(path)), "environment", "one Environment is wanted.", "Keep one document."))
    for each in loaded:
        if isinstance(each.document, Environment):
            for name, source in each.document.secrets.items():
                if (source.env is None) == (source.file is None):
                    message = f"the secret {name} needs one source: env or file."
                    wrong.append(Finding(each.place("secrets", name), "secret-source", message))
    if wrong:
        raise DocumentsRefused(wrong)
    document = loaded[0].document
    assert isinstance(document, Environment)
    return EnvironmentValues(
        document.values, Secrets(document.secrets, Path(path).parent, os.environ if environ is None else environ)
    )


def names(text: str) -> list[str]:
    """The names of `${name}` in a text. ValueError: something else stands there. `$${` is a plain `${`."""
    found = []
    for match in _REFERENCE.finditer(text):
        if match[0] != "$${":
            if match[1] is None or not _NAME.fullmatch(match[1]):
                raise ValueError(f"{match[0]!r} is no reference; write ${{name}}, or $${{ for a plain ${{.")
            found.append(match[1])
    return found


def fill(config: Any, values: Mapping[str, Value]) -> Any:
    """`config` with every `${name}` in place. A text that is one reference as a whole becomes the value with its type.
    LookupError names a value that is missing."""
    if isinstance(config, dict):
        return config if is_text(config) else {key: fill(part, values) for key, part in config.items()}
    if isinstance(config, list | tuple):
        return [fill(part, values) for part in config]
    return _fill_text(config, values) if isinstance(config, str) else config


def _fill_text(text: str, values: Mapping[str, Value]) -> Value:
    whole = _REFERENCE.fullmatch(text)
    if whole and whole[1] is not None:
        return _given(whole[1], values)
    return _REFERENCE.sub(lambda match: "${" if match[0] == "$${" else _text(_given(match[1] or "", values)), text)


def _given(name: str, values: Mapping[str, Value]) -> Value:
    if name not in values:
        raise LookupError(f"the Environment gives no value {name!r}. {near(name, values)}".removesuffix(NOTHING))
    return values[name]


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def reveal(config: Any, secrets: Mapping[str, Secret]) -> Any:
    """`config` with every `secret:name` replaced by the secret's text, also inside of a longer one (a URL). For the
    one moment in which something is built from it: the result must be kept nowhere. Included texts become strings.
    Raises SecretMissing."""
    if isinstance(config, dict):
        return config[TEXT] if is_text(config) else {key: reveal(part, secrets) for key, part in config.items()}
    if isinstance(config, list | tuple):
        return [reveal(part, secrets) for part in config]
    return _SECRET.sub(lambda match: _secret(match[1], secrets), config) if isinstance(config, str) else config


def secret_names(config: Any) -> set[str]:
    """The names of the secrets that `reveal` fills in."""
    if isinstance(config, dict):
        return set() if is_text(config) else set[str]().union(*map(secret_names, config.values()))
    if isinstance(config, list | tuple):
        return set[str]().union(*map(secret_names, config))
    return set(_SECRET.findall(config)) if isinstance(config, str) else set()


def _secret(name: str, secrets: Mapping[str, Secret]) -> str:
    if name not in secrets:
        raise SecretMissing(f"the Environment declares no secret {name!r}. {near(name, secrets)}")
    return secrets[name].reveal()
