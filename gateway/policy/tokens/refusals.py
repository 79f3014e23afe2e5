"""What a client is told of its token (RFC 6750 section 3): a challenge that names the error, and no more of the reason
than helps its owner. The log has the reason."""

from __future__ import annotations

import logging
from typing import Final

from gateway.core.errors import Forbidden, Problem, Unauthorized, Unpresented
from gateway.core.exchange import Exchange

log: Final = logging.getLogger("gateway.auth")

NOT_VALID: Final = "The token is not valid."
EXPIRED: Final = "The token has expired."


class TokenInvalid(Unauthorized):
    title, code = "The token is not valid", "invalid_token"


class TokenInsufficient(Forbidden):
    """A good token that does not open this API."""

    title, code = "The token does not open this", "forbidden"


class InvalidToken(Exception):
    """Why a token is refused, for the log; `told` is what its owner hears."""

    def __init__(self, reason: str, told: str = NOT_VALID) -> None:
        super().__init__(reason)
        self.told = told


class Challenges:
    """The refusals of one step; `realm` is the API's name."""

    def __init__(self, realm: str, where: str) -> None:
        self._bearer = f'Bearer realm="{realm}"'
        self._missing = f"Send a bearer token in {where}."

    def _field(self, error: str = "", told: str = "") -> tuple[bytes, bytes]:
        rest = f', error="{error}", error_description="{told}"' if error else ""
        return b"WWW-Authenticate", (self._bearer + rest).encode("ascii", "replace")

    def missing(self) -> Problem:
        """A challenge without an error code (RFC 6750 section 3.1)."""
        return Unpresented(self._missing, headers=[self._field()])

    def invalid(self, exchange: Exchange, error: InvalidToken) -> Problem:
        log.info("request %s: token refused: %s", exchange.id, error)
        return TokenInvalid(error.told, headers=[self._field("invalid_token", error.told)])

    def insufficient(self, exchange: Exchange, reason: str, told: str) -> Problem:
        log.info("request %s: token does not open this: %s", exchange.id, reason)
        return TokenInsufficient(told, headers=[self._field("insufficient_scope", told)])
