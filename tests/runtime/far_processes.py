"""Processes that the runtimes of these tests host, and doubles of them with other code."""

from __future__ import annotations

import asyncio
import threading
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel

from gateway import Context, Problem, process


class Parcel(BaseModel):
    weight: Decimal
    due: date | None = None
    content: bytes = b""
    kind: Literal["box", "tube"] = "box"


class TooHeavy(Problem):
    status, title = 422, "Too heavy"


class Gates:
    """What a test opens, in the loop that runs the process."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.open = asyncio.Event()
        self.ended: list[str] = []
        self.thread = threading.Event()


GATES: list[Gates] = []


@process(effect="safe", raises=[TooHeavy])
async def weigh(parcel: Parcel, times: int = 1) -> Parcel:
    """Multiplies a weight."""
    if parcel.weight > 100:
        raise TooHeavy(f"{parcel.weight} kg", target="$.parcel.weight", most=Decimal("100.0"))
    return parcel.model_copy(update={"weight": parcel.weight * times})


@process(effect="safe")
async def who_calls(context: Context) -> Any:
    identity = context.identity
    return {
        "subject": identity.subject,
        "roles": ",".join(sorted(identity.roles)),
        "scopes": ",".join(sorted(identity.scopes)),
        "call": context.call_id,
        "message": context.message_id or "",
        "property": context.properties.get("shop", ""),
        "trace": context.traceparent or "",
    }


@process(effect="safe")
async def wait() -> str:
    return await _wait()


@process
async def wait_writing() -> str:
    return await _wait()


async def _wait() -> str:
    gates = GATES[-1]
    gates.entered.set()
    try:
        await gates.open.wait()
    except asyncio.CancelledError:
        gates.ended.append("cancelled")
        raise
    return "through"


@process(effect="safe")
def plain() -> str:
    """Of a thread."""
    return threading.current_thread().name.partition("_")[0]


@process(effect="safe")
async def fail() -> None:
    raise RuntimeError("a secret reason")


@process(effect="safe")
async def odd(text: str) -> str:
    raise Problem(f"half a pair {text} \ud800", also={"huge": 2**80, "half": "\udc00"})


@process(effect="safe")
async def echo(text: str) -> str:
    return text
