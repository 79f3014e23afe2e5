"""The words of `/sign-in` and `/whoami` on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import MOMENT, NULLABLE, STRING, STRINGS, About, Schema, record, ref

SCHEMAS: Final[dict[str, Schema]] = {
    "SignIn": record(
        {
            "openid": {
                "description": "an OpenID provider and the public client of it for programs; null: there is none",
                "oneOf": [
                    record({"issuer": STRING, "client_id": STRING, "scopes": STRINGS, "resource": NULLABLE}),
                    {"type": "null"},
                ],
            }
        }
    ),
    "Who": record(
        {
            "id": STRING,
            "name": STRING,
            "by": {"enum": ["token", "provider"]},
            "roles": STRINGS,
            "components": {"type": ["array", "null"], "items": STRING, "description": "null: of all"},
            "ends": MOMENT,
        }
    ),
}
DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/sign-in"): About(
        "Tells how people sign in",
        "For who has no credential yet; it takes none.",
        answer=ref("SignIn"),
        answer_text="The ways there are",
        refusals=(),
    ),
    ("GET", "/whoami"): About("Tells who asks, with roles and components", answer=ref("Who"), answer_text="Who"),
}
