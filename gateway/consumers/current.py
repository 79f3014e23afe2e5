"""The directory that steps hold: replaced whole by a full load, changed in place otherwise."""

from __future__ import annotations

from gateway.consumers.credentials import Credential
from gateway.consumers.directory import Directory
from gateway.consumers.records import Key, Subscription


class CurrentDirectory:
    """`max_stale` in seconds: older content must not decide any more, whoever asks gets 503."""

    def __init__(self, max_stale: float) -> None:
        self.current = Directory()
        self._max_stale = max_stale

    def find(self, digest: bytes) -> Key | None:
        return self.current.find(digest)

    def find_id(self, id: str) -> Key | None:
        return self.current.find_id(id)

    def credential(self, type: str, name: str) -> Credential | None:
        return self.current.credential(type, name)

    def credential_id(self, id: str) -> Credential | None:
        return self.current.credential_id(id)

    def subscription(self, application: str, api: str) -> Subscription | None:
        return self.current.subscription(application, api)

    def undecidable(self, now: float) -> bool:
        return self.current.stale(now, self._max_stale)
