"""Topics as publishers see them: a checked message in, its id out, and what became of it.

A message is JSON in UTF-8. It is kept in one spelling (what the topic's schema reads, written again), so that every
listener gets what the contract says, defaults included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gateway.core.errors import Detail, Gone, InvalidInput, NotFound
from gateway.schema.json_codec import reader
from gateway.schema.json_schema import read
from gateway.schema.json_write import Unfit, compile_writer
from gateway.schema.places import ROOT, render
from gateway.schema.types import AnyType, Type, Types
from gateway.snapshot.spec import TopicSpec
from gateway.store.streams import State, Streams
from gateway.telemetry.events import Messages

Encode = Callable[[Any], bytes]
_WORST_FIRST: Final[tuple[State, ...]] = ("dead", "retrying", "pending")
_NO_TYPES: Final = Types()


APPLICATION: Final = "application"
"""The property that names who published a message."""


class Topics:
    """`specs` is replaced whole when a snapshot is; each spec's codec is compiled once, when it is first used."""

    def __init__(self, streams: Streams, specs: Mapping[str, TopicSpec], messages: Messages | None = None) -> None:
        self.specs = specs
        self._messages = messages or Messages()
        self._streams = streams
        self._encoders: dict[str, tuple[TopicSpec, Encode]] = {}

    async def publish(self, topic: str, payload: Any, properties: Mapping[str, str] | None = None) -> str:
        """The id of a message whose payload is any JSON value; it is durable when this returns. InvalidInput lists
        what does not fit the topic's schema, with its places; NotFound for an unknown topic; StreamFull when a
        subscription has not finished the oldest of `max_length` messages."""
        spec = self._spec(topic)
        about = _checked(properties or {})
        id = await self._streams.append(topic, self._encoder(spec)(payload), about, spec.max_length)
        self._messages.published[topic] += 1
        return id

    async def status(self, topic: str, id: str) -> dict[str, Any]:
        """{"id", "topic", "state", "listeners": [{"listener", "state"}]}. A listener's state is pending, retrying,
        delivered or dead; the whole one is the worst of them, and accepted when nobody listens. NotFound for an id
        that was never given out, Gone for a message that everybody finished and that the topic no longer keeps."""
        self._spec(topic)
        states = await self._streams.status(topic, id)
        listeners = [{"listener": name, "state": states[name]} for name in sorted(states)]
        return {"id": id, "topic": topic, "state": _overall(states), "listeners": listeners}

    async def owner(self, topic: str, id: str) -> str | None:
        """The application that published a message; None when nobody's, or when the topic no longer keeps it."""
        try:
            found = await self._streams.browse(topic, _just_before(id), 1)
        except Gone:
            return None
        return found[0].properties.get(APPLICATION) if found and found[0].id == id else None

    def _spec(self, topic: str) -> TopicSpec:
        spec = self.specs.get(topic)
        if spec is None:
            raise NotFound(f"There is no topic {topic}. Known: {', '.join(sorted(self.specs)) or 'none'}.")
        return spec

    def _encoder(self, spec: TopicSpec) -> Encode:
        known = self._encoders.get(spec.name)
        if known is None or known[0] is not spec:
            known = self._encoders[spec.name] = (spec, _compile(spec))
        return known[1]


def _just_before(id: str) -> str:
    """An id below this one with none between: no stream gives out so many within one millisecond."""
    millis, _, number = id.partition("-")
    return f"{millis}-{int(number) - 1}" if int(number) else f"{max(0, int(millis) - 1)}-999999999"


def _compile(spec: TopicSpec) -> Encode:
    """From a JSON value, as `schema.json_codec.loads` gives it, to the bytes that are kept."""
    type_: Type = AnyType()
    nullable = False
    if spec.message is not None:
        type_, nullable = read(spec.message, _NO_TYPES, f"{spec.name}_message", "/message")
    read_value, write = reader(type_, nullable, _NO_TYPES), compile_writer(type_, nullable, _NO_TYPES)

    def encode(payload: Any) -> bytes:
        try:
            return orjson.dumps(write(read_value(payload), ROOT))
        except Unfit as unfit:
            place = render(unfit.path)
            raise InvalidInput(f"{place} {unfit}.", target=place, details=[Detail(place, str(unfit))]) from None
        except TypeError:  # half of a surrogate pair: no bytes carry it
            raise InvalidInput("A string of the payload is not valid Unicode.", target="$") from None

    return encode


def _checked(properties: Mapping[str, str]) -> dict[str, str]:
    for name, value in properties.items():
        if not isinstance(name, str) or not isinstance(value, str) or not name:
            raise InvalidInput(f"The property {name!r} must be a name with a text.", target=f"properties.{name}")
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError:
            raise InvalidInput("A property is not valid Unicode.", target="properties") from None
    return dict(properties)


def _overall(states: Mapping[str, State]) -> str:
    if not states:
        return "accepted"
    present = set(states.values())
    return next((state for state in _WORST_FIRST if state in present), "delivered")
