"""The words of `/signing-keys` on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import MOMENT, NULLABLE, NUMBER, ONE, STRING, About, Schema, items, record, ref

SCHEMAS: Final[dict[str, Schema]] = {
    "SigningKey": record(
        {
            "kid": STRING,
            "algorithm": {"enum": ["ES256", "RS256"]},
            "state": {"enum": ["waiting", "signing", "verifying", "ended", "retired"]},
            "created": NUMBER,
            "signs": NUMBER,
            "ends": MOMENT,
        }
    ),
}
DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/signing-keys"): About(
        "Lists the keys of the gateway's own issuer of tokens",
        answer=items(ref("SigningKey")),
        answer_text="The keys",
        paged=True,
    ),
    ("POST", "/signing-keys/rotate"): About(
        "Publishes another key, which signs after `signing_key_lead` seconds",
        "The one before verifies until the last token that it signed has ended.",
        statuses=(201,),
        answer=record({"kid": STRING, "signs": NUMBER}),
        refusals=(401, 403, 409, 503),
    ),
    ("POST", "/signing-keys/{kid}/retire"): About(
        "Ends a key at once, with all tokens that it signed",
        "Where it was the one that signs, another one signs from now on.",
        answer=record({"retired": STRING, "successor": NULLABLE}),
        refusals=(*ONE, 409),
    ),
}
