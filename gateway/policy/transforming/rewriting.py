"""What all kinds share that replace whole bodies: which bodies they take, what they refuse, and work off the loop.

A kind makes a `Rewrite`, whose `apply` is pure: bytes in, bytes out. Requests that cannot be rewritten are the
client's mistake (400), replies the backend's (502); what runs beyond its limits is ours (500 on requests). Replies
of the gateway itself, which are problems, are left as they are unless the rewrite asks for them: a refusal must
reach the client.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core.durations import seconds
from gateway.core.errors import BadGateway, InternalError, Problem, UnsupportedMediaType
from gateway.core.exchange import Exchange, Reply, Step, StepResult
from gateway.core.kinds import Built
from gateway.core.off_loop import off_loop
from gateway.policy.content import content_type
from gateway.policy.content.content_type import Media

Other = Literal["refuse", "skip"]
Rewritten = tuple[bytes, bytes | None]  # the body, and its media type where it is another one
Apply = Callable[[Any, bytes, Media], Rewritten]
After = Callable[[Exchange, Reply], Awaitable[Any] | None]

AT_ONCE: Final = 32_768  # bytes of a body that is rewritten on the loop: a millisecond or two
_STATUS: Final = re.compile(r"[2-5](?:xx|[0-9]{2})")


class NotTransformable(Problem):
    """The request's body is not what the step's expressions expect."""

    status, title, code = 400, "The request cannot be transformed", "not_transformable"


class TransformationFailed(InternalError):
    """A transformation of a request ran beyond its limits."""

    title, code = "The transformation failed", "transformation_failed"


class ReplyNotTransformable(BadGateway):
    """The backend's reply cannot be transformed; it is not passed on as it is."""

    title, code = "The backend's reply cannot be transformed", "reply_not_transformable"


class TooMuch(Exception):
    """A transformation ran beyond a limit, or made what it must not; the text says which."""


class Later(Exception):
    """Raised by `apply` where the loop must not do all of the work."""


def _time(text: str) -> str:
    if not 0.001 <= seconds(text) <= 5:
        raise ValueError("it has between 1ms and 5s")
    return text


Time = Annotated[str, AfterValidator(_time)]
"""How long one that runs code of a document may take."""


class Part(BaseModel):
    """Settings of one direction that all of these kinds have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    other: Other = Field("refuse", description="a body of another media type: refuse it, or let it pass as it is")


class Directions(BaseModel):
    """The configuration of such a kind: what becomes of requests, of replies, or of both."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: Any = None
    response: Any = None

    @model_validator(mode="after")
    def _something(self) -> Directions:
        if self.request is None and self.response is None:
            raise ValueError("it changes nothing: write `request`, `response` or both")
        return self


def checked_statuses(value: tuple[str, ...]) -> tuple[str, ...]:
    for each in value:
        if _STATUS.fullmatch(each) is None:
            raise ValueError(f"{each!r}: write a status such as 404, or a class such as 2xx")
    return value


class Statuses(BaseModel):
    """Which replies; for the `response` part of a kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    statuses: tuple[str, ...] = Field((), description="which replies, such as [2xx, 404]; empty: all")

    _statuses = field_validator("statuses")(checked_statuses)


@dataclass(frozen=True, slots=True)
class Rewrite:
    """`apply(given, body, media)` gives the new body; it raises a Problem, or TooMuch, or ValueError for a body that it
    cannot work on. `gather(exchange, reply)` takes what it needs of the exchange, on the loop. `makes`: it works
    without a body, too. `slow`: never on the loop. `problems`: it works on the gateway's own problems as well.
    `slowly`: what is done instead of `apply`, off the loop, where `apply` raises Later."""

    takes: Callable[[Media], bool]
    wanted: str
    apply: Apply
    gather: Callable[[Exchange, Reply | None], Any] = lambda _exchange, _reply: None
    makes: bool = False
    slow: bool = False
    problems: bool = False
    slowly: Apply | None = None

    def is_slow(self, body: bytes) -> bool:
        return self.slow or len(body) > AT_ONCE


def both(config: Directions, rewrite: Callable[[Any], Rewrite]) -> Built:
    """The step and the after of a configuration; `rewrite` makes what each of its parts does."""
    request, response = config.request, config.response
    return built(
        None if request is None else (rewrite(request), request.other),
        None if response is None else (rewrite(response), response.other, response.statuses),
    )


def built(request: tuple[Rewrite, Other] | None, response: tuple[Rewrite, Other, tuple[str, ...]] | None) -> Built:
    """A step and an after of two rewrites."""
    return Built(
        step=None if request is None else request_step(*request),
        after=None if response is None else reply_after(*response),
    )


# requests


def request_step(rewrite: Rewrite, other: Other) -> Step:
    def rewrite_request(exchange: Exchange) -> StepResult:
        body = exchange.body or b""
        if not body and not rewrite.makes:
            return None
        kind = content_type.read(exchange.head.get(b"content-type"))
        if body and not rewrite.takes(kind):
            if other == "skip":
                return None
            raise _unsupported(rewrite, kind)
        given = rewrite.gather(exchange, None)
        if not rewrite.is_slow(body):
            try:
                exchange.replace_body(*_request(rewrite.apply, given, body, kind))
            except Later:
                pass
            else:
                return None
        return _rewrite_slowly(exchange, rewrite, given, body, kind)  # type: ignore[return-value]

    return rewrite_request


async def _rewrite_slowly(exchange: Exchange, rewrite: Rewrite, given: Any, body: bytes, kind: Media) -> None:
    exchange.replace_body(*await off_loop(_request, rewrite.slowly or rewrite.apply, given, body, kind))


def _unsupported(rewrite: Rewrite, kind: Media) -> UnsupportedMediaType:
    said = f"{kind.name!r} is not taken here" if kind.name else "The body's media type is missing"
    return UnsupportedMediaType(f"{said}. Send {rewrite.wanted}.", target="header.Content-Type")


def _request(apply: Apply, given: Any, body: bytes, kind: Media) -> Rewritten:
    try:
        return apply(given, body, kind)
    except TooMuch as error:
        raise TransformationFailed(f"The transformation of the request {error}.") from error
    except ValueError as error:
        raise NotTransformable(f"The request cannot be transformed: {error}.") from error


# replies


def reply_after(rewrite: Rewrite, other: Other, statuses: tuple[str, ...]) -> After:
    matches = status_matcher(statuses)

    def rewrite_reply(exchange: Exchange, reply: Reply) -> Awaitable[Any] | None:
        own = exchange.problem is not None
        if (own and not rewrite.problems) or not matches(reply.status):
            return None
        body = reply.body or b""
        if not body and not rewrite.makes:
            return None
        kind = content_type.read(reply.get(b"content-type"))
        if body and not rewrite.takes(kind):
            if other == "skip" or own:
                return None
            raise ReplyNotTransformable(f"Its media type is {kind.name or 'missing'}; the step takes {rewrite.wanted}.")
        _require_whole(reply)
        given = rewrite.gather(exchange, reply)
        if not rewrite.is_slow(body):
            try:
                reply.replace_body(*_reply(rewrite.apply, given, body, kind))
            except Later:
                pass
            else:
                return None
        return _rewrite_reply_slowly(reply, rewrite, given, body, kind)

    return rewrite_reply


def _require_whole(reply: Reply) -> None:
    """What is coded here was coded by a step that stands behind this one; what is a part has no form."""
    if reply.status == 206:
        raise ReplyNotTransformable("The backend sent a part of a body, and only a whole one can be transformed.")
    coding = reply.get(b"content-encoding")
    if coding and coding.lower() != b"identity":
        raise ReplyNotTransformable("The reply was compressed by a step behind this one; write `compress` before it.")


async def _rewrite_reply_slowly(reply: Reply, rewrite: Rewrite, given: Any, body: bytes, kind: Media) -> None:
    reply.replace_body(*await off_loop(_reply, rewrite.slowly or rewrite.apply, given, body, kind))


def _reply(apply: Apply, given: Any, body: bytes, kind: Media) -> Rewritten:
    try:
        return apply(given, body, kind)
    except TooMuch as error:
        raise ReplyNotTransformable(f"The transformation {error}.") from error
    except Problem as problem:  # of a codec, which speaks of what was sent
        raise ReplyNotTransformable(problem.detail) from problem
    except ValueError as error:
        raise ReplyNotTransformable(f"{error}.") from error


def status_matcher(statuses: tuple[str, ...]) -> Callable[[int], bool]:
    if not statuses:
        return lambda _status: True
    return frozenset(status for each in statuses for status in _range(each)).__contains__


def _range(status: str) -> range:
    low = int(status.replace("x", "0"))
    return range(low, low + 100) if status.endswith("xx") else range(low, low + 1)


def json_or_xml(kind: Media) -> bool:
    return kind.is_json or kind.is_xml
