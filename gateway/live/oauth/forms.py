"""The bodies that the token endpoint takes: small, strict, without repeated parameters (RFC 6749 section 3.2)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import InvalidRequestError

LIMIT: Final = 16_384  # bytes
MOST: Final = 32  # parameters
REPEATED: Final = ("resource", "audience")  # RFC 8707 section 2
MEDIA_TYPE: Final = b"application/x-www-form-urlencoded"


class Form(dict[str, str]):
    """A parameter without a value counts as left out. `targets`: those that may be repeated."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__()
        self.targets: list[tuple[str, str]] = []
        for name, value in pairs:
            if name in REPEATED:
                self.targets.append((name, value))
            elif name in self:
                raise InvalidRequestError("A parameter is sent more than once.")
            else:
                self[name] = value
        for name in [name for name, value in self.items() if not value]:
            del self[name]


def read_form(media_type: bytes | None, body: bytes) -> Form:
    """Raises InvalidRequestError, whose text repeats nothing of the body."""
    if (media_type or b"").partition(b";")[0].strip().lower() != MEDIA_TYPE:
        raise InvalidRequestError(f"Send parameters as {MEDIA_TYPE.decode()}.")
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MOST)
    except ValueError:
        raise InvalidRequestError("The body is no form of at most 32 parameters.") from None
    if any(not value.isprintable() for pair in pairs for value in pair):
        raise InvalidRequestError("A parameter holds a character that none may have.")
    return Form(pairs)
