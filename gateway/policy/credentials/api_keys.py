"""API keys: where one stands in a request, how it is found in the directory, and what its bearer is told when not."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol
from urllib.parse import parse_qsl

from gateway.core import headers
from gateway.core.errors import ApplicationSuspended, BadRequest, Forbidden, Problem, Unauthorized
from gateway.core.exchange import Head
from gateway.core.identity import Holds, Identity
from gateway.core.secrets import KeyHasher

LONGEST = 512  # bytes of a credential
SAME_TEXT = "The API key is not valid."
NOT_SUBSCRIBED: Final = ("no subscription", "of another API")

Challenge = tuple[tuple[bytes, bytes], ...]


class Key(Protocol):
    """A key as the directory knows it; `refusal` says why it does not hold now, for the log."""

    @property
    def id(self) -> str: ...
    @property
    def application(self) -> str: ...
    @property
    def api(self) -> str: ...
    @property
    def plan(self) -> str | None: ...
    @property
    def ends(self) -> float | None: ...
    def refusal(self, now: float) -> str | None: ...
    def identify(self, holds: Holds) -> Identity: ...


class KeyDirectory(Protocol):
    def find(self, digest: bytes) -> Key | None: ...

    def find_id(self, id: str) -> Key | None: ...

    def undecidable(self, now: float) -> bool:
        """The content is too old to decide by."""
        ...


Read = Callable[[Head], "bytes | None"]


@lru_cache(maxsize=256)
def credential_reader(header: str | None, wanted: str | None) -> Callable[[Head], bytes | None]:
    """Exactly one credential, or none; in two places it is refused (CASES C41). The same for all steps of one
    configuration, as it is a key of `Head.memo`."""
    find = headers.finder(header.lower().encode()) if header else lambda _block: []

    def read(head: Head) -> bytes | None:
        found = find(head.block)
        if wanted is not None and head.query:
            pairs = parse_qsl(head.query.decode("ascii", "replace"), keep_blank_values=True)
            found += [value.encode() for name, value in pairs if name == wanted]
        if len(found) > 1:
            raise BadRequest("An API key stands in more than one place. Send it once.")
        if not found or not found[0]:
            return None
        if len(found[0]) > LONGEST:
            raise BadRequest(f"An API key has at most {LONGEST} bytes.")
        return found[0]

    return read


def digester(read: Read, hasher: KeyHasher, *, kept: bool) -> Read:
    """The digest of the credential that `read` finds. `kept`: it stands in the block alone, and is worked out once for
    a client that goes on with the same block; `Head.memo` has it by `read`."""

    def digest_of(head: Head) -> bytes | None:
        presented = read(head)
        if presented is None:
            return None
        digest = hasher.digest(presented)
        if kept:
            head.memo[read] = digest
        return digest

    return digest_of


def holder(directory: KeyDirectory, component: str) -> Holds:
    """Asked of exchanges that last; content too old to decide by ends them as it refuses new ones."""

    def holds(identity: Identity, now: float) -> bool:
        key = directory.find_id(identity.credential or "")
        return not directory.undecidable(now) and refusal(key, component, now) is None

    return holds


def refusal(key: Key | None, api: str, now: float) -> str | None:
    """A short reason for the log; None: the key opens the API."""
    if key is None:
        return "unknown"
    return key.refusal(now) or (None if key.api == api else "of another API")


def refused(reason: str | None, challenge: Challenge) -> Problem:
    """Unknown, revoked and ended keys read the same, so that nobody learns which keys exist. A key that is good, but
    not for this API, is known to its owner: what is missing is the subscription."""
    if reason == "suspended":
        return ApplicationSuspended("Ask those who run this gateway why.")
    if reason in NOT_SUBSCRIBED:
        return Forbidden("The application has no subscription to this API.")
    return Unauthorized(SAME_TEXT, headers=challenge)
