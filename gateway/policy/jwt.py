"""`jwt`: a signed token (RFC 7519), verified here by keys that are given or that its issuer publishes.

`{use: jwt, with: {issuer: "https://id.example", audience: shop}}` finds the issuer's keys by discovery. A token that
was seen before costs no signature. What a token's header says chooses among known keys, and nothing else (RFC 8725).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from gateway.core.identity import Identity
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.claims import one_or_more
from gateway.policy.credentials.presented import token_reader
from gateway.policy.tokens.algorithms import ASYMMETRIC, SYMMETRIC, Algorithm
from gateway.policy.tokens.own_issuer import OwnIssuer
from gateway.policy.tokens.settings import Duration, Tls, TokenSettings
from gateway.relay.outside import Outside

SOURCES: Final = ("jwks", "pem", "secret", "jwks_url")
Audience = Annotated[tuple[str, ...] | None, BeforeValidator(one_or_more)]
_TYPES: Final[dict[str | None, tuple[str | None, ...]]] = {None: (None, "jwt", "at+jwt")}


class Jwt(TokenSettings):
    issuer: str | None = Field(None, min_length=1, description="what `iss` must be; its keys are found by discovery")
    audience: Audience = Field(description="one of which `aud` must name; null: not looked at")
    algorithms: tuple[Algorithm, ...] = Field((), description="default: all asymmetric ones; HS256 with `secret`")
    jwks: dict[str, Any] | str | None = Field(None, description="a JWK set, here or in a secret")
    pem: str | None = Field(None, description="a public key or certificate in PEM")
    secret: str | None = Field(None, description="for HS256 and its like: a secret that issuer and gateway share")
    jwks_url: str | None = Field(None, description="where the keys are published")
    type: Literal["jwt", "at+jwt"] | None = Field(None, description="what `typ` must be; null: either, or none")
    leeway: Duration = Field(5.0, ge=0, le=300, description="by how much clocks may differ")
    tls: Tls = Field(Tls(), description="how the issuer is trusted")

    @model_validator(mode="after")
    def _keys_fit(self) -> Jwt:
        sources = [name for name in SOURCES if getattr(self, name) is not None]
        if len(sources) > 1:
            raise ValueError(f"the keys have one source, not {' and '.join(f'`{name}`' for name in sources)}")
        if not sources and self.issuer is None:
            raise ValueError("say by which keys tokens are verified: `issuer`, `jwks_url`, `jwks`, `pem` or `secret`")
        wrong = [name for name in self.algorithms if (name in SYMMETRIC) != (self.secret is not None)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)} cannot be used here: `secret` is for HS256 and its like, they for it")
        return self

    @property
    def allowed(self) -> tuple[Algorithm, ...]:
        return self.algorithms or (("HS256",) if self.secret is not None else ASYMMETRIC)


def build(config: Jwt, site: Site) -> Built:
    from gateway.policy.tokens.admission import Admission
    from gateway.policy.tokens.compact import Compact
    from gateway.policy.tokens.rules import Rules
    from gateway.policy.tokens.shown import shown
    from gateway.policy.tokens.signed import SignedTokens

    leeway, own = config.leeway, _own(config, site)

    def stays(identity: Identity, now: float) -> bool:
        return bool(now < identity.claims["exp"] + leeway) and (own is None or own.holds(identity, now))

    admission = Admission(config, site, "jwt", stays)
    read = token_reader(config.header, config.cookie, config.query, config.max_size)
    compact = Compact(config.allowed, _TYPES.get(config.type, (config.type,)))
    rules = Rules(config.issuer, config.audience, leeway)
    keys = _keys(config, site) if own is None else own.keys()
    standing = None if own is None else own.refusal
    tokens = SignedTokens(read, keys, compact, rules, admission, site, config.query is None, standing)
    return admission.built(tokens.authenticate, shown(config, site))


def _own(config: Jwt, site: Site) -> OwnIssuer | None:
    """The issuer of this gateway itself, unless keys are given."""
    own = site.services.find(OwnIssuer)
    given = any(getattr(config, name) is not None for name in SOURCES)
    return None if own is None or given or config.issuer != own.url else own


def _keys(config: Jwt, site: Site) -> Any:
    from gateway.policy.tokens.keys_of import Given, given_set
    from gateway.policy.tokens.published import Published
    from gateway.policy.tokens.signing_keys import from_pem, from_secret

    if config.jwks is not None:
        return Given(given_set(config.jwks))
    if config.pem is not None:
        return Given(from_pem(config.pem))
    if config.secret is not None:
        return Given(from_secret(config.secret, config.allowed))
    outside = site.services.of(Outside)
    published = outside.shared(Published)
    tls = config.tls.context()
    if config.jwks_url is not None:
        outside.check(config.jwks_url)
        return published.keys(config.jwks_url, tls)
    assert config.issuer is not None
    outside.check(config.issuer)
    return published.keys_of(config.issuer, tls)


KIND = Kind(
    "jwt",
    Jwt,
    build,
    protects=True,
    summary="Authenticates by a signed token, verified by its issuer's keys",
    family="authentication",
    example={"issuer": "https://id.example", "audience": "shop"},
    libraries=("gateway.policy.tokens.signed", "gateway.policy.tokens.published"),
)
