"""`basic`: user names and passwords, checked off the loop, a few at a time."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from pydantic import ValidationError

from gateway.consumers import materials
from gateway.core.chain import Chain
from gateway.core.errors import Unauthorized
from gateway.core.exchange import Exchange, Head
from gateway.core.headers import block
from gateway.core.live import LiveCell
from gateway.core.memory_wire import MemoryWire
from gateway.policy import basic
from gateway.policy.credentials import passwords
from tests.policy.policy_harness import Gateway, OneChain, json_of

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
ANN = CHEAP.hash("pass:word")
BOB = CHEAP.hash("other")
USERS = {"users": {"ann": {"password": ANN, "application": "partner", "plan": "gold"}, "bob": {"password": BOB}}}


def field(user: str, password: str) -> list[tuple[bytes, bytes]]:
    return [(b"Authorization", b"Basic " + base64.b64encode(f"{user}:{password}".encode()))]


@pytest.fixture
def chain(gateway: Gateway) -> Chain:
    return gateway.chain(gateway.build(basic.KIND, USERS))


class Counted:
    """Checks that are made, and may be held up."""

    def __init__(self) -> None:
        self.made: list[bytes] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, hash: str, password: bytes) -> bool:
        self.made.append(password)
        assert self.go.wait(10)
        return passwords.matches(hash, password)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    made = Counted()
    monkeypatch.setattr(passwords._begin, "__defaults__", (made,))
    yield made
    made.go.set()


async def test_a_user_is_an_application(gateway: Gateway, chain: Chain) -> None:
    told = json_of(await gateway.request(chain, field("ann", "pass:word")))
    assert told["identity"] == ["partner", "gold", "basic:ann"]
    assert told["drop"] == ["authorization"]


@pytest.mark.parametrize(("user", "password"), [("ann", "wrong"), ("nobody", "pass:word"), ("bob", ""), ("", "x")])
async def test_wrong_and_unknown_read_the_same(
    gateway: Gateway, chain: Chain, user: str, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    """CASES C40, C41: neither says which, and no log holds a password."""
    caplog.set_level(logging.DEBUG)
    answer = await gateway.request(chain, field(user, password))
    assert (answer.status, json_of(answer)["detail"]) == (401, "The user name or the password is not valid.")
    assert answer.get(b"www-authenticate") == b'Basic realm="shop", charset="UTF-8"'
    assert not gateway.seen
    assert "pass:word" not in caplog.text
    assert base64.b64encode(f"{user}:{password}".encode()).decode() not in caplog.text


async def test_an_unknown_user_costs_a_check_like_a_known_one(gateway: Gateway, chain: Chain, counted: Counted) -> None:
    """CASES C40"""
    for user in ("ann", "nobody"):
        await gateway.request(chain, field(user, "wrong"))
    assert counted.made == [b"wrong", b"wrong"]


@pytest.mark.parametrize("like", [ANN, None], ids=["listed", "directory"])
def test_what_unknown_users_are_checked_against_takes_a_whole_check(like: str | None) -> None:
    """CASES C40: a hash that cannot be read would be refused at once."""
    decoy = passwords.decoy(like)
    passwords.check_hash(decoy)
    with pytest.raises(VerifyMismatchError):
        CHEAP.verify(decoy, "x")
    wanted = materials._ARGON2.hash("x") if like is None else like
    assert decoy.split("$")[:4] == wanted.split("$")[:4]


async def test_no_credential_is_asked_for(gateway: Gateway, chain: Chain) -> None:
    assert (await gateway.request(chain)).status == 401
    assert (await gateway.request(chain, [(b"Authorization", b"Bearer abc")])).status == 401


@pytest.mark.parametrize(
    "headers",
    [
        [*field("ann", "pass:word"), *field("ann", "pass:word")],
        [*field("ann", "pass:word"), (b"Authorization", b"Bearer x")],
        [(b"Authorization", b"Basic %%%")],
        [(b"Authorization", b"Basic " + base64.b64encode(b"no colon"))],
        [(b"Authorization", b"Basic " + base64.b64encode(b"\xff:x"))],
        [(b"Authorization", b"Basic " + base64.b64encode(b"a\nb:x"))],
        [(b"Authorization", b"Basic " + b"A" * 4000)],
    ],
)
async def test_a_credential_in_two_places_or_malformed_is_refused(gateway: Gateway, chain: Chain, headers: Any) -> None:
    """CASES C41"""
    assert (await gateway.request(chain, headers)).status == 400
    assert not gateway.seen


async def test_a_password_that_was_right_is_not_checked_again_for_a_while(
    gateway: Gateway, chain: Chain, counted: Counted
) -> None:
    for _ in range(3):
        assert (await gateway.request(chain, field("ann", "pass:word"))).status == 200
    assert len(counted.made) == 1
    gateway.clock.advance(301)
    assert (await gateway.request(chain, field("ann", "pass:word"))).status == 200
    assert len(counted.made) == 2


async def test_a_client_that_goes_on_with_the_same_fields_is_looked_up_each_time(
    gateway: Gateway, chain: Chain, counted: Counted
) -> None:
    """What its last request led to is a keyed hash, and no password."""
    gateway.add_credential("basic", "ann", {"argon2": ANN})
    step = gateway.build(basic.KIND, {}).step
    assert step is not None
    memo: dict[object, Any] = {}

    async def ask() -> str | None:
        head = Head(b"GET", b"/", block=block(field("ann", "pass:word")), memo=memo)
        exchange = Exchange("id", head, MemoryWire(LiveCell(OneChain(chain))), chain)
        result: Any = step(exchange)
        if asyncio.iscoroutine(result):
            await result
        return None if exchange.identity is None else exchange.identity.application

    assert [await ask() for _ in range(3)] == ["partner"] * 3
    assert len(counted.made) == 1
    assert memo
    assert "pass:word" not in repr(memo)
    gateway.clock.advance(301)
    gateway.directory.current.as_of = gateway.clock.time()
    assert await ask() == "partner"
    assert len(counted.made) == 2
    gateway.add_credential("basic", "ann", {"argon2": BOB})
    with pytest.raises(Unauthorized):
        await ask()
    gateway.add_credential("basic", "ann", {"argon2": ANN}, revoked=True)
    with pytest.raises(Unauthorized):
        await ask()


async def test_a_wrong_password_is_checked_each_time(gateway: Gateway, chain: Chain, counted: Counted) -> None:
    for _ in range(2):
        assert (await gateway.request(chain, field("ann", "wrong"))).status == 401
    assert len(counted.made) == 2


async def test_equal_checks_at_one_time_are_one(gateway: Gateway, chain: Chain, counted: Counted) -> None:
    counted.go.clear()
    asked = [asyncio.create_task(gateway.request(chain, field("ann", "pass:word"))) for _ in range(20)]
    await asyncio.sleep(0)
    counted.go.set()
    assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
    assert len(counted.made) == 1


async def test_a_client_that_tries_many_passwords_at_once_is_held_back(
    gateway: Gateway, chain: Chain, counted: Counted
) -> None:
    counted.go.clear()
    asked = [asyncio.create_task(gateway.request(chain, field("ann", f"try{n}"))) for n in range(20)]
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status for task in done} == {429}
    counted.go.set()
    statuses = [answer.status for answer in await asyncio.gather(*asked)]
    assert statuses.count(401) == passwords.MOST_OF_A_CLIENT


async def test_many_clients_that_try_passwords_are_held_back_together(
    gateway: Gateway, chain: Chain, counted: Counted
) -> None:
    counted.go.clear()
    asked = [
        asyncio.create_task(gateway.request(chain, field("ann", f"try{n}"), client=f"10.0.{n}.1"))
        for n in range(passwords.MOST_WAITING + 10)
    ]
    done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status for task in done} == {503}
    assert {json_of(task.result())["code"] for task in done} == {"overloaded"}
    counted.go.set()
    statuses = [answer.status for answer in await asyncio.gather(*asked)]
    assert statuses.count(503) == 10


async def test_a_listed_password_that_is_no_hash_is_refused_and_not_repeated(gateway: Gateway) -> None:
    for text in ("plaintext", ANN.replace("m=8", "m=9999999"), "$argon2id$v=19$m=8,t=1,p=1$"):
        with pytest.raises(ValueError) as refused:
            gateway.build(basic.KIND, {"users": {"ann": {"password": text}}})
        assert text not in str(refused.value)


@pytest.mark.parametrize(
    "config",
    [{"directory": False}, {"users": {"a:b": {"password": "x"}}}, {"users": {"a": {}}}, {"remember": "long"}],
)
def test_a_configuration_by_which_nobody_could_call_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        basic.KIND.config.model_validate(config)
