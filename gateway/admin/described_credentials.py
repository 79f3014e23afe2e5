"""The words of `/credentials` on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import (
    DATE,
    EXPIRING,
    MOMENT,
    NULLABLE,
    NUMBER,
    ONE,
    READ,
    REVOKED,
    STRING,
    STRINGS,
    WRITE,
    About,
    Schema,
    items,
    record,
    ref,
)
from gateway.consumers.credentials import TYPES

_TYPE: Final[Schema] = {"enum": list(TYPES)}
_OBJECT: Final[Schema] = {"type": ["object", "null"]}
_MADE_OF: Final[dict[str, Schema]] = {
    "password": {"type": ["string", "null"], "description": "basic: one that somebody chose; default: a random one"},
    "secret": {"type": ["string", "null"], "description": "hmac: one that somebody chose; default: a random one"},
    "public_key": {"type": ["string", "null"], "description": "public-key: as PEM"},
    "jwk": _OBJECT | {"description": "public-key: as a JWK (RFC 7517)"},
    "certificate": {"type": ["string", "null"], "description": "certificate: as PEM; it is found by its fingerprint"},
    "fingerprint": {"type": ["string", "null"], "description": "certificate: SHA-256 in hexadecimal"},
    "subject": {"type": ["string", "null"], "description": "certificate: for whom (RFC 4514), with `issuer`"},
    "issuer": {"type": ["string", "null"], "description": "certificate: by whom it is issued"},
    "client_secret": {
        "type": ["boolean", "null"],
        "description": "oauth-client: whether it gets a secret; default: unless it has `jwks`",
    },
    "jwks": _OBJECT | {"description": "oauth-client: its public keys, for private_key_jwt (RFC 7523)"},
}
_ISSUED: Final = record({"id": STRING, "type": _TYPE, "name": STRING, "secret": NULLABLE})

SCHEMAS: Final[dict[str, Schema]] = {
    "Credential": record(
        {
            "id": STRING,
            "type": _TYPE,
            "name": STRING,
            "application": STRING,
            "api": NULLABLE,
            "plan": NULLABLE,
            "starts": MOMENT,
            "ends": MOMENT,
            "revoked": MOMENT,
            "created": NUMBER,
            "scopes": STRINGS,
            "overlap": MOMENT | {"description": "until when the secret before holds beside this one"},
        },
        {
            "jwk": {"type": "object"},
            "jwks": {"type": "object"},
            "roles": STRINGS,
            "subject": STRING,
            "issuer": STRING,
            "replaces": STRING,
        },
    ),
}

DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/credentials"): About(
        "Lists credentials other than API keys, without their secrets",
        query=(
            ("application", STRING, "Of this application alone."),
            ("api", STRING, "Those that open this API."),
            ("type", STRING, "Of this type alone."),
            EXPIRING,
        ),
        answer=items(ref("Credential")),
        paged=True,
        answer_text="The credentials",
        refusals=(400, *READ),
    ),
    ("POST", "/credentials"): About(
        "Creates a credential; its secret is shown in this answer and never again",
        role="operator",
        body=record(
            {"type": _TYPE, "application": STRING},
            {
                "name": {
                    "type": ["string", "null"],
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}$",
                    "description": "user name, key id or client id; default: a random one",
                },
                "api": NULLABLE | {"description": "the API that it opens; default: all of the application's"},
                "plan": NULLABLE,
                "starts": DATE,
                "ends": DATE,
                "scopes": {"type": ["array", "null"], "items": STRING},
                "roles": {"type": ["array", "null"], "items": STRING},
                **_MADE_OF,
            },
        ),
        statuses=(201,),
        answer=_ISSUED,
        refusals=(*WRITE, 412),
    ),
    ("GET", "/credentials/{id}"): About(
        "Shows a credential, without its secret",
        answer=ref("Credential"),
        answer_text="The credential",
        answer_headers=("ETag",),
        refusals=ONE,
    ),
    ("POST", "/credentials/{id}/rotate"): About(
        "Gives it a new secret or key; both hold during the overlap",
        "A certificate that is found by what it says gets a successor of its own.",
        role="operator",
        body=record(
            {},
            {
                "overlap": {"type": ["integer", "null"], "minimum": 0, "maximum": 10**9},
                "ends": DATE,
                **_MADE_OF,
            },
        ),
        body_required=False,
        statuses=(201,),
        answer=_ISSUED,
        refusals=(*WRITE, 412),
    ),
    ("DELETE", "/credentials/{id}"): About(
        "Ends a credential at once, on every node", role="operator", answer=REVOKED, refusals=(*ONE, 412)
    ),
}
