"""What a request says of the browser that sent it."""

from __future__ import annotations

from typing import Final

from gateway.core.exchange import Exchange

SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))  # RFC 9110 section 9.2.1


def navigates(exchange: Exchange) -> bool:
    """Somebody looks at a page: only then a redirect to a sign-in page helps. A script's request is none (Fetch
    Metadata Request Headers)."""
    head = exchange.head
    mode = head.get(b"sec-fetch-mode")
    return (
        head.method == b"GET"
        and not head.upgrade
        and b"text/html" in (head.get(b"accept") or b"").lower()
        and mode in {None, b"navigate"}
    )


def crosses_sites(exchange: Exchange, origin: bytes) -> bool:
    """Another site made the browser send it, with its cookies: what changes something must not be done. SameSite=Lax
    keeps most of them away; this keeps away the rest."""
    head = exchange.head
    site, came_from = head.get(b"sec-fetch-site"), head.get(b"origin")
    return site in {b"cross-site", b"same-site"} or (came_from is not None and came_from != origin)
