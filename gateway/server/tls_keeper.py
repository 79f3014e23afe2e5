"""Keeps a listener's TLS context as its files are: new ones serve new connections, broken ones leave the old."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from typing import Final

from gateway.core.listening import Listener
from gateway.server.tls_files import CertificateUnusable, Material, contexts, paths, read

log: Final = logging.getLogger("gateway.tls")
LOOK: Final = 1.0  # seconds between two looks at the files

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
        self.problem = ""
        self._paths = paths(listener.tls)
        self._stamp: _Stamp | None = None

    @classmethod
    def open(cls, listener: Listener) -> Keeper:
        """CertificateUnusable."""
        return cls(listener, read(listener))

    def refresh(self, *, anyway: bool = False) -> None:
        """Takes over what the files hold now, if they changed since the last look."""
        stamp = self._look()
        if stamp == self._stamp and not self.problem and not anyway:
            return
        self._stamp = stamp
        try:
            material = read(self.listener)
            if material != self.material:
                self.context = contexts(self.listener, material)
                self.material = material
                told = "listen %s: new connections get the certificates as they are now"
                log.log(min(self._level, logging.INFO), told, self.listener.label)
            self.problem = ""
        except CertificateUnusable as error:
            if self.problem != str(error):
                log.log(self._level, "%s The old one serves on.", error)
            self.problem = str(error)

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
