"""The cache: what is stored, what is served from it, to whom, and for how long (RFC 9111)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from pydantic import ValidationError

from gateway.core.errors import Forbidden
from gateway.core.exchange import Exchange
from gateway.core.kinds import Built
from gateway.policy import cache
from tests.policy.cache_harness import Cached, how
from tests.policy.policy_harness import Gateway, json_of


def cached(gateway: Gateway, control: str = "max-age=60", /, **config: Any) -> Cached:
    found = Cached(gateway, config)
    found.told.fields["Cache-Control"] = control
    return found


async def test_a_fresh_response_is_served_without_the_backend(gateway: Gateway) -> None:
    shop = cached(gateway)
    first = await shop.get()
    shop.pass_time(10)
    second = await shop.get()
    assert (first.body, second.body, len(shop.asked)) == (b"1", b"1", 1)
    assert how(first) == "fwd=miss; fwd-status=200; stored"
    assert second.get(b"cache-status") == b"penstock; hit; ttl=50"
    assert second.get(b"age") == b"10"
    assert second.all(b"date") == first.all(b"date")


async def test_it_ends_with_its_freshness(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get()
    shop.pass_time(60)
    assert (await shop.get()).body == b"2"


async def test_another_worker_finds_it(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get()
    assert (await shop.worker().get()).body == b"1"


@pytest.mark.parametrize(
    "control",
    [
        "no-store",
        "private",
        "max-age=0",
        "",
        'private="x", max-age=60',
        "max-age=-1",
        "max-age=abc",
        "MAX-AGE=60, No-Store",
    ],
)
async def test_what_may_not_be_stored_is_not(gateway: Gateway, control: str) -> None:
    shop = cached(gateway, control)
    await shop.get()
    assert (await shop.get()).body == b"2"


@pytest.mark.parametrize(
    ("control", "seconds"),
    [
        ("max-age=60", 60),
        ("max-age=10, s-maxage=60", 60),
        ("s-maxage=60, max-age=600", 60),
        ('max-age="60"', 60),
        ("max-age=60, max-age=600", 60),
        ("public, max-age=99999999999999999999999999", 0),
    ],
)
async def test_how_long_it_is_fresh(gateway: Gateway, control: str, seconds: int) -> None:
    shop = cached(gateway, control)
    await shop.get()
    if seconds:
        shop.pass_time(seconds - 1)
        assert (await shop.get()).body == b"1"
        shop.pass_time(1)
    assert (await shop.get()).body == b"2"


async def test_expires_counts_from_date(gateway: Gateway) -> None:
    shop = cached(gateway, "")
    shop.told.fields |= {"Expires": formatdate(gateway.clock.time() + 60, usegmt=True)}
    await shop.get()
    shop.pass_time(59)
    assert (await shop.get()).body == b"1"
    shop.pass_time(1)
    assert (await shop.get()).body == b"2"


@pytest.mark.parametrize("expires", ["0", "-1", "yesterday"])
async def test_an_expires_that_is_no_date_is_over(gateway: Gateway, expires: str) -> None:
    shop = cached(gateway, "", ttl="1m")
    shop.told.fields |= {"Expires": expires}
    await shop.get()
    assert (await shop.get()).body == b"2"


async def test_the_age_it_had_counts(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.fields |= {"Age": "50"}
    await shop.get()
    assert (await shop.get()).get(b"age") == b"50"
    shop.pass_time(10)
    assert (await shop.get()).body == b"2"


async def test_ttl_counts_where_the_backend_says_nothing(gateway: Gateway) -> None:
    shop = cached(gateway, "", ttl="1m")
    await shop.get()
    assert (await shop.get()).body == b"1"
    shop.told.fields["Cache-Control"] = "no-store"
    await shop.get("/b")
    assert (await shop.get("/b")).body == b"3"


async def test_the_heuristic_is_a_part_of_the_time_since_the_last_change(gateway: Gateway) -> None:
    shop = cached(gateway, "", heuristic=0.1)
    shop.told.fields |= {"Last-Modified": formatdate(gateway.clock.time() - 600, usegmt=True)}
    await shop.get()
    shop.pass_time(59)
    assert (await shop.get()).body == b"1"


@pytest.mark.parametrize("status", [201, 400, 404, 500, 503, 206])
async def test_other_statuses_are_not_stored(gateway: Gateway, status: int) -> None:
    shop = cached(gateway)
    shop.told.status = status
    await shop.get()
    assert (await shop.get()).body == b"2"


async def test_head_is_served_from_a_get(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get()
    answer = await shop.get(method="HEAD")
    assert (answer.status, answer.body, how(answer)) == (200, b"", "hit")
    assert answer.get(b"content-length") == b"1"


async def test_a_head_is_not_stored_as_a_get(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get(method="HEAD")
    assert (await shop.get()).body == b"2"


async def test_a_get_with_a_body_passes(gateway: Gateway) -> None:
    """The body is no part of the key: a stranger's would poison it."""
    shop = cached(gateway)
    await shop.get(body=b"evil")
    assert (await shop.get()).body == b"2"


# requests


@pytest.mark.parametrize(
    "field", [{"Cache_Control": "no-cache"}, {"Cache_Control": "max-age=0"}, {"Pragma": "no-cache"}]
)
async def test_a_request_may_ask_for_a_new_one(gateway: Gateway, field: dict[str, str]) -> None:
    shop = cached(gateway)
    await shop.get()
    shop.pass_time(1)
    assert (await shop.get(**field)).body == b"2"
    assert (await shop.get()).body == b"2", "what came is stored"


async def test_directives_of_requests_need_not_count(gateway: Gateway) -> None:
    shop = cached(gateway, request_directives=False)
    await shop.get()
    assert (await shop.get(Cache_Control="no-cache")).body == b"1"


async def test_no_store_of_a_request_leaves_nothing(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get(Cache_Control="no-store")
    assert (await shop.get()).body == b"2"


async def test_only_if_cached_is_504_without_asking(gateway: Gateway) -> None:
    shop = cached(gateway)
    answer = await shop.get(Cache_Control="only-if-cached")
    assert (answer.status, json_of(answer)["code"], shop.asked) == (504, "not_cached", [])
    await shop.get()
    assert (await shop.get(Cache_Control="only-if-cached")).status == 200


async def test_min_fresh_and_max_stale(gateway: Gateway) -> None:
    shop = cached(gateway, "max-age=60, stale-while-revalidate=0")
    shop.told.fields["ETag"] = '"x"'
    await shop.get()
    shop.pass_time(50)
    assert (await shop.get(Cache_Control="min-fresh=5")).body == b"1"
    shop.pass_time(20)
    assert (await shop.get(Cache_Control="max-stale=30")).body == b"1"
    assert (await shop.get(Cache_Control="max-stale")).body == b"1"
    assert (await shop.get(Cache_Control="max-stale=5")).body == b"2"


# who gets it (CASES C43)


async def test_identities_do_not_share_unless_the_response_says_so(gateway: Gateway) -> None:
    """CASES C43"""
    shop = cached(gateway)
    assert (await shop.get(x_test_user="ann")).body == b"1"
    assert (await shop.get(x_test_user="bob")).body == b"2"
    assert (await shop.get()).body == b"3"
    assert (await shop.get(x_test_user="ann")).body == b"1"


async def test_50_parallel_identities_never_get_each_others_response(gateway: Gateway) -> None:
    """CASES C43"""
    shop = cached(gateway)
    shop.held = asyncio.Event()
    users = [f"user-{number % 50}" for number in range(150)]
    asks = [asyncio.create_task(shop.get(x_test_user=user)) for user in users]
    await asyncio.sleep(0)
    shop.held.set()
    bodies: dict[str, set[bytes]] = {}
    for user, answer in zip(users, await asyncio.gather(*asks), strict=True):
        bodies.setdefault(user, set()).add(answer.body)
    assert all(len(found) == 1 for found in bodies.values())
    assert len(set().union(*bodies.values())) == 50 == len(shop.asked)


@pytest.mark.parametrize("control", ["public, max-age=60", "s-maxage=60"])
async def test_what_is_public_is_everybodys(gateway: Gateway, control: str) -> None:
    shop = cached(gateway, control)
    await shop.get(x_test_user="ann")
    assert (await shop.get(x_test_user="bob")).body == b"1"


async def test_shared_says_so_for_the_backend(gateway: Gateway) -> None:
    shop = cached(gateway, shared=True)
    await shop.get(x_test_user="ann")
    assert (await shop.get(x_test_user="bob")).body == b"1"


async def test_an_applications_users_share_where_that_is_said(gateway: Gateway) -> None:
    shop = cached(gateway, by="application")
    await shop.get(x_test_user="ann/app")
    assert (await shop.get(x_test_user="bob/app")).body == b"1"
    assert (await shop.get(x_test_user="eve/other")).body == b"2"
    assert (await shop.get(x_test_user="eve")).body == b"3"


async def test_what_turns_private_to_an_identity_is_no_longer_everybodys(gateway: Gateway) -> None:
    shop = cached(gateway, "public, max-age=60")
    await shop.get(x_test_user="ann")
    shop.told.fields["Cache-Control"] = "max-age=60"
    shop.pass_time(61)
    assert (await shop.get(x_test_user="ann")).body == b"2"
    assert (await shop.get(x_test_user="bob")).body == b"3"
    assert (await shop.worker().get(x_test_user="bob")).body == b"3"
    assert (await shop.worker().get(x_test_user="ann")).body == b"2"


async def test_credentials_that_the_backend_sees_divide(gateway: Gateway) -> None:
    """The gateway may know the application, and the backend the user."""
    shop = cached(gateway, by="application")
    await shop.get(x_test_user="a/app", Authorization="Basic one")
    assert (await shop.get(x_test_user="a/app", Authorization="Basic two")).body == b"2"
    assert (await shop.get(x_test_user="a/app", Cookie="sid=3")).body == b"3"


async def test_a_response_to_credentials_is_not_shared_by_configuration_alone(gateway: Gateway) -> None:
    """RFC 9111 section 3.5"""
    shop = cached(gateway, shared=True)
    await shop.get(Authorization="Basic one")
    assert (await shop.get()).body == b"2"
    shop.told.fields["Cache-Control"] = "public, max-age=60"
    await shop.get("/b", Authorization="Basic one")
    assert (await shop.get("/b")).body == b"3"


async def test_cookies_are_not_stored(gateway: Gateway) -> None:
    shop = cached(gateway, "public, max-age=60")
    shop.told.fields["Set-Cookie"] = "sid=secret"
    await shop.get()
    assert (await shop.get()).body == b"2"


async def test_a_response_can_be_stored_without_its_cookies(gateway: Gateway) -> None:
    shop = cached(gateway, "public, max-age=60", set_cookie="strip")
    shop.told.fields["Set-Cookie"] = "sid=secret"
    assert (await shop.get()).get(b"set-cookie") == b"sid=secret"
    second = await shop.get()
    assert (second.body, second.get(b"set-cookie")) == (b"1", None)


async def test_fields_of_one_hop_are_not_stored(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.fields |= {"Connection": "X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", "Proxy-Authenticate": "x"}
    await shop.get()
    second = await shop.get()
    assert how(second) == "hit"
    assert not {name for name, _ in second.headers} & {b"x-hop", b"keep-alive", b"proxy-authenticate"}


# keys, and what would poison them


@pytest.mark.parametrize(
    "field", [{"Host": "evil.example"}, {"Accept_Language": "xx"}], ids=["host", "a field that is configured"]
)
async def test_what_the_backend_may_depend_on_is_part_of_the_key(gateway: Gateway, field: dict[str, str]) -> None:
    shop = cached(gateway, "public, max-age=60", vary=["Accept-Language"])
    await shop.get(**field)
    assert (await shop.get()).body == b"2"


@pytest.mark.parametrize(
    "name",
    ["X-Forwarded-Host", "X-Forwarded-Scheme", "X-Original-URL", "X-Host", "X-HTTP-Method-Override", "Forwarded"],
)
async def test_a_field_that_is_no_part_of_the_key_and_known_to_poison_reaches_no_backend(
    gateway: Gateway, name: str
) -> None:
    shop = cached(gateway, "public, max-age=60")
    await shop.get(**{name.replace("-", "_"): "evil.example"})
    assert b"evil" not in (shop.saw(name.lower().encode()) or b"")


async def test_a_query_is_part_of_the_key_as_it_is(gateway: Gateway) -> None:
    shop = cached(gateway)
    assert [(await shop.get(target)).body for target in ("/a?x=1&y=2", "/a?y=2&x=1", "/a?x=1&y=2")] == [
        b"1",
        b"2",
        b"1",
    ]


async def test_a_parameter_that_does_not_count_does_not_reach_the_backend(gateway: Gateway) -> None:
    shop = cached(gateway, query={"ignore": ["utm_source"], "sort": True})
    await shop.get("/a?x=1&utm%5fsource=evil&b=2")
    assert shop.asked[0].edits.query == b"b=2&x=1"
    assert (await shop.get("/a?b=2&x=1")).body == b"1"


async def test_only_named_parameters_count(gateway: Gateway) -> None:
    shop = cached(gateway, query={"only": ["x"]})
    await shop.get("/a?x=1&z=evil")
    assert shop.asked[0].edits.query == b"x=1"
    assert (await shop.get("/a?x=1")).body == b"1"


async def test_vary_divides_and_is_remembered_by_every_worker(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.fields["Vary"] = "Accept-Language, X-Other"
    await shop.get(Accept_Language="de")
    assert (await shop.get(Accept_Language="fr")).body == b"2"
    other = shop.worker()
    assert (await other.get(Accept_Language="de")).body == b"1"
    assert (await other.get(Accept_Language="fr")).body == b"2"
    assert (await other.get()).body == b"3"


async def test_vary_by_everything_is_never_stored(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.fields["Vary"] = "Accept, *"
    await shop.get()
    assert (await shop.get()).body == b"2"


async def test_an_encoded_response_goes_to_those_who_accept_it(gateway: Gateway) -> None:
    """Also when the backend forgot to say that it varies."""
    shop = cached(gateway)
    shop.told.fields["Content-Encoding"] = "gzip"
    await shop.get(Accept_Encoding="gzip")
    assert (await shop.get()).body == b"2"
    assert (await shop.get(Accept_Encoding="gzip")).body == b"1"


async def test_a_plan_has_its_own(gateway: Gateway) -> None:
    """Steps of a plan stand behind the cache: what they made of a response is not for others."""
    shop = cached(gateway, "public, max-age=60")
    await shop.get()
    shop.live.current = type(shop.live.current)(replace(shop.chain, plan="gold"))  # type: ignore[call-arg]
    assert (await shop.get()).body == b"2"
    shop.live.current = type(shop.live.current)(replace(shop.chain, name="shop@v2~canary GET /a"))  # type: ignore[call-arg]
    assert (await shop.get()).body == b"3", "so has a canary"


async def test_two_versions_share_nothing(gateway: Gateway) -> None:
    shop = cached(gateway, "public, max-age=60")
    await shop.get()
    site = gateway.site
    gateway.site = lambda *names: type(site())("shop", "v3", "GET /a", "x", "s", site().services)  # type: ignore[method-assign]
    assert (await shop.worker().get()).body == b"2"


# validation


async def test_a_client_that_has_it_is_told_so(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.fields |= {"ETag": 'W/"x,y"', "Content-Type": "text/plain"}
    await shop.get()
    answer = await shop.get(If_None_Match='"a", "x,y"')
    assert (answer.status, answer.body, answer.get(b"content-type")) == (304, b"", None)
    assert answer.get(b"etag") == b'W/"x,y"'
    assert (await shop.get(If_None_Match="*")).status == 304
    assert (await shop.get(If_None_Match='"other"')).status == 200
    assert len(shop.asked) == 1


async def test_if_modified_since_counts_without_if_none_match_only(gateway: Gateway) -> None:
    shop = cached(gateway)
    changed = gateway.clock.time() - 100
    shop.told.fields |= {"ETag": '"x"', "Last-Modified": formatdate(changed, usegmt=True)}
    await shop.get()
    since = formatdate(changed, usegmt=True)
    assert (await shop.get(If_Modified_Since=since)).status == 304
    assert (await shop.get(If_Modified_Since=formatdate(changed - 1, usegmt=True))).status == 200
    assert (await shop.get(If_Modified_Since=since, If_None_Match='"y"')).status == 200


async def test_a_304_freshens_what_is_stored(gateway: Gateway) -> None:
    """RFC 9111 section 4.3.4"""
    shop = cached(gateway)
    shop.told.fields |= {"ETag": '"x"', "X-Old": "1", "Content-Type": "text/plain"}
    await shop.get()
    shop.pass_time(100)
    shop.told.status, shop.told.body = 304, b""
    shop.told.fields = {"Cache-Control": "max-age=60", "ETag": '"x"', "X-New": "2"}
    answer = await shop.get(If_None_Match='"mine"')
    assert shop.saw(b"if-none-match") == b'"x"'
    assert (answer.status, answer.body) == (200, b"1")
    assert (answer.get(b"x-old"), answer.get(b"x-new"), answer.get(b"content-type")) == (b"1", b"2", b"text/plain")
    assert how(answer) == "fwd=stale; fwd-status=304; stored"
    shop.pass_time(59)
    assert how(await shop.worker().get()) == "hit"
    assert (await shop.get(If_None_Match='"x"')).status == 304


async def test_no_cache_is_stored_and_asked_for_each_time(gateway: Gateway) -> None:
    shop = cached(gateway, "no-cache")
    shop.told.fields |= {"ETag": '"x"'}
    await shop.get()
    shop.told.status = 304
    for _ in range(2):
        assert (await shop.get()).body == b"1"
    assert len(shop.asked) == 3


async def test_a_stale_one_that_changed_is_replaced(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.fields |= {"ETag": '"x"'}
    await shop.get()
    shop.pass_time(61)
    assert (await shop.get()).body == b"2"
    assert (await shop.get()).body == b"2"


# ranges


async def test_a_part_is_served_of_what_is_whole(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.body = b"0123456789"
    shop.told.fields["ETag"] = '"x"'
    await shop.get()
    parts = {}
    for asked in ("bytes=2-4", "bytes=7-", "bytes=-3", "bytes=0-99", "bytes=1-2,4-5", "lines=1-2", "bytes=5-2"):
        answer = await shop.get(Range=asked)
        parts[asked] = (answer.status, answer.body, answer.get(b"content-range"))
    whole = (200, b"0123456789", None)
    assert parts == {
        "bytes=2-4": (206, b"234", b"bytes 2-4/10"),
        "bytes=7-": (206, b"789", b"bytes 7-9/10"),
        "bytes=-3": (206, b"789", b"bytes 7-9/10"),
        "bytes=0-99": (206, b"0123456789", b"bytes 0-9/10"),
        "bytes=1-2,4-5": whole,
        "lines=1-2": whole,
        "bytes=5-2": whole,
    }
    beyond = await shop.get(Range="bytes=10-")
    assert (beyond.status, beyond.get(b"content-range")) == (416, b"bytes */10")
    assert (await shop.get(Range="bytes=0-1", If_Range='"x"')).status == 206
    assert (await shop.get(Range="bytes=0-1", If_Range='"y"')).status == 200
    assert len(shop.asked) == 1


async def test_a_part_that_is_not_stored_is_the_backends(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get(Range="bytes=0-1")
    assert (await shop.get()).body == b"2"


# stale


async def test_stale_while_revalidate_serves_at_once_and_fetches_once(gateway: Gateway) -> None:
    """RFC 5861 section 3"""
    shop = cached(gateway, "max-age=60, stale-while-revalidate=30")
    await shop.get()
    shop.pass_time(70)
    answers = await asyncio.gather(*(shop.get() for _ in range(5)))
    assert {answer.body for answer in answers} == {b"1"}
    assert {how(answer) for answer in answers} == {"hit"}
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(shop.asked) == 2
    assert (await shop.get()).body == b"2"


async def test_while_another_worker_fetches_anew_none_else_does(gateway: Gateway) -> None:
    shop = cached(gateway, "", ttl="1m", stale_while_revalidate="30s")
    await shop.get()
    shop.held = asyncio.Event()
    shop.pass_time(70)
    other = shop.worker()
    for each in (shop, other, shop, other):
        assert (await each.get()).body == b"1"
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    shop.held.set()
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(shop.asked) == 2
    assert (await other.get()).body == b"2"


async def test_what_is_fetched_in_the_background_runs_only_the_steps_behind(gateway: Gateway) -> None:
    ran: list[str] = []

    def noting(name: str) -> Built:
        def step(_exchange: Exchange) -> None:
            ran.append(name)

        def after(_exchange: Exchange, _reply: Any) -> None:
            ran.append(f"after {name}")

        return Built(step=step, after=after)

    shop = Cached(gateway, {}, before=[noting("before")], behind=[noting("behind")])
    shop.told.fields["Cache-Control"] = "max-age=60, stale-while-revalidate=30"
    await shop.get()
    shop.pass_time(70)
    ran.clear()
    await shop.get()
    for _ in range(5):
        await asyncio.sleep(0)
    assert ran == ["before", "after before", "behind", "after behind"]


@pytest.mark.parametrize("strict", ["must-revalidate", "proxy-revalidate", "s-maxage=60"])
async def test_what_must_be_revalidated_is_never_served_stale(gateway: Gateway, strict: str) -> None:
    shop = cached(gateway, f"max-age=60, stale-while-revalidate=30, stale-if-error=30, {strict}")
    shop.told.fields["ETag"] = '"x"'
    await shop.get()
    shop.pass_time(70)
    shop.told.status = 503
    assert (await shop.get(Cache_Control="max-stale=100")).status == 503


async def test_stale_if_error_serves_what_is_stored(gateway: Gateway) -> None:
    """RFC 5861 section 4"""
    shop = cached(gateway, "max-age=60, stale-if-error=30")
    await shop.get()
    shop.pass_time(70)
    shop.told.status = 503
    answer = await shop.get()
    assert (answer.status, answer.body, how(answer)) == (200, b"1", "fwd=stale; fwd-status=503")
    shop.pass_time(30)
    assert (await shop.get()).status == 503


async def test_a_refusal_of_a_later_step_is_never_covered_up(gateway: Gateway) -> None:
    """A step that cannot decide is 503, and stays so."""

    def refuse(exchange: Exchange) -> None:
        if exchange.head.get(b"refuse"):
            raise Forbidden("no")

    shop = Cached(gateway, {}, behind=[Built(step=refuse)])
    shop.told.fields["Cache-Control"] = "max-age=60, stale-if-error=3000"
    await shop.get()
    shop.pass_time(70)
    assert (await shop.get(Refuse="1")).status == 403


# single flight (CASES A60)


async def test_of_many_that_miss_one_asks(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.held = asyncio.Event()
    asks = [asyncio.create_task(shop.get()) for _ in range(20)]
    await asyncio.sleep(0)
    shop.held.set()
    answers = await asyncio.gather(*asks)
    assert {answer.body for answer in answers} == {b"1"}
    assert len(shop.asked) == 1
    assert sorted({how(answer) for answer in answers}) == ["fwd=miss; collapsed", "fwd=miss; fwd-status=200; stored"]


async def test_of_many_workers_one_asks(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.held = asyncio.Event()
    workers = [shop.worker() for _ in range(4)]
    asks = [asyncio.create_task(worker.get()) for worker in workers]
    await asyncio.sleep(0.01)
    shop.held.set()
    assert {answer.body for answer in await asyncio.gather(*asks)} == {b"1"}
    assert len(shop.asked) == 1


async def test_a_client_that_leaves_does_not_fail_those_who_wait(gateway: Gateway) -> None:
    """CASES A60"""
    shop = cached(gateway)
    shop.held = asyncio.Event()
    leading = shop.open()
    asks = [asyncio.create_task(shop.get()) for _ in range(3)]
    gone = shop.open()
    await asyncio.sleep(0)
    gone.disconnect()
    leading.disconnect()
    await asyncio.sleep(0)
    shop.held.set()
    answers = await asyncio.gather(*asks)
    assert {answer.body for answer in answers} == {b"2"}
    assert len(shop.asked) == 2


async def test_what_cannot_be_stored_holds_nobody_up(gateway: Gateway) -> None:
    shop = cached(gateway, "no-store")
    shop.held = asyncio.Event()
    asks = [asyncio.create_task(shop.get()) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(shop.asked) == 1
    shop.held.set()
    assert {answer.body for answer in await asyncio.gather(*asks)} == {b"1", b"2", b"3"}
    shop.held = asyncio.Event()
    asks = [asyncio.create_task(shop.get()) for _ in range(3)]
    await asyncio.sleep(0)
    assert len(shop.asked) == 6, "nobody waits for what is known to be useless"
    shop.held.set()
    await asyncio.gather(*asks)


async def test_who_waits_for_too_long_asks_by_itself(gateway: Gateway) -> None:
    shop = cached(gateway, wait="10ms")
    shop.held = asyncio.Event()
    asks = [asyncio.create_task(shop.get()) for _ in range(3)]
    await shop.reached(3)
    shop.held.set()
    assert {answer.status for answer in await asyncio.gather(*asks)} == {200}


async def test_one_that_waited_for_another_variant_asks_by_itself(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.fields["Vary"] = "Accept-Language"
    shop.held = asyncio.Event()
    asks = [asyncio.create_task(shop.get(Accept_Language=language)) for language in ("de", "fr", "de")]
    await asyncio.sleep(0)
    shop.held.set()
    german, french, again = await asyncio.gather(*asks)
    assert (german.body, french.body, again.body) == (b"1", b"2", b"1")


# what changes


async def test_a_change_drops_what_is_stored_of_its_target(gateway: Gateway) -> None:
    """RFC 9111 section 4.4"""
    shop = cached(gateway)
    await shop.get("/a?x=1")
    await shop.get("/other")
    await shop.get("/b")
    shop.told.status = 201
    shop.told.fields["Location"] = "http://localhost/b"
    await shop.get("/a", method="PUT")
    await asyncio.sleep(0)
    shop.told.status = 200
    assert how(await shop.get("/a?x=1")).startswith("fwd=miss")
    assert how(await shop.get("/b")).startswith("fwd=miss")
    assert how(await shop.get("/other")) == "hit"


async def test_a_change_that_was_refused_drops_nothing(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get()
    shop.told.status = 409
    await shop.get(method="DELETE")
    await asyncio.sleep(0)
    assert (await shop.get()).body == b"1"


async def test_what_was_on_its_way_while_its_url_changed_is_not_stored(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.held = asyncio.Event()
    slow = asyncio.create_task(shop.get())
    await asyncio.sleep(0)
    await gateway.cells.purge("url:/a")
    shop.held.set()
    await slow
    assert (await shop.get()).body == b"2"


async def test_tags_are_purged(gateway: Gateway) -> None:
    shop = cached(gateway, tags=["orders"])
    shop.told.fields["Cache-Tag"] = "order-1, list"
    await shop.get()
    assert await gateway.cells.purge("tag:list") == 1
    shop.pass_time(1)
    assert (await shop.get()).body == b"2"
    assert await gateway.cells.purge("tag:orders") == 1
    assert await gateway.cells.purge("version:shop@v2") == 0


async def test_too_many_tags_are_not_stored(gateway: Gateway) -> None:
    shop = cached(gateway)
    shop.told.fields["Cache-Tag"] = ", ".join(f"t{number}" for number in range(65))
    await shop.get()
    assert (await shop.get()).body == b"2"


# bounds and faults


async def test_a_body_that_is_too_large_passes(gateway: Gateway) -> None:
    shop = cached(gateway, max_body=10)
    shop.told.body = b"x" * 11
    assert (await shop.get()).body == b"x" * 11
    assert how(await shop.get()).startswith("fwd=miss")


async def test_a_store_that_is_away_costs_nobody_an_answer(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get()
    gateway.cells.away = True
    answer = await shop.get()
    assert (answer.status, answer.body, how(answer)) == (200, b"2", "fwd=bypass; detail=store")
    gateway.cells.away = False
    assert (await shop.get()).body == b"1"


async def test_an_entry_of_another_release_is_a_miss(gateway: Gateway) -> None:
    shop = cached(gateway)
    await shop.get()
    for cell in gateway.cells._cells.values():
        for name in cell.values:
            if name != b"m":
                cell.values[name] = b"\x09" + cell.values[name][1:]
    assert (await shop.get()).body == b"2"


async def test_a_url_has_no_more_than_so_many_variants(gateway: Gateway) -> None:
    shop = cached(gateway, variants=3)
    shop.told.fields["Vary"] = "X-Any"
    for number in range(10):
        await shop.get(X_Any=str(number))
    assert [len(cell.values) for cell in gateway.cells._cells.values()] == [4]


# POST


async def test_a_safe_post_is_stored_by_its_body(gateway: Gateway) -> None:
    shop = cached(gateway, methods=["GET", "POST"])
    assert (await shop.get(method="POST", body=b"one")).body == b"1"
    assert (await shop.get(method="POST", body=b"two")).body == b"2"
    assert (await shop.get(method="POST", body=b"one")).body == b"1"
    assert (await shop.get(method="POST", body=b"one", Content_Type="text/xml")).body == b"3"
    assert (await shop.get()).body == b"4"


async def test_a_post_that_is_too_large_for_the_key_is_413(gateway: Gateway) -> None:
    shop = cached(gateway, methods=["POST"], max_request_body=3)
    assert (await shop.get(method="POST", body=b"four")).status == 413


@pytest.mark.parametrize(
    "config",
    [
        {"ttl": "soon"},
        {"ttl": "0s"},
        {"statuses": [206]},
        {"shared": True, "by": "application"},
        {"vary": ["bad name"]},
        {"query": {"only": ["a"], "ignore": ["b"]}},
        {"methods": ["PUT"]},
        {"max_body": 10**9},
        {"tags": ["a b"]},
        {"wait": "5m"},
        {"heuristic": 2},
        {"unknown": 1},
    ],
)
def test_a_configuration_that_means_nothing_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        cache.Cache.model_validate(config)
