"""Processes in a runtime elsewhere: what a gateway asks there is as if it were here, and what goes wrong has an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from gateway import Problem, process
from gateway.core.call import Context
from gateway.core.errors import ContentTooLarge, GatewayTimeout, InternalError, Overloaded
from gateway.core.identity import Identity
from gateway.core.runtimes import RuntimeTarget
from gateway.core.trace import CURRENT, Trace
from gateway.runtime import remote, remote_link, remotes
from gateway.runtime.frames import pack
from gateway.runtime.remotes import Remotes, RuntimeLost, RuntimeUnavailable
from tests.runtime import far_processes as far
from tests.runtime.remote_harness import Runtime, call, connected, gateway, runner, signed, until, within


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is away is tried again soon, and waited for shortly."""
    monkeypatch.setattr(remote, "FIRST", 0.01)
    monkeypatch.setattr(remote, "LONGEST", 0.01)
    monkeypatch.setattr(remotes, "PATIENCE", 0.05)


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[Runtime]:
    far.GATES.append(far.Gates())
    made = await Runtime().on(tmp_path / "far.sock")
    yield made
    await made.end()


@pytest.fixture
async def there(runtime: Runtime, tmp_path: Path) -> AsyncIterator[Remotes]:
    made = await connected(tmp_path / "far.sock")
    yield made
    await made.close()


# what is asked


async def test_values_of_every_type_go_there_and_come_back(there: Remotes) -> None:
    parcel = {"weight": Decimal("0.10"), "due": date(2026, 2, 28), "content": b"\x00\xff", "kind": "tube"}
    answer = await call(runner(there, far.weigh), parcel=parcel, times=3)
    assert answer == {**parcel, "weight": Decimal("0.30")}


async def test_a_problem_of_a_process_is_the_same_here(there: Remotes) -> None:
    with pytest.raises(Problem) as caught:
        await call(runner(there, far.weigh), parcel={"weight": Decimal("100.5"), "content": b"", "kind": "box"})
    problem = caught.value
    assert (problem.status, problem.code, problem.title) == (422, "TooHeavy", "Too heavy")
    assert (problem.detail, problem.target) == ("100.5 kg", "$.parcel.weight")
    assert problem.extensions == {"most": "100.0"}


async def test_a_problem_that_no_json_can_hold_arrives_all_the_same(there: Remotes) -> None:
    with pytest.raises(Problem) as caught:
        await call(runner(there, far.odd), text="ü")
    assert caught.value.detail == "half a pair ü ?"
    assert await call(runner(there, far.echo), text="still there") == "still there"


async def test_a_process_learns_who_calls_and_in_which_trace(there: Remotes) -> None:
    identity = Identity(
        "anna", "jwt", scopes=frozenset({"read"}), roles=frozenset({"clerk"}), claims={"n": [1.5, None]}
    )
    context = Context("c7", identity=identity, message_id="m1", properties={"shop": "north"})
    trace = Trace(lambda: 0.0, 0.0, None, True)
    CURRENT.set(trace)
    told = await call(runner(there, far.who_calls), context)
    (span,) = trace.spans
    assert span.name == "process who_calls"
    assert told == {
        "subject": "anna",
        "roles": "clerk",
        "scopes": "read",
        "call": "c7",
        "message": "m1",
        "property": "north",
        "trace": trace.parent_of(span).decode(),
    }


async def test_a_plain_function_runs_in_a_thread_there(there: Remotes) -> None:
    assert await call(runner(there, far.plain)) == "process"


async def test_a_failure_is_told_by_its_id_and_not_by_its_reason(
    there: Remotes, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Problem) as caught:
        await call(runner(there, far.fail), Context("c9"))
    assert (caught.value.status, caught.value.code) == (500, "internal_error")
    assert caught.value.detail == "The operation failed. The runtime's log tells more under the id c9."
    assert "a secret reason" in caplog.text


async def test_many_calls_go_on_at_once_and_each_gets_its_own_answer(there: Remotes) -> None:
    running = runner(there, far.echo)
    texts = [f"{number}" * (number % 50) for number in range(300)]
    assert await asyncio.gather(*(call(running, text=text) for text in texts)) == texts


# what goes wrong


async def test_who_leaves_takes_the_call_back(runtime: Runtime, there: Remotes) -> None:
    asking = asyncio.create_task(call(runner(there, far.wait)))
    await within(far.GATES[-1].entered.wait())
    asking.cancel()
    await within(runtime.server.idle())
    assert far.GATES[-1].ended == ["cancelled"]
    assert runtime.server.calls == {("wait", "cancelled"): 1}


async def test_a_call_that_takes_too_long_is_cancelled_there(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_link, "SWEEP", 0.01)
    there = await connected(RuntimeTarget(name="far", unix=tmp_path / "far.sock", timeout=0.02))
    with pytest.raises(GatewayTimeout):
        await call(runner(there, far.wait))
    await within(runtime.server.idle())
    assert far.GATES[-1].ended == ["cancelled"]
    await there.close()


async def test_a_safe_call_whose_runtime_dies_is_made_elsewhere(tmp_path: Path) -> None:
    first, second = await Runtime().on(tmp_path / "a"), await Runtime().on(tmp_path / "b")
    there = await connected(tmp_path / "a", tmp_path / "b")
    far.GATES.append(far.Gates())
    asking = asyncio.create_task(call(runner(there, far.wait)))
    await within(far.GATES[-1].entered.wait())
    busy, other = (first, second) if first.server.running else (second, first)
    far.GATES.append(far.Gates())
    far.GATES[-1].open.set()
    await busy.end()
    assert await asking == "through"
    assert other.server.calls == {("wait", "answered"): 1}
    await there.close()
    await other.end()


async def test_a_writing_call_whose_runtime_dies_is_not_repeated(tmp_path: Path) -> None:
    runtimes = [await Runtime().on(tmp_path / name) for name in "ab"]
    there = await connected(tmp_path / "a", tmp_path / "b")
    far.GATES.append(far.Gates())
    asking = asyncio.create_task(call(runner(there, far.wait_writing)))
    await within(far.GATES[-1].entered.wait())
    busy, other = sorted(runtimes, key=lambda each: -each.server.running)
    await busy.end()
    with pytest.raises(RuntimeLost) as caught:
        await asking
    assert (caught.value.status, caught.value.code) == (502, "runtime_lost")
    assert not other.server.calls
    await there.close()
    await other.end()


async def test_a_call_waits_a_moment_for_a_runtime_that_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remotes, "PATIENCE", 10.0)
    there = gateway(tmp_path / "far.sock")
    asking = asyncio.create_task(call(runner(there, far.echo), text="later"))
    await asyncio.sleep(0)
    runtime = await Runtime().on(tmp_path / "far.sock")
    assert await asking == "later"
    await there.close()
    await runtime.end()


async def test_without_a_runtime_a_call_is_refused_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there = gateway(tmp_path / "none.sock")
    running = runner(there, far.echo)
    with pytest.raises(RuntimeUnavailable) as caught:
        await call(running, text="x")
    assert (caught.value.status, dict(caught.value.headers)) == (503, {b"retry-after": b"1"})
    assert "cannot be asked" in caplog.text
    assert "No such file or directory" in caplog.text
    assert not running.available()
    await there.close()


async def test_a_runtime_that_drains_gets_no_calls_and_answers_those_that_it_has(
    runtime: Runtime, there: Remotes, tmp_path: Path
) -> None:
    running = runner(there, far.wait)
    asking = asyncio.create_task(call(running))
    await within(far.GATES[-1].entered.wait())
    runtime.server.drain()
    await until(there, lambda: not running.available())
    with pytest.raises(RuntimeUnavailable):
        await call(runner(there, far.echo), text="x")
    far.GATES[-1].open.set()
    assert await asking == "through"


async def test_a_runtime_that_says_nothing_any_more_counts_as_gone(
    there: Remotes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (link,) = (link for each in there for link in each.links)
    monkeypatch.setattr(remote_link, "SILENCE", -1.0)
    link._ping()
    await within(link.gone.wait())


async def test_more_calls_than_a_runtime_can_have_are_refused(there: Remotes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_link, "MOST", 1)
    asking = asyncio.create_task(call(runner(there, far.wait)))
    await within(far.GATES[-1].entered.wait())
    with pytest.raises(Overloaded):
        await call(runner(there, far.echo), text="x")
    far.GATES[-1].open.set()
    assert await asking == "through"


async def test_an_input_that_is_too_large_for_the_runtime_is_refused_here(tmp_path: Path) -> None:
    runtime = await Runtime(limit=5000).on(tmp_path / "far.sock")
    there = await connected(tmp_path / "far.sock")
    with pytest.raises(ContentTooLarge):
        await call(runner(there, far.echo), text="x" * 5000)
    assert await call(runner(there, far.echo), text="y" * 1000) == "y" * 1000
    await there.close()
    await runtime.end()


async def test_an_output_that_is_too_large_fails_and_the_connection_stays(tmp_path: Path) -> None:
    @process(effect="safe")
    async def long() -> str:
        return "x" * 6000

    runtime = await Runtime(long, limit=5000).on(tmp_path / "far.sock")
    there = await connected(tmp_path / "far.sock")
    with pytest.raises(Problem, match="6002 bytes"):
        await call(runner(there, long))
    assert all(each.links for each in there)
    await there.close()
    await runtime.end()


async def test_an_answer_that_its_contract_does_not_know_fails_here(
    there: Remotes, caplog: pytest.LogCaptureFixture
) -> None:
    @process(name="echo", effect="safe")
    async def narrow(text: str) -> int:
        return 0

    published = signed(narrow, signed(far.echo).digest)  # the same code, as its digest claims
    with pytest.raises(InternalError, match="c3"):
        await call(there.runner("echo", published), Context("c3"), text="no number")
    assert "does not fit" in caplog.text
    assert "no number" not in caplog.text


# which code


def other_weigh() -> object:
    @process(name="echo", effect="safe")
    async def echo(text: str, loud: bool = False) -> str:
        return text.upper()

    return echo


async def test_code_that_fits_runs_when_its_own_is_nowhere(tmp_path: Path) -> None:
    runtime = await Runtime(other_weigh()).on(tmp_path / "new")
    there = await connected(tmp_path / "new")
    assert await call(runner(there, far.echo), text="a") == "A"
    await there.close()
    await runtime.end()


async def test_the_code_of_the_revision_is_preferred_wherever_it_is(tmp_path: Path) -> None:
    new, old = await Runtime(other_weigh()).on(tmp_path / "new"), await Runtime().on(tmp_path / "old")
    there = await connected(tmp_path / "new", tmp_path / "old")
    running = runner(there, far.echo)
    assert {await call(running, text="a") for _ in range(5)} == {"a"}
    await old.end()
    await until(there, lambda: not list(there)[1].links)
    assert await call(running, text="a") == "A"
    await there.close()
    await new.end()


async def test_a_pinned_runtime_runs_nothing_but_what_was_published(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = await Runtime(other_weigh()).on(tmp_path / "new")
    there = await connected(RuntimeTarget(name="far", unix=tmp_path / "new", pin="code"))
    with pytest.raises(RuntimeUnavailable):
        await call(runner(there, far.echo), text="a")
    assert "far: it has other code, and is pinned to what was published" in caplog.text
    await there.close()
    await runtime.end()


async def test_code_with_another_contract_runs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    @process(name="echo", effect="safe")
    async def stricter(text: str, loud: bool) -> str:
        return text

    runtime = await Runtime(stricter).on(tmp_path / "new")
    there = await connected(tmp_path / "new")
    with pytest.raises(RuntimeUnavailable):
        await call(runner(there, far.echo), text="a")
    assert "its contract is another: input loud is new and required" in caplog.text
    await there.close()
    await runtime.end()


async def test_what_is_imported_here_runs_before_other_code_that_fits(tmp_path: Path) -> None:
    async def here(_call: object) -> str:
        return "here"

    runtime = await Runtime(other_weigh()).on(tmp_path / "new")
    there = await connected(tmp_path / "new")
    running = runner(there, far.echo, here=here)
    assert await call(running, text="a") == "here"
    assert running.available()
    await there.close()
    await runtime.end()


async def test_its_own_code_elsewhere_runs_before_other_code_here(runtime: Runtime, there: Remotes) -> None:
    async def here(_call: object) -> str:
        return "here"

    assert await call(runner(there, far.echo, here=here), text="a") == "a"


async def test_publishing_takes_the_first_runtime_and_of_it_what_started_last(tmp_path: Path) -> None:
    older, newer, second = Runtime(digest="1" * 32), Runtime(digest="2" * 32), Runtime(digest="3" * 32)
    older.server.started, newer.server.started = 100.0, 200.0
    await older.at("127.0.0.1")
    await newer.at("127.0.0.2", older.port)
    await second.on(tmp_path / "second")
    first = RuntimeTarget(name="first", address=f"far.test:{older.port}")
    there = gateway(first, tmp_path / "second", addresses=("127.0.0.1", "127.0.0.2"))
    await until(there, lambda: sum(len(each.links) for each in there) == 3)
    assert there.described()["echo"]["contract"]["digest"] == "2" * 32
    await there.close()
    for each in (older, newer, second):
        await each.end()


async def test_an_address_that_a_name_loses_is_called_no_more_and_answers_what_it_has() -> None:
    far.GATES.append(far.Gates())
    leaving, staying = await Runtime().at("127.0.0.1"), Runtime()
    await staying.at("127.0.0.2", leaving.port)
    target = RuntimeTarget(name="far", address=f"far.test:{leaving.port}")
    there = gateway(target, addresses=("127.0.0.1",))
    await until(there, lambda: all(each.links for each in there))
    asking = asyncio.create_task(call(runner(there, far.wait)))
    await within(far.GATES[-1].entered.wait())
    (only,) = there
    before = only.links[0]
    only._follow(("127.0.0.2",))
    await until(there, lambda: only.links and before not in only.links)
    assert await call(runner(there, far.echo), text="elsewhere") == "elsewhere"
    assert staying.server.calls == {("echo", "answered"): 1}
    far.GATES[-1].open.set()
    assert await asking == "through"
    await there.close()
    await leaving.end()
    await staying.end()


# who talks to whom


@pytest.mark.parametrize(("here", "elsewhere"), [("a" * 16, "b" * 16), (None, "b" * 16)])
async def test_a_gateway_that_does_not_know_the_token_is_refused_and_told_so(
    here: str | None, elsewhere: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = await Runtime(token=elsewhere).on(tmp_path / "far.sock")
    there = gateway(tmp_path / "far.sock", token=here)
    (only,) = there
    await until(there, lambda: "runtime_token" in only.trouble)
    assert not runtime.server.connections
    assert "does not know this runtime's token" in caplog.text
    assert elsewhere not in caplog.text
    await there.close()
    await runtime.end()


async def test_no_input_is_sent_to_a_runtime_that_does_not_prove_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = await Runtime().on(tmp_path / "far.sock")
    monkeypatch.setattr(runtime.server, "greeting", _lying(runtime))
    there = gateway(tmp_path / "far.sock")
    (only,) = there
    await until(there, lambda: "does not prove" in only.trouble)
    with pytest.raises(RuntimeUnavailable):
        await call(runner(there, far.echo), text="x")
    assert not runtime.server.calls
    await there.close()
    await runtime.end()


def _lying(runtime: Runtime) -> object:
    told = runtime.server.greeting
    return lambda of_runtime, of_gateway: told(of_gateway, of_runtime)


async def saying(greeting: bytes, path: Path) -> asyncio.Server:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    return await asyncio.start_unix_server(greet, path)


async def test_a_runtime_of_another_protocol_is_named_as_such(tmp_path: Path) -> None:
    server = await saying(pack({"penstock": 2, "nonce": "n" * 64}), tmp_path / "far.sock")
    there = gateway(tmp_path / "far.sock")
    (only,) = there
    await until(there, lambda: "it speaks protocol 2, this gateway 1" in only.trouble)
    await there.close()
    server.close()


async def test_a_server_that_is_no_runtime_is_named_as_such(tmp_path: Path) -> None:
    server = await saying(b"SSH-2.0-OpenSSH_9.2\r\n", tmp_path / "far.sock")
    there = gateway(tmp_path / "far.sock")
    (only,) = there
    await until(there, lambda: "no runtime" in only.trouble)
    await there.close()
    server.close()
