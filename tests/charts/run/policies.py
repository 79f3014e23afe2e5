"""NetworkPolicies as rules of the node's namespace, through which every packet between pods goes.

A pod that a policy selects takes what one of its policies allows, and nothing else; where a cluster would drop a packet
these rules refuse it, so that a test need not wait. The node's own connections (probes) pass, as in a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable

from tests.charts.run.places import Place, Places
from tests.charts.run.rendered import Object, selects

NAME: str = "kubernetes.io/metadata.name"


class Policies:
    """`labels` of namespaces; each has its name as one."""

    def __init__(self) -> None:
        self._policies: dict[tuple[str, str], Object] = {}
        self.labels: dict[str, dict[str, str]] = {}

    def put(self, found: Object, namespace: str) -> None:
        self._policies[namespace, found["metadata"]["name"]] = found

    def replace(self, found: Iterable[Object], namespace: str) -> None:
        self._policies = {key: each for key, each in self._policies.items() if key[0] != namespace}
        for each in found:
            self.put(each, namespace)

    def rules(self, places: Places) -> list[str]:
        everybody = list(places)
        chains, jumps = [], []
        for place in everybody:
            for direction, end in (("egress", "saddr"), ("ingress", "daddr")):
                policies = list(self._of(place, direction))
                if not policies:
                    continue
                chain = f"{direction}_{place.link.device}"
                allowed = [line for each in policies for line in self._allowed(each, direction, everybody)]
                chains += [
                    f"  chain {chain} {{",
                    *allowed,
                    "    ip protocol tcp reject with tcp reset",
                    "    reject",
                    "  }",
                ]
                jumps.append(f"    ip {end} {place.address} jump {chain}")
        return [
            "table ip policies",
            "delete table ip policies",
            "table ip policies {",
            *chains,
            "  chain forward {",
            "    type filter hook forward priority filter;",
            "    ct state established,related accept",
            *sorted(jumps, reverse=True),  # who sends is asked first
            "  }",
            "}",
        ]

    def _of(self, place: Place, direction: str) -> Iterable[Object]:
        for (namespace, _), policy in self._policies.items():
            spec = policy["spec"]
            kinds = [each.lower() for each in spec.get("policyTypes") or _kinds(spec)]
            if namespace == place.namespace and direction in kinds and selects(spec.get("podSelector"), place.labels):
                yield {**spec, "namespace": namespace}

    def _allowed(self, spec: Object, direction: str, everybody: list[Place]) -> Iterable[str]:
        side, end = ("from", "saddr") if direction == "ingress" else ("to", "daddr")
        for rule in spec.get(direction) or []:
            ports = [_port(each, spec, everybody) for each in rule.get("ports") or []] or [""]
            for peer in self._peers(rule.get(side), end, spec["namespace"], everybody):
                for port in ports:
                    yield f"    {peer} {port} return".replace("  return", " return")

    def _peers(self, peers: list[Object] | None, end: str, namespace: str, everybody: list[Place]) -> Iterable[str]:
        if not peers:
            yield ""
            return
        addresses = sorted({address for peer in peers for address in self._addresses(peer, namespace, everybody)})
        if addresses:
            yield f"ip {end} {{ {', '.join(addresses)} }}"
        for peer in peers:
            if block := peer.get("ipBlock"):
                excluded = block.get("except") or []
                but = f" ip {end} != {{ {', '.join(excluded)} }}" if excluded else ""
                yield ("" if block["cidr"] in ("0.0.0.0/0", "::/0") else f"ip {end} {block['cidr']}") + but

    def _addresses(self, peer: Object, namespace: str, everybody: list[Place]) -> Iterable[str]:
        if "ipBlock" in peer:
            return
        for place in everybody:
            labels = {NAME: place.namespace, **self.labels.get(place.namespace, {})}
            inside = (
                selects(peer["namespaceSelector"], labels)
                if "namespaceSelector" in peer
                else place.namespace == namespace
            )
            if inside and selects(peer.get("podSelector"), place.labels):
                yield place.address


def _kinds(spec: Object) -> list[str]:
    """What a policy without policyTypes is about."""
    return ["Ingress", *(["Egress"] if "egress" in spec else [])]


def _port(each: Object, spec: Object, everybody: list[Place]) -> str:
    protocol = each.get("protocol", "TCP").lower()
    if "port" not in each:
        return f"ip protocol {protocol}"
    port = each["port"]
    if not isinstance(port, int):
        named = {place.ports[port] for place in everybody if port in place.ports}
        assert named, f"no pod has a port {port}"
        return f"{protocol} dport {{ {', '.join(map(str, sorted(named)))} }}"
    return f"{protocol} dport {port}" + (f"-{each['endPort']}" if "endPort" in each else "")
