"""The backend kind `topic`: an operation that publishes a message, or tells what became of one.

The topics are the service named `topics`. Messages carry who published them as properties: `call_id`, and
`application` when the caller is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gateway.core.call import Call
from gateway.core.errors import NotFound
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.core.kinds import BackendKind, Services
from gateway.events.topics import APPLICATION, Topics
from gateway.events.tracing import producing
from gateway.schema.json_codec import writer
from gateway.schema.types import Operation, Types


class TopicOperation(BaseModel):
    """An operation on a topic."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    topic: str = Field(description="the name of a Topic document")
    status: bool = Field(False, description="ask for the message of the input's `message_id` instead of publishing")


class PublishBackend:
    """Publishes the input's `payload`: {"id", "topic"}, durable when it answers."""

    def __init__(self, topics: Topics, topic: str, write: Callable[[Any], Any]) -> None:
        self._topics = topics
        self._topic = topic
        self._write = write

    async def invoke(self, call: Call) -> Any:
        context = call.context
        properties = {"call_id": context.call_id}
        if context.identity.application is not None:
            properties[APPLICATION] = context.identity.application
        with producing(self._topic, properties) as span:
            id = await self._topics.publish(self._topic, self._write(call.input["payload"]), properties)
            if span is not None:
                span.attributes["messaging.message.id"] = id
        return {"id": id, "topic": self._topic}

    async def close(self) -> None:
        """The topics outlive the operation."""


class StatusBackend:
    """The state of the message `message_id`, as `Topics.status` gives it, for the application that published it: ids
    can be guessed, and what others send is not this one's to know."""

    def __init__(self, topics: Topics, topic: str) -> None:
        self._topics = topics
        self._topic = topic

    async def invoke(self, call: Call) -> Any:
        id = call.input["message_id"]
        told = await self._topics.status(self._topic, id)
        owner = await self._topics.owner(self._topic, id)
        if owner is not None and owner != call.context.identity.application:
            raise NotFound(f"{self._topic} has no message {id}.")
        return told

    async def close(self) -> None:
        """The topics outlive the operation."""


def _bind(config: TopicOperation, _connection: None, operation: Operation, types: Types, services: Services) -> Any:
    topics: Topics = services.named("topics")
    parameter = "message_id" if config.status else "payload"
    if parameter not in operation.input:
        message = f"{operation.name} goes to a topic, but its input has no `{parameter}`."
        place = Place(path=f"/operations/{operation.name}/input")
        raise DocumentsRefused([Finding(place, "topic_input", message, f"Give the input a field `{parameter}`.")])
    if config.status:
        return StatusBackend(topics, config.topic)
    payload = operation.input["payload"]
    return PublishBackend(topics, config.topic, writer(payload.type, payload.nullable, types))


KIND = BackendKind(
    name="topic",
    connection=None,
    operation=TopicOperation,
    open=None,
    bind=_bind,
    summary="A topic of the event streams: publish a message, or ask for its state.",
)
