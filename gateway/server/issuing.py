"""What a node with an issuer of its own runs: the token endpoint in its workers, the keeping of keys in its control
process. Both are loaded only where the setting `issuer` is given."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gateway.admin.console.by_provider import NAME, ByProvider
from gateway.admin.console.gate import Gate
from gateway.admin.console.provider_client import Client
from gateway.admin.console.signing_in import Way
from gateway.admin.people import Asker, People, Provider, SignIn
from gateway.consumers.current import CurrentDirectory
from gateway.consumers.directory import Directory
from gateway.core.clock import Clock
from gateway.core.errors import Problem
from gateway.core.secrets import KeyHasher
from gateway.core.settings import Settings
from gateway.policy.tokens.own_issuer import OwnIssuer
from gateway.relay.outside import Outside
from gateway.store.connect import open_store
from gateway.store.counters import Counters
from gateway.store.store import Store

if TYPE_CHECKING:
    from gateway.live.oauth.endpoint import TokenEndpoint

log: Final = logging.getLogger("gateway.control")
LOOK: Final = 1.0  # seconds between two looks at what is due


def own_issuer(settings: Settings, directory: CurrentDirectory | None, clock: Clock) -> OwnIssuer | None:
    return None if settings.issuer is None else OwnIssuer(settings.issuer, directory, clock)


def people(settings: Settings, outside: Outside, clock: Clock) -> People | None:
    """Who signs in at the admin REST by an identity provider."""
    if settings.admin_oidc_issuer is None or settings.admin_oidc_audience is None:
        return None
    pairs = (each.rpartition("=") for each in settings.admin_oidc_roles)
    roles = [(value, role) for value, _, role in pairs]
    about = (settings.admin_oidc_audience, settings.admin_oidc_claim, roles, settings.admin_oidc_components)
    sign_in = None
    if settings.admin_oidc_cli_client_id is not None:
        asked = (settings.admin_oidc_scopes, settings.admin_oidc_resource)
        sign_in = SignIn(settings.admin_oidc_issuer, settings.admin_oidc_cli_client_id, *asked)
    asker = None
    if settings.admin_oidc_client_id is not None and settings.admin_oidc_client_secret is not None:
        asker = Asker(settings.admin_oidc_client_id, settings.admin_oidc_client_secret)
    return People(Provider(settings.admin_oidc_issuer, *about), outside, clock, sign_in, asker)


def ways(settings: Settings, people: People | None, outside: Outside, clock: Clock) -> tuple[Way, ...]:
    """To sign in at the console, besides an admin token."""
    if people is None or settings.admin_oidc_issuer is None or settings.admin_oidc_client_id is None:
        return ()
    client = Client(
        settings.admin_oidc_issuer,
        settings.admin_oidc_client_id,
        settings.admin_oidc_client_secret,
        settings.admin_oidc_scopes,
        settings.admin_oidc_resource,
    )
    host = urlsplit(client.issuer).netloc
    return (Way(host, NAME, ByProvider(client, people, Gate(settings.admin_origins), outside, clock).answer),)


def token_endpoint(
    own: OwnIssuer | None,
    settings: Settings,
    directory: CurrentDirectory,
    hasher: KeyHasher,
    clock: Clock,
    counters: Counters,
    store_url: str,
) -> TokenEndpoint | None:
    if own is None:
        return None
    from gateway.live.oauth.endpoint import TokenEndpoint

    store, lifetime = open_store(store_url), settings.token_lifetime
    return TokenEndpoint(own, settings.token_path, lifetime, directory, hasher, clock, counters, store)


async def keep_keys(
    settings: Settings, store: Store, hasher: KeyHasher, clock: Clock, directory: Callable[[], Directory]
) -> None:
    """Until cancelled: the first key, the next one when it is due, and what has ended is forgotten."""
    from gateway.consumers.signing_writes import forget_revoked, keep_signing_keys

    if settings.issuer is None:
        return
    age, lead, told = settings.signing_key_age, settings.signing_key_lead, ""
    while True:
        try:
            keys = directory().signing_keys
            await keep_signing_keys(store, hasher, clock, settings.signing_algorithm, age, lead, keys)
            await forget_revoked(store, clock, directory().revoked_tokens)
            told = ""
        except Problem as error:
            if str(error) != told:
                log.warning("the signing keys cannot be looked after: %s", error)
            told = str(error)
        except Exception:
            log.exception("looking after the signing keys failed; trying again")
        await asyncio.sleep(LOOK)
