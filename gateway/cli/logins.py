"""Who has signed in where: one file of the user's, mode 0600, by the gateway's URL. It stands apart from the context
file, which a gateway writes anew at each start.

`$PENSTOCK_LOGINS`, else `$XDG_CONFIG_HOME/penstock/logins.json`, else `~/.config/penstock/logins.json`. Commands that
run at the same time take turns at it, so that a refresh token is used once.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.cli.failures import USAGE, Failed


@dataclass(frozen=True)
class Login:
    """`ends` in seconds since 1970, of the access token. `token_endpoint` is the provider's, by its discovery."""

    issuer: str
    client_id: str
    token_endpoint: str
    access: str = field(repr=False)
    ends: float
    refresh: str | None = field(default=None, repr=False)
    revocation_endpoint: str | None = None
    resource: str | None = None


def file() -> Path:
    if named := os.environ.get("PENSTOCK_LOGINS"):
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME")
    return (Path(home) if home else Path.home() / ".config") / "penstock" / "logins.json"


def find(url: str) -> Login | None:
    found = _read().get(_key(url))
    try:
        return None if found is None else Login(**found)
    except TypeError:
        raise _unreadable() from None


def only_url() -> str | None:
    """Of the one gateway at which somebody has signed in; None where there are none or several."""
    known = list(_read())
    return known[0] if len(known) == 1 else None


@contextmanager
def turn() -> Iterator[None]:
    """One command at a time changes the file."""
    path = file()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failed(
            f"{path.parent} cannot be written: {error.strerror}. PENSTOCK_LOGINS names another place."
        ) from None
    with open(handle, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def keep(url: str, login: Login | None) -> None:
    """In one's turn. None: it is forgotten. The file is replaced whole."""
    known = _read()
    known.pop(_key(url), None)
    if login is not None:
        known[_key(url)] = asdict(login)
    path = file()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".logins-")  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as made:
            made.write(orjson.dumps(known, option=orjson.OPT_INDENT_2))
        Path(name).replace(path)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise Failed(f"{path} cannot be written: {error.strerror}. PENSTOCK_LOGINS names another place.") from None


def _key(url: str) -> str:
    return url.rstrip("/")


def _read() -> dict[str, Any]:
    try:
        found = orjson.loads(file().read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError):
        raise _unreadable() from None
    if not isinstance(found, dict):
        raise _unreadable()
    return found


def _unreadable() -> Failed:
    return Failed(f"{file()} is not what `penstock login` writes. Remove it, and sign in again.", USAGE)
