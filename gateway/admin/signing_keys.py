"""Keys that sign the tokens of the gateway's own issuer, on the admin REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from gateway.admin import pages
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.consumers import signing_writes
from gateway.consumers.signing import Algorithm, SigningKeyRecord, SigningKeys
from gateway.consumers.tokens import Token
from gateway.core.errors import Conflict


def entries(service: Service) -> Iterator[Entry]:
    made = _SigningKeys(service)
    yield Entry("/signing-keys", "GET", made.all, "admin")
    yield Entry("/signing-keys/rotate", "POST", made.rotate, "admin")
    yield Entry("/signing-keys/{kid}/retire", "POST", made.retire, "admin")


class _SigningKeys:
    def __init__(self, service: Service) -> None:
        self.service = service

    def _rules(self) -> tuple[Algorithm, float]:
        if self.service.signing is None:
            raise Conflict("This gateway issues no tokens: give it an `issuer`, PENSTOCK_ISSUER.")
        return self.service.signing

    async def all(self, request: Request, _token: Token) -> Any:
        keys, now = await signing_writes.load_signing_keys(self.service.store), self.service.clock.time()
        return pages.listed(request, [_shown(each, keys, now) for each in keys], "kid")

    async def rotate(self, _request: Request, token: Token) -> Any:
        service, (algorithm, lead) = self.service, self._rules()
        made = await signing_writes.make_signing_key(
            service.store, service.hasher, service.clock, algorithm, lead, actor=token.name
        )
        return JSONResponse({"kid": made.kid, "signs": made.signs}, 201)

    async def retire(self, request: Request, token: Token) -> Any:
        service, (algorithm, _) = self.service, self._rules()
        kid = request.path_params["kid"]
        made = await signing_writes.retire_signing_key(
            service.store, service.hasher, service.clock, kid, algorithm, actor=token.name
        )
        return {"retired": kid, "successor": made.kid if made else None}


def _shown(key: SigningKeyRecord, keys: SigningKeys, now: float) -> dict[str, Any]:
    """Without its private key."""
    ends = keys.ends(key)
    state = "retired" if key.retired is not None else "waiting" if key.signs > now else "verifying"
    state = "ended" if state == "verifying" and ends is not None and now >= ends else state
    state = "signing" if key is keys.signing(now) else state
    about = {"kid": key.kid, "algorithm": key.algorithm, "state": state, "created": key.created, "signs": key.signs}
    return about | {"ends": ends}
