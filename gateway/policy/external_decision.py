"""`external-decision`: a service outside says whether a request may pass.

    {use: external-decision, with: {url: https://decide.example/v1/check, fields: {Authorization: secret:decide}}}

It is asked by POST with a JSON document (`policy/decisions/question.py`). 2xx lets in, unless its JSON says
`{"allow": false}`; 401 and 403 refuse. Anything else, no answer in time, one that is too large or not understood: 503,
for nobody passes undecided (CASES C49). Answers may be kept for a short time by the parts of a request that are named.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.core.clock import Clock
from gateway.core.durations import seconds
from gateway.core.errors import Forbidden, Problem, Unauthorized
from gateway.core.exchange import Exchange
from gateway.core.kinds import Built, Kind, Site
from gateway.policy.decisions.answer import Decision, read_answer
from gateway.policy.decisions.cache import Cache, key_reader, known_parts
from gateway.policy.decisions.question import asker
from gateway.policy.fields import Fields, checked, names
from gateway.relay.outside import Outside, parse

log: Final = logging.getLogger("gateway.authorisation")

MOST_TIME: Final = 30.0  # seconds
MOST_KEPT: Final = 3600.0  # seconds


class Kept(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    ttl: str = Field(description="how long an answer is kept, at most 1h")
    by: tuple[str, ...] = Field(
        min_length=1,
        description="what the answer depends on: method, path, query, client, subject, application, plan, credential, "
        "scopes, roles, header:NAME; the endpoint and its operation always",
    )
    most: int = Field(10_000, ge=1, le=1_000_000, description="answers that are kept in a worker")

    @field_validator("ttl")
    @classmethod
    def _short(cls, text: str) -> str:
        if seconds(text) > MOST_KEPT:
            raise ValueError("an answer is kept for 1h at most, as what it is about may change")
        return text

    @field_validator("by")
    @classmethod
    def _known(cls, by: tuple[str, ...]) -> tuple[str, ...]:
        known_parts(by)
        return by


class ExternalDecision(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(min_length=1, description="where it is asked")
    timeout: str = Field("1s", description="for the whole answer, at most 30s")
    fields: Fields = Field(
        default_factory=dict, repr=False, description="header fields of the question, its credential"
    )
    headers: tuple[str, ...] = Field((), description="request headers that are told; none by itself")
    claims: tuple[str, ...] = Field((), description="claims of the identity that are told")
    add: tuple[str, ...] = Field((), description="request headers that the answer may set for the backend")
    most_answer: int = Field(65_536, ge=0, le=1_048_576, description="bytes of an answer")
    cache: Kept | None = Field(None, description="keep answers; default: ask each time")

    @field_validator("timeout")
    @classmethod
    def _bounded(cls, text: str) -> str:
        if seconds(text) > MOST_TIME:
            raise ValueError("a caller waits 30s at most")
        return text

    @field_validator("url")
    @classmethod
    def _url(cls, text: str) -> str:
        if "secret:" not in text:
            parse(text)
        return text

    @field_validator("headers", "add")
    @classmethod
    def _names(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        names(given)
        return given

    @field_validator("fields")
    @classmethod
    def _fields(cls, given: Fields) -> Fields:
        checked(given)
        return given


def build(config: ExternalDecision, site: Site) -> Built:
    outside = site.services.of(Outside)
    outside.check(config.url)
    ask = _asker(config, site, outside)
    added = frozenset(names(config.add))

    def settle(exchange: Exchange, decision: Decision) -> None:
        if not decision.allowed:
            log.info("request %s: %s/%s refuses", exchange.id, site.scope, site.step)
            raise _refusal(decision, site.component)
        if decision.add:
            exchange.edits.add += decision.add

    if config.cache is None:

        async def check(exchange: Exchange) -> None:
            settle(exchange, await ask(exchange))

        return Built(step=check, conceals=added)
    return Built(step=_keeping(config.cache, site, ask, settle), conceals=added)


Ask = Callable[[Exchange], Any]


def _asker(config: ExternalDecision, site: Site, outside: Outside) -> Ask:
    question = asker(config.headers, config.claims, site)
    fields = [*checked(config.fields), (b"Content-Type", b"application/json"), (b"Accept", b"application/json")]
    timeout, limit = seconds(config.timeout), config.most_answer
    add = frozenset(names(config.add))

    def ask(exchange: Exchange) -> Any:
        """The question is written at once: what it tells may change while it waits."""
        body = question(exchange)
        return _decide(body)

    async def _decide(body: bytes) -> Decision:
        answer = await outside.fetch(
            "POST", config.url, fields=fields, body=body, timeout=timeout, limit=limit, repeatable=True
        )
        return read_answer(answer, add)

    return ask


def _keeping(
    config: Kept, site: Site, ask: Ask, settle: Callable[[Exchange, Decision], None]
) -> Callable[[Exchange], Any]:
    """Equal questions are asked once, and for a while not again."""
    clock: Clock = site.services.named("clock")
    cache = Cache(seconds(config.ttl), config.most, clock.monotonic)
    key_of = key_reader(config.by)
    asked: dict[Any, asyncio.Task[Decision]] = {}

    def check(exchange: Exchange) -> Any:
        key = key_of(exchange)
        decision = cache.find(key)
        if decision is not None:
            return settle(exchange, decision)
        return wait(exchange, key)

    async def wait(exchange: Exchange, key: Any) -> None:
        task = asked.get(key)
        if task is None:
            task = asked[key] = asyncio.get_running_loop().create_task(ask(exchange))
            task.add_done_callback(lambda done: answered(key, done))
        settle(exchange, await asyncio.shield(task))

    def answered(key: Any, task: asyncio.Task[Decision]) -> None:
        asked.pop(key, None)
        if not task.cancelled() and task.exception() is None:
            cache.keep(key, task.result())

    return check


def _refusal(decision: Decision, realm: str) -> Problem:
    text = decision.reason or "The request is not allowed."
    if decision.status == 401:
        challenges = decision.challenges or (f'Decision realm="{realm}"'.encode(),)
        return Unauthorized(text, headers=[(b"WWW-Authenticate", each) for each in challenges])
    return Forbidden(text)


KIND = Kind(
    "external-decision",
    ExternalDecision,
    build,
    summary="A service outside says whether a request may pass",
    family="authorisation",
    example={"url": "http://127.0.0.1:9/decide", "cache": {"ttl": "10s", "by": ["application", "path", "method"]}},
    by_operation=True,
)
