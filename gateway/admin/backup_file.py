"""The file of a backup: lines of JSON, the first a head, the last an end that seals all before it.

```
{"penstock": "backup", "form": 1, "release": "0.1.0", "schema": 1, "at": 1764000000.0, "key_check": "…", …}
["record", table, key, version, value]      as a table had it when it was read
["usage", day or hour, component@version, {application: [calls, refused, failed, received, sent]}]
["message", topic, …]                       see `store.stream_copies`
["audit", sequence, at, entry]
["change", table, key, version, value]      what was committed meanwhile: it counts; null: deleted
{"end": {"sequence": 57, "lines": {"record": 31, …}, "sha256": "…", "seal": "…"}}
```

`seal` is a keyed hash (HMAC-SHA256 under the cluster's key secret) of all lines before the end, so that nobody can put
a token or a key of his own into a file that somebody else restores.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import IO, Any, Final

import orjson

from gateway.core.errors import Conflict, InvalidInput
from gateway.core.secrets import KeyHasher

FORM: Final = 1
MEDIA_TYPE: Final = "application/vnd.penstock.backup"
BATCH: Final = 500  # lines that are worked on together
_SIZE: Final = 2_000_000  # bytes of them
LONGEST: Final = 64 * 1024 * 1024  # bytes of one line
RECORD, CHANGE, AUDIT, USAGE, MESSAGE = "record", "change", "audit", "usage", "message"
_SHAPES: Final[Mapping[str, tuple[type | tuple[type, ...], ...]]] = {
    RECORD: (str, str, int, dict),
    CHANGE: (str, str, int, (dict, type(None))),
    AUDIT: (int, (int, float), dict),
    USAGE: (str, str, dict),
    MESSAGE: (str, list),
}
_HEAD: Final = {"penstock": str, "form": int, "release": str, "schema": int, "at": float, "key_check": str}
_END: Final = {"sequence": int, "lines": dict, "sha256": str, "seal": str}


class WrongKeySecret(Conflict):
    """The backup is of a cluster with another key secret."""

    title, code = "The backup was made under another key secret", "wrong_key_secret"


class DamagedBackup(InvalidInput):
    """Nothing of it is restored."""

    title, code = "The backup is damaged", "damaged_backup"


def key_check(hasher: KeyHasher) -> str:
    """Tells two key secrets apart, and nothing about either."""
    return hasher.derive("backup check 1")[:16].hex()


def _seal(hasher: KeyHasher, digest: bytes) -> str:
    return hmac.digest(hasher.derive("backup seal 1"), digest, sha256).hex()


class Writer:
    """Makes the lines of one backup."""

    def __init__(self, hasher: KeyHasher) -> None:
        self._hasher = hasher
        self._sum = sha256()
        self.lines: dict[str, int] = {}

    def head(self, release: str, schema: int, at: float, messages: bool) -> bytes:
        about = {"penstock": "backup", "form": FORM, "release": release, "schema": schema, "at": float(at)}
        return self._summed(orjson.dumps(about | {"key_check": key_check(self._hasher), "messages": messages}))

    def line(self, kind: str, *content: Any) -> bytes:
        self.lines[kind] = self.lines.get(kind, 0) + 1
        return self._summed(orjson.dumps([kind, *content]))

    def _summed(self, text: bytes) -> bytes:
        text += b"\n"
        self._sum.update(text)
        return text

    def end(self, sequence: int) -> bytes:
        digest = self._sum.digest()
        sealed = {"sha256": digest.hex(), "seal": _seal(self._hasher, digest)}
        return orjson.dumps({"end": {"sequence": sequence, "lines": self.lines, **sealed}}) + b"\n"


@dataclass
class Backup:
    """A file that holds what it should. `changes` are in memory: what was committed while it was made."""

    file: IO[bytes]
    head: Mapping[str, Any]
    sequence: int
    lines: Mapping[str, int]
    changes: dict[tuple[str, str], tuple[int, dict[str, Any] | None]] = field(default_factory=dict)

    def batches(self) -> Iterator[list[list[Any]]]:
        """Every line between head and end but the changes, those of one kind (and of one table) together, some
        megabytes at most; once more from the beginning by each call."""
        self.file.seek(0)
        self.file.readline()
        batch: list[list[Any]] = []
        size, sort = 0, None
        for line in self.file:
            if not line.startswith(b"["):
                break
            row: list[Any] = orjson.loads(line)
            if row[0] == CHANGE:
                continue
            now = row[:2] if row[0] in (RECORD, MESSAGE) else row[:1]
            if batch and (now != sort or len(batch) >= BATCH or size > _SIZE):
                yield batch
                batch, size = [], 0
            batch.append(row)
            size, sort = size + len(line), now
        if batch:
            yield batch


def read(file: IO[bytes], hasher: KeyHasher, *, trusting: bool = False) -> Backup:
    """Reads all of it once and holds it to everything that it says of itself. DamagedBackup with the line;
    WrongKeySecret. `trusting`: a file of another key secret is taken, whose seal cannot be proved."""
    file.seek(0)
    lines = _lines(file)
    text = next(lines, b"")
    head = _head(text)
    foreign = head["key_check"] != key_check(hasher)
    if foreign and not trusting:
        raise WrongKeySecret(
            "Keys, tokens, passwords and sealed secrets of this backup hold under the PENSTOCK_KEY_SECRET of the "
            "cluster that made it, and this gateway has another one. Start the gateway with that secret; or restore "
            "without them, and make new ones: --without-credentials."
        )
    summed = sha256(text)
    counts: dict[str, int] = {}
    made = Backup(file, head, 0, counts)
    for number, line in enumerate(lines, 2):
        if not line.startswith(b"["):
            _end(line, number, made, summed.digest(), None if foreign else hasher)
            if next(lines, b""):
                raise DamagedBackup(f"line {number + 1}: something follows the end.")
            return made
        summed.update(line)
        _count(_row(line, number), made, counts)
    raise DamagedBackup("It has no end: it was cut off while it was made or copied. Take another one.")


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(LONGEST + 1):
        if len(line) > LONGEST:
            raise DamagedBackup(f"A line is longer than {LONGEST} bytes.")
        yield line


def _head(line: bytes) -> dict[str, Any]:
    found = _json(line, 1)
    if not isinstance(found, dict) or found.get("penstock") != "backup":
        raise DamagedBackup("line 1: this is no backup of Penstock. Is it encrypted? Then give --passphrase-file.")
    if found.get("form") != FORM:
        raise DamagedBackup(f"line 1: it is of form {found.get('form')!r}, this release reads form {FORM}.")
    if not all(isinstance(found.get(name), kind) for name, kind in _HEAD.items()):
        raise DamagedBackup(f"line 1: a head has {', '.join(_HEAD)}.")
    return found


def _json(line: bytes, number: int) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DamagedBackup(f"line {number}: no JSON ({error}).") from None


def _row(line: bytes, number: int) -> list[Any]:
    row: list[Any] = _json(line, number)
    shape = _SHAPES.get(row[0]) if row and isinstance(row[0], str) else None
    if shape is None:
        raise DamagedBackup(f"line {number}: {str(row[:1])[:40]} is nothing that this release knows.")
    if len(row) != len(shape) + 1 or not all(map(isinstance, row[1:], shape)):
        raise DamagedBackup(f"line {number}: this is not what a line of kind {row[0]} has.")
    return row


def _count(row: list[Any], made: Backup, counts: dict[str, int]) -> None:
    counts[row[0]] = counts.get(row[0], 0) + 1
    if row[0] == CHANGE:
        made.changes[row[1], row[2]] = row[3], row[4]


def _end(line: bytes, number: int, made: Backup, digest: bytes, hasher: KeyHasher | None) -> None:
    found = _json(line, number)
    end = found.get("end") if isinstance(found, dict) else None
    if not isinstance(end, dict) or not all(isinstance(end.get(name), kind) for name, kind in _END.items()):
        raise DamagedBackup(f"line {number}: this is neither a line of a backup nor its end.")
    if end["sha256"] != digest.hex():
        raise DamagedBackup("Its content is not what its end says (sha256): it was changed or damaged since.")
    if end["lines"] != made.lines:
        raise DamagedBackup(f"It has {dict(made.lines)} lines, its end says {end['lines']}.")
    if hasher is not None and not hmac.compare_digest(end["seal"], _seal(hasher, digest)):
        raise DamagedBackup("Its seal does not hold: somebody changed it who does not have the key secret.")
    made.sequence = end["sequence"]
