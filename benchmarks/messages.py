"""The requests that the rows send, as bytes, and the reply of the upstream."""

from __future__ import annotations

HOST = "api.example.com"
BROWSER = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: application/json, text/plain;q=0.9, */*;q=0.8",
    "Accept-Language: de-AT,de;q=0.8,en-GB;q=0.5,en;q=0.3",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Referer: https://shop.example.com/orders?page=2",
    "Origin: https://shop.example.com",
    "Cookie: session=5f2b7c90d1e84a63b1c7; theme=dark; consent=all",
    "Sec-Fetch-Dest: empty",
    "Sec-Fetch-Mode: cors",
    "Sec-Fetch-Site: same-site",
    "Cache-Control: no-cache",
    "Pragma: no-cache",
    "DNT: 1",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
)
BODY_1K = b"x" * 1024
SMALL = b'{"id":7,"name":"Product 7","currency":"EUR","amount":"19.90","stock":31,"tags":["a","b"],"pad":"xx"}'
assert len(SMALL) == 100
ENVELOPE = (
    b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
    b'<find_price xmlns="urn:bench:v1"><id>7</id></find_price></e:Body></e:Envelope>'
)


def request(method: str, path: str, *fields: str, body: bytes = b"") -> bytes:
    """A whole HTTP/1.1 request."""
    length = (f"Content-Length: {len(body)}",) if body else ()
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {HOST}", *fields, *length, "", ""]).encode() + body


UPSTREAM_REPLY = (
    b"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 05 Jan 2026 10:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n%b" % (len(SMALL), SMALL)
)
