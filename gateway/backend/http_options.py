"""An HTTP backend's document as what the relay opens. Compiled at publish time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.core.durations import seconds
from gateway.core.egress import Egress
from gateway.core.findings import DocumentsRefused, Finding, Place
from gateway.manifest.check_http import target_of, url_of
from gateway.manifest.http_backend import (
    CircuitRule,
    EjectionRule,
    HashBalance,
    HashKey,
    HealthChecks,
    HttpBackend,
    UpstreamTls,
)
from gateway.relay.certificates import Tls, WrongTls, context
from gateway.relay.settings import Balancing, Breaking, Ejection, Hashing, Health


def targets(config: HttpBackend) -> list[tuple[str, int]]:
    """(URL, weight)."""
    return [(each, 1) if isinstance(each, str) else (each.url, each.weight) for each in config.targets]


def settings(config: HttpBackend) -> dict[str, Any]:
    """The fields of `relay.settings.Settings`. Times in seconds."""
    return {
        "timeout": seconds(config.timeout),
        "connect_timeout": seconds(config.connect_timeout),
        "idle_timeout": seconds(config.idle_timeout),
        "stream_idle": seconds(config.stream_idle),
        "total_timeout": _optional(config.total_timeout),
        "keep": seconds(config.keep_alive),
        "max_age": _optional(config.max_age),
        "max_requests": config.max_requests or 0,
        "retries": config.retries,
        "retry_on": frozenset(config.retry_on),
        "max_connections": config.max_connections,
        "queue": config.queue,
        "queue_timeout": seconds(config.queue_timeout),
        "dns_ttl": seconds(config.dns_ttl),
        "server_name": config.tls.server_name if config.tls is not None else None,
    }


def balancing(config: HttpBackend) -> Balancing:
    return Balancing(
        least_loaded=config.balance == "least-loaded",
        hashing=_hashing(config.balance) if isinstance(config.balance, HashBalance) else None,
        health=_health(config.health) if config.health is not None else None,
        ejection=_ejection(config.ejection) if config.ejection is not None else None,
        breaking=_breaking(config.circuit) if config.circuit is not None else None,
        slow_start=_optional(config.slow_start),
        fail_on=frozenset(config.fail_on),
    )


def tls(config: UpstreamTls) -> Tls:
    return Tls(config.ca, config.certificate, config.key, config.server_name, config.verify)


def _optional(text: str | None) -> float:
    return 0.0 if text is None else seconds(text)


def _hashing(given: HashBalance) -> Hashing:
    bound = given.bound or 0.0
    if not isinstance(given.hash, HashKey):
        return Hashing(given.hash, "", bound)
    ((of, name),) = given.hash.model_dump(exclude_none=True).items()
    return Hashing(of, name, bound)


def _health(given: HealthChecks) -> Health:
    return Health(
        given.path.encode(),
        seconds(given.interval),
        seconds(given.timeout),
        given.healthy,
        given.unhealthy,
        frozenset(given.status),
    )


def _ejection(given: EjectionRule) -> Ejection:
    return Ejection(given.failures, seconds(given.time), seconds(given.max_time), given.share)


def _breaking(given: CircuitRule) -> Breaking:
    return Breaking(
        given.failures,
        given.rate or 0.0,
        given.calls,
        seconds(given.window),
        seconds(given.open),
        given.per == "upstream",
    )


def check(config: HttpBackend, egress: Egress) -> None:
    """What opening would refuse; nothing is connected. DocumentsRefused, with places within the backend."""
    findings = [*_forbidden(config, egress), *_wrong_tls(config)]
    if findings:
        raise DocumentsRefused(findings)


def _forbidden(config: HttpBackend, egress: Egress) -> Iterator[Finding]:
    for index, target in enumerate(config.targets):
        location = target_of(url_of(target))
        if reason := egress.refuses_location(location):
            where = f"/targets/{index}" if isinstance(target, str) else f"/targets/{index}/url"
            hint = "The node's setting `egress` says where backends may lead."
            yield Finding(Place(path=where), "egress", f"The target {location} is not allowed: {reason}.", hint)


def _wrong_tls(config: HttpBackend) -> Iterator[Finding]:
    if config.tls is None:
        return
    try:
        context(tls(config.tls))
    except WrongTls as error:
        message = str(error)
        yield Finding(Place(path=f"/tls/{error.field}"), "tls", f"{message[:1].upper()}{message[1:]}.")
