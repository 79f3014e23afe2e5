"""The commands `backup` and `restore`: by the admin REST, or on the store itself where no node can be asked.

`--store` is the one exception to the rule that the command line speaks the admin REST only: it is for the day on which
there is no token to show, as tokens are in the store that was lost (docs/decisions/0040-state.md).
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any, Final

import orjson
import typer

from gateway.cli import direct, output
from gateway.cli.client import connect
from gateway.cli.failures import USAGE, Failed
from gateway.cli.options import Json, Token, Url

MEDIA_TYPE: Final = "application/vnd.penstock.backup"
_PIECE: Final = 256 * 1024
File = Annotated[str, typer.Argument(metavar="FILE", help="The backup's file; - for standard input or output.")]
Direct = Annotated[
    str | None, typer.Option("--store", help="On this store itself, without a gateway; needs PENSTOCK_KEY_SECRET.")
]
Phrase = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Encrypt or decrypt with the passphrase in this file.")
]


def add(app: typer.Typer) -> None:
    app.command()(backup)
    app.command()(restore)


def backup(
    file: File,
    messages: Annotated[bool, typer.Option("--messages", help="Also the messages of topics.")] = False,
    passphrase_file: Phrase = None,
    store: Direct = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Writes everything that the gateway's store holds into a file, as of one moment, while it goes on.

    Example: penstock backup penstock.backup
    """
    if store is not None:
        end = direct.backup(store, messages, lambda pieces: _write(file, pieces, passphrase_file))
    else:
        with connect(url, token).stream("/backup", messages=messages) as pieces:
            end = _write(file, pieces, passphrase_file)
    if as_json and file != "-":
        output.as_json({"file": file, **end})
    else:
        counts = ", ".join(f"{count} {kind}" for kind, count in end["lines"].items()) or "nothing"
        output.told(f"The backup holds the store as of sequence {end['sequence']}: {counts}.")


def restore(
    file: File,
    replace: Annotated[bool, typer.Option("--replace", help="In the place of what the store holds.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would change.")] = False,
    without_credentials: Annotated[
        bool, typer.Option("--without-credentials", help="Without keys, credentials, tokens, signing keys.")
    ] = False,
    passphrase_file: Phrase = None,
    store: Direct = None,
    url: Url = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Puts a backup in the place of what the gateway's store holds: all of it or nothing.

    Example: penstock restore penstock.backup --replace --dry-run
    """
    chosen = {"replace": replace, "without_credentials": without_credentials}
    with _opened(file, passphrase_file) as pieces:
        if store is not None:
            told = direct.restore(store, pieces, dry_run=dry_run, **chosen)
        else:
            told = connect(url, token).upload("/restore", pieces, MEDIA_TYPE, dry_run=dry_run, **chosen)
    if as_json:
        output.as_json(told)
        return
    columns = ["table", "create", "update", "unchanged", "delete"]
    output.table(told["items"], columns, "The backup is empty, and so is the store.")
    if told["sequence"] is None:
        output.out.print("Nothing was written.")
    else:
        output.good(f"Restored, as sequence {told['sequence']}. Every node loads it: penstock nodes tells when.")


# writing


def _write(file: str, pieces: Iterable[bytes], phrase: Path | None) -> dict[str, Any]:
    """Into a file beside its place, which it takes when it is whole. What the end says."""
    tail = _Tail(pieces)
    parts: Iterable[bytes] = tail
    if phrase is not None:
        from gateway.cli import encrypted

        parts = encrypted.encrypt(tail, encrypted.passphrase(phrase))
    if file == "-":
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return tail.end()
    beside = Path(f"{file}.partial")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as made:
            for part in parts:
                made.write(part)
            end = tail.end()
            made.flush()
            os.fsync(made.fileno())
        beside.replace(file)
    except OSError as error:
        raise Failed(f"{beside} cannot be written: {error.strerror}.") from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    return end


class _Tail:
    """Hands pieces on, and remembers the last line."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = pieces
        self._last = b""

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            held = self._last + piece
            self._last = held[held.rfind(b"\n", 0, -1) + 1 :]
            yield piece

    def end(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = orjson.loads(self._last)["end"]
        except (orjson.JSONDecodeError, TypeError, KeyError):
            raise Failed("The backup was cut off: it has no end. The gateway's log says why. Try again.") from None
        return found


# reading


@contextlib.contextmanager
def _opened(file: str, phrase: Path | None) -> Iterator[Iterator[bytes]]:
    with contextlib.ExitStack() as stack:
        try:
            source: IO[bytes] = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
        except OSError as error:
            raise Failed(f"{file} cannot be read: {error.strerror}.") from None
        if phrase is None:
            yield _plain(source)
            return
        from gateway.cli import encrypted

        yield encrypted.decrypt(source, encrypted.passphrase(phrase))


def _plain(source: IO[bytes]) -> Iterator[bytes]:
    piece = source.read(_PIECE)
    if piece.startswith(b"penstock-encrypted"):
        raise Failed("The backup is encrypted: give the file with its passphrase, --passphrase-file.", USAGE)
    while piece:
        yield piece
        piece = source.read(_PIECE)
