"""What a consumer may ask about its own key on the gateway's port: `PATH/key`, with the key in `X-API-KEY`.

It tells who shows a key what the gateway knows of it: so that a client sees by itself that its key ends soon. Unknown,
revoked and ended keys read the same as everywhere (CASES C40); nothing but the directory is asked, and no limit counts.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gateway.consumers.current import CurrentDirectory
from gateway.consumers.records import Key
from gateway.core.clock import Clock, utc_text
from gateway.core.errors import StoreUnavailable, Unauthorized
from gateway.core.exchange import Exchange, Reply
from gateway.core.secrets import KeyHasher
from gateway.live.health import place_own
from gateway.live.router import LiveRouter
from gateway.policy.credentials.api_keys import credential_reader, refused

HEADER: Final = "X-API-KEY"
_FIELDS: Final = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))
_CHALLENGE: Final = ((b"WWW-Authenticate", b'ApiKey realm="gateway"'),)


def place_key_check(
    router: LiveRouter, path: str, directory: CurrentDirectory, hasher: KeyHasher, clock: Clock
) -> None:
    read = credential_reader(HEADER, None)

    def check(exchange: Exchange) -> Reply:
        presented, now = read(exchange.head), clock.time()
        if presented is None:
            raise Unauthorized(f"Send an API key in the header {HEADER}.", headers=_CHALLENGE)
        key = directory.find(hasher.digest(presented))
        if directory.undecidable(now):
            raise StoreUnavailable("The keys known here are too old to decide by.", headers=[(b"Retry-After", b"5")])
        reason = "unknown" if key is None else key.refusal(now)
        if key is None or reason is not None:
            raise refused(reason, _CHALLENGE)
        return Reply(200, [*_FIELDS], orjson.dumps(_told(key, now)))

    place_own(router, path, "key", check)


def _told(key: Key, now: float) -> dict[str, Any]:
    """`ends_in`: whole seconds."""
    ends = key.ends
    return {
        "id": key.id,
        "application": key.application,
        "api": key.api,
        "plan": key.plan,
        "version": key.version,
        "starts": None if key.starts is None else utc_text(key.starts),
        "ends": None if ends is None else utc_text(ends),
        "ends_in": None if ends is None else int(ends - now),
    }
