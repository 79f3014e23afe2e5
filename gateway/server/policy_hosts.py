"""The supervisor's side of isolated runtimes: a child for each package of `policies_code`, started before others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.core.settings import Settings
from gateway.runtime.hosts import Hosted
from gateway.server.child import Child, plain
from gateway.server.policy_host import HostLaunch

log: Final = logging.getLogger("gateway.supervisor")
MODULE: Final = "gateway.server.policy_host"


class HostsFailed(Exception):
    """A package cannot be hosted; the text says why."""


class PolicyHosts:
    """`folder` is private to this user; `taken` are the names of the gateway's own kinds."""

    def __init__(self, settings: Settings, folder: Path, taken: Iterable[str]) -> None:
        self._settings = settings
        self._folder = folder
        self._taken = tuple(taken)
        self._told: dict[str, asyncio.Future[Any]] = {}
        self._known: dict[str, Any] = {}

    async def start(self, keep: Callable[[Child], None], patience: float) -> tuple[Hosted, ...]:
        """Each package, hosted. HostsFailed when one cannot be, or took longer than `patience` seconds."""
        found: list[Hosted] = []
        for index, package in enumerate(self._settings.policies_code):
            path = self._folder / f"policies-{index}.sock"
            taken = (*self._taken, *(str(each["name"]) for other in found for each in other.policies))
            policies = await self._started(package, path, taken, keep, patience)
            found.append(Hosted(package, str(path), tuple(policies)))
        return tuple(found)

    async def _started(
        self, package: str, path: Path, taken: tuple[str, ...], keep: Callable[[Child], None], patience: float
    ) -> list[Mapping[str, Any]]:
        told = self._told[package] = asyncio.get_running_loop().create_future()
        given = HostLaunch(
            package=package,
            socket=path,
            taken=taken,
            limit=self._settings.max_body,
            memory=self._settings.policies_memory,
            log_level=self._settings.log_level,
            log_format=self._settings.log_format,
        )
        child = Child(f"policies {package}", MODULE, lambda: given, partial(self._heard, package), plain)
        keep(child)
        try:
            event = await asyncio.wait_for(told, patience)
        except TimeoutError:
            raise HostsFailed(f"The runtime of {package} was not ready within {patience:g} s.") from None
        if event["event"] == "failed":
            child.stop()
            raise HostsFailed(str(event["text"]))
        self._known[package] = event["policies"]
        policies: list[Mapping[str, Any]] = event["policies"]
        return policies

    def _heard(self, package: str, event: Mapping[str, Any]) -> None:
        told = self._told[package]
        if not told.done():
            told.set_result(event)
        elif event["event"] == "failed":
            log.error("%s", event["text"])
        elif event["policies"] != self._known.get(package):
            log.warning("the policies of %s are others than when this node started; start it again", package)
