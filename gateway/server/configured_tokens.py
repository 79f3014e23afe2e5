"""Admin tokens that a node is given by its configuration: made at start, and ended when another took their place.

A record tells the setting that it was made from; what somebody creates by the admin REST, or a node makes up, is never
touched. Each node names its own ones in its heartbeat. One that no live node has named for `gone` seconds ends, when
this node was given another that holds. So nodes with different ones leave each other's alone while they run, and one
that has ended stays ended: who comes back with it is told, and ends nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

from gateway.consumers.tokens import (
    configured_tokens,
    create_token,
    current_token,
    is_revoked,
    mark_configured,
    revoke_token,
    token_id,
)
from gateway.core.clock import Clock
from gateway.core.errors import Conflict, PreconditionFailed, StoreUnavailable
from gateway.core.secrets import KeyHasher, Secret
from gateway.core.settings import Settings
from gateway.store.store import TOKENS, Store

log: Final = logging.getLogger("gateway.server")
GONE: Final = 300.0  # seconds: longer than a node takes that starts again
LOOK: Final = 15.0  # seconds between looks
ACTOR: Final = "serve"


class Made(NamedTuple):
    """How the token of a setting is made."""

    name: str
    role: str


FIRST, VIEWER = "admin_token", "viewer_token"
SETTINGS: Final[Mapping[str, Made]] = {FIRST: Made("first", "admin"), VIEWER: Made("viewer", "viewer")}


class ConfiguredTokens:
    """Of one node. `gone` is 0 where no other node can be: on an embedded store."""

    def __init__(
        self, settings: Settings, node: str, store: Store, hasher: KeyHasher, clock: Clock, gone: float = GONE
    ) -> None:
        chosen: dict[str, Secret | None] = {setting: getattr(settings, setting) for setting in SETTINGS}
        self._chosen = {setting: secret for setting, secret in chosen.items() if secret is not None}
        self._node, self._store, self._hasher, self._clock, self._gone = node, store, hasher, clock, gone
        self._named: dict[str, str] | None = None  # by setting: the id; None: not made yet
        self._missed: dict[str, float] = {}  # by id: since when no live node names it

    def told(self) -> dict[str, dict[str, str]]:
        """For the heartbeat. Nothing before they are made: until then nobody's end."""
        return {} if self._named is None else {"tokens": self._named}

    async def make(self) -> str | None:
        """The first token in plain text: the configured one, or one made up where the store has none. None when there
        are others. StoreUnavailable."""
        token = await self._configured(FIRST) if FIRST in self._chosen else await self._made_up()
        if VIEWER in self._chosen:
            await self._configured(VIEWER)
        self._named = {setting: self._id(secret) for setting, secret in self._chosen.items()}
        if not self._gone:
            await self.look()
        return token

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
            except StoreUnavailable:
                pass
            except Exception:
                log.exception("looking for admin tokens that were replaced failed; trying again")

    async def look(self) -> None:
        """Ends those in whose place others came. StoreUnavailable."""
        if not self._named:
            return
        held = await self._held()
        now, missed = self._clock.monotonic(), dict[str, float]()
        async for id, version, setting in configured_tokens(self._store):
            if setting not in self._named or held is None or id in held:
                continue
            missed[id] = self._missed.get(id, now)
            if now - missed[id] >= self._gone and await self._holds(setting):
                await self._end(id, version, setting)
        self._missed = missed

    def _id(self, secret: Secret) -> str:
        return token_id(self._hasher.digest(secret.reveal().encode()))

    async def _configured(self, setting: str) -> str:
        secret, made = self._chosen[setting], SETTINGS[setting]
        with contextlib.suppress(PreconditionFailed):  # another node that starts was first
            try:
                await create_token(
                    self._store,
                    self._hasher,
                    self._clock,
                    name=made.name,
                    roles=[made.role],
                    credential=secret.reveal(),
                    setting=setting,
                    actor=ACTOR,
                )
            except Conflict:
                await self._met(self._id(secret), setting)
        return secret.reveal()

    async def _met(self, id: str, setting: str) -> None:
        """There is such a token already: an earlier start's, an earlier release's, or somebody's own."""
        if await is_revoked(self._store, id):
            text = (
                "%s of this node's configuration is the token %s, which has ended: give the node the one of the others"
            )
            log.warning(text + ", or a new one", setting, id)
        else:
            made = SETTINGS[setting]
            await mark_configured(self._store, id, setting, name=made.name, roles=[made.role], actor=ACTOR)

    async def _made_up(self) -> str | None:
        async for _ in self._store.scan(TOKENS):
            return None
        made = SETTINGS[FIRST]
        with contextlib.suppress(Conflict, PreconditionFailed):
            _, token = await create_token(
                self._store, self._hasher, self._clock, name=made.name, roles=[made.role], actor=ACTOR
            )
            return token
        return None

    async def _held(self) -> set[str] | None:
        """The ids that live nodes were given. None while one does not tell: it starts, or is of an earlier release."""
        beats = await self._store.nodes()
        told = [beat.get("tokens") for name, beat in beats.items() if name != self._node]
        if None in told:
            return None
        return {id for each in [*told, self._named] for id in (each or {}).values()}

    async def _holds(self, setting: str) -> bool:
        assert self._named is not None
        return await current_token(self._store, self._clock, self._named[setting]) is not None

    async def _end(self, id: str, version: int, setting: str) -> None:
        assert self._named is not None
        about = {"setting": setting, "replaced_by": self._named[setting]}
        with contextlib.suppress(PreconditionFailed):  # another node ended it
            await revoke_token(self._store, self._clock, id, expect=version, actor=ACTOR, about=about)
            log.info(
                "the token %s, once the %s of the configuration, has ended: %s took its place", id, *about.values()
            )
