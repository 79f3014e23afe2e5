"""The cluster's key secret: given, or for a node with an embedded store made once and kept beside it, never in it."""

from __future__ import annotations

import secrets
from pathlib import Path

from gateway.core.secrets import Secret
from gateway.core.settings import Settings
from gateway.server.last_known_good import write


class KeySecretMissing(Exception):
    """Several nodes on one store must share the secret, so it cannot be made here."""


def key_secret(settings: Settings, data: Path) -> Secret:
    if settings.key_secret is not None:
        if len(settings.key_secret.reveal()) < 16:
            raise KeySecretMissing("PENSTOCK_KEY_SECRET is shorter than 16 characters. Give it a long random text.")
        return settings.key_secret
    if settings.store is not None:
        raise KeySecretMissing(
            "A store by URL needs PENSTOCK_KEY_SECRET, one per cluster: keys are stored as hashes under it. "
            "Make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    path = data / "key-secret"
    if not path.exists():
        write(path, secrets.token_urlsafe(32).encode())
    return Secret(path.read_text().strip())
