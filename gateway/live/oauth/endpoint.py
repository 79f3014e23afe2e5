"""The token endpoint on the gateway's port: tokens, introspection, revocation, the key set and metadata."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import orjson
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.consumers.current import CurrentDirectory
from gateway.consumers.sealed import Sealer
from gateway.consumers.signing import SigningKeyRecord
from gateway.consumers.signing_writes import revoke_token
from gateway.core.clock import Clock
from gateway.core.errors import Problem, StoreUnavailable, TooManyRequests, Undecidable
from gateway.core.exchange import Exchange, Reply, StepResult
from gateway.core.secrets import KeyHasher
from gateway.frontend.rest.problems import render
from gateway.live.health import place_method
from gateway.live.oauth.clients import FAILED, METHODS, Clients
from gateway.live.oauth.forms import LIMIT, Form, read_form
from gateway.live.oauth.server import Asked, Server, Told
from gateway.live.router import LiveRouter
from gateway.policy.credentials.whole_body import with_body
from gateway.policy.limits.subjects import network
from gateway.policy.tokens.algorithms import ASYMMETRIC
from gateway.policy.tokens.metadata import OAUTH, WELL_KNOWN
from gateway.policy.tokens.own_issuer import OwnIssuer
from gateway.snapshot.routes import segments_of
from gateway.store.counters import Counter, Counters, Limit, Rule, Verdict
from gateway.store.store import REVOKED, Store

FAILURES: Final = 30  # proofs that fail, of one client from one address in a minute
FAILURES_OF_AN_ADDRESS: Final = 300
ONCE: Final = 4000.0  # seconds for which an assertion is remembered: longer than any holds
MOST_REVOKED: Final = 1000  # tokens of one client that have not ended
KEYS_FRESH: Final = 300  # seconds for which others may keep the key set
_JSON: Final = (b"Content-Type", b"application/json")
_PRIVATE: Final = ((b"Cache-Control", b"no-store"), (b"Pragma", b"no-cache"))
_CHALLENGE: Final = (b"WWW-Authenticate", b'Basic realm="token endpoint"')
_LATER: Final = ((b"Retry-After", b"1"),)


class TokenEndpoint:
    """One per worker. `path` is where it stands; its URLs begin as the issuer's does."""

    def __init__(
        self,
        own: OwnIssuer,
        path: str,
        lifetime: float,
        directory: CurrentDirectory,
        hasher: KeyHasher,
        clock: Clock,
        counters: Counters,
        store: Store,
    ) -> None:
        parts = urlsplit(own.url)
        self._url = f"{parts.scheme}://{parts.netloc}{path}"
        self._path, self._issuer_path, self._own = path, parts.path.rstrip("/"), own
        self._directory, self._clock, self._store = directory, clock, store
        self._sealer = Sealer(hasher)
        self._signing: tuple[str, Any] | None = None
        names = ("token", "introspect", "revoke")
        clients = Clients(directory, hasher, clock, own.url, frozenset(f"{self._url}/{name}" for name in names))
        self._server = Server(own, clients, clock, lifetime)
        self._failures = _counter(counters, "client", FAILURES, 60.0)
        self._address = _counter(counters, "address", FAILURES_OF_AN_ADDRESS, 60.0)
        self._once = _counter(counters, "assertion", 1, ONCE)

    def place(self, router: LiveRouter) -> None:
        """A component's endpoint at one of these URLs is hidden."""
        path = segments_of(self._path)
        decide: dict[str, Callable[[Asked], Told]] = {
            "token": self._server.create_token_response,
            "introspect": lambda asked: self._server.create_endpoint_response("introspection", asked),
            "revoke": lambda asked: self._server.create_endpoint_response("revocation", asked),
        }
        for name, each in decide.items():
            place_method(router, (*path, name), f"oauth {name}", b"POST", self._step(each), _render)
        place_method(router, (*path, "jwks"), "oauth jwks", b"GET", self._jwks)
        for known in (WELL_KNOWN + self._issuer_path, OAUTH + self._issuer_path, self._issuer_path + WELL_KNOWN):
            place_method(router, segments_of(known), "oauth metadata", b"GET", self._metadata)

    async def close(self) -> None:
        await self._store.close()

    # what anybody may read

    def _jwks(self, _exchange: Exchange) -> Reply:
        keys = [dict(each.jwk) for each in self._directory.current.signing_keys.published(self._clock.time())]
        fresh = (b"Cache-Control", f"public, max-age={KEYS_FRESH}".encode())
        return Reply(200, [_JSON, fresh], orjson.dumps({"keys": keys}))

    def _metadata(self, _exchange: Exchange) -> Reply:
        """RFC 8414 section 2."""
        found: dict[str, Any] = {
            "issuer": self._own.url,
            "token_endpoint": f"{self._url}/token",
            "jwks_uri": f"{self._url}/jwks",
            "introspection_endpoint": f"{self._url}/introspect",
            "revocation_endpoint": f"{self._url}/revoke",
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
        }
        for name in ("token", "introspection", "revocation"):
            found[f"{name}_endpoint_auth_methods_supported"] = METHODS
            found[f"{name}_endpoint_auth_signing_alg_values_supported"] = list(ASYMMETRIC)
        return Reply(200, [_JSON, (b"Cache-Control", b"public, max-age=300")], orjson.dumps(found))

    # what a client asks

    def _step(self, decide: Callable[[Asked], Told]) -> Callable[[Exchange], StepResult]:
        def begin(exchange: Exchange) -> StepResult:
            return self._answer(exchange, decide)  # type: ignore[return-value]  # the loop runs it as a task

        return lambda exchange: with_body(exchange, LIMIT, begin)

    async def _answer(self, exchange: Exchange, decide: Callable[[Asked], Told]) -> Reply:
        if self._directory.undecidable(self._clock.time()):
            raise StoreUnavailable("The clients known here are too old to decide by.", headers=_LATER)
        try:
            asked = self._read(exchange)
            client, address = _subject(asked, exchange), network(exchange.head.peer.client)
            first = await self._count(self._failures, client)
            second = await self._count(self._address, address)
            told = decide(asked)
            if asked.proved:
                self._failures.give(client, first.at)
                self._address.give(address, second.at)
            if asked.once is not None and told.status == 200 and not await self._unused(asked.once):
                told = Told(401, {"error": "invalid_client", "error_description": FAILED})
        except OAuth2Error as error:
            told = Told(*error())
        if told.status == 200:
            await self._carry_out(asked, told)
        return _reply(told)

    def _read(self, exchange: Exchange) -> Asked:
        shown = exchange.head.all(b"authorization")
        if len(shown) > 1:
            raise OAuth2Error("More than one Authorization is sent.", error="invalid_request")
        form = read_form(exchange.head.get(b"content-type"), exchange.body or b"")
        return Asked(form, shown[0].decode("latin-1") if shown else None)

    async def _count(self, counter: Counter, subject: str) -> Verdict:
        """While the store cannot tell, nobody passes."""
        verdict = await _taken(counter, subject)
        if verdict is None:
            raise StoreUnavailable("Whether a client may ask cannot be told now.", headers=_LATER)
        if not verdict.allowed:
            later = str(int(verdict.retry_after) + 1).encode()
            raise TooManyRequests("Too many proofs of this client have failed.", headers=[(b"Retry-After", later)])
        return verdict

    async def _unused(self, once: str) -> bool:
        verdict = await _taken(self._once, _digest(once))
        if verdict is None:
            raise StoreUnavailable("Whether an assertion was used before cannot be told now.", headers=_LATER)
        return verdict.allowed

    async def _carry_out(self, asked: Asked, told: Told) -> None:
        if asked.claims is not None:
            told.body["access_token"] = await self._sign(asked.claims)
        if asked.revoked is not None:
            await self._revoke(asked.revoked)

    async def _sign(self, claims: dict[str, Any]) -> str:
        record = self._directory.current.signing_keys.signing(self._clock.time())
        if record is None:
            raise Undecidable("There is no key to sign with yet.", headers=_LATER)
        key, header = self._private(record), {"kid": record.kid, "typ": "at+jwt"}
        if record.algorithm == "RS256":  # the better part of a millisecond
            return await asyncio.to_thread(jwt.encode, claims, key, record.algorithm, header)
        return jwt.encode(claims, key, record.algorithm, header)

    def _private(self, record: SigningKeyRecord) -> Any:
        if self._signing is None or self._signing[0] != record.sealed:
            opened = load_pem_private_key(self._sealer.open(record.sealed, record.context), None)
            self._signing = record.sealed, opened
        return self._signing[1]

    async def _revoke(self, claims: Any) -> None:
        """Written, and known here, before it is answered."""
        revoked, jti, client = self._directory.current.revoked_tokens, claims["jti"], claims["client_id"]
        if revoked.count(client) >= MOST_REVOKED:
            text = f"{MOST_REVOKED} revoked tokens of this client have not ended; revoke its credential instead."
            raise Undecidable(text, headers=[(b"Retry-After", b"60")])
        await revoke_token(self._store, jti, client, claims["exp"], actor=client)
        self._directory.current.put(REVOKED, jti, {"client": client, "ends": claims["exp"]})


def _counter(counters: Counters, name: str, most: int, window: float) -> Counter:
    return counters.counter((Limit(f"oauth:{name}:", (Rule("gcra", most, window),)),))


async def _taken(counter: Counter, subject: str) -> Verdict | None:
    future: asyncio.Future[Verdict | None] = asyncio.get_running_loop().create_future()
    counter.take(subject, lambda verdict: None if future.done() else future.set_result(verdict))
    return await future


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "replace")).hexdigest()


def _subject(asked: Asked, exchange: Exchange) -> str:
    """Whose failures are counted: of what a request claims to be, from where it comes."""
    try:
        named, _ = extract_basic_authorization(asked.headers)
    except ValueError:
        named = None
    return _digest(f"{named or _claimed(asked.form)} {network(exchange.head.peer.client)}")


def _claimed(form: Form) -> str:
    return form.get("client_id") or form.get("client_assertion", "").split(".")[0]


def _reply(told: Told) -> Reply:
    fields = [_JSON, *_PRIVATE]
    if told.status == 401:
        fields.append(_CHALLENGE)
    return Reply(told.status, fields, orjson.dumps(told.body))


def _render(exchange: Exchange, problem: Problem) -> Reply:
    """As RFC 6749 section 5.2 tells errors, whatever went wrong."""
    reply = render(exchange, problem)
    error = "invalid_request" if problem.status < 500 else "server_error"
    if problem.status in {429, 503}:
        error = "temporarily_unavailable"
    for name, value in (_JSON, *_PRIVATE):
        reply.set(name, value)
    reply.body = orjson.dumps({"error": error, "error_description": problem.detail or problem.title})
    return reply
