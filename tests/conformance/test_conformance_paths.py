"""CASES P26-P31: the path that policies saw is the path that the upstream gets, byte for byte, and no spelling of a
guarded path comes past its guard."""

from __future__ import annotations

import itertools
import posixpath
import re
from urllib.parse import quote, unquote_to_bytes

import pytest

from tests.conformance.gateway_node import Gateway, relayed, same
from tests.conformance.test_conformance_heads import every, table


def get(target: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n"


DOTS = (
    b"../|..|./|.|x/../|x/..|x/./y|../../|%2e%2e/|%2E%2E/|.%2e/|%2e./|%2e/|%2e|x/%2e%2e|..;/|..;x=1/|.;/|..;|%2e%2e;/|..%3b/"
    b"|..%3B/|..%3bx/|.%3b/|x;/../|x/..;/y|../%2e%2e/|..//|.//|%2e%2e%3b/"
)


@pytest.mark.parametrize("part", every(DOTS))
def test_p26_a_dot_segment_is_refused(gateway: Gateway, part: bytes) -> None:
    for target in (b"/guard/pub/" + part, b"/guard/pub/" + part + b"?a=b", b"http://a/guard/pub/" + part):
        gateway.refuses(get(target), 400)


@pytest.mark.parametrize("part", every(DOTS))
def test_p26_a_dot_segment_leads_nowhere(gateway: Gateway, part: bytes) -> None:
    part = part.removesuffix(b"/") + b"/"
    gateway.refuses(get(b"/guard/pub/" + part + b"admin/x"), 400)
    gateway.refuses(get(b"/guard/pub/x/" + part + part + b"admin/x"), 400)
    gateway.refuses(get(b"/" + part + b"guard/admin/x"), 400)


AMBIGUOUS = (
    b"a%2fb|a%2Fb|%2f|%2F%2f|a%5cb|a%5Cb|%5c..%5c|a\\b|\\|..\\|a//b|//|a/b//|a%00b|%00|%00.html|a.php%00.txt|a%2f%2fb|%2e%2e%2f"
    b"|..%2f|..%5c|%2e%2e%5c|..%2fadmin/x|%2e%2e%2fadmin%2fx|..%5cadmin%5cx|a%2f..%2fb|a;%2fb|%2f..|/"
)


@pytest.mark.parametrize("part", every(AMBIGUOUS))
def test_p27_what_servers_read_as_separators_is_refused(gateway: Gateway, part: bytes) -> None:
    gateway.refuses(get(b"/guard/pub/" + part), 400)


PLAIN = b"-._~" + b"".join(b"%c" % byte for byte in b"abcxyzABCXYZ0189")


@pytest.mark.parametrize("letter", [b"%%%02x" % byte for byte in PLAIN] + [b"%%%02X" % byte for byte in PLAIN])
def test_p27_an_encoded_plain_character_is_refused(gateway: Gateway, letter: bytes) -> None:
    gateway.refuses(get(b"/guard/pub/x" + letter + b"y"), 400)


@pytest.mark.parametrize(
    "path",
    every(
        b"/guard/%61dmin/x|/guard/admi%6e/x|/%67uard/admin/x|/guard/%61%64%6d%69%6e/x|/%2fguard/admin/x|//guard/admin/x"
    ),
)
def test_p27_a_guarded_path_in_another_spelling_is_refused(gateway: Gateway, path: bytes) -> None:
    gateway.refuses(get(path), 400)


ELSEWHERE = (
    b"/guard/ADMIN/x|/guard/Admin/x|/GUARD/admin/x|/Guard/admin/x|/guard/admin;x/x|/guard;x/admin/x|/guard/admin%20/x"
    b"|/guard/admin%09/x|/guard/admin%0a/x|/guard/admin%3f/x|/guard/%20admin/x|/guard/admin%25/x|/guard/admi%256e/x"
    b"|/guard/%2561dmin/x|/guard/admin%c2%a0/x|/guard/admin+/x|/guard/admin:/x|/guard/admin,/x|/guard/|/guard|/|/guar"
)


@pytest.mark.parametrize("path", every(ELSEWHERE))
def test_p27_a_path_that_is_written_otherwise_is_another_path(gateway: Gateway, path: bytes) -> None:
    """Case, parameters, escapes: nothing is there, and nothing is sent on."""
    assert gateway.passes(get(path), statuses=(404,)) == b""


@pytest.mark.parametrize(
    "path", every(b"/guard/admin/x|/guard/admin/|/guard/admin|/guard/admin/a/b?x|/guard/admin/;x|/guard/admin/%20")
)
def test_p27_the_guarded_path_needs_a_key(gateway: Gateway, path: bytes) -> None:
    assert gateway.passes(get(path), get(path + b"?/../pub"), statuses=(401, 401)) == b""


KEPT = (
    b"a|a/|a/b/|a;x=1|;|;x|;x/y|a;x;y=1/b|A/a|a.b|.well-known/x|a..b|...|..a|a..|.a|~a|a~|-|_|a%20b|%20|a%0ab|%0d%0a|%09|%7f|%C3%A4"
    b"|%c3%a4|%E2%82%ac|%F0%9F%98%80|a%3ab|a%3Fb|a%23b|a%25b|%252e%252e|%252f|%25|%3b|a%40b|a:b|a@b|a!b|a$b|a&b|a'b|(a)|a*b|a+b|a,b|a=b"
    b"|1|%5B%5D|%7B%7D|%22|%3c%3e|%5e|%60|%7c|%26|%2B|%2c|%3d|%21|%24|%27|%28|%29|%2a|a/b/c/d/e/f/g/h|index.php/x|x/%2525"
)


@pytest.mark.parametrize("part", every(KEPT, b"x" * 8000, b"/".join([b"x"] * 2000), b"%C3%A4" * 1000))
def test_p27_a_path_that_is_served_goes_on_byte_for_byte(gateway: Gateway, part: bytes) -> None:
    came = gateway.passes(get(b"/guard/pub/" + part))
    same(relayed(b"GET /pub/" + part, gateway.upstream), came)


QUERIES = b'|?|?a|?a=b&c|?a=b?c=d|?/../admin|?//|?%2e%2e%2f|?%00|?%zz|?%|?a=%c0%ae|?a+b|?&&|?=|?a[]=b|?{}|?|x|?a|b|?^`|?"<>"|?\\|?;|?:@|?a=b;c=d|?http://x/'


@pytest.mark.parametrize(
    "query", [*every(QUERIES.replace(b"?|x", b"?x").replace(b"?a|b", b"?a")), *table(b"?a|b", b"?" + b"x" * 8000)]
)
def test_p27_a_query_goes_on_byte_for_byte(gateway: Gateway, query: bytes) -> None:
    came = gateway.passes(get(b"/guard/pub/x" + query))
    same(relayed(b"GET /pub/x" + query, gateway.upstream), came)


@pytest.mark.parametrize(
    "path",
    every(
        b"/guard/keys%0a|/guard/keys%0d|/guard/keys%0d%0a|/guard/keys%0A|/guard/keys%20|/guard/keys%09|/guard/keys/|/guard/keys;"
        b"|/guard/keys;x|/guard/Keys|/guard/keys%3f|/guard/keys%23|/guard/keys.|/guard/key|/guard/keyss|/guard/keys%c2%85"
        b"|/guard/keys%0b|/guard/keys%e2%80%a8|/guard/keys.json|/guard/keys/x|/guard/keys%3fx=y|/guard/keys%26"
    ),
)
def test_p28_what_stands_behind_a_path_makes_it_another_path(gateway: Gateway, path: bytes) -> None:
    assert gateway.passes(get(b"/guard/keys"), get(path), statuses=(200, 404)).count(b" HTTP/1.1\r\n") == 1


BROKEN = (
    b"%|%%|%z|%zz|%g0|%0g|%1|a%|a%4|%u0041|%u002e|%-1|% 1|%+1|%x41|%c0%ae|%c0%af|%C0%80|%e0%80%af|%e0%80%ae"
    b"|%f0%80%80%af|%c1%9c|%ff|%fe|%80|%c3|%c3%28|%e2%82|%ed%a0%80|%ed%bf%bf|%f4%90%80%80|%f8%80%80%80%80|%a4|%e4|%c0.|%c0%2e|%00|x%00"
)
OUTSIDE = b'"|<|>|^|`|{|}|[|]|\\|\xc3\xa4|\xff|\x80|\xe2\x80\xae|\xef\xbc\x8f|\xc0\xae'


@pytest.mark.parametrize("part", [*every(BROKEN), *every(OUTSIDE), *table(b"|")])
def test_p29_a_malformed_escape_or_character_is_refused(gateway: Gateway, part: bytes) -> None:
    gateway.refuses(get(b"/guard/pub/" + part), 400)


@pytest.mark.parametrize("name", every(b"..|.|%2e%2e|..;|..%2fadmin|..%5c|a%2f..%2fb|%2f|%5c|%00|..%3b|.%2e"))
def test_p30_a_parameter_cannot_leave_its_segment(gateway: Gateway, name: bytes) -> None:
    gateway.refuses(get(b"/guard/item/" + name), 400)


@pytest.mark.parametrize("name", every(b"a|...|a%20b|a;b|%252e%252e|%3f|%23|a%25|x=y&z|%0d%0aX:%20y|http:%20"))
def test_p30_a_parameter_stays_in_its_segment(gateway: Gateway, name: bytes) -> None:
    same(relayed(b"GET /items/" + name + b"/public", gateway.upstream), gateway.passes(get(b"/guard/item/" + name)))


@pytest.mark.parametrize("rest", every(b"|x|x/|admin/x|;x|%20"))
def test_p30_what_is_left_of_a_stripped_prefix_is_a_path(gateway: Gateway, rest: bytes) -> None:
    same(relayed(b"GET /" + rest, gateway.upstream), gateway.passes(get(b"/open/" + rest)))


def test_p30_the_absolute_form_is_matched_by_its_path(gateway: Gateway) -> None:
    came = gateway.passes(get(b"http://a/guard/admin/x"), get(b"http://a/guard/pub/x?y"), statuses=(401, 200))
    same(relayed(b"GET /pub/x?y", gateway.upstream), came)


def _lenient(target: bytes) -> str:
    """The path as the most forgiving of servers reads it."""
    path = unquote_to_bytes(target.partition(b"?")[0]).decode("latin-1").lower().replace("\\", "/").partition("\0")[0]
    return posixpath.normpath("/" + re.sub(r";[^/]*", "", path).lstrip("/"))


PIECES = (
    "..",
    ".",
    "%2e%2e",
    "..;",
    "..%2f",
    "..%5c",
    "..\\",
    "",
    "x/..",
    "%2e",
    ";",
    "%00",
    "%c0%ae%c0%ae",
    "..%00",
    "%09..",
    "..%20",
)
WORDS = (
    "admin",
    "%61dmin",
    "ADMIN",
    "admin;x",
    "admin%20",
    "/admin",
    "%2fadmin",
    "\\admin",
    "admin%2f",
    "./admin",
    "admin/.",
)


def test_p30_no_spelling_of_a_guarded_path_comes_past_its_guard(gateway: Gateway) -> None:
    """However lenient the upstream is: what reaches it without a key is nothing that it could read as /admin."""
    targets = [f"/guard/pub/{piece}/{word}/x" for piece, word in itertools.product(PIECES, WORDS)]
    targets += [f"/guard/{piece}/{word}/x" for piece, word in itertools.product(PIECES, WORDS)]
    targets += [f"/guard{piece}{word}/x" for piece, word in itertools.product(PIECES, WORDS)]
    targets += [f"/{quote(piece, safe='')}/guard/{word}" for piece, word in itertools.product(PIECES, WORDS)]
    mark = gateway.upstream.mark()
    statuses = set()
    for target in targets:
        with gateway.connect() as client:
            client.send(get(target.encode()))
            statuses.add(client.answer().status)
    assert statuses <= {200, 400, 401, 404}
    came = re.findall(rb"GET (\S+) HTTP/1.1\r\n", gateway.fence(mark))
    assert came
    assert not [target for target in came if _lenient(target).startswith("/admin")]
    assert all(target.startswith(b"/pub/") for target in came)


@pytest.mark.parametrize(
    "name", ["../../x", "..", ".", "a/b", "a\\b", "a%2fb", "%2e%2e", "A", "", "a b", "a\n", "/x", "a\x00", "ä", "-a"]
)
def test_p31_an_api_name_is_a_word(gateway: Gateway, name: str) -> None:
    """It stands in paths and in keys of the store."""
    quoted = name.encode("unicode_escape").decode().replace('"', '\\"')
    document = f'{{kind: ApiComponent, name: "{quoted}", version: v1, base_path: /x, policies: [{{use: anonymous}}]}}'
    found = gateway.node.apply(document, dry_run="true")
    assert found.status_code == 422, found.text


@pytest.mark.parametrize(
    "path", ["/../x", "/a/../b", "/a//b", "/%2e%2e", "x", "/a%2fb", "/a\\\\b", "/a b", "/a?b", "/a#b", "/ä", "/."]
)
def test_p31_a_base_path_is_one_that_a_request_can_have(gateway: Gateway, path: str) -> None:
    document = f'{{kind: ApiComponent, name: x, version: v1, base_path: "{path}", policies: [{{use: anonymous}}]}}'
    found = gateway.node.apply(document, dry_run="true")
    assert found.status_code == 422, found.text


@pytest.mark.parametrize(
    "path", ["/../x", "/a/../b", "/a//b", "/%2e%2e/**", "/a%2fb", "/%61", "/a/.", "//{x}", "/{x}/.."]
)
def test_p31_a_route_is_one_that_a_request_can_have(gateway: Gateway, path: str) -> None:
    document = (
        "{kind: ApiComponent, name: x, version: v1, base_path: /x, policies: [{use: anonymous}], "
        f'operations: {{a: {{fixed: 1, effect: safe, output: int64}}}}, rest: {{"GET {path}": a}}}}'
    )
    found = gateway.node.apply(document, dry_run="true")
    assert found.status_code == 422, found.text
    assert "no request can have" in found.text


@pytest.mark.parametrize(
    "path", ["/components/..%2f..%2fx", "/components/%2e%2e", "/components/../audit/x", "/policies/..%2f..%2fetc"]
)
def test_p31_an_api_name_in_the_admin_rest_leads_nowhere(gateway: Gateway, path: str) -> None:
    assert gateway.node.admin("GET", path).status_code in {400, 404, 422}
