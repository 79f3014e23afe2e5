"""`openid-connect`: everything that an OpenID provider gives: access tokens of programs, and people who sign in.

`{use: openid-connect, with: {issuer: "https://id.example", audience: shop}}` takes signed access tokens; `opaque` says
how others are told about; `login` lets browsers sign in. Everything is found by the issuer's discovery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from gateway.core.exchange import Exchange
from gateway.core.identity import Identity
from gateway.core.kinds import Built, Kind, Site
from gateway.core.secrets import KeyHasher, Secret
from gateway.policy.claims import Several, one_or_more
from gateway.policy.credentials.presented import Read, token_reader
from gateway.policy.tokens.algorithms import ASYMMETRIC, SYMMETRIC, Algorithm
from gateway.policy.tokens.asked import Ask, AskedTokens, Remembering
from gateway.policy.tokens.client import Client, Prover
from gateway.policy.tokens.introspecting import LIMIT, Introspection, failed, json_object
from gateway.policy.tokens.metadata import Metadata
from gateway.policy.tokens.remote import Remote
from gateway.policy.tokens.rules import Rules
from gateway.policy.tokens.settings import Duration, Tls, TokenSettings
from gateway.relay.outside import Outside, parse

SHORTEST: Final = 32  # characters of a secret that seals sessions
_PATH: Final = r"^/[!-\"$->@-~]*$"


class LoginSettings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    callback: str = Field(description="URL as browsers see it, to which the issuer sends back; a path of this endpoint")
    scopes: Several = Field(("openid", "profile", "email"), description="what is asked for; openid is one")
    lifetime: Duration = Field(28_800.0, ge=60, le=2_592_000, description="how long a session lasts at most")
    logout: str | None = Field(None, pattern=_PATH, description="path that ends the session")
    after_logout: str | None = Field(None, description="URL to go to then; registered with the issuer")
    cookie: str = Field("penstock", pattern=r"^[A-Za-z0-9_]{1,40}$", description="name of the cookie")
    secret: str | None = Field(None, min_length=1, repr=False, description="seals cookies; default: the cluster's key")

    @model_validator(mode="after")
    def _fits(self) -> LoginSettings:
        origin = parse(self.callback).origin
        if "?" in self.callback or not origin.host:
            raise ValueError("`callback` is an http or https URL without a query")
        if origin.tls is False and origin.host not in {"localhost", "127.0.0.1"}:
            raise ValueError("`callback` is https: sessions over http could be read by everybody; only localhost may")
        if self.after_logout is not None:
            parse(self.after_logout)
        if "openid" not in self.scopes:
            raise ValueError("`scopes` has to hold openid (OpenID Connect Core 1.0 section 3.1.2.1)")
        return self


class OpenIdConnect(TokenSettings):
    issuer: str = Field(min_length=1, description="the provider, as it names itself")
    audience: Annotated[tuple[str, ...] | None, BeforeValidator(one_or_more)] = Field(
        None, description="one of which `aud` of an access token must name; null: signed ones are not taken"
    )
    algorithms: tuple[Algorithm, ...] = Field(ASYMMETRIC, description="asymmetric ones")
    type: Literal["jwt", "at+jwt"] | None = Field(None, description="what `typ` of an access token must be")
    leeway: Duration = Field(5.0, ge=0, le=300, description="by how much clocks may differ")
    opaque: Literal["introspection", "userinfo"] | None = Field(
        None, description="how other tokens are told about; userinfo says not for whom a token was made"
    )
    cache: Duration = Field(30.0, ge=0, le=3600, description="how long a yes about an opaque token is remembered")
    cache_refusals: Duration = Field(5.0, ge=0, le=3600, description="how long a no is remembered")
    client: Client | None = Field(None, description="how the gateway proves itself; for introspection and login")
    login: LoginSettings | None = Field(None, description="browsers sign in")
    timeout: Duration = Field(5.0, gt=0, le=60, description="for each request to the provider")
    tls: Tls = Field(Tls(), description="how the provider is trusted")

    @model_validator(mode="after")
    def _something(self) -> OpenIdConnect:
        if self.audience is None and self.opaque is None and self.login is None:
            raise ValueError("nobody could call: say `audience`, `opaque` or `login`")
        if self.client is None and (self.login is not None or self.opaque == "introspection"):
            raise ValueError("introspection and login need a `client`")
        if wrong := sorted(SYMMETRIC & set(self.algorithms)):
            raise ValueError(f"{', '.join(wrong)} cannot be used with published keys")
        return self


@dataclass(frozen=True, slots=True)
class _Ways:
    """What there is for each sort of credential."""

    read: Read
    signed: Callable[[Exchange], Any]
    opaque: Callable[[Exchange], Any]
    people: Any = None  # a `SignedIn`

    def authenticate(self, exchange: Exchange) -> Any:
        people = self.people
        if people is not None:
            answer = people.login.answers(exchange)
            if answer is not None:
                return answer
            people.conceal(exchange)
        token = self.read(exchange)
        if token is None and people is not None:
            return people.enter(exchange)
        signed = token is not None and token.startswith(b"eyJ") and token.count(b".") == 2
        return self.signed(exchange) if signed else self.opaque(exchange)


def build(config: OpenIdConnect, site: Site) -> Built:
    from gateway.policy.tokens.admission import Admission
    from gateway.policy.tokens.published import Published

    outside = site.services.of(Outside)
    outside.check(config.issuer)
    tls = config.tls.context()
    metadata = outside.shared(Published).metadata(config.issuer, tls)
    read = token_reader(config.header, config.cookie, config.query, config.max_size)
    admission = Admission(config, site, "openid-connect", _stays(config.leeway))
    refuse = _refuser(admission, read)
    signed = refuse if config.audience is None else _signed(config, site, read, admission)
    opaque = refuse if config.opaque is None else _opaque(config, site, read, metadata)
    people = None if config.login is None else _people(config, config.login, site, metadata)
    step = _Ways(read, signed, opaque, people).authenticate
    if people is None:
        return admission.built(step)
    return Built(
        step,
        otherwise=_both(people.conceal, admission.conceal),
        after=people.after,
        conceals=admission.conceals,
        credentials=admission.credentials,
    )


def _both(first: Callable[[Exchange], None], second: Callable[[Exchange], None] | None) -> Callable[[Exchange], None]:
    def conceal(exchange: Exchange) -> None:
        first(exchange)
        if second is not None:
            second(exchange)

    return conceal


def _stays(leeway: float) -> Callable[[Identity, float], bool]:
    return lambda identity, now: bool(now < identity.claims["exp"] + leeway)


def _refuser(admission: Any, read: Read) -> Callable[[Exchange], Any]:
    """For tokens of a sort that is not taken."""
    from gateway.policy.tokens.refusals import InvalidToken

    def refuse(exchange: Exchange) -> Any:
        if read(exchange) is None:
            raise admission.challenges.missing()
        raise admission.challenges.invalid(exchange, InvalidToken("tokens of its sort are not taken"))

    return refuse


def _signed(config: OpenIdConnect, site: Site, read: Read, admission: Any) -> Callable[[Exchange], Any]:
    from gateway.policy.tokens.compact import Compact
    from gateway.policy.tokens.published import Published
    from gateway.policy.tokens.signed import SignedTokens

    keys = site.services.of(Outside).shared(Published).keys_of(config.issuer, config.tls.context())
    compact = Compact(config.algorithms, (None, "jwt", "at+jwt") if config.type is None else (config.type,))
    rules = Rules(config.issuer, config.audience, config.leeway)
    return SignedTokens(read, keys, compact, rules, admission, site, fixed=config.query is None).authenticate


def _opaque(config: OpenIdConnect, site: Site, read: Read, metadata: Remote[Metadata]) -> Callable[[Exchange], Any]:
    outside = site.services.of(Outside)
    if config.opaque == "userinfo":
        ask = _userinfo(config, outside, metadata)
    else:
        assert config.client is not None
        prover = Prover(config.client, site.services.named("clock"))

        async def where() -> str:
            return _named(await metadata.current(), "introspection_endpoint")

        ask = Introspection(where, prover, outside, config.timeout, config.tls.context()).ask
    audience = None if config.opaque == "userinfo" else config.audience
    rules = Rules(None, audience, 0.0, endless=True)
    remembering = Remembering(config.cache, config.cache_refusals)
    return AskedTokens(config, read, ask, rules, remembering, site, "openid-connect").authenticate


def _userinfo(config: OpenIdConnect, outside: Outside, metadata: Remote[Metadata]) -> Ask:
    """OpenID Connect Core 1.0 section 5.3."""
    tls = config.tls.context()

    async def ask(token: str) -> Mapping[str, Any] | None:
        url = _named(await metadata.current(), "userinfo_endpoint")
        fields = [(b"Authorization", b"Bearer " + token.encode()), (b"Accept", b"application/json")]
        answer = await outside.fetch("GET", url, fields=fields, timeout=config.timeout, limit=LIMIT, tls=tls)
        return None if answer.status in {401, 403} else json_object(answer, url)

    return ask


def _named(metadata: Metadata, endpoint: str) -> str:
    url = getattr(metadata, endpoint)
    if not isinstance(url, str):
        raise failed(metadata.issuer, f"its metadata names no {endpoint}")
    return url


def _people(config: OpenIdConnect, login: LoginSettings, site: Site, metadata: Remote[Metadata]) -> Any:
    from gateway.policy.tokens.compact import Compact
    from gateway.policy.tokens.login import Login, Way
    from gateway.policy.tokens.published import Published
    from gateway.policy.tokens.sealed_cookies import SealedCookie
    from gateway.policy.tokens.sessions import Issuer
    from gateway.policy.tokens.signed_in import SignedIn

    assert config.client is not None
    outside, clock, tls = site.services.of(Outside), site.services.named("clock"), config.tls.context()
    identity = config.client.id
    if login.secret is not None and len(login.secret) < SHORTEST:
        raise ValueError(f"the secret of `login` has at least {SHORTEST} characters")
    hasher = site.services.of(KeyHasher) if login.secret is None else KeyHasher(Secret(login.secret))
    purpose = f"{config.issuer} {identity} {login.callback}"
    secure = urlsplit(login.callback).scheme == "https"
    cookie = SealedCookie(login.cookie, hasher.derive("openid-connect sessions"), purpose, secure)
    issuer = Issuer(
        metadata,
        outside.shared(Published).keys_of(config.issuer, tls),
        Compact(config.algorithms, (None, "jwt")),
        Rules(config.issuer, (identity,), config.leeway),
        Prover(config.client, clock),
        identity,
        outside,
        clock,
        config.timeout,
        tls,
    )
    way = Way(
        client_id=identity,
        callback=login.callback,
        scopes=login.scopes,
        lifetime=login.lifetime,
        keep_access=config.forward_token,
        logout=login.logout,
        after_logout=login.after_logout,
    )
    return SignedIn(config, Login(way, issuer, cookie, clock), site)


KIND = Kind(
    "openid-connect",
    OpenIdConnect,
    build,
    protects=True,
    summary="Authenticates by tokens of an OpenID provider; people sign in by their browser",
    family="authentication",
    example={"issuer": "https://id.example", "audience": "shop"},
    libraries=(
        "gateway.policy.tokens.signed",
        "gateway.policy.tokens.published",
        "gateway.policy.tokens.signed_in",
    ),
)
