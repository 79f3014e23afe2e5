"""The one error tree. A `Problem` is raised anywhere and rendered by a frontend alone.

`code` is stable and what clients switch on; `status` is the HTTP status (RFC 9110 section 15); `title` says what
kind of problem it is, `detail` what happened this time, `target` names the place in the input (`$.lines[2].sku`),
`details` lists further problems of one refusal. RFC 9457 is the REST rendering of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

TYPE_PREFIX: Final = "urn:penstock:problem:"
REQUEST_PREFIX: Final = "urn:penstock:request:"


@dataclass(frozen=True, slots=True)
class Detail:
    """One of several things wrong with one input: `target` is its place, `message` says what to do."""

    target: str
    message: str
    code: str = "invalid"


class Problem(Exception):
    """A refusal or a failure that a client may see. Subclass it to declare an operation's errors."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    code: ClassVar[str] = "internal_error"

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "code" not in cls.__dict__:
            cls.code = cls.__name__

    def __init__(
        self,
        detail: str = "",
        *,
        target: str | None = None,
        details: Iterable[Detail] = (),
        headers: Sequence[tuple[bytes, bytes]] = (),
        **extensions: Any,
    ) -> None:
        super().__init__(detail or self.title)
        self.detail = detail
        self.target = target
        self.details: tuple[Detail, ...] = tuple(details)
        self.headers = tuple(headers)
        self.extensions = extensions


class BadRequest(Problem):
    status, title, code = 400, "Bad request", "bad_request"


class InvalidInput(Problem):
    status, title, code = 400, "The input is not valid", "invalid_input"


class Unauthorized(Problem):
    status, title, code = 401, "Authentication required", "unauthorized"


class Unpresented(Unauthorized):
    """No credential of this kind is there, so that another way in may be tried (`any-of`). A client sees any 401."""

    code = "unauthorized"


class Forbidden(Problem):
    status, title, code = 403, "Not allowed", "forbidden"


class ApplicationSuspended(Forbidden):
    title, code = "The application is suspended", "application_suspended"


class InsufficientScope(Forbidden):
    """RFC 6750 section 3.1."""

    title, code = "The credential does not reach so far", "insufficient_scope"


class NotFound(Problem):
    status, title, code = 404, "Not found", "not_found"


class UnknownVersion(Problem):
    status, title, code = 404, "No such version", "unknown_version"


class ConflictingVersions(Problem):
    status, title, code = 400, "Two versions are named", "conflicting_versions"


class MethodNotAllowed(Problem):
    status, title, code = 405, "Method not allowed", "method_not_allowed"


class NotAcceptable(Problem):
    status, title, code = 406, "No acceptable representation", "not_acceptable"


class RequestTimeout(Problem):
    status, title, code = 408, "The request took too long to arrive", "request_timeout"


class Conflict(Problem):
    status, title, code = 409, "Conflict", "conflict"


class Gone(Problem):
    status, title, code = 410, "Gone", "gone"


class PreconditionFailed(Problem):
    status, title, code = 412, "Precondition failed", "precondition_failed"


class ContentTooLarge(Problem):
    status, title, code = 413, "Content too large", "content_too_large"


class UriTooLong(Problem):
    status, title, code = 414, "URI too long", "uri_too_long"


class UnsupportedMediaType(Problem):
    status, title, code = 415, "Unsupported media type", "unsupported_media_type"


class ExpectationFailed(Problem):
    status, title, code = 417, "Expectation failed", "expectation_failed"


class PreconditionRequired(Problem):
    status, title, code = 428, "Precondition required", "precondition_required"


class TooManyRequests(Problem):
    status, title, code = 429, "Too many requests", "too_many_requests"


class HeadTooLarge(Problem):
    status, title, code = 431, "Request head too large", "head_too_large"


class InternalError(Problem):
    status, title, code = 500, "Internal error", "internal_error"


class NotImplementedHere(Problem):
    status, title, code = 501, "Not implemented", "not_implemented"


class BadGateway(Problem):
    status, title, code = 502, "Bad gateway", "bad_gateway"


class Unavailable(Problem):
    status, title, code = 503, "Unavailable", "unavailable"


class Unreached(Unavailable):
    """What was to run it is away: nothing ran."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    title, code = "The store cannot be reached", "store_unavailable"


class Undecidable(Unavailable):
    """Whether the caller may pass cannot be told now, so nobody does (CASES C49)."""

    title, code = "It cannot be decided now", "undecidable"


class Overloaded(Unavailable):
    """More of this work waits than is taken; asking again helps."""

    title, code = "Too much of this work waits", "overloaded"


class GatewayTimeout(Problem):
    status, title, code = 504, "The backend took too long", "gateway_timeout"


class NotCached(GatewayTimeout):
    title, code = "Nothing stored answers this request", "not_cached"


class VersionNotSupported(Problem):
    status, title, code = 505, "HTTP version not supported", "version_not_supported"
