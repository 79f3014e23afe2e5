"""The cases of `benchmarks.kinds`: for each policy kind the settings, and requests that pass."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from benchmarks import messages, tokens
from benchmarks.messages import KEY_FIELD, Message
from gateway.consumers.directory import Directory
from gateway.server.kinds import POLICY_KINDS

Fields = tuple[tuple[str, str], ...]
Steps = Sequence[Mapping[str, Any]]
OPEN: Final[Steps] = ({"use": "anonymous"},)
KEYED: Final[Steps] = ({"use": "api-key"},)
JSON_FIELD: Final = ("Content-Type", "application/json")
ORDER: Final = b'{"id":7,"currency":"EUR","lines":[{"sku":"A1","quantity":2},{"sku":"B2","quantity":1}],"note":"noon"}'
XML: Final = b'<order id="7"><line sku="A1">2</line><line sku="B2">1</line></order>'
FORM: Final = b"name=Ann&street=Main+Road+1&city=Vienna"
FORM_TYPE: Final = "application/x-www-form-urlencoded"
ACTIVE: Final = b'{"active":true,"client_id":"partner","sub":"person","exp":4000000000}'
LONG: Final = b"[" + b",".join([messages.JSON] * 20) + b"]"
INTROSPECTION: Final = {"endpoint": "http://127.0.0.1:9/ask", "client": {"id": "gateway", "secret": "of the gateway"}}
ENRICHED: Final = {"url": "http://127.0.0.1:9/score", "headers": {"X-Score": "id"}}
LIMIT: Final = {"use": "rate-limit", "with": {"limit": "100000000/1m"}}
SECRET: Final = "an example of a long secret"
UNMEASURED: Final[dict[str, str]] = {
    "anonymous": "it stands in the route that most others are compared with",
    "openid-connect": "as `jwt` or `introspection`, whichever its tokens are",
    "mirror": "what it copies is sent when the answer has left",
    "mock": "it answers typed operations, which the others relay",
    "roles": "it is `scopes` by another name",
    "idempotency": "each request would be another, or the same answer",
    "client-certificate": "it needs a connection with a client's certificate",
}


@dataclass(frozen=True)
class Case:
    """`before` stands in both routes; `instead` takes the step's place in the one without it. `signed` makes the
    fields of the request with that number."""

    kind: str
    title: str = "its example"
    config: Mapping[str, Any] | None = None
    before: Steps = OPEN
    instead: Steps = ()
    fields: Fields = ()
    method: str = "GET"
    body: bytes = b""
    content_type: str = "application/json"
    reply: bytes = messages.JSON
    status: bytes = b"200"
    variants: int = 1
    signed: Callable[[str, int], Fields] | None = field(default=None, compare=False)
    label: str = ""

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.label}" if self.label else self.kind

    @property
    def settings(self) -> Mapping[str, Any]:
        return POLICY_KINDS[self.kind].example if self.config is None else self.config

    def upstream(self) -> bytes:
        head = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n"
        return head.format(self.content_type, len(self.reply)).encode() + self.reply

    def raws(self, path: str) -> list[bytes]:
        own = ("Content-Type", self.content_type)
        fields = (*self.fields, *((own,) if self.body else ()))
        made = []
        for number in range(self.variants):
            more = self.signed(path, number) if self.signed else ()
            made.append(Message(path, self.method, (*fields, *more), self.body).raw())
        return made


def _bearer(_path: str, number: int) -> Fields:
    return (("Authorization", f"Bearer {tokens.token(number)}"),)


def _hmac(path: str, number: int) -> Fields:
    at, nonce = int(time.time()), f"nonce-{time.time_ns()}-{number}"
    text = "\n".join(["HMAC-SHA256", "partner", str(at), nonce, "GET", path, messages.HOST, ""])
    value = base64.b64encode(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest()).decode()
    signed = f'HMAC-SHA256 keyid="partner", created={at}, nonce="{nonce}", signature="{value}"'
    return (("Authorization", signed),)


def _signature(path: str, _number: int) -> Fields:
    from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver
    from http_message_signatures.algorithms import HMAC_SHA256

    class Keys(HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id: str) -> bytes:
            return SECRET.encode()

        def resolve_public_key(self, key_id: str) -> bytes:
            return SECRET.encode()

    class Request:
        def __init__(self) -> None:
            self.method, self.url = "GET", f"http://{messages.HOST}{path}"
            self.headers: dict[str, str] = {}
            self.body = None

    request = Request()
    signer = HTTPMessageSigner(signature_algorithm=HMAC_SHA256, key_resolver=Keys())
    covered = ("@method", "@target-uri")
    signer.sign(request, key_id="partner", created=datetime.now(UTC), covered_component_ids=covered)  # type: ignore[arg-type]
    return tuple(request.headers.items())


@cache
def _password() -> str:
    import argon2

    return argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash("open sesame")


def _jwt() -> dict[str, Any]:
    return {"jwks": tokens.key_set_object(), "issuer": "https://id.example", "audience": "bench"}


def _cases() -> tuple[Case, ...]:
    basic = {"users": {"ann": {"password": _password(), "application": "partner"}}}
    login = base64.b64encode(b"ann:open sesame").decode()
    many = {"limit": "100000000/1m"}
    bearer: Steps = ({"use": "jwt", "with": _jwt()},)
    post: dict[str, Any] = {"method": "POST", "body": ORDER}
    xml: dict[str, Any] = {"method": "POST", "body": XML, "content_type": "application/xml", "reply": XML}
    return (
        Case("api-key", "a key of a thousand", before=(), instead=OPEN, fields=(KEY_FIELD,)),
        Case("any-of", "an API key or nobody", before=(), instead=OPEN, fields=(KEY_FIELD,)),
        Case("jwt", "RS256, one of 32 tokens seen before", _jwt(), (), OPEN, variants=32, signed=_bearer),
        Case("basic", "a password seen before", basic, (), OPEN, (("Authorization", f"Basic {login}"),)),
        Case("hmac", "each request signed anew", before=(), instead=OPEN, variants=16_000, signed=_hmac),
        Case("http-signature", "HMAC-SHA256, the same again", before=(), instead=OPEN, signed=_signature),
        Case("scopes", "two scopes of a token", {"all": ["read"]}, bearer, variants=32, signed=_bearer),
        Case("access-list", "a network"),
        Case("cel", "method and path"),
        Case("external-decision", "asked, and cached for 10 s", reply=b'{"allow":true}'),
        Case("rate-limit", "exact, by address", many),
        Case("cors", "a request from the page", fields=(("Origin", "https://shop.example"),)),
        Case("cache", "a hit"),
        Case("upstream", "its example"),
        Case("message-size", "head alone"),
        Case("json-limits", "request of 100 bytes", **post),
        Case("json-schema", "request of 100 bytes", **post),
        Case("xml-limits", "request of 70 bytes", **xml),
        Case("xml-schema", "request of 70 bytes", **xml),
        Case("headers", "constants", {"request": {"set": {"X-Team": "shop"}}}),
        Case("introspection", "a token asked about before", INTROSPECTION, (), OPEN, reply=ACTIVE, signed=_bearer),
        Case("quota", "day and month", {"day": 10**8, "month": 10**9}),
        Case("quota", "beside a rate limit: fused", {"day": 10**8}, (*OPEN, LIMIT), label="fused"),
        Case("spike-arrest", "never reached", {"limit": "1000000/s"}),
        Case("concurrency", "exact, by address", {"limit": 100_000}),
        Case("priority", "while there is no load"),
        Case("trace", "on a node that sends no traces"),
        Case("openapi", "request of 100 bytes, to a path that is not declared", **post),
        Case("pattern", "path and query"),
        Case("body-pattern", "request of 100 bytes", **post),
        Case("form-limits", "form of 40 bytes", method="POST", body=FORM, content_type=FORM_TYPE),
        Case("query", "set and remove"),
        Case("path", "a constant", {"to": "/v2/orders"}),
        Case("body", "request of 100 bytes", {"request": {"set": {"/source": "bench"}}}, **post),
        Case("json-to-xml", "request of 100 bytes", **post),
        Case("xml-to-json", "response of 70 bytes", content_type="application/xml", reply=XML),
        Case("jmespath", "request of 100 bytes", {"request": {"expression": "{id: id, items: lines[].sku}"}}, **post),
        Case("template", "request of 100 bytes", **post),
        Case("xslt", "response of 70 bytes", content_type="application/xml", reply=XML),
        Case("redact", "response of 100 bytes", {"response": {"paths": ["$..currency"]}}),
        Case("compress", "gzip, response of 2 kB", fields=(("Accept-Encoding", "gzip"),), reply=LONG),
        Case("enrich", "asks a service each time", ENRICHED),
        Case("respond", "answers, the other relays", {"status": 200, "body": {"a": 1}}),
    )


CASES: Final = _cases()


def fill(directory: Directory) -> None:
    """What the cases need to be known."""
    directory.put("applications", "partner", {})
    directory.put("subscriptions", "partner/bench", {})
