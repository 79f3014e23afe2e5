"""Places in a value, as `Detail.target` names them: `$.lines[2].sku`."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.core.errors import Detail

Path = tuple[Any, ...]  # () is the root, (parent path, key) anything below: cheap to make, rendered only for errors
ROOT: Final[Path] = ()
MAX_DETAILS: Final = 50  # of one refusal; reading stops at containers once there are so many

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def render(path: Path) -> str:
    """The place as text."""
    keys: list[Any] = []
    while path:
        path, key = path
        keys.append(key)
    return "$" + "".join(_step(key) for key in reversed(keys))


def _step(key: Any) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _PLAIN.fullmatch(key) else f"[{key[:100]!r}]"


def wrong(path: Path, message: str, code: str = "invalid") -> Detail:
    return Detail(render(path), message, code)
