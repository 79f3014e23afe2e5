"""A file encrypted under a passphrase: what a backup may be kept as. The passphrase stays on this machine.

A line that says so, with the parameters of scrypt (RFC 7914) and a salt; then pieces, each with its length in four
bytes before it: AES-256-GCM, whose nonce is the piece's number and whether it is the last, and which authenticate the
line. So pieces that are changed, left out, doubled or cut off at the end are known.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from hashlib import scrypt
from pathlib import Path
from typing import IO, Final

from gateway.cli.failures import USAGE, Failed

MAGIC: Final = b"penstock-encrypted 1 "
_PIECE: Final = 64 * 1024
_TAG: Final = 16
_N, _R, _P = 2**15, 8, 1  # 32 MB and a tenth of a second
_SHORTEST: Final = 12  # characters


def passphrase(path: Path) -> bytes:
    """Of a file: its content without the last line end."""
    try:
        found = path.read_bytes().removesuffix(b"\n").removesuffix(b"\r")
    except OSError as error:
        raise Failed(f"{path} cannot be read: {error.strerror}.", USAGE) from None
    if len(found) < _SHORTEST:
        raise Failed(f"The passphrase in {path} is shorter than {_SHORTEST} characters.", USAGE)
    return found


def encrypt(pieces: Iterable[bytes], phrase: bytes) -> Iterator[bytes]:
    salt = os.urandom(16)
    line = MAGIC + b"scrypt %d %d %d %b\n" % (_N, _R, _P, b64encode(salt))
    cipher = _cipher(phrase, salt)
    yield line
    held, number = bytearray(), 0
    for piece in pieces:
        held += piece
        while len(held) > _PIECE:
            yield _sealed(cipher, number, bytes(held[:_PIECE]), False, line)
            del held[:_PIECE]
            number += 1
    yield _sealed(cipher, number, bytes(held), True, line)


def decrypt(file: IO[bytes], phrase: bytes) -> Iterator[bytes]:
    """Failed for another passphrase, and for a file that is not what was written."""
    line = file.readline(256)
    words = line.removeprefix(MAGIC).split()
    if not line.startswith(MAGIC) or words[:4] != [b"scrypt", *(b"%d" % each for each in (_N, _R, _P))]:
        raise Failed("The file is not encrypted, or by another release. Leave --passphrase-file out if it is plain.")
    cipher, number = _cipher(phrase, b64decode(words[4])), 0
    following = _piece(file)
    while following is not None:
        piece, following = following, _piece(file)
        yield _opened(cipher, number, piece, following is None, line)
        number += 1
    if not number:
        raise Failed("The encrypted file was cut off. Take another copy.")


def _piece(file: IO[bytes]) -> bytes | None:
    length = file.read(4)
    if not length:
        return None
    size = int.from_bytes(length)
    piece = file.read(size) if len(length) == 4 and size <= _PIECE + _TAG else b""
    if len(piece) != size or size < _TAG:
        raise Failed("The encrypted file was cut off or damaged. Take another copy.")
    return piece


def _cipher(phrase: bytes, salt: bytes) -> object:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(scrypt(phrase, salt=salt, n=_N, r=_R, p=_P, maxmem=64 * 1024 * 1024, dklen=32))


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(8) + int(last).to_bytes(4)


def _sealed(cipher: object, number: int, piece: bytes, last: bool, line: bytes) -> bytes:
    sealed: bytes = cipher.encrypt(_nonce(number, last), piece, line)  # type: ignore[attr-defined]
    return len(sealed).to_bytes(4) + sealed


def _opened(cipher: object, number: int, piece: bytes, last: bool, line: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        opened: bytes = cipher.decrypt(_nonce(number, last), piece, line)  # type: ignore[attr-defined]
    except InvalidTag:
        text = "It is another passphrase" if not number else "The encrypted file was cut off or changed"
        raise Failed(f"{text}, or the file is damaged. Nothing was restored.") from None
    return opened
