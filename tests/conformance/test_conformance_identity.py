"""CASES H32-H38: who a request comes from is said by the gateway alone, and no body escapes the steps that want it."""

from __future__ import annotations

import re

import pytest

from gateway.server.protocol_peer import peer_of
from tests.conformance.gateway_node import MAX_BODY, TRUSTED, Gateway, relayed, same
from tests.conformance.test_conformance_heads import every, table


def get(path: bytes, fields: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"


def fields_of(came: bytes) -> dict[bytes, list[bytes]]:
    """The fields of the one request that came, names in lower case."""
    found: dict[bytes, list[bytes]] = {}
    for line in came[: came.index(b"\r\n\r\n")].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        found.setdefault(name.lower(), []).append(value.strip())
    return found


SET = (
    b"x-app",
    b"x-team",
    b"x-caller",
    b"forwarded",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"x-forwarded-host",
    b"via",
    b"x-request-id",
    b"host",
)
NAMES = (
    b"X-App|X-Team|X-Caller|Forwarded|X-Forwarded-For|X-Forwarded-Proto|X-Forwarded-Host|Via|X-Request-Id|Host"
    b"|X-API-KEY"
)


@pytest.mark.parametrize("name", every(NAMES))
@pytest.mark.parametrize(
    "how", [b"Connection: %b", b"Connection: close, %b", b"connection: x\r\nConnection:%b,y", b"Connection: ,%b;,%b"]
)
def test_h32_connection_cannot_name_away_what_the_gateway_sets(gateway: Gateway, name: bytes, how: bytes) -> None:
    line = how.replace(b"%b", name.swapcase()) + b"\r\n"
    came = fields_of(gateway.passes(get(b"/keyed/x", line + gateway.credential)))
    assert {known: len(came.get(known, ())) for known in SET} == dict.fromkeys(SET, 1)
    assert (came[b"x-app"], came[b"x-team"], came[b"x-caller"]) == ([b"partner"], [b"partner"], [b"127.0.0.1"])
    assert b"x-api-key" not in came


@pytest.mark.parametrize(
    "name", every(b"Content-Length|Transfer-Encoding|Host|Content-Type|Authorization|Cookie|Content-Encoding|Accept")
)
def test_h32_connection_cannot_name_away_what_an_upstream_reads_a_message_by(gateway: Gateway, name: bytes) -> None:
    fields = b"Content-Type: a/b\r\nContent-Encoding: x\r\nAuthorization: Basic x\r\nCookie: a=b\r\nAccept: c/d\r\n"
    for framing, body in ((b"Content-Length: 2", b"ok"), (b"Transfer-Encoding: chunked", b"2\r\nok\r\n0\r\n\r\n")):
        head = b"POST /open/x HTTP/1.1\r\nHost: a\r\nConnection: " + name + b"\r\n" + fields + framing + b"\r\n\r\n"
        came = gateway.passes(head + body)
        same(relayed(b"POST /x", gateway.upstream, b"\r\n" + fields[:-2], b"\r\n" + framing + b"\r\n\r\n" + body), came)


@pytest.mark.parametrize("name", every(b"X-Private|x-private|X-PRIVATE"))
@pytest.mark.parametrize(
    "how", [b"Connection: %b", b"Connection: keep-alive, %b", b"Connection: a\r\nConnection: %b", b"Connection:,, %b ,"]
)
def test_h32_what_connection_may_name_is_dropped(gateway: Gateway, name: bytes, how: bytes) -> None:
    line = how.replace(b"%b", name) + b"\r\nX-Private: 1\r\nX-Privates: 2\r\nX-Kept: 3\r\n"
    same(relayed(b"GET /x", gateway.upstream, b"\r\nX-Privates: 2\r\nX-Kept: 3"), gateway.passes(get(b"/open/x", line)))


HOP = (
    b"Connection: close|Keep-Alive: timeout=5|Proxy-Connection: keep-alive|Proxy-Authorization: Basic x"
    b"|Proxy-Authenticate: x"
    b"|TE: trailers|TE: gzip|Trailer: X-Sum|Upgrade: x|HTTP2-Settings: x|Connection: TE\r\nTE: trailers|te: chunked"
    b"|Connection: keep-alive, close, x-y|Expect: 100-continue|Proxy: http://evil|proxy:x"
)


@pytest.mark.parametrize("line", every(HOP))
def test_h32_fields_of_the_hop_never_go_on(gateway: Gateway, line: bytes) -> None:
    came = gateway.passes(get(b"/open/x", b"A: 1\r\n" + line + b"\r\nB: 2\r\n"))
    same(relayed(b"GET /x", gateway.upstream, b"\r\nA: 1\r\nB: 2"), came)


CLAIMS = (
    b"X-Penstock-Application|X-Penstock-Anything|X-Consumer|X-Consumer-Id|X-Consumer-Username"
    b"|X-Consumer-Custom-Id|X-Consumer-Groups"
    b"|X-Credential-Identifier|X-Credential-Username|X-Anonymous-Consumer|X-Authenticated-Userid"
    b"|X-Authenticated-Scope"
    b"|X-Remote-User|Remote-User|X-Client-Cert|X-Client-Cert-Dn|SSL-Client-S-DN|X-SSL-Client-Verify"
)


@pytest.mark.parametrize("name", every(CLAIMS))
@pytest.mark.parametrize("path", [b"/open/x", b"/guard/pub/x"])
def test_h33_a_claimed_identity_is_dropped_where_nobody_checks(gateway: Gateway, name: bytes, path: bytes) -> None:
    spelled = b"".join(spelling + b": evil\r\n" for spelling in (name, name.lower(), name.upper()))
    came = gateway.passes(get(path, spelled + b"A: 1\r\n"))
    assert b"evil" not in came
    assert b"\r\nA: 1\r\n" in came


@pytest.mark.parametrize("name", every(b"X-App|x-app|X-APP|X-Team|x-team|X-Caller"))
def test_h33_a_claimed_identity_is_replaced_where_a_policy_sets_it(gateway: Gateway, name: bytes) -> None:
    line = name + b": evil\r\n"
    came = gateway.passes(get(b"/keyed/x", line + gateway.credential + line))
    assert b"evil" not in came
    found = fields_of(came)
    assert (found[b"x-app"], found[b"x-team"], found[b"x-caller"]) == ([b"partner"], [b"partner"], [b"127.0.0.1"])


UNDERSCORED = (
    b"X_API_KEY|X_Api-Key|X-API_KEY|x_app|X_Penstock_Application|X_Forwarded_For|X-Forwarded_For|Content_Length"
    b"|Transfer_Encoding"
    b"|Host_|_Host|X_Original_URL|_|__|A_|Content-Length_|Connection_|Authorization_"
)


@pytest.mark.parametrize("name", every(UNDERSCORED))
def test_h34_a_field_with_an_underscore_is_dropped(gateway: Gateway, name: bytes) -> None:
    came = gateway.passes(get(b"/open/x", b"A: 1_2\r\n" + name + b": 5\r\nB: 2\r\n"))
    same(relayed(b"GET /x", gateway.upstream, b"\r\nA: 1_2\r\nB: 2"), came)


def test_h34_a_key_in_a_field_with_underscores_is_none(gateway: Gateway) -> None:
    line = b"X_API_KEY: " + gateway.key.encode() + b"\r\n"
    assert gateway.passes(get(b"/keyed/x", line), statuses=(401,)) == b""


@pytest.mark.parametrize("line", every(b"X-API-KEY: |X-API-KEY:|x-api-key:  \t", b"X-Api-Key:"))
def test_h34_a_key_is_found_in_any_case_and_never_goes_on(gateway: Gateway, line: bytes) -> None:
    came = gateway.passes(get(b"/keyed/x", line + gateway.key.encode() + b" \r\n"))
    assert gateway.key.encode() not in came


def test_h34_two_keys_are_refused(gateway: Gateway) -> None:
    assert gateway.passes(get(b"/keyed/x", gateway.credential * 2), statuses=(400,)) == b""
    assert gateway.passes(get(b"/keyed/x", gateway.credential + b"x-api-key: other\r\n"), statuses=(400,)) == b""


# H35: where a request comes from

TOLD = (
    b"X-Forwarded-For: 6.6.6.6|X-Forwarded-For: 6.6.6.6, 7.7.7.7|x-forwarded-for: 127.0.0.1"
    b"|X-Forwarded-For: 127.0.0.2"
    b"|X-Forwarded-Proto: https|X-Forwarded-Host: evil|X-Forwarded-Port: 666|X-Forwarded-Server: evil"
    b"|X-Forwarded-Prefix: /evil"
    b"|X-Forwarded-By: evil|X-Forwarded-Ssl: on|X-Forwarded-Scheme: https|X-Forwarded: for=6.6.6.6"
    b"|X-Forwarded-Anything: evil"
    b"|Forwarded: for=6.6.6.6|Forwarded: for=6.6.6.6;proto=https;host=evil|Forwarded: by=x|X-Real-IP: 6.6.6.6"
    b"|x-real-ip: 6.6.6.6"
    b"|X-Client-IP: 6.6.6.6|Client-IP: 6.6.6.6|True-Client-IP: 6.6.6.6|X-Cluster-Client-IP: 6.6.6.6"
    b"|CF-Connecting-IP: 6.6.6.6"
    b"|Fastly-Client-IP: 6.6.6.6|X-Remote-IP: 6.6.6.6|X-Remote-Addr: 6.6.6.6|X-Request-Id: evil|X-Forwarded-For:"
    b"|X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7|Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 7.7.7.7"
)
OURS = (
    rb'\r\nForwarded: for=127\.0\.0\.1;host="a";proto=http\r\nX-Forwarded-For: 127\.0\.0\.1\r\nX-Forwarded-Proto: http'
    rb"\r\nX-Forwarded-Host: a\r\nVia: 1\.1 penstock\r\n"
)


@pytest.mark.parametrize("line", every(TOLD))
def test_h35_an_untrusted_peer_is_not_believed(gateway: Gateway, line: bytes) -> None:
    came = gateway.passes(get(b"/open/x", line + b"\r\nA: 1\r\n"))
    same(relayed(b"GET /x", gateway.upstream, b"\r\nA: 1"), came)
    assert re.search(OURS, came), came


def believed(gateway: Gateway, lines: bytes, status: int = 200) -> dict[bytes, list[bytes]]:
    """What the upstream is told when a trusted proxy sends these lines."""
    mark = gateway.upstream.mark()
    with gateway.connect(TRUSTED) as client:
        client.send(get(b"/keyed/x", lines + gateway.credential))
        assert client.answer().status == status
    came = gateway.fence(mark)
    return fields_of(came) if came else {}


BELIEVED = {
    "nothing": (b"", "127.0.0.2"),
    "one address": (b"X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9"),
    "the last one": (b"X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n", "9.9.9.9"),
    "the last one of two fields": (b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9"),
    "the last untrusted one": (b"X-Forwarded-For: 6.6.6.6, 9.9.9.9, 127.0.0.2\r\n", "9.9.9.9"),
    "with a port": (b"X-Forwarded-For: 9.9.9.9:4711\r\n", "9.9.9.9"),
    "IPv6": (b"X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1"),
    "IPv6 with a port": (b"X-Forwarded-For: [2001:db8::1]:80\r\n", "2001:db8::1"),
    "IPv6 in long form": (b"X-Forwarded-For: 2001:0DB8:0:0::0001\r\n", "2001:db8::1"),
    "IPv4-mapped IPv6": (b"X-Forwarded-For: ::ffff:9.9.9.9\r\n", "9.9.9.9"),
    "IPv4-mapped IPv6 of a trusted proxy": (b"X-Forwarded-For: 9.9.9.9, ::ffff:127.0.0.2\r\n", "9.9.9.9"),
    "no address": (b"X-Forwarded-For: unknown\r\n", "127.0.0.2"),
    "no address last": (b"X-Forwarded-For: 9.9.9.9, unknown\r\n", "127.0.0.2"),
    "a name": (b"X-Forwarded-For: evil.example\r\n", "127.0.0.2"),
    "a number": (b"X-Forwarded-For: 2130706433\r\n", "127.0.0.2"),
    "octal": (b"X-Forwarded-For: 0177.0.0.1\r\n", "127.0.0.2"),
    "empty members": (b"X-Forwarded-For: 9.9.9.9, ,\r\n", "9.9.9.9"),
    "empty": (b"X-Forwarded-For:\r\n", "127.0.0.2"),
    "Forwarded": (b"Forwarded: for=9.9.9.9\r\n", "9.9.9.9"),
    "Forwarded with others": (b"Forwarded: by=x;FOR=9.9.9.9 ; proto=https;host=evil\r\n", "9.9.9.9"),
    "the last Forwarded": (b"Forwarded: for=6.6.6.6, for=9.9.9.9\r\n", "9.9.9.9"),
    "Forwarded twice": (b"Forwarded: for=6.6.6.6\r\nForwarded: for=9.9.9.9\r\n", "9.9.9.9"),
    "Forwarded quoted": (b'Forwarded: for="9.9.9.9:80"\r\n', "9.9.9.9"),
    "Forwarded with IPv6": (b'Forwarded: for="[2001:db8::1]:80";proto=http\r\n', "2001:db8::1"),
    "Forwarded by a hidden one": (b"Forwarded: for=9.9.9.9, for=_hidden\r\n", "127.0.0.2"),
    "Forwarded by an unknown one": (b"Forwarded: for=unknown\r\n", "127.0.0.2"),
    "Forwarded without for": (b"Forwarded: for=9.9.9.9, by=x\r\n", "127.0.0.2"),
    "a quoted comma": (b'Forwarded: for=9.9.9.9;host="x,for=6.6.6.6"\r\n', "9.9.9.9"),
    "a quoted semicolon": (b'Forwarded: host="x;for=6.6.6.6";for=9.9.9.9\r\n', "9.9.9.9"),
    "a quoted quote": (b'Forwarded: for=9.9.9.9;host="x\\",for=6.6.6.6"\r\n', "9.9.9.9"),
    "malformed": (b'Forwarded: for=9.9.9.9;host="x\r\n', "127.0.0.2"),
    "malformed at its beginning": (b"Forwarded: (x), for=9.9.9.9\r\n", "127.0.0.2"),
    "both that agree": (b"Forwarded: for=9.9.9.9\r\nX-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n", "9.9.9.9"),
    "X-Real-IP": (b"X-Real-IP: 9.9.9.9\r\n", "127.0.0.2"),
}


@pytest.mark.parametrize(("lines", "client"), BELIEVED.values(), ids=BELIEVED.keys())
def test_h35_a_trusted_proxy_names_the_client(gateway: Gateway, lines: bytes, client: str) -> None:
    """RFC 7239; what the proxy's own client wrote is left of it and never believed."""
    found = believed(gateway, lines)
    node = f'"[{client}]"' if ":" in client else client
    hops = [client] if client == TRUSTED else [client, TRUSTED]
    assert found[b"x-caller"] == [client.encode()]
    assert found[b"x-forwarded-for"] == [", ".join(hops).encode()]
    assert found[b"forwarded"][0].startswith(f"for={node};".encode())
    assert b"x-real-ip" not in found


@pytest.mark.parametrize(
    "lines",
    table(
        b"Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 9.9.9.9\r\n",
        b"X-Forwarded-For: 9.9.9.9\r\nForwarded: for=unknown\r\n",
        b"Forwarded: x\r\nX-Forwarded-For: 9.9.9.9\r\n",
        b"Forwarded: for=9.9.9.9\r\nX-Forwarded-For: unknown\r\n",
    ),
)
def test_h35_two_fields_that_name_two_clients_are_refused(gateway: Gateway, lines: bytes) -> None:
    """One of them was passed on as it came, so that a client may have written it (decision 0017)."""
    assert believed(gateway, lines, 400) == {}


@pytest.mark.parametrize(
    ("lines", "scheme"),
    [
        (b"", b"http"),
        (b"X-Forwarded-Proto: https\r\n", b"https"),
        (b"X-Forwarded-Proto: HTTPS\r\nX-Forwarded-For: 9.9.9.9\r\n", b"https"),
        (b"X-Forwarded-Proto: evil\r\n", b"http"),
        (b"X-Forwarded-Proto: https, http\r\n", b"http"),
        (b"Forwarded: for=9.9.9.9;proto=https\r\n", b"https"),
        (b'Forwarded: for=9.9.9.9;proto="https"\r\n', b"https"),
        (b"Forwarded: for=6.6.6.6;proto=https, for=9.9.9.9;proto=http\r\n", b"http"),
        (b"Forwarded: for=9.9.9.9;proto=gopher\r\n", b"http"),
    ],
)
def test_h35_a_trusted_proxy_tells_the_scheme(gateway: Gateway, lines: bytes, scheme: bytes) -> None:
    assert believed(gateway, lines)[b"x-forwarded-proto"] == [scheme]


class _Transport:
    def __init__(self, address: str) -> None:
        self.address = address

    def get_extra_info(self, name: str) -> object:
        return (self.address, 4711, 0, 0) if name == "peername" else None


@pytest.mark.parametrize("address", ["::ffff:127.0.0.2", "::FFFF:127.0.0.2", "127.0.0.2"])
def test_h35_an_ipv4_mapped_peer_is_its_ipv4_address(address: str) -> None:
    assert peer_of(_Transport(address)).address == "127.0.0.2"  # type: ignore[arg-type]


ELSEWHERE = (
    b"X-Original-URL: /guard/pub/x|X-Rewrite-URL: /guard/pub/x|X-Original-URI: /guard/pub/x"
    b"|X-Original-Host: evil|X-Rewrite-URI: /x"
    b"|X-HTTP-Method-Override: OPTIONS|X-HTTP-Method: GET|X-Method-Override: HEAD|X-Host: evil|X-Forwarded-Host: evil"
    b"|X-HTTP-Host-Override: evil|X-Forwarded-Prefix: /guard/pub|X-Original-Forwarded-For: 6.6.6.6"
    b"|x-original-url: /guard/pub/x"
)


@pytest.mark.parametrize("line", every(ELSEWHERE))
def test_h36_a_field_that_names_another_path_host_or_method_decides_nothing(gateway: Gateway, line: bytes) -> None:
    guarded, free = get(b"/guard/admin/x", line + b"\r\n"), get(b"/open/x", line + b"\r\nA: 1\r\n")
    same(relayed(b"GET /x", gateway.upstream, b"\r\nA: 1"), gateway.passes(guarded, free, statuses=(401, 200)))


BATCH = (
    b"--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    b"GET /guard/admin/x HTTP/1.1\r\nHost: a\r\n\r\n\r\n--b--\r\n"
)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"multipart/mixed;boundary=b", BATCH),
        (b"application/json", b'{"requests":[{"id":"1","method":"GET","url":"/guard/admin/x"}]}'),
    ],
)
@pytest.mark.parametrize("key", [True, False])
def test_h37_no_part_of_a_batch_escapes_its_checks(gateway: Gateway, kind: bytes, body: bytes, key: bool) -> None:
    """A batch is not served: it is refused whole, before and behind authentication."""
    credential = gateway.key_of("typed") if key else b""
    head = b"POST /typed/odata/$batch HTTP/1.1\r\nHost: a\r\nContent-Type: " + kind + b"\r\n" + credential
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert client.answer().status in ({400, 404, 405, 501} if key else {401, 404, 405})
    assert gateway.fence(mark) == b""


def note(gateway: Gateway, framing: bytes) -> bytes:
    head = b"POST /typed/notes HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    return head + gateway.key_of("typed") + framing + b"\r\n\r\n"


NOTE = b'{"text": "hello"}'


@pytest.mark.parametrize("chunks", [1, 3, 20])
def test_h38_a_chunked_body_is_read_whole(gateway: Gateway, chunks: int) -> None:
    size = -(-len(NOTE) // chunks)
    pieces = [NOTE[start : start + size] for start in range(0, len(NOTE), size)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    assert gateway.passes(note(gateway, b"Transfer-Encoding: chunked") + body) == b""
    wrong = note(gateway, b"Transfer-Encoding: chunked") + body.replace(b"text", b"tixt").replace(b"t", b"x")
    assert gateway.passes(wrong, statuses=(400,)) == b""


def test_h38_a_body_that_is_too_large_is_413_before_it_is_sent(gateway: Gateway) -> None:
    head = note(gateway, b"Content-Length: %d\r\nExpect: 100-continue" % (MAX_BODY + 1))
    answer = gateway.refuses(head, 413, behind=b"")
    assert answer.interim == []


@pytest.mark.parametrize("size", [1, 1000, 65_536])
def test_h38_a_chunked_body_that_grows_too_large_is_413(gateway: Gateway, size: int) -> None:
    chunk = b"%x\r\n%b\r\n" % (size, b" " * size)
    body = chunk * (MAX_BODY // size + 1) + b"2\r\n{}\r\n0\r\n\r\n"
    mark = gateway.upstream.mark()
    with gateway.connect() as client:
        client.send(note(gateway, b"Transfer-Encoding: chunked") + body)
        assert client.answer().status == 413
    assert gateway.fence(mark) == b""


def test_h38_a_body_of_just_the_limit_is_read(gateway: Gateway) -> None:
    body = NOTE + b" " * (MAX_BODY - len(NOTE))
    gateway.passes(note(gateway, b"Content-Length: %d" % len(body)) + body)
