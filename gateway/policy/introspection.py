"""`introspection`: a token that only its authorization server understands, which is asked about it (RFC 7662).

`{use: introspection, with: {endpoint: "https://id.example/introspect", client: {id: gateway, secret: secret:idp}}}`.
The answer is remembered for `cache`, never longer than the token lasts: a revocation takes effect within that time.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from gateway.core.kinds import Built, Kind, Site
from gateway.policy.claims import one_or_more
from gateway.policy.credentials.presented import token_reader
from gateway.policy.tokens.asked import AskedTokens, Remembering
from gateway.policy.tokens.client import Client, Prover
from gateway.policy.tokens.introspecting import Introspection, Where, failed
from gateway.policy.tokens.rules import Rules
from gateway.policy.tokens.settings import Duration, Tls, TokenSettings
from gateway.relay.outside import Outside


class IntrospectionSettings(TokenSettings):
    endpoint: str | None = Field(None, min_length=1, description="where the server is asked; default: by discovery")
    issuer: str | None = Field(None, min_length=1, description="whose metadata names the endpoint; what `iss` must be")
    client: Client = Field(description="how the gateway proves itself there")
    audience: Annotated[tuple[str, ...] | None, BeforeValidator(one_or_more)] = Field(
        None, description="one of which `aud` must name; null: the server decides"
    )
    cache: Duration = Field(30.0, ge=0, le=3600, description="how long a yes is remembered; 0s: every request asks")
    cache_refusals: Duration = Field(5.0, ge=0, le=3600, description="how long a no is remembered")
    timeout: Duration = Field(5.0, gt=0, le=60, description="for the whole question")
    tls: Tls = Field(Tls(), description="how the server is trusted")

    @model_validator(mode="after")
    def _somewhere(self) -> IntrospectionSettings:
        if self.endpoint is None and self.issuer is None:
            raise ValueError("say whom to ask: `endpoint`, or the `issuer` whose metadata names it")
        return self


def build(config: IntrospectionSettings, site: Site) -> Built:
    outside, clock = site.services.of(Outside), site.services.named("clock")
    tls = config.tls.context()
    asking = Introspection(_where(config, outside), Prover(config.client, clock), outside, config.timeout, tls)
    read = token_reader(config.header, config.cookie, config.query, config.max_size)
    rules = Rules(config.issuer, config.audience, 0.0, endless=True)
    remembering = Remembering(config.cache, config.cache_refusals)
    tokens = AskedTokens(config, read, asking.ask, rules, remembering, site, "introspection")
    return tokens.admission.built(tokens.authenticate)


def _where(config: IntrospectionSettings, outside: Outside) -> Where:
    endpoint = config.endpoint
    if endpoint is not None:
        outside.check(endpoint)

        async def given() -> str:
            return endpoint

        return given
    from gateway.policy.tokens.published import Published

    issuer = config.issuer or ""
    outside.check(issuer)
    metadata = outside.shared(Published).metadata(issuer, config.tls.context())

    async def found() -> str:
        url = (await metadata.current()).introspection_endpoint
        if url is None:
            raise failed(issuer, "its metadata names no introspection_endpoint")
        return url

    return found


KIND = Kind(
    "introspection",
    IntrospectionSettings,
    build,
    protects=True,
    summary="Authenticates by a token that its authorization server is asked about",
    family="authentication",
    example={"endpoint": "https://id.example/introspect", "client": {"id": "gateway", "secret": "of the gateway"}},
    libraries=("gateway.policy.tokens.published",),
)
