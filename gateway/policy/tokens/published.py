"""What issuers publish, by URL, shared by all steps of a worker: their metadata and their keys. What no step uses any
more is forgotten."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import orjson

from gateway.policy.tokens.metadata import WELL_KNOWN, Metadata, oauth_url, read_metadata
from gateway.policy.tokens.remote import Remote, freshness
from gateway.policy.tokens.signing_keys import KeySet, from_jwks
from gateway.relay.outside import Outside
from gateway.relay.upstream import Fetched

TIMEOUT: Final = 5.0  # seconds
LIMIT: Final = 512 * 1024  # bytes
_ACCEPT: Final = (b"Accept", b"application/json")
Tls = ssl.SSLContext | None
T = TypeVar("T")


class Published:
    """One per worker: `outside.shared(Published)`."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._known: WeakValueDictionary[tuple[str, str, Tls], Remote[Any]] = WeakValueDictionary()

    def keys(self, url: str, tls: Tls = None) -> Remote[KeySet]:
        """Of a JWK set at a URL."""

        async def load() -> tuple[KeySet, float]:
            answer = await self._get(url, tls)
            return _keys(answer.body), freshness(answer)

        return self._shared(("keys", url, tls), lambda: Remote(f"the key set {url}", load, self._outside.clock))

    def metadata(self, issuer: str, tls: Tls = None) -> Remote[Metadata]:
        """Of an issuer, by discovery."""
        url = issuer.rstrip("/") + WELL_KNOWN

        async def load() -> tuple[Metadata, float]:
            answer = await self._ask(url, tls)
            if answer.status == 404:
                answer = await self._ask(oauth_url(issuer), tls)
            _good(answer)
            return read_metadata(issuer, answer.body), freshness(answer)

        return self._shared(
            ("metadata", issuer, tls), lambda: Remote(f"the issuer {issuer}", load, self._outside.clock)
        )

    def keys_of(self, issuer: str, tls: Tls = None) -> Remote[KeySet]:
        """Of an issuer, where its metadata says."""
        metadata = self.metadata(issuer, tls)

        async def load() -> tuple[KeySet, float]:
            url = (await metadata.current()).jwks_uri
            if url is None:
                raise ValueError("its metadata names no jwks_uri")
            answer = await self._get(url, tls)
            return _keys(answer.body), freshness(answer)

        made = f"the key set of {issuer}"
        return self._shared(("keys of", issuer, tls), lambda: Remote(made, load, self._outside.clock))

    def _shared(self, key: tuple[str, str, Tls], make: Callable[[], Remote[T]]) -> Remote[T]:
        found = self._known.get(key)
        if found is None:
            found = make()
            self._known[key] = found
        return found

    async def _get(self, url: str, tls: Tls) -> Fetched:
        return _good(await self._ask(url, tls))

    async def _ask(self, url: str, tls: Tls) -> Fetched:
        return await self._outside.fetch("GET", url, fields=[_ACCEPT], timeout=TIMEOUT, limit=LIMIT, tls=tls)

    def close(self) -> None:
        for each in list(self._known.values()):
            each.close()


def _good(answer: Fetched) -> Fetched:
    if answer.status != 200:
        raise ValueError(f"it answers {answer.status}")
    return answer


def _keys(body: bytes) -> KeySet:
    try:
        return from_jwks(orjson.loads(body))
    except orjson.JSONDecodeError:
        raise ValueError("the key set is no JSON") from None
