"""Executes the steps of our Dockerfile in roots made from one base root, as a builder of images would: a stage is a
copy of the base, a RUN is a shell in it with its own mounts and processes. Needs root.

Not like a builder: the base is what debootstrap makes instead of the `-slim` image of the same release, layers are not
kept apart, and nothing is packed."""

from __future__ import annotations

import copy
import fnmatch
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.image import dockerfile

SOURCE = Path(__file__).resolve().parents[2]
# What the machine needs to reach its package registries; a builder is given the same by --build-arg.
PASSED = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")
AUTHORITIES = "/run/authorities.pem"  # bound there: the machine's own, while a step runs
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ROOM = """
set -eu
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount --bind "$2" "$1/run"
root=$1
shift 2
exec chroot "$root" env -i "$@"
"""


@dataclass
class Image:
    """What a built image is: a root, and how a container of it starts."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    workdir: str = "/"
    user: str = "0:0"
    labels: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    stopsignal: str = "SIGTERM"
    healthcheck: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def bootstrap(root: Path, suite: str = "trixie") -> None:
    """A base root from the machine's Debian mirror."""
    command = ["debootstrap", "--variant=minbase", suite, str(root), "http://deb.debian.org/debian"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout[-2000:] + done.stderr[-2000:]


class Build:
    """`base` is a root that stages start from; `folder` gets a root for each stage."""

    def __init__(self, base: Path, folder: Path) -> None:
        self._base = base
        self._folder = folder
        self.images: dict[str, Image] = {}

    def run(self, path: Path = SOURCE / "Dockerfile") -> Image:
        """The last stage's image."""
        ignored = Context.of(SOURCE)
        for stage in dockerfile.read(path):
            image = self.images[stage.name] = self._begun(stage)
            arguments: dict[str, str] = {}
            for step in stage.steps:
                self._step(step, image, arguments, ignored)
        return image

    def _begun(self, stage: dockerfile.Stage) -> Image:
        """From the base, or from an earlier stage with all that it says."""
        earlier = self.images.get(stage.base)
        root = self._folder / stage.name
        subprocess.run(["cp", "-a", "--reflink=auto", earlier.root if earlier else self._base, root], check=True)
        return replace(copy.deepcopy(earlier), root=root) if earlier else Image(root)

    def _step(self, step: dockerfile.Step, image: Image, arguments: dict[str, str], context: Context) -> None:
        text = step.text
        match step.instruction:
            case "ARG":
                arguments.update(dockerfile.argument(text, {}))
            case "ENV":
                image.environment.update(dockerfile.pairs(text))
            case "LABEL":
                image.labels.update(dockerfile.pairs(text))
            case "WORKDIR":
                image.workdir = text
                (image.root / text.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "RUN":
                shell(image, text, arguments)
            case "COPY":
                self._copy(step, image, context)
            case "HEALTHCHECK":
                image.healthcheck = dockerfile.words(text.removeprefix("CMD").strip())
            case "VOLUME":
                image.volumes = dockerfile.words(text)
            case "EXPOSE":
                image.ports = [int(each) for each in text.split()]
            case "USER":
                image.user = text
            case "STOPSIGNAL":
                image.stopsignal = text
            case "ENTRYPOINT":
                image.entrypoint = dockerfile.words(text)
            case "CMD":
                image.command = dockerfile.words(text)
            case other:
                raise dockerfile.NotUnderstood(other)

    def _copy(self, step: dockerfile.Step, image: Image, context: Context) -> None:
        *sources, target = step.text.split()
        place = image.root / os.path.join(image.workdir, target).lstrip("/")
        for source in sources:
            if (origin := step.flags.get("from")) is not None:
                _put(self.images[origin].root / source.lstrip("/"), place, into=target.endswith("/"))
            else:
                context.copy(source, place / source if target.endswith("/") else place)


def _put(source: Path, place: Path, into: bool) -> None:
    """A folder's content, or a file: `into` a folder, or as `place`."""
    if source.is_dir():
        shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
    else:
        to = place / source.name if into else place
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)


@dataclass(frozen=True)
class Context:
    """The files that .dockerignore lets through: a rule that matches last decides."""

    folder: Path
    rules: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path) -> Context:
        lines = (folder / ".dockerignore").read_text().splitlines()
        return cls(folder, tuple(line for line in lines if line and not line.startswith("#")))

    def lets(self, name: str) -> bool:
        """`name` is relative to the folder. A rule holds for what stands below its match as well."""
        passes = True
        for rule in self.rules:
            pattern = rule.removeprefix("!").removeprefix("**/")
            parts = name.split("/")
            heads = (
                parts
                if rule.removeprefix("!").startswith("**/")
                else ["/".join(parts[: n + 1]) for n in range(len(parts))]
            )
            if any(fnmatch.fnmatchcase(each, pattern) for each in heads):
                passes = rule.startswith("!")
        return passes

    def copy(self, source: str, place: Path) -> None:
        origin = self.folder / source
        files = [origin] if origin.is_file() else [each for each in origin.rglob("*") if each.is_file()]
        for each in files:
            name = str(each.relative_to(self.folder))
            if self.lets(name):
                to = place if origin.is_file() else place / each.relative_to(origin)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(each, to)


def shell(image: Image, script: str, extra: Mapping[str, str] | None = None) -> str:
    """What the script prints. It runs as root in the image's root, with processes and mounts of its own."""
    run = image.root.with_name(image.root.name + ".run")
    run.mkdir(exist_ok=True)
    environment = {**image.environment, **(extra or {}), **_registries(run)}
    (image.root / "etc/resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
    inner = f"cd {image.workdir} && {script}"
    variables = [f"{name}={value}" for name, value in environment.items()]
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", ROOM, "room"]
    done = subprocess.run(
        [*command, str(image.root), str(run), *variables, "sh", "-c", inner],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, f"{script}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _registries(run: Path) -> dict[str, str]:
    given = {name: os.environ[name] for name in PASSED if name in os.environ}
    authorities = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
    if authorities:
        shutil.copy(authorities, run / Path(AUTHORITIES).name)
        given |= {"PIP_CERT": AUTHORITIES}
    return given
