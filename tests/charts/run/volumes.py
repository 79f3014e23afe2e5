"""A pod's volumes as folders of this machine, with the owners and modes that a kubelet gives them.

Files of ConfigMaps and Secrets stand behind `..data`, a link to a folder that is replaced whole, as in a cluster: what
looks at such a file sees a link.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.charts.run import environment
from tests.charts.run.rendered import Object, Objects

_DEFAULT: Final = 0o644
_stamps: Final = itertools.count(1)


class Volumes:
    """Of one pod; `folder` is its own, `claims` has the claims of all."""

    def __init__(self, pod: Object, objects: Objects, folder: Path, claims: Path) -> None:
        self._pod, self._objects, self._folder, self._claims = pod, objects, folder, claims
        context = pod["spec"].get("securityContext") or {}
        self._group: int | None = context.get("fsGroup")
        self.paths: dict[str, Path] = {}
        self._tmpfs: list[Path] = []
        for volume in pod["spec"].get("volumes") or []:
            self.paths[volume["name"]] = self._make(volume)

    def close(self) -> None:
        for path in self._tmpfs:
            subprocess.run(["umount", str(path)], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def refresh(self) -> None:
        """As the kubelet does about once a minute: what ConfigMaps and Secrets hold now."""
        for volume in self._pod["spec"].get("volumes") or []:
            if not {"configMap", "secret", "projected"}.isdisjoint(volume):
                self._write(self.paths[volume["name"]], list(self._files(volume)))

    def _make(self, volume: Object) -> Path:
        if claim := volume.get("persistentVolumeClaim"):
            path = self._claims / claim["claimName"]
            return self._shared(path, first=not path.exists())
        path = self._folder / volume["name"]
        if "emptyDir" in volume:
            path.mkdir(parents=True)
            if (volume["emptyDir"] or {}).get("medium") == "Memory":
                subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(path)], check=True)
                self._tmpfs.append(path)
            path.chmod(0o777)
            return self._shared(path)
        files = list(self._files(volume))
        path.mkdir(parents=True)
        path.chmod(0o755)
        self._write(path, files)
        return path

    def _shared(self, path: Path, first: bool = True) -> Path:
        """A volume that pods write to: it belongs to fsGroup, and what is made in it, too."""
        path.mkdir(parents=True, exist_ok=True)
        if self._group is not None and first:
            os.chown(path, 0, self._group)
            path.chmod(path.stat().st_mode & 0o777 | 0o2770)
        return path

    def _write(self, path: Path, files: list[tuple[str, bytes, int]]) -> None:
        stamp = path / f"..{next(_stamps)}"
        for name, content, mode in files:
            at = stamp / name
            at.parent.mkdir(parents=True, exist_ok=True)
            at.write_bytes(content)
            if self._group is not None:
                os.chown(at, 0, self._group)
                mode |= 0o440
            at.chmod(mode)
        stamp.mkdir(exist_ok=True)
        link = path / "..data"
        old = path / os.readlink(link) if link.is_symlink() else None
        fresh = path / "..data_tmp"
        fresh.symlink_to(stamp.name)
        fresh.replace(link)
        for top in {Path(name).parts[0] for name, _, _ in files}:
            if not (path / top).is_symlink():
                (path / top).symlink_to(Path("..data") / top)
        if old is not None:
            shutil.rmtree(old)

    def _files(self, volume: Object) -> Iterator[tuple[str, bytes, int]]:
        if source := volume.get("configMap"):
            yield from self._items("ConfigMap", source["name"], source, source.get("defaultMode", _DEFAULT))
        elif source := volume.get("secret"):
            yield from self._items("Secret", source["secretName"], source, source.get("defaultMode", _DEFAULT))
        elif source := volume.get("projected"):
            for each in source["sources"]:
                yield from self._projected(each, source.get("defaultMode", _DEFAULT))
        else:
            raise AssertionError(f"a volume that this run does not know: {volume}")

    def _projected(self, each: Object, mode: int) -> Iterator[tuple[str, bytes, int]]:
        for kind, at in (("ConfigMap", "configMap"), ("Secret", "secret")):
            if found := each.get(at):
                yield from self._items(kind, found["name"], found, mode)
                return
        for item in each["downwardAPI"]["items"]:
            yield item["path"], environment.field(item["fieldRef"]["fieldPath"], self._pod).encode(), mode

    def _items(self, kind: str, name: str, source: Object, mode: int) -> Iterator[tuple[str, bytes, int]]:
        if source.get("optional") and not self._objects.has(kind, name):
            return
        found = environment.data(self._objects.get(kind, name))
        if "items" not in source:
            for key, content in found.items():
                yield key, content, mode
            return
        for item in source["items"]:
            if item["key"] in found:
                yield item["path"], found[item["key"]], item.get("mode", mode)
            elif not source.get("optional"):
                raise KeyError(f"{kind} {name} has no key {item['key']}")
