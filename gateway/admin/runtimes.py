"""The runtimes of this node, and where the operations of what is live run that are processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from starlette.requests import Request

from gateway.admin import pages
from gateway.admin.routing import Entry
from gateway.admin.service import Service
from gateway.consumers.tokens import Token
from gateway.core.errors import NotFound
from gateway.runtime.fitting import Signed
from gateway.runtime.processes import Contracts
from gateway.runtime.remote import Remote
from gateway.runtime.remote_link import Link
from gateway.schema import json_schema
from gateway.schema.contract import read_operation
from gateway.snapshot.spec import OperationSpec, VersionSpec


def entries(service: Service) -> Iterator[Entry]:
    found = _Runtimes(service)
    yield Entry("/runtimes", "GET", found.all, "viewer")
    yield Entry("/runtimes/{name}", "GET", found.one, "viewer")
    yield Entry("/processes", "GET", found.processes, "viewer")


def told(contracts: Contracts) -> dict[str, Any]:
    """What a node's heartbeat says of its runtimes: {name: {connected, trouble}}."""
    return {each.target.name: _standing(each) for each in contracts.remotes}


def _standing(remote: Remote) -> dict[str, Any]:
    connected = len(remote.links)
    return {"connected": connected, "trouble": None if connected else remote.trouble}


class _Runtimes:
    def __init__(self, service: Service) -> None:
        self.service = service

    @property
    def _contracts(self) -> Contracts:
        return self.service.processes

    async def all(self, request: Request, _token: Token) -> Any:
        nodes = await self.service.nodes()
        return pages.listed(request, [_summary(each, nodes) for each in self._contracts.remotes])

    async def one(self, request: Request, _token: Token) -> Any:
        name = request.path_params["name"]
        found = {each.target.name: each for each in self._contracts.remotes}
        if name not in found:
            raise NotFound(f"This node has no runtime {name}; its runtimes: {', '.join(found) or 'none'}.")
        told = _summary(found[name], await self.service.nodes())
        return {**told, "processes": [_process(each) for each in found[name].links]}

    async def processes(self, request: Request, token: Token) -> Any:
        """Of the versions that the token sees."""
        versions = (each for each in self.service.snapshot().versions if token.may("viewer", each.component))
        placed = [self._placed(version, each) for version in versions for each in _hosted(version)]
        return pages.listed(request, placed)

    def _placed(self, version: VersionSpec, operation: OperationSpec) -> dict[str, Any]:
        """`code` is `own` where the code runs that the version was published with, `fits` where other code whose
        contract fits does, `none` where nothing can run it now."""
        name, digest = str(operation.config["process"]), operation.contract.digest
        found: dict[str, list[str]] = {"own": [], "fits": [], "none": []}
        why: list[str] = []
        own = self._contracts.own.get(name)
        if own is not None:
            found["own" if own["contract"]["digest"] == digest else "fits"].append("gateway")
        for each in self._contracts.remotes.candidates(name, _signed(version, operation, digest)):
            found[each.fit].append(each.target.name)
            why += [f"{each.target.name}: {each.why}"] if each.why else []
        code = "own" if found["own"] else "fits" if found["fits"] else "none"
        return {
            "name": f"{version.name}/{operation.name}",
            "version": version.name,
            "operation": operation.name,
            "process": name,
            "digest": digest,
            "code": code,
            "at": sorted(set(found[code])) if code != "none" else [],
            "why": sorted(set(why)),
        }


def _hosted(version: VersionSpec) -> Iterator[OperationSpec]:
    return (each for each in version.operations.values() if each.kind == "python")


def _signed(version: VersionSpec, operation: OperationSpec, digest: str) -> Signed:
    types = json_schema.read_types(version.types, "")
    contract = operation.contract.model_dump(mode="json")
    return Signed(read_operation(operation.name, contract, types), types, digest)


def _summary(remote: Remote, nodes: list[dict[str, Any]]) -> dict[str, Any]:
    target = remote.target
    elsewhere = {
        str(node["name"]): node["runtimes"][target.name] for node in nodes if target.name in node.get("runtimes", {})
    }
    return {
        "name": target.name,
        "place": target.place,
        "tls": target.tls is not None,
        "pin": target.pin,
        "timeout": target.timeout,
        **_standing(remote),
        "nodes": [{"node": name, **standing} for name, standing in sorted(elsewhere.items())],
    }


def _process(link: Link) -> dict[str, Any]:
    """One process of a runtime, with what it hosts."""
    return {
        "runtime": link.told["runtime"],
        "release": link.told["release"],
        "started": link.told["started"],
        "draining": not link.is_open,
        "hosts": [_hosts(name, each) for name, each in sorted(link.described.items())],
    }


def _hosts(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    contract = described["contract"]
    return {"process": name, **{key: contract[key] for key in ("effect", "summary", "digest")}}
