"""The words of backup and restore on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.backup_file import MEDIA_TYPE
from gateway.admin.described import BOOLEAN, COUNT, NUMBER, NUMBERS, READ, STRING, About, Schema, record, ref

_TABLE: Final = record({"table": STRING, "create": COUNT, "update": COUNT, "unchanged": COUNT, "delete": COUNT})

SCHEMAS: Final[dict[str, Schema]] = {
    "Restored": record(
        {
            "items": {"type": "array", "items": _TABLE},
            "messages": COUNT | {"description": "lines of messages in the backup"},
            "sequence": NUMBERS | {"description": "of the step that put it in place; null: nothing was written"},
            "made": NUMBER | {"description": "when the backup was made, in seconds since 1970"},
            "release": STRING,
            "backup": COUNT | {"description": "the sequence that the backup holds"},
        }
    ),
}
DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/backup"): About(
        "Takes a backup of everything, as of one sequence",
        "Lines of JSON; the last one tells how many there are and seals them: a file that was cut off is known. "
        "Keys and tokens are hashes, secrets are sealed: it is of use with the key secret alone. Counters, caches and "
        "idempotency keys are not in it.",
        query=(("messages", BOOLEAN, "Also the messages of topics, with positions, retries and dead letters."),),
        answer={"type": "string"},
        answer_text="The backup",
        answer_media=MEDIA_TYPE,
        answer_headers=("Content-Disposition",),
        refusals=(*READ, 409),
    ),
    ("POST", "/restore"): About(
        "Puts a backup in the place of what the store holds, all or nothing",
        "The store must be empty (but for what a node makes at its start), unless `replace`. The file is read whole "
        "and held to its seal first. The token of who restores goes on beside those of the backup.",
        query=(
            ("replace", BOOLEAN, "In the place of what is there."),
            (
                "without_credentials",
                BOOLEAN,
                "Without keys, credentials, tokens and signing keys; any key secret then.",
            ),
        ),
        body={"type": "string"},
        media=(MEDIA_TYPE,),
        answer=ref("Restored"),
        answer_text="What became of the records of each table",
        refusals=(400, 401, 403, 409, 412, 415, 503),
    ),
}
