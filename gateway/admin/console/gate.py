"""What a browser may do at the console: which names lead here, which requests are its own, which headers guard a page.

Sources: Fetch (Origin, Sec-Fetch-Site), CSP 3, RFC 6265bis (cookies), OWASP on CSRF and DNS rebinding.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request

from gateway.core.errors import Forbidden, Problem

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
"""Referrer-Policy is no `no-referrer`: a browser would then send `Origin: null` with the console's own forms."""
COOKIE: Final = "penstock-console"


class Misdirected(Problem):
    status, title, code = 421, "This host name is not served here", "misdirected_request"


class CrossOrigin(Forbidden):
    title, code = "The request came from another site", "cross_origin"


@dataclass(frozen=True)
class Gate:
    """`origins` are those at which browsers reach the console besides addresses and localhost: `https://admin.example`.
    A name must be listed, as DNS can lead anybody's name here (rebinding); an address cannot be rebound."""

    origins: tuple[str, ...] = ()

    def origin(self, request: Request) -> str:
        """Of the console, as the browser knows it. Misdirected for a name that is not ours."""
        hosts = request.headers.getlist("host")
        host = hosts[0].lower() if len(hosts) == 1 else ""
        for known in self.origins:
            if urlsplit(known).netloc.lower() == host:
                return known.lower()
        if not _address(host):
            raise Misdirected(
                "The console answers at its address, at localhost, and at the origins of PENSTOCK_ADMIN_ORIGINS."
            )
        return f"http://{host}"

    def check(self, request: Request) -> None:
        """Of what changes something: CrossOrigin unless the browser says that a page of ours sent it."""
        sent, site = request.headers.getlist("origin"), request.headers.getlist("sec-fetch-site")
        own = sent == [self.origin(request)] if sent else site == ["same-origin"]
        if not own or (site and site != ["same-origin"]):
            raise CrossOrigin("Open the console itself and do it there.")

    def cookie_name(self, origin: str) -> str:
        return f"__Host-{COOKIE}" if origin.startswith("https:") else COOKIE

    def cookie(self, origin: str, name: str, value: str) -> str:
        """A field Set-Cookie of a session; an empty value takes it away. Over plain HTTP it is bound to the console's
        path, as cookies do not tell ports apart and the gateway's own port would get it."""
        bound = "Path=/; Secure" if origin.startswith("https:") else "Path=/console"
        ends = "" if value else "; Max-Age=0"
        return f"{name}={value}; {bound}; HttpOnly; SameSite=Strict{ends}"


def cookies(request: Request) -> Mapping[str, str]:
    """Those that came once; of two with one name, the order proves nothing (RFC 6265, section 5.4)."""
    pairs = [
        each.strip().partition("=") for line in request.headers.getlist("cookie") for each in line.split(";") if each
    ]
    names = [name for name, _, _ in pairs]
    return {name: value for name, _, value in pairs if names.count(name) == 1}


def _address(host: str) -> bool:
    """localhost or an address, with a port or without."""
    try:
        parts = urlsplit(f"//{host}")
        name, _ = parts.hostname or "", parts.port
        if parts.username is not None or parts.path:
            return False
        if name == "localhost" or name.endswith(".localhost"):
            return True
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
