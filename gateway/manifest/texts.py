"""Texts in the configuration of a step: `{$file: schemas/order.xsd}` names a file of the manifest's folder; it stands
in the bundle as `{$file: schemas/order.xsd, $text: "<xs:schema …"}`.

A text is taken as it is: neither `${name}` nor `secret:name` means anything in it. `{$text: …}` may be written by hand.
What a kind's model gets is the text alone.
"""

from __future__ import annotations

from typing import Any, Final

FILE: Final = "$file"
TEXT: Final = "$text"


def is_text(value: Any) -> bool:
    """A text that is there."""
    return isinstance(value, dict) and isinstance(value.get(TEXT), str) and value.keys() <= {FILE, TEXT}


def names_file(value: Any) -> bool:
    """A text that is still to be included."""
    return isinstance(value, dict) and FILE in value and TEXT not in value


def plain(config: Any) -> Any:
    """A configuration as its model reads it: each text a string."""
    if isinstance(config, dict):
        return config[TEXT] if is_text(config) else {key: plain(part) for key, part in config.items()}
    return [plain(part) for part in config] if isinstance(config, list | tuple) else config


def missing(config: Any) -> str | None:
    """The first file that is named and was not included: its document came without a folder."""
    if names_file(config):
        return str(config[FILE])
    parts = config.values() if isinstance(config, dict) else config if isinstance(config, list | tuple) else ()
    return next((found for part in parts if (found := missing(part)) is not None), None)
