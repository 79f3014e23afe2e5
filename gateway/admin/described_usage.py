"""The words of `/usage` on the admin REST."""

from __future__ import annotations

from typing import Final

from gateway.admin.described import COUNT, NULLABLE, READ, STRING, About, Schema, items, record, ref

_DAY: Final[Schema] = {"type": "string", "pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$"}
_COUNTS: Final[dict[str, Schema]] = dict.fromkeys(("calls", "refused", "failed", "received", "sent"), COUNT)

SCHEMAS: Final[dict[str, Schema]] = {
    "Usage": record(
        {
            "bucket": NULLABLE | {"description": "the day or the hour in UTC; null for the whole range"},
            "component": STRING,
            "version": STRING,
            "application": NULLABLE | {"description": "null: none that is known; *: those beyond the first 10,000"},
            **_COUNTS,
        }
    ),
}
DESCRIBED: Final[dict[tuple[str, str], About]] = {
    ("GET", "/usage"): About(
        "What each application called",
        "From real requests of all nodes. `refused` are answers of 4xx, `failed` of 5xx, `received` and `sent` bytes "
        "of bodies. Hours are kept for 32 days, days for 400.",
        query=(
            ("from", _DAY, "The first day, in UTC; default: six days before the last."),
            ("to", _DAY, "The last day; default: today."),
            ("each", {"enum": ["total", "day", "hour"]}, "One row for the whole range, each day or each hour."),
            ("component", STRING, "Of this component alone."),
            ("version", STRING, "Of versions of this name alone."),
            ("application", STRING, "Of this application alone; empty: of none that is known."),
        ),
        answer=items(ref("Usage")),
        answer_text="Counts by application and version",
        refusals=(400, *READ),
        paged=True,
    ),
}
