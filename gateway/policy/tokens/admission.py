"""How the caller whom a token names comes onto the exchange: identity, subscription and plan, what the backend gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from gateway.core.clock import Clock
from gateway.core.errors import StoreUnavailable
from gateway.core.exchange import Exchange, Step, Switch
from gateway.core.identity import Holds, Identity
from gateway.core.kinds import Built, Presented, Site
from gateway.policy.admit import admit
from gateway.policy.claims import identifier, reader
from gateway.policy.credentials.presented import Conceal, concealer
from gateway.policy.fields import names
from gateway.policy.tokens.forwarding import forwarder
from gateway.policy.tokens.memo import Verified
from gateway.policy.tokens.refusals import Challenges, InvalidToken
from gateway.policy.tokens.rules import demands
from gateway.policy.tokens.settings import TokenSettings

NOT_SUBSCRIBED: Final = "The application has no subscription to this API."


class Subscription(Protocol):
    @property
    def plan(self) -> str | None: ...


class Client(Protocol):
    """An OAuth client of the directory."""

    @property
    def application(self) -> str: ...
    def refusal(self, api: str, now: float) -> str | None: ...
    def plan_of(self, api: str) -> str | None: ...


class Subscriptions(Protocol):
    """The directory, as far as it is asked here."""

    def credential(self, type: str, name: str) -> Client | None: ...

    def subscription(self, application: str, api: str) -> Subscription | None: ...

    def undecidable(self, now: float) -> bool: ...


class Admission:
    """Of one step. `stays(identity, now)`: for exchanges that last, whether the token itself still holds."""

    def __init__(self, settings: TokenSettings, site: Site, method: str, stays: Holds) -> None:
        self._directory: Subscriptions = site.services.named("directory")
        self._clock: Clock = site.services.named("clock")
        self._api = site.component
        self._subscribed = settings.subscription == "required"
        self._client_of = reader(settings.claims.application)
        self._identify = identifier(settings.claims, method, self._holder(stays))
        self._lines = forwarder(settings.forward) if settings.forward else None
        self._first_wrong = demands(settings.required)
        self.challenges = Challenges(site.component, settings.where)
        self.conceal = _concealer(settings)
        self.conceals = _conceals(settings)
        self.credentials = frozenset(names(filter(None, [settings.header])))

    def built(self, step: Step, presented: Presented | None = None) -> Built:
        return Built(
            step=step,
            otherwise=self.conceal,
            conceals=self.conceals,
            presented=presented,
            credentials=self.credentials,
        )

    def _holder(self, stays: Holds) -> Holds:
        if not self._subscribed:
            return stays
        directory = self._directory

        def holds(identity: Identity, now: float) -> bool:
            return stays(identity, now) and not directory.undecidable(now) and self._tie(identity, now) is not None

        return holds

    def verified(
        self, claims: Mapping[str, Any], digest: bytes, since: float, until: float, generation: int
    ) -> Verified:
        """Raises InvalidToken for claims that name nobody, or hold what cannot be forwarded. `digest` is of the token:
        its beginning can be shown and logged."""
        try:
            identity = self._identify(claims, f"t-{digest[:12].hex()}")
        except ValueError as error:
            raise InvalidToken(str(error)) from None
        return Verified(identity, since, until, generation, self._lines(claims) if self._lines is not None else b"")

    def admit(self, exchange: Exchange, verified: Verified) -> Switch | None:
        """Raises Forbidden, StoreUnavailable."""
        if self._first_wrong is not None:
            wrong = self._first_wrong(verified.identity.claims)
            if wrong is not None:
                raise self.challenges.insufficient(
                    exchange, f"its {wrong} does not match", "The token does not open this."
                )
        if self._subscribed:
            verified.identity = self._with_plan(exchange, verified.identity)
        if self.conceal is not None:
            self.conceal(exchange)
        if verified.lines:
            exchange.edits.add += verified.lines
        return admit(exchange, verified.identity)

    def _with_plan(self, exchange: Exchange, identity: Identity) -> Identity:
        now = self._clock.time()
        if self._directory.undecidable(now):
            raise StoreUnavailable("The subscriptions known here are too old to decide by.", headers=_LATER)
        tie = self._tie(identity, now)
        if tie is None:
            raise self.challenges.insufficient(exchange, "its application is not subscribed", NOT_SUBSCRIBED)
        application, plan = tie
        if identity.plan == plan and identity.application == application:
            return identity
        return replace(identity, plan=plan, application=application)

    def _tie(self, identity: Identity, now: float) -> tuple[str, str | None] | None:
        """Application and plan of a client: of an OAuth client of the directory, or of the application of that name."""
        name, directory = self._client_of(identity.claims) or "", self._directory
        client = directory.credential("oauth-client", name)
        if client is not None:
            refused = client.refusal(self._api, now) is not None
            return None if refused else (client.application, client.plan_of(self._api))
        tie = directory.subscription(name, self._api)
        return None if tie is None else (name, tie.plan)


_LATER: Final = ((b"Retry-After", b"5"),)


def _concealer(settings: TokenSettings) -> Conceal | None:
    if settings.forward_token:
        return None
    return concealer(settings.query, filter(None, [settings.cookie]))


def _conceals(settings: TokenSettings) -> frozenset[bytes]:
    """What a client claims of itself never goes on; its token only where that is wanted."""
    token = [] if settings.forward_token or settings.header is None else [settings.header]
    return frozenset(names([*settings.forward.values(), *token]))
