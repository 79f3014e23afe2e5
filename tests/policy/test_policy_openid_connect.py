"""Tokens of an OpenID provider, and people who sign in by their browser."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from gateway.core.chain import Chain
from gateway.core.memory_wire import Answer
from gateway.policy import openid_connect
from tests.policy.issuer import NOW, Service, answer, bearer, claims, issuer, rsa_key, token
from tests.policy.policy_harness import Gateway, json_of
from tests.upstreams import Received

CALLBACK = "https://shop.example/shop/v1/signed-in"
PAGE = [(b"Accept", b"text/html,*/*;q=0.8"), (b"Sec-Fetch-Mode", b"navigate")]


class Provider:
    """An OpenID provider that is asked by the gateway; people sign in at it by `code`."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.codes: dict[str, dict[str, Any]] = {}  # claims of the ID token
        self.challenges: dict[str, str] = {}
        self.refreshes: dict[str, dict[str, Any]] = {}
        self.forms: list[dict[str, str]] = []
        self.more: dict[str, Any] = {}
        service.answers["/token"] = self.redeem

    def redeem(self, received: Received) -> bytes:
        form = {name: values[0] for name, values in parse_qs(received.body.decode()).items()}
        self.forms.append(form)
        if form["grant_type"] == "refresh_token":
            found = self.refreshes.pop(form["refresh_token"], None)
        else:
            found = self.codes.pop(form["code"], None)
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            if self.challenges[form["code"]] != base64.urlsafe_b64encode(digest).rstrip(b"=").decode():
                found = None
        if found is None:
            return answer({"error": "invalid_grant"}, 400)
        given = claims(iss=self.service.url, aud="gw", scope=None, exp=NOW + 100_000, **found)
        found = {"id_token": token(given).decode(), "access_token": "access-1", "token_type": "Bearer"}
        return answer(found | self.more)


@pytest.fixture
async def idp() -> AsyncIterator[Provider]:
    endpoints = ("authorization", "token", "introspection", "userinfo", "end_session")
    async with issuer(**{f"{name}_endpoint": f"/{name}" for name in endpoints}) as made:
        yield Provider(made)


def chain(gateway: Gateway, idp: Provider, login: dict[str, Any] | None = None, **more: Any) -> Chain:
    given: dict[str, Any] = {"issuer": idp.service.url, "client": {"id": "gw", "secret": "of the gateway"}}
    if login is not None:
        given["login"] = {"callback": CALLBACK} | login
    built = gateway.build(openid_connect.KIND, given | more)
    return gateway.chain(built)


class Browser:
    """Keeps cookies and follows the flow by hand."""

    def __init__(self, gateway: Gateway, built: Chain) -> None:
        self.gateway, self.chain = gateway, built
        self.cookies: dict[str, str] = {}

    async def get(self, target: str, *fields: tuple[bytes, bytes], method: str = "GET") -> Answer:
        sent = [*(fields or PAGE)]
        if self.cookies:
            sent.append((b"Cookie", "; ".join(f"{name}={value}" for name, value in self.cookies.items()).encode()))
        got = await self.gateway.request(self.chain, sent, target, method)
        for name, value in got.headers:
            if name == b"set-cookie":
                self._keep(value.decode())
        return got

    def _keep(self, field: str) -> None:
        ((name, morsel),) = SimpleCookie(field).items()
        assert "HttpOnly" in field
        assert "SameSite=Lax" in field
        assert "Path=/" in field
        assert ("Secure" in field) is name.startswith("__Host-")
        if morsel["max-age"] == "0":
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = morsel.value

    async def start(self, target: str = "/orders/1?a=b") -> dict[str, str]:
        """The parameters of the request to the provider."""
        sent = await self.get(target)
        assert sent.status == 303
        return {name: values[0] for name, values in parse_qs(urlsplit(location(sent)).query).items()}

    async def sign_in(self, idp: Provider, name: str = "ann", target: str = "/orders/1?a=b") -> Answer:
        asked = await self.start(target)
        code = f"code-{name}-{len(idp.forms)}"
        idp.codes[code] = {"sub": name, "nonce": asked["nonce"]}
        idp.challenges[code] = asked["code_challenge"]
        return await self.get(f"/shop/v1/signed-in?code={code}&state={asked['state']}")


def location(got: Answer) -> str:
    return dict(got.headers)[b"location"].decode()


def subject(gateway: Gateway) -> str:
    identity = gateway.seen[-1].identity
    assert identity is not None
    assert identity.method == "openid-connect"
    return identity.subject


# tokens


async def test_a_signed_access_token_is_verified_by_the_providers_keys(gateway: Gateway, idp: Provider) -> None:
    built = chain(gateway, idp, audience="shop", client=None)
    good = claims(iss=idp.service.url)
    assert (await gateway.request(built, bearer(token(good)))).status == 200
    assert subject(gateway) == "ann"
    for wrong in (token(good, rsa_key(1)), token(good | {"aud": "gw"}), b"opaque"):
        assert (await gateway.request(built, bearer(wrong))).status == 401
    assert (await gateway.request(built)).status == 401


async def test_an_opaque_token_is_told_about_by_introspection(gateway: Gateway, idp: Provider) -> None:
    idp.service.answers["/introspection"] = answer({"active": True, "sub": "bob", "aud": "shop"})
    built = chain(gateway, idp, audience="shop", opaque="introspection")
    assert (await gateway.request(built, bearer(b"opaque"))).status == 200
    assert subject(gateway) == "bob"
    idp.service.answers["/introspection"] = answer({"active": True, "sub": "bob", "aud": "other"})
    assert (await gateway.request(built, bearer(b"opaque-2"))).status == 401


async def test_an_opaque_token_is_told_about_by_userinfo(gateway: Gateway, idp: Provider) -> None:
    def userinfo(received: Received) -> bytes:
        good = received.get(b"authorization") == b"Bearer opaque"
        return answer({"sub": "bob"}) if good else answer({"error": "invalid_token"}, 401)

    idp.service.answers["/userinfo"] = userinfo
    built = chain(gateway, idp, opaque="userinfo", client=None)
    assert (await gateway.request(built, bearer(b"opaque"))).status == 200
    assert subject(gateway) == "bob"
    assert (await gateway.request(built, bearer(b"other"))).status == 401
    idp.service.answers["/userinfo"] = answer({}, 500)
    assert (await gateway.request(built, bearer(b"third"))).status == 503


# signing in


async def test_a_person_signs_in_and_comes_back_to_the_page(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    asked = await browser.start()
    assert {"response_type": "code", "client_id": "gw", "redirect_uri": CALLBACK}.items() <= asked.items()
    assert asked["code_challenge_method"] == "S256"
    assert "openid" in asked["scope"].split()
    back = await browser.sign_in(idp)
    assert (back.status, location(back)) == (303, "https://shop.example/orders/1?a=b")
    assert dict(back.headers)[b"cache-control"] == b"no-store"
    assert (await browser.get("/orders/1?a=b")).status == 200
    assert subject(gateway) == "ann"
    assert idp.forms[0]["redirect_uri"] == CALLBACK


async def test_the_backend_sees_no_cookie_of_the_gateway(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    await browser.sign_in(idp)
    browser.cookies["theme"] = "dark"
    told = json_of(await browser.get("/"))
    assert told["add"] == ["\r\nCookie: theme=dark"]
    assert "cookie" in told["drop"]


async def test_only_a_page_is_redirected(gateway: Gateway, idp: Provider) -> None:
    built = chain(gateway, idp, {})
    for fields, method in [
        ([(b"Accept", b"application/json")], "GET"),
        ([(b"Accept", b"text/html")], "POST"),
        ([(b"Accept", b"text/html"), (b"Sec-Fetch-Mode", b"cors")], "GET"),
        ([], "GET"),
    ]:
        refused = await gateway.request(built, fields, method=method)
        assert refused.status == 401
        assert dict(refused.headers)[b"www-authenticate"] == b'Bearer realm="shop"'


async def test_the_session_is_unreadable_and_a_changed_one_is_none(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    await browser.sign_in(idp)
    ((name, value),) = browser.cookies.items()
    assert name == "__Host-penstock"
    plain = base64.urlsafe_b64decode(value + "==")
    assert b"ann" not in plain
    for changed in (value[:-2] + ("AA" if value[-2:] != "AA" else "BB"), value[:40], "", "!", "A" * 80):
        browser.cookies[name] = changed
        assert (await browser.get("/", (b"Accept", b"*/*"))).status == 401
    other = Browser(gateway, chain(gateway, idp, {}, client={"id": "other", "secret": "x"}))
    other.cookies[name] = value  # the session of another client is none here
    assert (await other.get("/", (b"Accept", b"*/*"))).status == 401


async def test_all_nodes_of_a_cluster_know_a_session(gateway: Gateway, idp: Provider) -> None:
    """Whose key secret is the same; with another one they do not."""
    browser = Browser(gateway, chain(gateway, idp, {}))
    await browser.sign_in(idp)
    another = Gateway()
    browser.gateway, browser.chain = another, chain(another, idp, {})
    assert (await browser.get("/")).status == 200
    own = {"secret": "a secret of its own, 32 bytes long"}
    browser.chain = chain(another, idp, own)
    assert (await browser.get("/", (b"Accept", b"*/*"))).status == 401
    await another.outside.close()


async def test_a_session_ends_with_its_lifetime(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {"lifetime": "1h"}))
    await browser.sign_in(idp)
    gateway.clock.advance(3599)
    assert (await browser.get("/")).status == 200
    identity = gateway.seen[-1].identity
    assert identity is not None
    assert identity.holds is not None
    assert not identity.holds(identity, NOW + 3600)
    gateway.clock.advance(1)
    assert (await browser.get("/", (b"Accept", b"*/*"))).status == 401


# attacks on signing in


async def test_a_callback_without_the_browsers_own_attempt_is_refused(gateway: Gateway, idp: Provider) -> None:
    """Login CSRF: the attacker's code and state in the victim's browser"""
    built = chain(gateway, idp, {})
    attacker, victim = Browser(gateway, built), Browser(gateway, built)
    asked = await attacker.start()
    idp.codes["code"], idp.challenges["code"] = {"sub": "eve", "nonce": asked["nonce"]}, asked["code_challenge"]
    await victim.start()
    for target in (f"?code=code&state={asked['state']}", "?code=code", "?code=code&state=", "", "?state=x&state=y"):
        refused = await victim.get("/shop/v1/signed-in" + target)
        assert refused.status == 401
    assert idp.forms == []


async def test_an_attempt_is_for_one_use_and_ends_in_time(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    asked = await browser.start()
    gateway.clock.advance(600)
    late = await browser.get(f"/shop/v1/signed-in?code=c&state={asked['state']}")
    assert late.status == 401
    assert idp.forms == []


@pytest.mark.parametrize(
    "wrong", [{"nonce": "other"}, {"nonce": None}, {"aud": "other"}, {"iss": "https://other.example"}, {"exp": 1},
              {"azp": "other"}, {"sub": None}]
)  # fmt: skip
async def test_an_id_token_that_does_not_fit_signs_nobody_in(
    gateway: Gateway, idp: Provider, wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    asked = await browser.start()
    good = claims(iss=idp.service.url, aud="gw", nonce=asked["nonce"]) | wrong
    made = token({name: value for name, value in good.items() if value is not None}).decode()
    idp.service.answers["/token"] = answer({"id_token": made, "access_token": "a"})
    back = await browser.get(f"/shop/v1/signed-in?code=c&state={asked['state']}")
    if back.status == 303:  # nobody is named: refused when it is used
        assert (await browser.get("/", (b"Accept", b"*/*"))).status == 401
    else:
        assert back.status == 401
        assert "__Host-penstock" not in browser.cookies


async def test_an_answer_of_another_issuer_is_refused(gateway: Gateway, idp: Provider) -> None:
    """RFC 9207"""
    browser = Browser(gateway, chain(gateway, idp, {}))
    asked = await browser.start()
    back = await browser.get(f"/shop/v1/signed-in?code=c&state={asked['state']}&iss=https%3A%2F%2Fevil.example")
    assert back.status == 401
    assert idp.forms == []


async def test_the_providers_refusal_is_told_without_its_words(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    asked = await browser.start()
    query = f"error=access_denied&error_description=%3Cscript%3E&state={asked['state']}"
    back = await browser.get(f"/shop/v1/signed-in?{query}")
    assert back.status == 401
    assert b"script" not in back.body


@pytest.mark.parametrize("target", ["//evil.example/x", "/\\evil.example", "/?next=https://evil.example", "/%0d%0a"])
async def test_there_is_no_open_redirect(gateway: Gateway, idp: Provider, target: str) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    first = await browser.get(target)
    if first.status == 303:
        back = await browser.sign_in(idp, target=target)
        assert location(back).startswith("https://shop.example/")
        assert urlsplit(location(back)).netloc == "shop.example"


async def test_another_site_cannot_act_in_a_persons_name(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    await browser.sign_in(idp)
    for field in ((b"Origin", b"https://evil.example"), (b"Sec-Fetch-Site", b"cross-site"), (b"Origin", b"null")):
        assert (await browser.get("/", field, method="POST")).status == 403
    own = (b"Origin", b"https://shop.example")
    assert (await browser.get("/", own, method="POST")).status == 200
    assert (await browser.get("/", (b"Sec-Fetch-Site", b"cross-site"))).status == 200  # reads are no harm


async def test_attempts_do_not_pile_up_in_a_browser(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}))
    for _ in range(12):
        await browser.start()
    assert len(browser.cookies) <= 6


async def test_c43_50_people_who_sign_in_at_once_never_cross_identities(gateway: Gateway, idp: Provider) -> None:
    """CASES C43"""
    built = chain(gateway, idp, {}, forward={"sub": "X-User"})

    async def sign_in(name: str) -> None:
        browser = Browser(gateway, built)
        back = await browser.sign_in(idp, name, f"/{name}")
        assert location(back) == f"https://shop.example/{name}"
        for _ in range(2):
            told = json_of(await browser.get("/"))
            assert f"\r\nX-User: {name}" in told["add"]

    await asyncio.gather(*(sign_in(f"person-{number}") for number in range(50)))


# renewal and the end


async def test_a_session_is_renewed_once_whoever_asks_and_the_browser_gets_it(gateway: Gateway, idp: Provider) -> None:
    idp.more = {"refresh_token": "refresh-1", "expires_in": 300}
    browser = Browser(gateway, chain(gateway, idp, {}))
    await browser.sign_in(idp)
    before = dict(browser.cookies)
    gateway.clock.advance(300)
    idp.refreshes["refresh-1"] = {"sub": "ann"}
    idp.more = {"refresh_token": "refresh-2", "expires_in": 300}
    answers = await asyncio.gather(*(browser.get("/") for _ in range(10)))
    assert {each.status for each in answers} == {200}
    assert [form["grant_type"] for form in idp.forms] == ["authorization_code", "refresh_token"]
    assert browser.cookies != before
    assert (await browser.get("/")).status == 200
    assert len(idp.forms) == 2


async def test_a_session_that_the_provider_ended_is_over(gateway: Gateway, idp: Provider) -> None:
    idp.more = {"refresh_token": "refresh-1", "expires_in": 300}
    browser = Browser(gateway, chain(gateway, idp, {}))
    await browser.sign_in(idp)
    gateway.clock.advance(300)
    assert (await browser.get("/", (b"Accept", b"*/*"))).status == 401
    assert (await browser.get("/")).status == 303


async def test_c49_a_renewal_that_cannot_be_asked_for_is_503(gateway: Gateway, idp: Provider) -> None:
    """CASES C49"""
    idp.more = {"refresh_token": "refresh-1", "expires_in": 300}
    browser = Browser(gateway, chain(gateway, idp, {}))
    await browser.sign_in(idp)
    gateway.clock.advance(300)
    idp.service.answers["/token"] = answer({}, 500)
    assert (await browser.get("/")).status == 503


async def test_a_renewal_about_somebody_else_ends_the_session(gateway: Gateway, idp: Provider) -> None:
    """OpenID Connect Core 1.0 section 12.2"""
    idp.more = {"refresh_token": "refresh-1", "expires_in": 300}
    browser = Browser(gateway, chain(gateway, idp, {}))
    await browser.sign_in(idp)
    gateway.clock.advance(300)
    idp.refreshes["refresh-1"] = {"sub": "eve"}
    assert (await browser.get("/", (b"Accept", b"*/*"))).status == 401


async def test_signing_out_takes_the_cookies_away_and_tells_the_provider(gateway: Gateway, idp: Provider) -> None:
    login = {"logout": "/shop/v1/out", "after_logout": "https://shop.example/bye"}
    browser = Browser(gateway, chain(gateway, idp, login))
    await browser.sign_in(idp)
    assert (await browser.get("/shop/v1/out", (b"Sec-Fetch-Site", b"cross-site"))).status == 403
    gone = await browser.get("/shop/v1/out")
    where = urlsplit(location(gone))
    assert (gone.status, where.path) == (303, "/end_session")
    assert parse_qs(where.query) == {"client_id": ["gw"], "post_logout_redirect_uri": ["https://shop.example/bye"]}
    assert browser.cookies == {}
    assert (await browser.get("/")).status == 303


async def test_a_large_session_is_kept_in_pieces(gateway: Gateway, idp: Provider) -> None:
    browser = Browser(gateway, chain(gateway, idp, {}, forward_token=True))
    idp.more = {"access_token": "a" * 9000, "expires_in": 3600}
    await browser.sign_in(idp)
    assert set(browser.cookies) == {"__Host-penstock", "__Host-penstock.1", "__Host-penstock.2", "__Host-penstock.3"}
    told = json_of(await browser.get("/"))
    assert "\r\nAuthorization: Bearer " + "a" * 9000 in told["add"]
    del browser.cookies["__Host-penstock.1"]
    assert (await browser.get("/", (b"Accept", b"*/*"))).status == 401


async def test_the_backend_gets_the_access_token_only_where_that_is_wanted(gateway: Gateway, idp: Provider) -> None:
    for wanted in (False, True):
        browser = Browser(gateway, chain(gateway, idp, {}, forward_token=wanted))
        await browser.sign_in(idp)
        told = json_of(await browser.get("/"))
        assert ("\r\nAuthorization: Bearer access-1" in told["add"]) is wanted


async def test_a_provider_that_is_down_makes_signing_in_503(gateway: Gateway, idp: Provider) -> None:
    """CASES C49"""
    idp.service.answers["/.well-known/openid-configuration"] = answer({}, 500)
    assert (await Browser(gateway, chain(gateway, idp, {})).get("/")).status == 503


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "nobody could call"),
        ({"audience": "a", "algorithms": ["HS256"]}, "published keys"),
        ({"opaque": "introspection"}, "need a `client`"),
        ({"login": {"callback": CALLBACK}}, "need a `client`"),
        ({"login": {"callback": "http://shop.example/x"}}, "is https"),
        ({"login": {"callback": "/x"}}, "not a URL"),
        ({"login": {"callback": CALLBACK + "?a"}}, "without a query"),
        ({"login": {"callback": CALLBACK, "scopes": ["email"]}}, "openid"),
        ({"login": {"callback": CALLBACK, "secret": "short"}, "client": {"id": "gw"}}, "at least 32 characters"),
        ({"audience": "a", "issuer": "http://169.254.169.254"}, "may not be called"),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_reason(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gateway().build(openid_connect.KIND, {"issuer": "https://id.example"} | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"client": {"id": "gw", "secret": "planted", "method": "private_key_jwt"}},
        {"client": {"id": "gw", "secret": "planted"}, "login": {"callback": CALLBACK, "secret": "planted" * 9, "x": 1}},
        {"client": {"id": "gw", "secret": "planted"}, "opaque": "guess"},
    ],
)
def test_what_is_told_of_a_wrong_configuration_holds_no_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as refused:
        Gateway().build(openid_connect.KIND, {"issuer": "https://id.example"} | wrong)
    assert "planted" not in str(refused.value)
