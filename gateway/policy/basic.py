"""`basic`: a user name and a password (RFC 7617).

`{use: basic, with: {users: {ann: {password: secret:ann_hash, application: partner}}}}`. Passwords stand in the step as
their argon2 hashes, or belong to applications in the directory. They are checked off the loop; unknown users take as
long as known ones (CASES C40). The field never goes on to the backend.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gateway.core.durations import seconds
from gateway.core.errors import BadRequest, Unauthorized, Unpresented
from gateway.core.exchange import Exchange, Head
from gateway.core.identity import Identity
from gateway.core.kinds import Built, Kind, Site
from gateway.core.secrets import KeyHasher
from gateway.policy.admit import admit
from gateway.policy.credentials import authorization
from gateway.policy.credentials.holders import Find, Held, Holder, NotInForce, either, listed, of_directory, shown
from gateway.policy.limits.subjects import network

log: Final = logging.getLogger("gateway.auth")

SECRET: Final = "secret:"  # noqa: S105 - how a document names one
LONGEST: Final = 2048  # bytes of the credential in base64
SAME_TEXT: Final = "The user name or the password is not valid."


class User(Holder):
    password: str = Field(min_length=1, repr=False, description="its argon2 hash, best as secret:NAME")


class Basic(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    users: dict[str, User] = Field(default_factory=dict, description="by user name")
    directory: bool | None = Field(
        None, description="also credentials of the directory; default: where no users are listed"
    )
    realm: str | None = Field(None, pattern=r'^[^"\\\x00-\x1f\x7f-\uffff]+$', description="default: the component")
    remember: str = Field("5m", description="how long a password that was right is not checked again; 0s: never")

    @field_validator("users")
    @classmethod
    def _names(cls, users: dict[str, User]) -> dict[str, User]:
        if wrong := [name for name in users if not name or ":" in name or not name.isprintable()]:
            raise ValueError(f"a user name is printable and holds no colon (RFC 7617): {wrong[0]!r}")
        return users

    @model_validator(mode="after")
    def _fits(self) -> Basic:
        if not self.users and self.directory is False:
            raise ValueError("nobody could call: list `users`, or write directory: true")
        seconds(self.remember) if self.remember != "0s" else None
        return self


def build(config: Basic, site: Site) -> Built:
    from gateway.policy.credentials.passwords import Passwords, check_hash, decoy

    hashes = [user.password for user in config.users.values()]
    for each in hashes:
        check_hash(each)
    find = _finder(config, site)
    unknown = decoy(hashes[0] if hashes else None)
    remember = 0.0 if config.remember == "0s" else seconds(config.remember)
    passwords = Passwords(site.services.of(KeyHasher), site.services.named("clock"), remember)
    challenge = ((b"WWW-Authenticate", f'Basic realm="{config.realm or site.component}", charset="UTF-8"'.encode()),)
    read = authorization.reader("Basic", LONGEST)

    def authenticate(exchange: Exchange) -> Any:
        """A client that goes on with the same fields is known by the keyed hash that its last request led to. Who it
        is, and whether that hash still counts, is looked up each time."""
        seen: tuple[str, str, bytes] | None = exchange.head.memo.get(read)
        if seen is not None:
            name, hash, key = seen
            held = find(name)
            if held is not None and hash in held.secrets and passwords.known(key):
                return admit(exchange, _identify(held))
        return presented(exchange)

    def presented(exchange: Exchange) -> Any:
        given = read(exchange.head)
        if given is None:
            raise Unpresented("Send a user name and a password (Basic).", headers=challenge)
        name, password = _parse(given)
        held = find(name)
        for hash in () if held is None else held.secrets:
            key = passwords.key(hash, password)
            if passwords.known(key):
                exchange.head.memo[read] = name, hash, key
                return admit(exchange, _identify(held))
        return check(exchange, held, password)

    async def check(exchange: Exchange, held: Held[str] | None, password: bytes) -> Any:
        client = network(exchange.head.peer.client)
        for hash in (unknown,) if held is None or not held.secrets else held.secrets:
            if await passwords.check(hash, password, client) and held is not None:
                return admit(exchange, _identify(held))
        log.info("request %s: basic credential refused", exchange.id)
        raise Unauthorized(SAME_TEXT, headers=challenge)

    def _identify(held: Held[str] | None) -> Identity:
        assert held is not None
        try:
            return held.identify()
        except NotInForce:
            raise Unauthorized(SAME_TEXT, headers=challenge) from None

    def name_of(head: Head) -> str | None:
        given = read(head)
        return None if given is None else _parse(given)[0]

    return Built(
        step=authenticate,
        conceals=frozenset((authorization.FIELD,)),
        presented=shown("basic", site, name_of, "Authorization") if _asks_directory(config) else None,
    )


def _asks_directory(config: Basic) -> bool:
    return not config.users if config.directory is None else config.directory


def _finder(config: Basic, site: Site) -> Find[str]:
    own = listed("basic", {name: (user, (user.password,)) for name, user in config.users.items()})
    if not _asks_directory(config):
        return own
    return either(own, of_directory("basic", "basic", site, lambda found, now: tuple(map(_hash, found.secrets(now)))))


def _hash(secret: Mapping[str, Any]) -> str:
    return str(secret["argon2"])


def _parse(given: bytes) -> tuple[str, bytes]:
    """User name and password (RFC 7617 section 2). BadRequest."""
    try:
        name, colon, password = base64.b64decode(given, validate=True).partition(b":")
        text = name.decode()
    except (binascii.Error, UnicodeDecodeError):
        colon, text, password = b"", "", b""
    if not colon or not text.isprintable():
        raise BadRequest("A Basic credential is the base64 of user:password in UTF-8 (RFC 7617).")
    return text, password


KIND = Kind(
    "basic",
    Basic,
    build,
    protects=True,
    summary="Authenticates by a user name and a password",
    family="authentication",
    example={
        "users": {
            "ann": {
                "password": "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$"
                "Lnk0SNQV1T0eCsnVHPRDcHbXBzNBvBJgLx4TsxqfLoE",
                "application": "partner",
            }
        }
    },
    libraries=("gateway.policy.credentials.passwords",),
)
