"""CASES F1-F8, F12, F14-F17, F25: request heads that must be refused, over a raw socket against a started node. Each
is checked for its status, for silence at the upstream, for the closed connection, and for a worker that lives on."""

from __future__ import annotations

import pytest

from tests.conformance.gateway_node import Gateway

POST = b"POST /open/x HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /open/x HTTP/1.1\r\nHost: a\r\n"
CHUNKS = b"0\r\n\r\n"


def table(*cases: bytes) -> list[bytes]:
    """The cases, with ids that pytest can show."""
    return [pytest.param(case, id=ascii(case[:60])[2:-1]) for case in cases]  # type: ignore[misc]


def every(values: bytes, *more: bytes) -> list[bytes]:
    return table(*values.split(b"|"), *more)


@pytest.mark.parametrize(
    "fields",
    table(
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 0\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0",
        b"content-length: 5\r\ntransfer-encoding: CHUNKED",
        b"CONTENT-LENGTH:5\r\nTRANSFER-ENCODING:chunked",
        b"Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 5",
        b"Content-Length: 5\r\nX: y\r\nTransfer-Encoding:\tchunked\t",
        b"Content-Length: 5\r\nTransfer-Encoding: identity",
        b"Content-Length: 5\r\nTransfer-Encoding:",
        b"Content-Length: 5\r\nTransfer-Encoding: x",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: Content-Length",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding, close",
    ),
)
def test_f01_length_and_coding_together_are_refused(gateway: Gateway, fields: bytes) -> None:
    gateway.refuses(POST + fields + b"\r\n\r\n" + CHUNKS, 400)


@pytest.mark.parametrize(
    "fields",
    table(
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: 6\r\nContent-Length: 5",
        b"Content-Length: 0\r\nContent-Length: 5",
        b"Content-Length: 5\r\nX: y\r\ncontent-length: 5",
        b"Content-Length: 5\r\nContent-Length:",
        b"Content-Length:\r\nContent-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: 5,6",
        b"Content-Length: 5,",
        b"Content-Length: ,5",
        b"Content-Length: 5 5",
        b"Content-Length: 5;6",
        b"Content-Length: 5\t6",
    ),
)
def test_f02_two_lengths_are_refused(gateway: Gateway, fields: bytes) -> None:
    gateway.refuses(POST + fields + b"\r\n\r\nhello", 400)


LENGTHS = (
    b"+5|1_0|-1|-0|0x5|5h|5.0|5e0|0b1|0o5|five|'5'|(5)|5%|%35|\xb2|\xc2\xb2|\xd9\xa5|18446744073709551617"
    b"|18446744073709551616|18446744073709551621|9223372036854775808|99999999999999999999|1e3|5\x0b|\x0b5|5\x0c|5\x00"
    b"|\xa05|5\xa0|NaN|inf|null||\t|5#|*|5:5"
)


@pytest.mark.parametrize("value", every(LENGTHS, b"1" * 1000, b"9" * 30, b'"5"'))
def test_f03_a_length_that_is_no_plain_number_is_refused(gateway: Gateway, value: bytes) -> None:
    gateway.refuses(POST + b"Content-Length: " + value + b"\r\n\r\nhello", 400)


CODINGS = (
    b"gzip, chunked|identity, chunked|,chunked|chunked,|, chunked|xchunked|chunkedx|chunked, chunked|chunked,identity"
    b"|chunked;q=1|chunked; x|identity|gzip|deflate|compress|br|trailers|\x0bchunked|chunked\x0b|\x0cchunked"
    b"|chunked\x00|\x00chunked|chun\x01ked|chunke|chunk|'chunked'|[chunked]|chunked chunked|cow|chunked\xa0|\xa0chunked"
    b"||\t|ch\xc3\xbcnked|chun\xe2\x84\xaaed|chunked, cow|cow, chunked|chunked\tx|x chunked|0|*|tchunked|chunked\x7f"
    b"|identity\r\nTransfer-Encoding: chunked|chunked\r\nTransfer-Encoding: identity|chunked\r\nTransfer-Encoding: cow"
    b"|chunked\r\nTransfer-Encoding: chunked|chunked\r\ntransfer-encoding:|\r\nTransfer-Encoding: chunked"
)


@pytest.mark.parametrize("value", every(CODINGS, b'"chunked"', b"x, " * 500 + b"chunked"))
def test_f04_a_coding_that_is_not_chunked_alone_is_refused(gateway: Gateway, value: bytes) -> None:
    gateway.refuses(POST + b"Transfer-Encoding: " + value + b"\r\n\r\n" + CHUNKS, 400)


@pytest.mark.parametrize(
    "name",
    table(
        *(b"Transfer-Encoding%b" % bytes((byte,)) for byte in (0, 1, 9, 11, 12, 32, 127, 160, 255)),
        *(b"%bTransfer-Encoding" % bytes((byte,)) for byte in (0, 1, 9, 11, 12, 32, 127, 160, 255)),
        b"Transfer Encoding",
        b"Transfer-\x00Encoding",
        b"Transfer-Encoding\r",
        b"X: y\n Transfer-Encoding",
        b"X: y\rTransfer-Encoding",
        b"X: y\nTransfer-Encoding",
        b"X: y\r\n\tTransfer-Encoding",
        b"Transfer-Encoding\xe2\x80\x90",
        b"\xef\xbb\xbfTransfer-Encoding",
        b'"Transfer-Encoding"',
        b"Transfer-Encoding;",
    ),
)
def test_f04_a_disguised_coding_is_refused(gateway: Gateway, name: bytes) -> None:
    gateway.refuses(POST + name + b": chunked\r\nContent-Length: 5\r\n\r\n" + CHUNKS, 400)


@pytest.mark.parametrize("value", every(b"chunked|identity|gzip|Chunked|"))
@pytest.mark.parametrize("length", every(b"|Content-Length: 5\r\n"))
def test_f05_a_coding_in_http_1_0_is_refused(gateway: Gateway, value: bytes, length: bytes) -> None:
    head = b"POST /open/x HTTP/1.0\r\nHost: a\r\n" + length + b"Transfer-Encoding: " + value + b"\r\n\r\n"
    gateway.refuses(head + CHUNKS, 400)


DELIMITERS = b'()<>@,;\\"/[]?={} '


@pytest.mark.parametrize(
    "line",
    table(
        b"Name : x",
        b"Name\t: x",
        b"Name  : x",
        b"Host : a",
        b"Content-Length : 5",
        b": x",
        b":",
        b" : x",
        b"Name",
        b"Name x",
        b"Name=x",
        b"\xc3\xa4: x",
        b"Na\xffme: x",
        b"GET /open/y HTTP/1.1",
        *(b"Na%bme: x" % bytes((byte,)) for byte in DELIMITERS),
        *(b"Na%bme: x" % bytes((byte,)) for byte in (*range(10), 11, 12, *range(14, 32), 127, 128)),
    ),
)
def test_f06_a_malformed_field_line_is_refused(gateway: Gateway, line: bytes) -> None:
    gateway.refuses(GET + line + b"\r\n\r\n", 400)
    gateway.refuses(b"GET /open/x HTTP/1.1\r\n" + line + b"\r\nHost: a\r\n\r\n", 400)


@pytest.mark.parametrize(
    "fields",
    table(
        b"A: x\r\n y",
        b"A: x\r\n\ty",
        b"A:\r\n x",
        b"A: x\r\n \r\nB: y",
        b"A: x\r\n\t\r\nB: y",
        b"A: x\r\n   ",
        b"Content-Length:\r\n 5",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding:\r\n\tchunked",
        b"Transfer-Encoding: chunked\r\n ,identity",
        b"A: x\r\n Content-Length: 5",
        b"A: x\r\n Transfer-Encoding: chunked",
    ),
)
def test_f07_a_folded_field_is_refused(gateway: Gateway, fields: bytes) -> None:
    gateway.refuses(POST + fields + b"\r\n\r\n", 400)


@pytest.mark.parametrize("line", every(b" A: x|\tA: x| |\t| Host: a| Content-Length: 5"))
def test_f07_a_blank_before_the_first_field_is_refused(gateway: Gateway, line: bytes) -> None:
    """RFC 9112 section 2.2"""
    gateway.refuses(b"GET /open/x HTTP/1.1\r\n" + line + b"\r\nHost: a\r\n\r\n", 400)


@pytest.mark.parametrize(
    "head",
    table(
        b"GET /open/x HTTP/1.1\nHost: a\n\n",
        b"GET /open/x HTTP/1.1\nHost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\n\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\n\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\n\r\r\n",
        b"GET /open/x HTTP/1.1\rHost: a\r\r",
        b"GET /open/x HTTP/1.1\r\rHost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\r\nHost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\n\rHost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nA: x\nB: y\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nA: x\rB: y\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nA: x\n\r\nB: y\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nA: \n\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nA\r: x\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nA\n: x\r\n\r\n",
        b"GET /open/x\rHTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\r\n\r\nhello",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\r\n\r\nhello",
        b"\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\rGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\n\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\r\nGET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x00GET /open/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\n\x00Host: a\r\n\r\n",
        b"GET /open/x HTTP/1.1\r\nHost: a\r\n\x00\r\n",
        b"GET /open/x HTTP/1.1\x00\r\nHost: a\r\n\r\n",
    ),
)
def test_f08_a_bare_line_end_or_nul_is_refused(gateway: Gateway, head: bytes) -> None:
    gateway.refuses(head, 400)


@pytest.mark.parametrize("byte", [*range(9), *range(10, 32), 127])
def test_f08_a_control_character_is_refused_wherever_it_stands(gateway: Gateway, byte: int) -> None:
    raw = bytes((byte,))
    gateway.refuses(GET + b"A: x" + raw + b"y\r\n\r\n", 400)
    gateway.refuses(GET + b"A:" + raw + b"\r\n\r\n", 400)
    gateway.refuses(GET + b"A: x" + raw + b"\r\n\r\n", 400)
    gateway.refuses(b"GET /open/" + raw + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400)
    gateway.refuses(b"GET /open/x?" + raw + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400)
    gateway.refuses(b"G" + raw + b"T /open/x HTTP/1.1\r\nHost: a\r\n\r\n", 400)


HOSTS = (
    b"a b|a/b|a,b|a@b|u:p@a|a:b|a:-1|a:+80|a:80:80|a: 80|a :80|a:99999|a:65536|a:123456|:80|http://a|//a|a?b|a#b|a\\b"
    b"|[::1|::1|[::1]x|[::1]:x|[1:2]|[g::1]|[::1]]|[]|[:::]|[::1%25eth0]|[v1.x]|a%2eb|a%00|\xc3\xa4.example|a\xff"
    b"|a\x00b|a\tb|a;b|a=b|a&b|a|b|(a)|a*|*|a'b|<a>|`a`|{a}|a^b||\t|../a|a/../b"
)


@pytest.mark.parametrize("host", every(HOSTS.replace(b"a|b", b"a!b"), b'"a"', b"a|b", b"a" * 2000))
def test_f12_a_malformed_host_is_refused(gateway: Gateway, host: bytes) -> None:
    gateway.refuses(b"GET /open/x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n", 400)


@pytest.mark.parametrize(
    "fields",
    table(
        b"A: x",
        b"X-Host: a",
        b"Hos: a",
        b"Hostt: a",
        b"Host: a\r\nHost: a",
        b"Host: a\r\nHost: b",
        b"Host: a\r\nX: y\r\nhost: b",
        b"Host: a\r\nHost:",
        b"Host:\r\nHost: a",
        b"HOST: a\r\nhost: a",
    ),
)
def test_f12_a_missing_or_second_host_is_refused(gateway: Gateway, fields: bytes) -> None:
    gateway.refuses(b"GET /open/x HTTP/1.1\r\n" + fields + b"\r\n\r\n", 400)


def test_f12_a_second_host_is_refused_in_http_1_0_too(gateway: Gateway) -> None:
    gateway.refuses(b"GET /open/x HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400)


@pytest.mark.parametrize(
    "target",
    every(
        b"http://b/open/x|http://b|http://a.b/open/x|http://a@b/open/x|http://b@a/open/x|http://a:81/open/x"
        b"|http:///open/x|http://|http:/open/x|http:open/x|ftp://a/open/x|file:///open/x|javascript:x|ws://a/open/x"
        b"|http://a\\b/open/x|http://a%2f/open/x|http://[::1]/open/x|://a/open/x|a:80|a|open/x|?x|.|..|http://a#b/open/x"
        b"|httpx://a/open/x|http://a,b/open/x|http://a http://b/|http://a/open/x#y|https:/a/open/x|http://a.:/open/x"
    ),
)
def test_f14_an_absolute_target_of_another_host_is_refused(gateway: Gateway, target: bytes) -> None:
    gateway.refuses(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400)


@pytest.mark.parametrize(
    "line",
    every(
        b"CONNECT a:443|CONNECT /open/x|CONNECT http://a/open/x|TRACE /open/x|TRACE *|CONNECT *|TRACE http://a/open/x"
    ),
)
def test_f15_connect_and_trace_are_refused(gateway: Gateway, line: bytes) -> None:
    answer = gateway.refuses(line + b" HTTP/1.1\r\nHost: a\r\n\r\n", 405)
    assert b"GET" in (answer.get(b"allow") or b"")


@pytest.mark.parametrize(
    "line", every(b"OPTIONS *|GET *|POST *|OPTIONS */x|OPTIONS **|get /open/x|Get /open/x|gET /open/x")
)
def test_f15_asterisk_form_and_lower_case_methods_are_refused(gateway: Gateway, line: bytes) -> None:
    gateway.refuses(line + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400)


@pytest.mark.parametrize(
    "method",
    every(b'G%45T|GE\xc3\x89T|GET,|(GET)|G:ET|G/T|"GET"|G@T|G[T|GET;|\x80GET|G\xffT|-GET|_GET|1GET|trace|connect|pRI'),
)
def test_f15_a_method_that_is_no_upper_case_word_is_refused(gateway: Gateway, method: bytes) -> None:
    gateway.refuses(method + b" /open/x HTTP/1.1\r\nHost: a\r\n\r\n", 400)


def test_f15_a_method_without_end_is_refused(gateway: Gateway) -> None:
    gateway.refuses(b"G" * 5000 + b" /open/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, 414)


VERSIONS = b"HTTP/2.0|HTTP/3.0|HTTP/0.9|HTTP/1.2|HTTP/1.9|HTTP/9.9|HTTP/0.0"
WORDS = (
    b"HTTP/1.|HTTP/.1|HTTP/1|HTTP/|HTTP|http/1.1|Http/1.1|HTTP/1.1.1|HTTP/1.10|HTTP/01.1|HTTP/1.01|HTTP/11.1|HTTP/1,1"
    b"|HTTP/1 1|HTTP /1.1|HTTP/ 1.1|HTTP\\1.1|HTTPS/1.1|HTP/1.1|XHTTP/1.1|HTTP/1.1x|HTTP/x.y|HTTP/-1.1|HTTP/+1.1"
    b"|HTTP//1.1|HTTP/1.\xb2|HTTP/1.a|RTSP/1.0|ICAP/1.0|SHTTP/1.3|HTTP/1.1 |HTTP/1.1\t|HTTP/1.1 x|HTTP/1.1 HTTP/1.1|1.1"
)


@pytest.mark.parametrize("version", every(VERSIONS))
def test_f16_another_version_is_refused(gateway: Gateway, version: bytes) -> None:
    gateway.refuses(b"GET /open/x " + version + b"\r\nHost: a\r\n\r\n", 505)


@pytest.mark.parametrize("version", every(WORDS))
def test_f16_a_malformed_version_is_refused(gateway: Gateway, version: bytes) -> None:
    gateway.refuses(b"GET /open/x " + version + b"\r\nHost: a\r\n\r\n", 400, 505)


@pytest.mark.parametrize(
    "line",
    every(
        b"GET  /open/x HTTP/1.1|GET /open/x  HTTP/1.1| GET /open/x HTTP/1.1|GET\t/open/x HTTP/1.1|GET /open/x\tHTTP/1.1"
        b"|GET /open/x y HTTP/1.1|GET /open/x HTTP/1.1 |GET\xa0/open/x HTTP/1.1|GET /open/x|GET|GET |GET /open/x "
        b"|/open/x|/open/x HTTP/1.1|GET HTTP/1.1|GET  HTTP/1.1|GET/open/x HTTP/1.1|GET /open/xHTTP/1.1"
        b"|GET\x0b/open/x HTTP/1.1|GET\x0c/open/x HTTP/1.1|HTTP/1.1 200 OK|HTTP/1.1 GET /open/x|x|*|Host: a"
    ),
)
def test_f16_a_malformed_request_line_is_refused(gateway: Gateway, line: bytes) -> None:
    gateway.refuses(line + b"\r\nHost: a\r\n\r\n", 400)


@pytest.mark.parametrize("target", every(b"/open/x#|/open/x#y|/open/#/x|/#|#|/open/x?a#b|/open/x?#|/open/x#?a|*#"))
def test_f16_a_fragment_is_refused(gateway: Gateway, target: bytes) -> None:
    gateway.refuses(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n", 400)


@pytest.mark.parametrize(
    "line", every(b"GET /open/x|GET /open/x HTTP/0.9|GET /|get|\x16\x03\x01\x02|SSH-2.0-x|*1|{}|<?xml?>")
)
def test_f16_what_is_no_request_is_refused_at_its_first_line(gateway: Gateway, line: bytes) -> None:
    """HTTP/0.9 and other protocols: nobody waits for the end of a head."""
    gateway.refuses(line + b"\r\n", 400, 505, behind=b"")


@pytest.mark.parametrize(
    "data", every(b"\x16\x03\x01\x02\x00\x01|\x80\x80|get /|  |\x00|GET /x HTTQ|GET /x y z|GET /x HTTP/1.1x")
)
def test_f16_what_can_become_no_request_line_is_refused_at_once(gateway: Gateway, data: bytes) -> None:
    gateway.refuses(data, 400, 505, behind=b"")


LARGE = {
    "a large field": (GET + b"A: " + b"x" * 300_000 + b"\r\n\r\n", 431),
    "a large name": (GET + b"A" * 300_000 + b": x\r\n\r\n", 431),
    "a large field that does not end": (GET + b"A: " + b"x" * 300_000, 431),
    "20,000 fields": (GET + b"A: x\r\n" * 20_000 + b"\r\n", 431),
    "20,000 empty fields": (GET + b"A:\r\n" * 20_000 + b"\r\n", 431),
    "1,000 short fields": (GET + b"A: x\r\n" * 1000 + b"\r\n", 431),
    "1,000 underscored fields": (GET + b"A_: x\r\n" * 1000 + b"\r\n", 431),
    "many medium fields": (GET + (b"A: " + b"x" * 5000 + b"\r\n") * 50 + b"\r\n", 431),
    "a long target": (b"GET /open/" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "a long target that does not end": (b"GET /open/" + b"x" * 200_000, 414),
    "a long query": (b"GET /open/?" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "a target just too long": (b"GET /" + b"x" * 16_384 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "a long path of segments": (b"GET /open" + b"/x" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
}


@pytest.mark.parametrize(("head", "status"), LARGE.values(), ids=LARGE.keys())
def test_f17_a_head_that_is_too_large_is_refused(gateway: Gateway, head: bytes, status: int) -> None:
    gateway.refuses(head, status, behind=b"")


@pytest.mark.parametrize(
    "data",
    table(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\nHost: a\r\n\r\n",
    ),
)
def test_f25_an_http_2_preface_is_refused(gateway: Gateway, data: bytes) -> None:
    gateway.refuses(data, 505, behind=b"")


@pytest.mark.parametrize("line", every(b"PRI * HTTP/1.1|PRI / HTTP/2.0"))
def test_f25_a_half_preface_is_refused(gateway: Gateway, line: bytes) -> None:
    gateway.refuses(line + b"\r\nHost: a\r\n\r\n", 400, 405, 505)


def test_f17_a_flood_of_empty_lines_is_refused(gateway: Gateway) -> None:
    gateway.refuses(b"\r\n" * 100_000, 400)
