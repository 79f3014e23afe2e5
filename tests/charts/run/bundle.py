"""A container as an OCI bundle: what its securityContext, mounts and resources mean to the runtime.

OCI runtime specification 1.0: config.json. Capabilities are those of common runtimes' default, less `drop`.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.charts.run.environment import expand
from tests.charts.run.images import Image
from tests.charts.run.rendered import Object

_CAPABILITIES: Final = (
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD "
    "AUDIT_WRITE SETFCAP "
)
# What RuntimeDefault refuses, of the calls that a program without capabilities could try.
_REFUSED: Final = (
    "acct add_key bpf clock_settime delete_module finit_module init_module io_uring_enter io_uring_register "
    "io_uring_setup kcmp kexec_file_load kexec_load keyctl lookup_dcookie mount move_pages name_to_handle_at "
    "nfsservctl open_by_handle_at perf_event_open pivot_root process_vm_readv process_vm_writev quotactl reboot "
    "request_key setns settimeofday swapoff swapon sysfs umount2 unshare userfaultfd ustat vhangup "
)
_UNITS: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9, "": 1}
_MASKED: Final = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/sched_debug", "/sys/firmware"]
_FIXED: Final = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def config(
    pod: Object,
    container: Object,
    image: Image,
    variables: Mapping[str, str],
    paths: Mapping[str, Path],
    files: Mapping[str, Path],
    network: Path,
    cgroup: str,
) -> Object:
    """`paths` are the volumes' folders, `files` what the kubelet itself mounts (hosts, resolv.conf, hostname)."""
    return {
        "ociVersion": "1.0.2",
        "process": _process(pod, container, image, {**image.environment, **variables}),
        "root": {"path": str(image.root), "readonly": bool(_own(container).get("readOnlyRootFilesystem"))},
        "hostname": pod["metadata"]["name"][:63],
        "mounts": [*_system(image), *_given(files), *_volumes(container, paths), *_hidden(image, container)],
        "linux": {
            "namespaces": [
                *({"type": each} for each in ("pid", "ipc", "uts", "mount")),
                {"type": "network", "path": str(network)},
            ],
            "resources": _resources(container),
            "cgroupsPath": cgroup,
            "maskedPaths": _MASKED,
            "readonlyPaths": _FIXED,
            **({"seccomp": _seccomp()} if _setting("seccompProfile", pod, container) else {}),
        },
    }


def _own(container: Object) -> Object:
    return container.get("securityContext") or {}


def _setting(name: str, pod: Object, container: Object) -> Any:
    """The container's own, else the pod's."""
    return _own(container).get(name, (pod["spec"].get("securityContext") or {}).get(name))


def _process(pod: Object, container: Object, image: Image, variables: Mapping[str, str]) -> Object:
    """A command takes the entrypoint's place, arguments follow whichever there is."""
    command = [*(container.get("command") or image.entrypoint), *(container.get("args") or [])]
    user = _setting("runAsUser", pod, container) or 0
    assert user or not _setting("runAsNonRoot", pod, container), f"{container['name']} would run as root"
    context = pod["spec"].get("securityContext") or {}
    groups = [context["fsGroup"]] if "fsGroup" in context else []
    kept = _kept(_own(container).get("capabilities") or {}) if user == 0 else []
    return {
        "terminal": False,
        "user": {
            "uid": user,
            "gid": _setting("runAsGroup", pod, container) or 0,
            "additionalGids": [*groups, *context.get("supplementalGroups", [])],
        },
        "args": [expand(str(each), variables) for each in command],
        "env": [f"{name}={value}" for name, value in variables.items()],
        "cwd": container.get("workingDir") or image.workdir,
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), kept),
        "noNewPrivileges": _own(container).get("allowPrivilegeEscalation") is False,
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": resource.getrlimit(resource.RLIMIT_NOFILE)[1], "soft": 1024}],
    }


def _kept(capabilities: Object) -> list[str]:
    dropped = {each.upper() for each in capabilities.get("drop") or []}
    kept = [] if "ALL" in dropped else [each for each in _CAPABILITIES.split() if each not in dropped]
    return [f"CAP_{each}" for each in [*kept, *(capabilities.get("add") or [])]]


def _system(image: Image) -> list[Object]:
    mounts: list[Object] = [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        _tmpfs("/dev", "mode=755", "size=65536k", "strictatime"),
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance"],
        },
        _tmpfs("/dev/shm", "nodev", "mode=1777", "size=65536k"),
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ]
    if not any((image.root / "usr").iterdir()):
        mounts.append(_bind("/usr", Path("/usr"), writable=False))
    return mounts + [_bind(str(path), path, writable=False) for path in image.binds]


def _tmpfs(at: str, *options: str) -> Object:
    return {"destination": at, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", *options]}


def _bind(at: str, path: Path, writable: bool) -> Object:
    options = ["rbind", "rprivate", "rw" if writable else "ro"]
    return {"destination": at, "type": "bind", "source": str(path), "options": options}


def _given(files: Mapping[str, Path]) -> list[Object]:
    return [_bind(at, path, writable=False) for at, path in files.items()]


def _volumes(container: Object, paths: Mapping[str, Path]) -> list[Object]:
    """Outer mounts first, whatever their order in the manifest."""
    mounts = sorted(container.get("volumeMounts") or [], key=lambda each: each["mountPath"].count("/"))
    found = []
    for each in mounts:
        path = paths[each["name"]]
        if part := each.get("subPath"):
            path = (path / part).resolve()
        found.append(_bind(each["mountPath"], path, writable=not each.get("readOnly")))
    return found


def _hidden(image: Image, container: Object) -> list[Object]:
    """What a volume lies over, once more: a checkout below /tmp, say."""
    at = [Path(each["mountPath"]) for each in container.get("volumeMounts") or []]
    return [_bind(str(path), path, writable=False) for path in image.binds if any(map(path.is_relative_to, at))]


def _resources(container: Object) -> Object:
    limits = (container.get("resources") or {}).get("limits") or {}
    found: Object = {"devices": [{"allow": False, "access": "rwm"}]}
    if memory := limits.get("memory"):
        found["memory"] = {"limit": quantity(memory)}
    if cpu := limits.get("cpu"):
        found["cpu"] = {"quota": int(cores(cpu) * 100_000), "period": 100_000}
    return found


def quantity(text: str | int) -> int:
    """Bytes of a memory quantity."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|k|M|G|)", str(text))
    assert match, f"no quantity of memory: {text}"
    return int(float(match[1]) * _UNITS[match[2]])


def cores(text: str | int) -> float:
    text = str(text)
    return int(text[:-1]) / 1000 if text.endswith("m") else float(text)


def _seccomp() -> Object:
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": _REFUSED.split(), "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    }
