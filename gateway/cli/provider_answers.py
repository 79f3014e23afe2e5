"""What the command line asks an identity provider, and how its answers are read. Raises Failed.

The command line is a public client: what it has is what anybody could have.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from gateway.cli.failures import REFUSED, UNREACHABLE, Failed

if TYPE_CHECKING:
    import httpx2

TIMEOUT: Final = 20.0  # seconds
LASTS: Final = 300.0  # seconds of an access token of which the provider says nothing
AGAIN: Final = "Sign in again with: penstock login"


def guarded(issuer: str, url: str) -> None:
    """No token or code leaves without TLS, but on this machine."""
    parts = urlsplit(url)
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"} and not issuer.startswith("https:")
    if parts.scheme != "https" and not (parts.scheme == "http" and local):
        raise Failed(f"{url} is not https: nobody signs in there.")


def post(url: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    return send("POST", url, form)


def send(method: str, url: str, form: Mapping[str, str] | None) -> tuple[int, dict[str, Any]]:
    """The status and the JSON object; an empty one where the answer is none."""
    import httpx2

    try:
        answer = httpx2.request(method, url, data=form, headers={"Accept": "application/json"}, timeout=TIMEOUT)
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        host = urlsplit(url).netloc
        raise Failed(f"The identity provider {host} cannot be reached: {error}.", UNREACHABLE) from None
    return answer.status_code, _object(answer)


def _object(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def reason(answer: Mapping[str, Any]) -> str:
    said = [str(answer[name]) for name in ("error", "error_description") if answer.get(name)]
    return "".join(letter for letter in ": ".join(said)[:300] if letter.isprintable()) or "it does not say why"


def denied(answer: Mapping[str, Any]) -> Failed:
    return Failed(f"The identity provider refused: {reason(answer)}. {AGAIN}", REFUSED)


def ends(answer: Mapping[str, Any]) -> float:
    return time.time() + seconds(answer.get("expires_in"), LASTS)


def seconds(told: object, otherwise: float) -> float:
    """A length of time that a provider tells."""
    if isinstance(told, int | float) and not isinstance(told, bool) and told > 0:
        return float(told)
    return otherwise
