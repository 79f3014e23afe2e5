"""What of a request must not leave with a copy of it: credentials, wherever they stand.

Fields are kept off by their names (those that hold credentials everywhere, and those of the endpoint's own steps), and
by what they hold: a secret that a step was given, or the credential that the client showed, under whatever name. The
same is true of a query's parameters. A copy for a version of the component stays inside, so that names alone decide.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from gateway.core import headers
from gateway.core.exchange import Exchange
from gateway.core.secrets import Secret
from gateway.policy.mirroring.mark import MARK
from gateway.snapshot.choice import pairs

USUAL: Final = frozenset((b"authorization", b"cookie"))
CREDENTIALS: Final = USUAL | frozenset(
    (b"proxy-authorization", b"x-api-key", b"dpop", b"signature", b"signature-input")
)
SHORTEST: Final = (
    8  # bytes of a text that is looked for inside of others; a shorter one is compared with all of a value
)
_MARKED: Final = frozenset((MARK.lower(),))


@dataclass(frozen=True, slots=True)
class Onward:
    """`credentials`: those that are usual (Authorization, Cookie) go along as a backend gets them; to a backend of the
    version (`trusted`) all others, too. `secrets` are those of the version's steps."""

    credentials: bool
    trusted: bool
    secrets: Collection[Secret] = ()

    @property
    def everything(self) -> bool:
        return self.credentials and self.trusted

    def names(self, exchange: Exchange) -> frozenset[bytes]:
        """Of fields that stay here."""
        if self.everything:
            return _MARKED
        all_of_them = CREDENTIALS | exchange.chain.credentials | _MARKED
        return all_of_them - USUAL if self.credentials else all_of_them

    def texts(self, exchange: Exchange) -> list[bytes]:
        """What no field and no parameter may hold."""
        if self.everything:
            return []
        found = [each.reveal().encode() for each in self.secrets]
        if not self.credentials:
            wanted = CREDENTIALS | exchange.chain.credentials
            for name, value in exchange.head.fields:
                if name in wanted:
                    found += [value, value.rpartition(b" ")[2]]  # behind its scheme, too
        return [each for each in found if each]

    def fields(self, exchange: Exchange, given: headers.Fields) -> headers.Fields:
        names, texts = self.names(exchange), self.texts(exchange)
        return [field for field in given if field[0].lower() not in names and not _holds(field[1], texts)]

    def query(self, exchange: Exchange, query: bytes) -> bytes:
        texts = self.texts(exchange)
        if not query or not texts:
            return query
        parts = query.split(b"&")
        return b"&".join(part for part in parts if not _holds(part, texts) and not _holds(pairs(part)[0][1], texts))


def _holds(value: bytes, texts: Collection[bytes]) -> bool:
    return any(text in value if len(text) >= SHORTEST else text == value for text in texts)
