"""How steps that inspect messages run, and what becomes of what they find.

A check is a pure function of a body: it returns what is wrong, each with its place. Large bodies are read off the loop.
A request is refused with the places; a reply that is wrong is a 502 whose places only the log tells, as they speak of
the backend. In `report` mode everything goes on, and is logged and counted.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.core.errors import BadGateway, Detail, InvalidInput, Problem, UnsupportedMediaType
from gateway.core.exchange import After, Exchange, Reply, Step
from gateway.core.kinds import Site
from gateway.core.off_loop import LARGE, off_loop
from gateway.policy.content import media
from gateway.telemetry.reports import Reports

log: Final = logging.getLogger("gateway")

MOST: Final = 50  # findings of one message
_TOLD: Final = 5  # of them, in one line of the log

_WITH_BODY: Final = (b"POST", b"PUT", b"PATCH")

Mode = Literal["refuse", "report"]
Other = Literal["refuse", "pass"]
Check = Callable[[bytes], Sequence[Detail]]
Applies = Callable[[str], bool]  # to a body of this media type


class Settings(BaseModel):
    """What all such kinds take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode = Field("refuse", description="report: nothing is refused; it is logged and counted")
    status: Literal[400, 422] = Field(400, description="of refused requests")


class UnprocessableContent(InvalidInput):
    """What `status: 422` asks for; clients switch on the same code."""

    status, title, code = 422, "The input is not valid", "invalid_input"


class InvalidReply(BadGateway):
    title, code = "The backend's response is not valid", "invalid_reply"


class Inspection:
    """One configured step's: what it does with findings."""

    def __init__(self, site: Site, settings: Settings) -> None:
        self._component, self._version = site.component, site.version
        self._name = f"{site.component}@{site.version} {site.step}"
        self._step = site.step
        self._reports = site.services.find(Reports)
        self._refuses = settings.mode == "refuse"
        self._problem = InvalidInput if settings.status == 400 else UnprocessableContent

    def refuse(self, exchange: Exchange, found: Sequence[Detail]) -> None:
        """Findings of a request."""
        if not found:
            return
        if self._refuses:
            raise refusal(found, self._problem)
        self._report(exchange, "request", found)

    def fail(self, exchange: Exchange, found: Sequence[Detail]) -> None:
        """Findings of a reply."""
        if not found:
            return
        self._tell(exchange, "reply", found)
        if self._refuses:
            raise InvalidReply("The backend's response does not keep its contract. The gateway's log tells where.")
        self._count("reply")

    def _report(self, exchange: Exchange, part: str, found: Sequence[Detail]) -> None:
        self._tell(exchange, part, found)
        self._count(part)

    def _tell(self, exchange: Exchange, part: str, found: Sequence[Detail]) -> None:
        told = "; ".join(f"{each.target}: {each.message}" for each in found[:_TOLD])
        more = f" (and {len(found) - _TOLD} more)" if len(found) > _TOLD else ""
        log.warning("request %s: the %s is not valid for %s: %s%s", exchange.id, part, self._name, told, more)

    def _count(self, part: str) -> None:
        if self._reports is not None:
            self._reports.count(self._component, self._version, self._step, part)

    def raise_or_report(self, exchange: Exchange, problem: Problem, target: str) -> None:
        """A request that is refused by another problem than one of its content."""
        if self._refuses:
            raise problem
        self._report(exchange, "request", [Detail(target, problem.detail)])

    # bodies

    def request_step(self, check: Check, applies: Applies, other: Other, accept: bytes) -> Step:
        """Checks request bodies of the media types it applies to; `other` ones are refused or passed."""

        def inspect(exchange: Exchange) -> Coroutine[Any, Any, None] | None:
            body = exchange.body
            if not body:
                return None
            if not applies(media.of_request(exchange.head)):
                if other == "refuse" or not media.is_readable(exchange.head):
                    self.unsupported(exchange, accept)
                return None
            if len(body) > LARGE:
                return later(exchange, body)
            self.refuse(exchange, check(body))
            return None

        async def later(exchange: Exchange, body: bytes) -> None:
            self.refuse(exchange, await off_loop(check, body))

        return inspect

    def unsupported(self, exchange: Exchange, accept: bytes) -> None:
        problem = UnsupportedMediaType(
            f"The step {self._step} cannot check a body of this media type. Send {accept.decode()}.",
            target="header.Content-Type",
            headers=[(b"Accept", accept)],
        )
        self.raise_or_report(exchange, problem, "header.Content-Type")

    def reply_after(self, check: Check, applies: Applies, statuses: Statuses, other: Other = "pass") -> After:
        """Checks the bodies of the backend's replies that have these statuses; the gateway's own problems pass. So do
        empty ones and those of other media types, unless `other` says that they are wrong."""
        strange = (Detail("header.Content-Type", "is of a media type that is not checked here", "media_type"),)

        def inspect(exchange: Exchange, reply: Reply) -> Coroutine[Any, Any, None] | None:
            body = reply.body
            if exchange.problem is not None or body is None or not statuses(reply.status):
                return None
            if not applies(media.of_reply(reply)) or (not body and other == "pass"):
                self.fail(exchange, strange if other == "refuse" else ())
                return None
            if len(body) > LARGE:
                return later(exchange, body)
            self.fail(exchange, check(body))
            return None

        async def later(exchange: Exchange, body: bytes) -> None:
            self.fail(exchange, await off_loop(check, body))

        return inspect


Statuses = Callable[[int], bool]


def required_body(inspect: Step, inspection: Inspection, required: bool | None, what: str, root: str) -> Step:
    """The step, where a request must have a body as well; None: with the methods that are there to send one."""
    methods = _WITH_BODY if required is None else ()
    missing = (Detail(root, f"is required: send {what}", "required"),)

    def inspect_required(exchange: Exchange) -> Any:
        if exchange.body:
            return inspect(exchange)
        if required or exchange.head.method in methods:
            inspection.refuse(exchange, missing)
        return None

    return inspect_required


_STATUS: Final = re.compile(r"[1-5]xx|[1-5][0-9]{2}")


def _known_statuses(given: tuple[str, ...]) -> tuple[str, ...]:
    """ValueError for what is none."""
    for each in given:
        if not _STATUS.fullmatch(each):
            raise ValueError(f"`{each}` is no status; write 200 or 2xx")
    return given


StatusNames = Annotated[tuple[str, ...], AfterValidator(_known_statuses)]


def statuses(given: Sequence[str]) -> Statuses:
    """`200` and `2xx` as a function of a status."""
    classes = frozenset(int(each[0]) for each in given if each.endswith("xx"))
    numbers = frozenset(int(each) for each in given if not each.endswith("xx"))
    return lambda status: status // 100 in classes or status in numbers


def refusal(found: Sequence[Detail], problem: type[Problem] = InvalidInput) -> Problem:
    """The problem of one or more findings: the first in its text, all with their places."""
    first, more = found[0], f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return problem(f"{first.target}: {first.message}{more}.", target=first.target, details=found)
