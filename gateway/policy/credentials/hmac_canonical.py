"""What is signed by `hmac`, and where the signature stands: two layouts.

`penstock`: `Authorization: HMAC-SHA256 keyid="partner", created=1700000000, nonce="…", signature="…"`. Signed are
eight lines, joined by a line feed: `HMAC-SHA256`, the key id, `created`, the nonce, the method, the target as it is
sent (path and query), the Host field in lower case, and the Content-Digest field (RFC 9530), empty without one.

`standard-webhooks`: the fields `webhook-id`, `webhook-timestamp` and `webhook-signature`; signed is id, timestamp and
body, joined by dots (Standard Webhooks 1.0.0).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.core.errors import BadRequest
from gateway.core.exchange import Exchange, Head
from gateway.core.headers import finder

SCHEME: Final = "HMAC-SHA256"
WEBHOOK_FIELDS: Final = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")
WEBHOOK_SECRET: Final = "whsec_"  # noqa: S105 - a prefix, no secret
MOST_SIGNATURES: Final = 8
_PARAMETER: Final = re.compile(
    rb'[ \t]*+(keyid|created|nonce|signature)=(?:"([!#-\[\]-~]{1,512})"|(\d{1,12}))[ \t]*+(?:,|\Z)'
)
_ID: Final = re.compile(rb"[!-\-/-~]{1,256}")  # without a dot, which ends it in what is signed
_SECONDS: Final = re.compile(rb"\d{1,12}")


@dataclass(frozen=True, slots=True)
class Signed:
    """`signatures` are raw bytes, any of which may be the one; `key` is empty where the layout names none."""

    key: str
    created: int
    nonce: str
    signatures: tuple[bytes, ...]


def parameters(text: bytes) -> Signed:
    """Of the Authorization field, behind its scheme. BadRequest."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or match[1] in found:
            raise _malformed()
        found[match[1]] = match[2] or match[3]
        at = match.end()
    if found.keys() != {b"keyid", b"created", b"nonce", b"signature"} or not found[b"created"].isdigit():
        raise _malformed()
    if not 8 <= len(found[b"nonce"]) <= 128:
        raise BadRequest("A nonce has 8 to 128 characters, others for each request.")
    return Signed(
        found[b"keyid"].decode(), int(found[b"created"]), found[b"nonce"].decode(), (_raw(found[b"signature"]),)
    )


def _malformed() -> BadRequest:
    return BadRequest(f'Write Authorization: {SCHEME} keyid="…", created=SECONDS, nonce="…", signature="BASE64".')


def _raw(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadRequest("A signature is written in base64.") from None


def canonical(head: Head, signed: Signed, digest: bytes) -> bytes:
    target = head.target + b"?" if head.lone else head.target
    about = (SCHEME, signed.key, str(signed.created), signed.nonce)
    return b"\n".join((*(each.encode() for each in about), head.method, target, head.host.lower(), digest))


def webhook(exchange: Exchange) -> Signed | None:
    """Of the fields of a webhook; None when there are none. BadRequest when they are malformed or doubled."""
    values = [finder(name)(exchange.head.block) for name in WEBHOOK_FIELDS]
    if not values[2]:
        return None
    if any(len(each) != 1 for each in values):
        raise BadRequest("A webhook has one webhook-id, one webhook-timestamp and one webhook-signature.")
    ((id,), (at,), (text,)) = values
    if _ID.fullmatch(id) is None or _SECONDS.fullmatch(at) is None:
        raise BadRequest("webhook-id is visible ASCII without a dot, webhook-timestamp seconds since 1970.")
    offered = [each[3:] for each in text.split(b" ") if each.startswith(b"v1,")]
    if not offered or len(offered) > MOST_SIGNATURES:
        raise BadRequest(f"webhook-signature holds v1,BASE64, at most {MOST_SIGNATURES} of them.")
    return Signed("", int(at), f"{id.decode()}.{int(at)}", tuple(map(_raw, offered)))


def webhook_content(head: Head, body: bytes) -> bytes:
    return b".".join((head.get(b"webhook-id") or b"", head.get(b"webhook-timestamp") or b"", body))


def webhook_secret(text: str) -> bytes:
    """`whsec_BASE64`, or the base64 alone. ValueError, which does not repeat it."""
    try:
        return base64.b64decode(text.removeprefix(WEBHOOK_SECRET), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a secret of Standard Webhooks is base64 behind whsec_") from None


def sign(secret: bytes, content: bytes) -> bytes:
    return hmac.digest(secret, content, hashlib.sha256)


def proves(secrets: Iterable[bytes], signatures: Iterable[bytes], content: bytes) -> bool:
    """All are compared, in constant time."""
    offered = tuple(signatures)
    found = False
    for secret in secrets:
        expected = sign(secret, content)
        for each in offered:
            found = hmac.compare_digest(expected, each) or found
    return found
