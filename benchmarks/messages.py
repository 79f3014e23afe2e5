"""The requests that the rows send, and the reply of the upstream."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Final, Literal

HOST: Final = "api.example.com"
KEY: Final = "pk_bench-0123456789abcdefghijklmn:opqrstuvwxyz-ABCD"  # two halves, as Express Gateway wants them
KEY_FIELD: Final = ("X-API-KEY", KEY)
JSON: Final = b'{"id":7,"name":"Product 7","currency":"EUR","amount":"19.90","stock":31,"tags":["a","b"],"pad":"xx"}'
ENVELOPE: Final = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    b'<find_price xmlns="urn:bench:v1"><id>7</id></find_price></e:Body></e:Envelope>'
)
BROWSER: Final = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("Accept", "application/json, text/plain;q=0.9, */*;q=0.8"),
    ("Accept-Language", "de-AT,de;q=0.8,en-GB;q=0.5,en;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "https://shop.example.com/orders?page=2"),
    ("Origin", "https://shop.example.com"),
    ("Cookie", "session=5f2b7c90d1e84a63b1c7; theme=dark; consent=all"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-site"),
    ("Cache-Control", "no-cache"),
    ("Pragma", "no-cache"),
    ("DNT", "1"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
)


VARIANTS: Final = 20_000
KEYS: Final = 1000


@cache
def key_list(count: int) -> list[str]:
    """So many keys that the gateways know; the one that the load sends is the first."""
    return [KEY, *(f"pk_other-{number:06d}-0123456789:abcdefghijklmnopqrstuv" for number in range(1, count))]


@dataclass(frozen=True)
class Message:
    """A request, for wrk and for our own client."""

    path: str
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = (KEY_FIELD,)
    body: bytes = b""

    varied: Literal["", "path", "all"] = ""  # each request has another path; another key and trace identifier as well

    def raws(self) -> list[bytes]:
        """What is sent in turn: one request, or many that nobody can remember the last one by."""
        return [self._variant(number).raw() for number in range(VARIANTS)] if self.varied else [self.raw()]

    def _variant(self, number: int) -> Message:
        key = key_list(KEYS)[number * 7 % KEYS]
        trace = f"00-{number * 7919:032x}-{number * 104729:016x}-01"
        replaced = {"X-API-KEY": key, "traceparent": trace}
        fields = tuple((name, replaced.get(name, value)) for name, value in self.fields)
        path = self.path.replace("42", str(100_000 + number * 13))
        return replace(self, path=path, fields=fields if self.varied == "all" else self.fields, varied="")

    def raw(self) -> bytes:
        """As it stands on the wire (RFC 9112)."""
        length = (("Content-Length", str(len(self.body))),) if self.body else ()
        lines = [f"{name}: {value}" for name, value in (("Host", HOST), *self.fields, *length)]
        return "\r\n".join([f"{self.method} {self.path} HTTP/1.1", *lines, "", ""]).encode() + self.body


# The paths are the gateway's own; every peer forwards them as they are, and the upstream looks at their end only.
RELAY: Final = Message("/bench/v1/relay/items/42")
OPEN: Final = Message("/bench/v1/open/items/42", fields=())
KEYED: Final = Message("/bench/v1/keyed/items/42")
FUSED: Final = Message("/bench/v1/fused/items/42")
EDITED: Final = Message("/bench/v1/edited/items/42", fields=())
LARGE: Final = Message("/bench/v1/relay/10k")
HUGE: Final = Message("/bench/v1/relay/1m")
POST: Final = Message(
    "/bench/v1/relay/items", "POST", (KEY_FIELD, ("Content-Type", "application/octet-stream")), b"x" * 1024
)
AS_BROWSER: Final = Message("/bench/v1/relay/items/42?page=2", fields=(*BROWSER, KEY_FIELD))
VARIED: Final = Message("/bench/v1/relay/items/42?page=2", fields=(*BROWSER, KEY_FIELD), varied="all")
PATHS: Final = Message("/bench/v1/relay/items/42?page=2", fields=(*BROWSER, KEY_FIELD), varied="path")
REST: Final = Message("/bench/v1/prices/7")
SOAP: Final = Message("/bench/v1/soap", "POST", (KEY_FIELD, ("Content-Type", "text/xml")), ENVELOPE)
ODATA: Final = Message("/bench/v1/odata/Orders?$filter=total%20gt%20900&$orderby=total%20desc&$top=20")

UPSTREAM_REPLY: Final = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 05 Jan 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n%b" % (len(JSON), JSON)
)
