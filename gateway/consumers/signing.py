"""What the gateway's own issuer of tokens keeps in the directory: the keys that sign, and tokens that were revoked.

A key is published before it signs, so that whoever keeps a copy of the key set knows it in time, and stays published
until the last token that it may have signed has ended. Private keys are sealed (`consumers.sealed`); nothing here can
be used without the cluster's key secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

LONGEST: Final = 86_400.0  # seconds that a token may last
LEEWAY: Final = 300.0  # seconds by which clocks of those who verify may differ
Algorithm = Literal["ES256", "RS256"]


@dataclass(frozen=True, slots=True)
class SigningKeyRecord:
    """`signs`: seconds since 1970 from which it signs, until another one does. `jwk` is the public key."""

    number: int
    kid: str
    algorithm: Algorithm
    jwk: Mapping[str, Any]
    sealed: str
    created: float
    signs: float
    retired: float | None = None

    @property
    def context(self) -> str:
        """Of its sealed private key."""
        return f"signing-key/{self.kid}"

    def value(self) -> dict[str, Any]:
        """As the store has it, under its `number`."""
        return {name: getattr(self, name) for name in _FIELDS}


_FIELDS: Final = ("kid", "algorithm", "jwk", "sealed", "created", "signs", "retired")


def read_record(key: str, value: Mapping[str, Any]) -> SigningKeyRecord:
    return SigningKeyRecord(int(key), **{name: value.get(name) for name in _FIELDS})  # type: ignore[arg-type]


class SigningKeys:
    """All of them. `generation` counts the changes."""

    def __init__(self) -> None:
        self._keys: dict[int, SigningKeyRecord] = {}
        self.generation = 0

    def __iter__(self) -> Iterator[SigningKeyRecord]:
        """The oldest first."""
        return iter(sorted(self._keys.values(), key=lambda each: each.number))

    def __len__(self) -> int:
        return len(self._keys)

    def put(self, key: str, value: Mapping[str, Any] | None) -> None:
        self.generation += 1
        if value is None:
            self._keys.pop(int(key), None)
        else:
            self._keys[int(key)] = read_record(key, value)

    def signing(self, now: float) -> SigningKeyRecord | None:
        """The one that signs now; None while there is none."""
        usable = [each for each in self if each.retired is None and each.signs <= now]
        return max(usable, key=_order, default=None)

    def waiting(self, now: float) -> SigningKeyRecord | None:
        """The newest that is published and does not sign yet."""
        return max((each for each in self if each.retired is None and each.signs > now), key=_order, default=None)

    def ends(self, key: SigningKeyRecord) -> float | None:
        """When it leaves the key set; None while nothing says so."""
        if key.retired is not None:
            return key.retired
        after = [each.signs for each in self if each.retired is None and _order(each) > _order(key)]
        return min(after) + LONGEST + LEEWAY if after else None

    def published(self, now: float) -> list[SigningKeyRecord]:
        """Those whose tokens hold at `now`, and those that will sign."""
        return [each for each in self if (ends := self.ends(each)) is None or now < ends]

    def dump(self) -> list[tuple[str, dict[str, Any]]]:
        return [(str(each.number), each.value()) for each in self]


def _order(key: SigningKeyRecord) -> tuple[float, int]:
    return key.signs, key.number


class RevokedTokens:
    """By `jti`: the client whose token it was, and when the token would have ended; then it is forgotten."""

    def __init__(self) -> None:
        self._ends: dict[str, tuple[str, float]] = {}
        self._counts: dict[str, int] = {}

    def __contains__(self, jti: str) -> bool:
        return jti in self._ends

    def __len__(self) -> int:
        return len(self._ends)

    def count(self, client: str) -> int:
        """How many of one client."""
        return self._counts.get(client, 0)

    def put(self, jti: str, value: Mapping[str, Any] | None) -> None:
        old = self._ends.pop(jti, None)
        if old is not None:
            self._add(old[0], -1)
        if value is not None:
            self._ends[jti] = (value["client"], value["ends"])
            self._add(value["client"], 1)

    def _add(self, client: str, by: int) -> None:
        left = self._counts.get(client, 0) + by
        if left:
            self._counts[client] = left
        else:
            self._counts.pop(client, None)

    def ended(self, now: float) -> list[str]:
        """Those that nobody has to know any more."""
        return [jti for jti, (_, ends) in self._ends.items() if now >= ends + LEEWAY]

    def dump(self) -> list[tuple[str, dict[str, Any]]]:
        return [(jti, {"client": client, "ends": ends}) for jti, (client, ends) in self._ends.items()]
