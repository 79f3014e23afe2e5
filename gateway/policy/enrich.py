"""`enrich`: what a service outside answers is put into the request before the backend gets it.

`{use: enrich, with: {url: "https://risk.example/score?app={application}", headers: {X-Score: score}}}`. The answer
is JSON; what is taken of it is said by JMESPath. It fills header fields, the query, and members of a JSON body,
which is read whole only then. Equal questions at one time are asked once, and answers are kept for `cache`.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core import headers
from gateway.core.clock import Clock
from gateway.core.durations import seconds
from gateway.core.errors import BadRequest, Problem, UnsupportedMediaType
from gateway.core.exchange import Exchange, StepResult
from gateway.core.kinds import Built, Kind, Site, Stage
from gateway.policy import placeholders, query
from gateway.policy.content import content_type
from gateway.policy.fields import Fields, checked, names
from gateway.policy.transforming import json_pointer
from gateway.policy.transforming.rewriting import NotTransformable
from gateway.relay.outside import DependencyFailed, Outside, parse
from gateway.schema.json_exact import dumps, text_of
from gateway.schema.json_loads import loads

Put = Callable[[Exchange, Any], None]
_ORIGIN: Final = re.compile(r"(https?://[^/?#]+|unix:[^?#]*)(.*)", re.DOTALL)
_UNSAFE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]+")
_DOTS: Final = re.compile(r"\.{1,2}")


class Enrich(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(description="whom to ask; path and query may hold placeholders")
    method: Literal["GET", "POST"] = "GET"
    send: Fields = Field(default_factory=dict, description="header fields of the question; may hold placeholders")
    body: Any = Field(None, description="POST: JSON, whose texts may hold placeholders")
    headers: dict[str, str] = Field(default_factory=dict, description="header field for the backend: JMESPath")
    query: dict[str, str] = Field(default_factory=dict, description="parameter for the backend: JMESPath")
    members: dict[str, str] = Field(default_factory=dict, description="JSON Pointer in the JSON body: JMESPath")
    timeout: str = Field("1s", description="for the whole of the question, at most 30s")
    limit: int = Field(65_536, ge=1, le=1_048_576, description="bytes of an answer")
    on_failure: Literal["refuse", "go_on"] = Field("refuse", description="refuse: 503; go_on: with `default`")
    default: Any = Field(None, description="go_on: the answer that is taken instead; null: nothing is put")
    cache: str | None = Field(None, description="how long an answer is kept, at most 1d; none: not at all")
    entries: int = Field(1_000, ge=1, le=100_000, description="answers that are kept")

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, value: str) -> str:
        if seconds(value) > 30:
            raise ValueError("a question has at most 30s")
        return value

    @field_validator("cache")
    @classmethod
    def _cache(cls, value: str | None) -> str | None:
        if value is not None and seconds(value) > 86_400:
            raise ValueError("an answer is kept for at most 1d")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Enrich:
        from gateway.policy.transforming.jmespath_exact import compile_expression

        origin, rest = _split(self.url)
        placeholders.check(rest)
        parse(origin + re.sub(r"\{[^{}]*\}", "x", rest))
        checked(self.send)
        names(self.headers)
        for pointer in self.members:
            json_pointer.parse(pointer)
        placeholders.check_value([*self.send.values(), self.body])
        for expression in self.expressions():
            compile_expression(expression)
        if self.method == "GET" and self.body is not None:
            raise ValueError("a GET has no body; write `method: POST`")
        if self.on_failure == "refuse" and self.default is not None:
            raise ValueError("`default` belongs to `on_failure: go_on`")
        if not self.expressions():
            raise ValueError("say where the answer is put")
        return self

    def expressions(self) -> list[str]:
        return [*self.headers.values(), *self.query.values(), *self.members.values()]


def _split(url: str) -> tuple[str, str]:
    """Who is asked is configured; only what is asked may come from a request."""
    match = _ORIGIN.fullmatch(url)
    if match is None or "{" in match[1]:
        raise ValueError("write the URL as https://host/path; its host holds no placeholder")
    return match[1], match[2]


class Question(NamedTuple):
    url: str
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


class _Service:
    """The service that a step asks. Answers are shared by its requests."""

    def __init__(self, config: Enrich, site: Site) -> None:
        self.config = config
        self.timeout = seconds(config.timeout)
        self.keep = 0.0 if config.cache is None else seconds(config.cache)
        self.outside = site.services.find(Outside)
        self.clock: Clock = site.services.named("clock")
        self.kept: OrderedDict[Question, tuple[float, Any]] = OrderedDict()
        self.asked: dict[Question, asyncio.Task[Any]] = {}
        if self.outside is not None:
            origin, rest = _split(config.url)
            self.outside.check(origin + re.sub(r"\{[^{}]*\}", "x", rest))

    def find(self, question: Question) -> tuple[Any] | None:
        """An answer that is kept."""
        kept = self.kept.get(question)
        if kept is None or kept[0] <= self.clock.monotonic():
            return None
        return (kept[1],)

    async def answer(self, question: Question) -> Any:
        """Of the service, asked once for all who ask the same now. DependencyFailed."""
        task = self.asked.get(question)
        if task is None:
            task = self.asked[question] = asyncio.get_running_loop().create_task(self._ask(question))
            task.add_done_callback(lambda done: self._asked(question, done))
        return await asyncio.shield(task)

    def _asked(self, question: Question, task: asyncio.Task[Any]) -> None:
        del self.asked[question]
        if task.cancelled() or task.exception() is not None or not self.keep:
            return
        self.kept[question] = (self.clock.monotonic() + self.keep, task.result())
        self.kept.move_to_end(question)
        while len(self.kept) > self.config.entries:
            self.kept.popitem(last=False)

    async def _ask(self, question: Question) -> Any:
        if self.outside is None:
            raise DependencyFailed("This gateway asks nobody.")
        fetched = await self.outside.fetch(
            self.config.method,
            question.url,
            fields=question.fields,
            body=question.body,
            timeout=self.timeout,
            limit=self.config.limit,
            repeatable=True,
        )
        if not 200 <= fetched.status < 300:
            raise DependencyFailed("What the gateway has to ask for this request was not told.")
        try:
            return loads(fetched.body)
        except Problem as problem:
            raise DependencyFailed("What the gateway was told for this request cannot be read.") from problem


def build(config: Enrich, site: Site) -> Built:
    service, ask = _Service(config, site), _questions(config)
    put = _putter(config)

    def finish(exchange: Exchange, answer: Any) -> None:
        try:
            put(exchange, answer)
        except ValueError as error:
            if config.on_failure == "refuse":
                raise DependencyFailed("What the gateway was told for this request does not fit.") from error
            if config.default is not None:
                put(exchange, config.default)

    async def wait(exchange: Exchange, question: Question) -> None:
        try:
            answer = await service.answer(question)
        except DependencyFailed:
            if config.on_failure == "refuse":
                raise
            answer = config.default
        if answer is not None:
            finish(exchange, answer)

    def enrich(exchange: Exchange) -> StepResult:
        question = ask(exchange)
        kept = service.find(question)
        if kept is None:
            return wait(exchange, question)  # type: ignore[return-value]
        finish(exchange, kept[0])
        return None

    return Built(step=enrich, conceals=frozenset(names(config.headers)))


def _questions(config: Enrich) -> Callable[[Exchange], Question]:
    origin, rest = _split(config.url)
    path, mark, question = rest.partition("?")
    fill_path, fill_query = placeholders.filler(path, _segment), placeholders.filler(question, _parameter)
    fields = [(name.encode(), placeholders.filler(text)) for name, text in config.send.items()]
    has_body, body = config.body is not None, placeholders.value(config.body)

    def ask(exchange: Exchange) -> Question:
        sent = [(name, _UNSAFE.sub(b"", fill(exchange).encode("latin-1", "replace"))) for name, fill in fields]
        sent.append((b"Accept", b"application/json"))
        if has_body:
            sent.append((b"Content-Type", b"application/json"))
        return Question(
            origin + fill_path(exchange) + mark + fill_query(exchange),
            tuple(sent),
            dumps(body(exchange)) if has_body else b"",
        )

    return ask


def _parameter(value: str) -> str:
    return quote(value, safe="")


def _segment(value: str) -> str:
    """A part of a path. One of dots alone would name another path."""
    if _DOTS.fullmatch(value):
        raise BadRequest("A value of the request cannot stand in a path.")
    return quote(value, safe="")


def _putter(config: Enrich) -> Put:
    from gateway.policy.transforming.jmespath_exact import compile_expression

    fields = [(name.encode(), compile_expression(each)) for name, each in config.headers.items()]
    parameters = [(query.encoded(name), compile_expression(each)) for name, each in config.query.items()]
    parts = [(json_pointer.parse(pointer), compile_expression(each)) for pointer, each in config.members.items()]
    dropped = frozenset(name.lower() for name, _ in fields)
    keep = headers.dropper(dropped)

    def put(exchange: Exchange, answer: Any) -> None:
        found = [(name, search(answer)) for name, search in fields]
        asked = [(name, search(answer)) for name, search in parameters]
        filled = [(steps, search(answer)) for steps, search in parts]
        if fields:
            edits = exchange.edits
            lines = headers.block((name, _bytes(value)) for name, value in found if value is not None)
            edits.add = keep(edits.add) + lines
        for name, value in asked:
            if value is not None:
                query.put(exchange, name, text_of(value))
        if filled:
            _put_members(exchange, filled)

    return put


def _bytes(value: Any) -> bytes:
    return _UNSAFE.sub(b"", text_of(value).encode("latin-1", "replace"))


def _put_members(exchange: Exchange, filled: list[tuple[json_pointer.Steps, Any]]) -> None:
    if not content_type.read(exchange.head.get(b"content-type")).is_json:
        raise UnsupportedMediaType("Send JSON.", target="header.Content-Type")
    content = loads(exchange.body or b"")
    for steps, value in filled:
        if value is not None:
            try:
                json_pointer.put(content, steps, value)
            except json_pointer.CannotStand as error:
                raise NotTransformable(f"Nothing can be set at {error}: the body has something else there.") from None
    exchange.replace_body(dumps(content))


def _stage(config: Mapping[str, Any]) -> Stage:
    """The body is read only where something is put into it."""
    return Stage.BODY if config.get("members") else Stage.HEAD


KIND = Kind(
    "enrich",
    Enrich,
    build,
    summary="Puts what a service outside answers into the request",
    example={"url": "https://risk.example/score?app={application}", "headers": {"X-Score": "score"}},
    libraries=("gateway.policy.transforming.jmespath_exact",),
    stage_of=_stage,
)
