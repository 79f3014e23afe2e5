"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

Url = Annotated[str | None, typer.Option("--url", help="Admin URL, such as http://127.0.0.1:8081.")]
Token = Annotated[str | None, typer.Option("--token", help="Admin token; better in PENSTOCK_TOKEN.")]
Protocol = Literal["rest", "soap", "odata"]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
