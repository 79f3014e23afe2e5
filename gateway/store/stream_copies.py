"""Messages for a backup: a topic with its messages, positions of subscriptions, retries and dead letters; and back.

Positions are read before messages, so that nothing is lost of a topic that goes on meanwhile: what was finished since
comes again (delivery is at least once). Names of messages that suppress duplicates are not kept. Rows, in this order:

```
["topic", trimmed, newest]                    ids, "" for none
["entry", id, payload in base64, properties (JSON), origin, group]
["group", name, start, position]
["pending", group, id, attempts, due, waiting (0, 1), reason]
["moved", group, origin, id]
["dead", group, id, {field: value in base64}]
```
A topic is put back beside itself, under `{topic}:r:`. What it got since the backup is copied behind that, part by part,
as the server runs one script at a time; the last part takes the topic's own place in the same step.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, Protocol

from gateway.core.errors import InvalidInput
from gateway.store.client import Argument, Client
from gateway.store.stream_copy_scripts import MOVED, PASTE, PENDING, RENAME, STATE, UNSTAGE

Row = list[Any]
_PAGE: Final = 200
_ENTRIES: Final = 500  # copied by one script: a larger one holds up the server for others
_BYTES: Final = 1_000_000
_KINDS: Final = {"topic": 3, "entry": 6, "group": 4, "pending": 7, "moved": 4, "dead": 4}


class StreamCopies(Protocol):
    """Raises StoreUnavailable."""

    def rows(self) -> AsyncIterator[tuple[str, Row]]:
        """Every topic's, one topic behind the other."""
        ...

    async def begin(self, topic: str) -> None: ...

    async def put(self, topic: str, rows: Sequence[Row]) -> None:
        """Some rows, in their order. InvalidInput for what is none."""
        ...

    async def activate(self, topic: str) -> None:
        """What was put takes the place of what the topic has; what the topic got since stays behind it: no message that
        was acknowledged to its sender is lost."""
        ...

    async def close(self) -> None: ...


class RedisStreamCopies:
    def __init__(self, url: str, prefix: str = "penstock", entries: int = _ENTRIES) -> None:
        """`entries`: how many are copied at once of what a topic got since the backup."""
        self._client = Client(url)
        self._prefix = prefix
        self._entries_each = entries

    def _base(self, topic: str) -> str:
        return f"{self._prefix}:s:{{{topic}}}:"

    async def rows(self) -> AsyncIterator[tuple[str, Row]]:
        before, behind = f"{self._prefix}:s:{{", "}:log"
        async for key in self._client.keys(f"{before}*{behind}"):
            topic = key.removeprefix(before).removesuffix(behind)
            async for row in self._topic(topic):
                yield topic, row

    async def _topic(self, topic: str) -> AsyncIterator[Row]:
        log, base = self._base(topic) + "log", self._base(topic)
        trimmed, newest, groups = await self._client.run(STATE, [log], [base])
        marks: list[Row] = []
        for name, start, position in groups:
            marks.append(["group", _text(name), _text(start), _text(position)])
            marks += [row async for row in self._marks(topic, name, position)]
        yield ["topic", _text(trimmed), _text(newest)]
        async for id, found in self._entries(log):
            about = [_text(found.get(name, b"")) for name in (b"h", b"o", b"g")]
            yield ["entry", id, _packed(found[b"p"]), *about]
        for row in marks:
            yield row
        for name, _, _ in groups:
            async for id, found in self._entries(f"{base}dead:{_text(name)}"):
                yield ["dead", _text(name), id, {_text(field): _packed(value) for field, value in found.items()}]

    async def _marks(self, topic: str, group: bytes, position: bytes) -> AsyncIterator[Row]:
        keys, base, after = [self._base(topic) + "log"], self._base(topic), "-"
        while found := await self._client.run(PENDING, keys, [base, group, after, position, _PAGE]):
            for id, attempts, due, waits, why in found:
                yield ["pending", _text(group), _text(id), attempts, int(float(due or 0)), waits, _text(why or b"")]
            after = f"({_text(found[-1][0])}"
        moved = await self._client.run(MOVED, keys, [base, group])
        for origin, id in zip(moved[::2], moved[1::2], strict=True):
            yield ["moved", _text(group), _text(origin), _text(id)]

    async def _entries(self, stream: str) -> AsyncIterator[tuple[str, dict[bytes, bytes]]]:
        after = "-"
        while found := await self._client.execute("XRANGE", stream, after, "+", "COUNT", _PAGE):
            for id, fields in found:
                yield _text(id), fields
            after = f"({_text(found[-1][0])}"

    async def begin(self, topic: str) -> None:
        await self._stage(topic, UNSTAGE)

    async def put(self, topic: str, rows: Sequence[Row]) -> None:
        for row in rows:
            await self._stage(topic, PASTE, *_told(row))

    async def activate(self, topic: str) -> None:
        while not await self._stage(topic, RENAME, self._entries_each, _BYTES):
            pass  # each copies some, and the server serves others between two

    async def _stage(self, topic: str, script: Any, *arguments: Argument) -> Any:
        base = self._base(topic)
        return await self._client.run(script, [base + "log"], [base, *arguments])

    async def close(self) -> None:
        await self._client.close()


def _told(row: Row) -> list[Argument]:
    """A row for the script: its kind, then what it is made of."""
    if not row or _KINDS.get(row[0]) != len(row):
        raise InvalidInput(f"{str(row[:1])[:40]} is no row of a message in a backup.")
    if row[0] == "entry":
        fields: list[Argument] = ["p", b64decode(row[2]), "h", row[3]]
        return [
            "entry",
            row[1],
            *fields,
            *(part for name, at in (("o", 4), ("g", 5)) if row[at] for part in (name, row[at])),
        ]
    if row[0] == "dead":
        pairs = [part for name, value in row[3].items() for part in (name, b64decode(value))]
        origin = b64decode(row[3].get("o", "")).decode()
        return ["dead", row[1], row[2], origin, *pairs]
    return list(row)


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()


def _packed(value: bytes) -> str:
    return b64encode(value).decode()
