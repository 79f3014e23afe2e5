"""Between an exchange of the chain and what a policy in Python sees of it, wherever that policy runs."""

from __future__ import annotations

from gateway.core import headers
from gateway.core.errors import InternalError, Problem, Unavailable
from gateway.core.exchange import Exchange, Reply, Switch
from gateway.core.policy_code import Headers, Mark, Request, Response
from gateway.policy.admit import admit


def request_of(exchange: Exchange, mark: Mark) -> Request:
    """The request as earlier steps left it."""
    head, edits, facts = exchange.head, exchange.edited, exchange.chain.facts
    block, path, query = head.block, head.path, head.query
    if edits is not None:
        block = headers.dropper(edits.drop)(block) + edits.add
        path = head.path if edits.path is None else edits.path
        query = head.query if edits.query is None else edits.query
    return Request(
        method=head.method.decode("latin-1"),
        path=path.decode("latin-1"),
        query=query.decode("latin-1"),
        headers=Headers(block=block),
        body=(exchange.body or b"") if mark.body else None,
        client=head.peer.client,
        id=exchange.id,
        component=facts.get("component", ""),
        version=facts.get("version", ""),
        endpoint=facts.get("endpoint", ""),
        protocol=facts.get("protocol", ""),
        identity=exchange.identity,
    )


Before = tuple[str, str, bytes | None]


def before(request: Request) -> Before:
    """What a change is told by: path, query and body."""
    return request.path, request.query, request.body


def changed_request(exchange: Exchange, before: Before, after: Request, protects: bool) -> Switch | None:
    """Puts what the policy changed on the exchange. Only one that protects may say who calls: InternalError."""
    path, query, body = before
    fields = after.headers
    if fields.changed:
        edits = exchange.edits
        edits.drop = edits.drop | {name.encode() for name in fields.dropped}
        if edits.add and fields.dropped:
            edits.add = headers.dropper(frozenset(name.encode() for name in fields.dropped))(edits.add)
        edits.add += _block(fields)
    if after.path != path:
        exchange.edits.path = _target(after.path, "path")
    if after.query != query:
        exchange.edits.query = _target(after.query, "query")
    if after.body is not None and after.body != body:
        exchange.replace_body(after.body)
    if after.admitted is None:
        return None
    if not protects:
        raise InternalError("A policy that does not protect said who calls. Write @policy_kind(…, protects=True).")
    return admit(exchange, after.admitted)


def _block(fields: Headers) -> bytes:
    return headers.block((name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.added)


def _target(text: str, what: str) -> bytes:
    """A path or query as it may stand in a request line (RFC 9112 section 3.2). InternalError for anything else."""
    wrong = not text.isascii() or any(sign <= " " or sign in '#"<>\x7f' for sign in text)
    if wrong or (what == "path" and not text.startswith("/")) or (what == "path" and "?" in text):
        raise InternalError(f"A policy made a {what} that no request can have; percent-encode it.")
    return text.encode()


def reply_of(response: Response) -> Reply:
    """A policy's own answer."""
    if not 200 <= response.status <= 599:
        raise InternalError(f"A policy answered with the status {response.status}; it must be from 200 to 599.")
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    return Reply(response.status, fields, response.body or b"")


def response_of(reply: Reply, mark: Mark) -> Response:
    """The response as earlier afters left it."""
    fields = Headers(block=headers.block(reply.headers) + reply.block)
    return Response(reply.status, fields, reply.body if mark.response_body else None)


def changed_response(reply: Reply, body: bytes | None, after: Response) -> None:
    """Puts what the policy changed on the reply. `body` is what it saw."""
    if after.status != reply.status:
        if not 200 <= after.status <= 599:
            raise InternalError(f"A policy made the status {after.status} of a response; it must be from 200 to 599.")
        reply.status = after.status
    for name in after.headers.dropped:
        reply.remove(name.encode("latin-1"))
    reply.block += _block(after.headers)
    if after.body is not None and after.body != body:
        reply.replace_body(after.body)


def undecided(mark: Mark) -> Problem:
    """A policy that failed. One that protects could not decide: 503; any other is an error of the gateway's."""
    if mark.protects:
        return Unavailable(f"The policy {mark.name} could not decide. The gateway's log tells why.")
    return InternalError(f"The policy {mark.name} failed. The gateway's log tells why.")


def late(mark: Mark) -> Unavailable:
    return Unavailable(f"The policy {mark.name} took longer than {mark.timeout:g} s.", headers=[(b"Retry-After", b"1")])
