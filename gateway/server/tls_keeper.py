"""Keeps a listener's TLS context as its files are: new ones serve new connections, broken ones leave the old."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from gateway.core.listening import Listener
from gateway.server.tls_files import CertificateUnusable, Material, contexts, ends, paths, read

log: Final = logging.getLogger("gateway.tls")

_Stamp = tuple[tuple[int, int, int], ...]


class Keeper:
    """`context` is what new connections get; `problem` says why the files as they are now do not serve, or is empty."""

    def __init__(self, listener: Listener, material: Material, *, level: int = logging.ERROR) -> None:
        """CertificateUnusable when the material does not hold. `level` is at which a bad file is logged: one process
        of a node says it aloud."""
        assert listener.tls is not None
        self._level = level
        self.listener = listener
        self.material = material
        self.context: ssl.SSLContext = contexts(listener, material)
        self._ends = ends(listener, material)
        self.problem = self._broken = ""
        self._paths = paths(listener.tls)
        self._stamp: _Stamp | None = None

    @classmethod
    def open(cls, listener: Listener) -> Keeper:
        """CertificateUnusable."""
        return cls(listener, read(listener))

    @property
    def ends(self) -> dict[str, float]:
        """When each certificate that serves expires, in seconds since 1970, by its file."""
        assert self.listener.tls is not None
        files = [str(pair.certificate) for pair in self.listener.tls.certificates]
        return dict(zip(files, (end.timestamp() for end in self._ends.values()), strict=True))

    def refresh(self, *, anyway: bool = False) -> None:
        """Takes over what the files hold now, if they changed since the last look."""
        stamp = self._look()
        if stamp != self._stamp or self._broken or anyway:
            self._stamp = stamp
            self._broken = self._reread()
        self._say(self._broken or self._expired())

    def _say(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.log(self._level, "%s", problem)
        self.problem = problem

    def _expired(self) -> str:
        """It serves all the same: some clients look away, and a gateway that does not start serves nobody."""
        ended = [(place, end) for place, end in self._ends.items() if end < datetime.now(UTC)]
        return " ".join(f"{place} has expired at {end:%Y-%m-%d %H:%MZ}." for place, end in ended)

    def _reread(self) -> str:
        """Why the files cannot be taken over; empty when they are."""
        try:
            material = read(self.listener)
            if material != self.material:
                self.context = contexts(self.listener, material)
                self.material, self._ends = material, ends(self.listener, material)
                told = "listen %s: new connections get the certificates as they are now"
                log.log(min(self._level, logging.INFO), told, self.listener.label)
        except CertificateUnusable as error:
            return f"{error} The old one serves on."
        return ""

    def _look(self) -> _Stamp:
        """Changes when a file is written or replaced, also behind a link."""
        found = []
        for path in self._paths:
            try:
                stat = path.stat()
                found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
            except OSError:
                found.append((0, 0, 0))
        return tuple(found)


def refresh(keepers: Sequence[Keeper | None], *, anyway: bool = False) -> None:
    for keeper in keepers:
        if keeper is not None:
            keeper.refresh(anyway=anyway)


def problems(keepers: Sequence[Keeper | None]) -> list[str]:
    return [keeper.problem for keeper in keepers if keeper is not None and keeper.problem]
