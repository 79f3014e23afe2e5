"""What can be said of an HTTP backend without a node: targets, durations, settings that contradict. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from gateway.core.durations import seconds
from gateway.core.locations import Location
from gateway.manifest.http_backend import HashBalance, HashKey, HttpBackend, WeightedTarget

DURATIONS: Final = (
    ("timeout",), ("connect_timeout",), ("idle_timeout",), ("stream_idle",), ("total_timeout",), ("queue_timeout",),
    ("keep_alive",), ("max_age",), ("dns_ttl",), ("slow_start",), ("health", "interval"), ("health", "timeout"),
    ("ejection", "time"), ("ejection", "max_time"), ("circuit", "window"), ("circuit", "open"),
)  # fmt: skip


class Wrong(NamedTuple):
    """`keys` are within the backend."""

    keys: tuple[str | int, ...]
    code: str
    message: str
    hint: str = ""


def check_http(given: HttpBackend) -> Iterator[Wrong]:
    """Everything that is wrong. What an Environment fills in later is passed over now."""
    yield from _targets(given)
    yield from _durations(given)
    yield from _balance(given)
    yield from _failures(given)
    yield from _tls(given)


def open_text(text: str) -> bool:
    """A part of it is not known yet."""
    return "${" in text or "secret:" in text


def url_of(target: str | WeightedTarget) -> str:
    return target if isinstance(target, str) else target.url


def hashed_parameter(given: HttpBackend) -> str | None:
    """The path parameter that the backend's routes must have."""
    balance = given.balance
    if isinstance(balance, HashBalance) and isinstance(balance.hash, HashKey):
        return balance.hash.parameter
    return None


def target_of(url: str) -> Location:
    """ValueError says what is wrong with a target."""
    location = Location.parse(url)
    if location.prefix and not location.socket:
        raise ValueError(
            f"{url!r} is not a target: a path belongs into the endpoint's path or the operation's request."
        )
    return location


def _targets(given: HttpBackend) -> Iterator[Wrong]:
    seen: set[str] = set()
    for index, target in enumerate(given.targets):
        url = url_of(target)
        keys = ("targets", index) if isinstance(target, str) else ("targets", index, "url")
        if open_text(url):
            continue
        try:
            target_of(url)
        except ValueError as error:
            yield Wrong(keys, "target", _sentence(error))
        if url in seen:
            yield Wrong(keys, "twice", f"the target {url} is listed twice.", "Give it a weight instead.")
        seen.add(url)


def _durations(given: HttpBackend) -> Iterator[Wrong]:
    for keys in DURATIONS:
        text: Any = given
        for key in keys:
            text = getattr(text, key) if text is not None else None
        if text is not None and not open_text(text):
            try:
                seconds(text)
            except ValueError as error:
                yield Wrong(keys, "duration", str(error))


def _balance(given: HttpBackend) -> Iterator[Wrong]:
    if not isinstance(given.balance, HashBalance):
        return
    key = given.balance.hash
    named = key.model_dump(exclude_none=True) if isinstance(key, HashKey) else {"it": key}
    if len(named) != 1:
        message = f"a key is found in one place, not in {len(named)}."
        yield Wrong(("balance", "hash"), "one-kind", message, "Give one of header, query, cookie and parameter.")
    if given.slow_start is not None:
        message = "a target on the ring cannot start slowly: its keys are its own at once."
        yield Wrong(("slow_start",), "balance", message, "Leave it out, or balance otherwise.")


def _failures(given: HttpBackend) -> Iterator[Wrong]:
    if given.retry_on and not given.retries:
        message = "retry_on does nothing without retries."
        yield Wrong(("retry_on",), "retry", message, "Say how many: retries: 1.")
    circuit = given.circuit
    if circuit is not None and not circuit.failures and circuit.rate is None:
        yield Wrong(("circuit",), "circuit", "this circuit never opens.", "Give it failures, a rate, or both.")


def _tls(given: HttpBackend) -> Iterator[Wrong]:
    tls = given.tls
    if tls is None:
        return
    urls = [url_of(target) for target in given.targets]
    if not any(url.startswith("https:") or open_text(url) for url in urls):
        yield Wrong(("tls",), "tls", "tls is given, and no target is https.", "Write https://host:port.")
    if (tls.certificate is None) != (tls.key is None):
        there, missing = ("certificate", "key") if tls.key is None else ("key", "certificate")
        yield Wrong(("tls", there), "tls", f"the {there} stands without its {missing}.", f"Add the {missing}.")
    if tls.ca is not None and not tls.verify:
        message = "the CA is never asked with verify: false."
        yield Wrong(("tls", "verify"), "tls", message, "Leave one of the two out.")


def _sentence(error: ValueError) -> str:
    text = str(error)
    return text if text.endswith(".") else f"{text}."
