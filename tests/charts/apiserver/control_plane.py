"""A real API server of Kubernetes on loopback, with etcd and the controllers, all built from their Go modules.

`make chart-apply` builds them into `.tools/kubernetes`. There is no kubelet and no scheduler:
tests/charts/apiserver/node.py is both, for one node.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.charts.run.rendered import ROOT, Object
from tests.servers import free_port

PROGRAMS: Final = Path(os.environ.get("PENSTOCK_KUBERNETES", ROOT / ".tools/kubernetes"))
SERVICES: Final = "10.96.0.0/24"
_TOKEN: Final = "only-on-loopback-and-only-while-this-test-runs"
_PATIENCE: Final = 90.0


class Refused(Exception):
    """The API server said no; `status` is HTTP's."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class Api:
    """Its REST interface, as the administrator."""

    def __init__(self, url: str, authority: Path) -> None:
        self.url = url
        self._context = ssl.create_default_context(cafile=str(authority))

    def ask(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        """The answer's JSON. Refused; OSError while it does not listen."""
        data = None if body is None else json.dumps(body).encode()
        fields = {"Authorization": f"Bearer {_TOKEN}", "Content-Type": kind, "Accept": "application/json"}
        request = urllib.request.Request(self.url + path, data, fields, method=method)
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=30) as reply:
                return json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from None

    def get(self, path: str) -> Any:
        return self.ask("GET", path)

    def items(self, path: str) -> list[Object]:
        """A list's items, which come without their kind."""
        found = self.get(path)
        kind = found["kind"].removesuffix("List")
        return [{"kind": kind, **each} for each in found["items"]]

    def patch(self, path: str, body: Any, kind: str = "application/strategic-merge-patch+json") -> Any:
        return self.ask("PATCH", path, body, kind)


class ControlPlane:
    """etcd, API server and controllers in a folder of their own. Close it."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pst-apiserver-"))
        self._started: list[subprocess.Popen[bytes]] = []
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        for each in reversed(self._started):
            each.terminate()
            try:
                each.wait(20)
            except subprocess.TimeoutExpired:
                each.kill()
                each.wait()
        subprocess.run(["rm", "-rf", str(self.folder)], check=False)

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def run(self, *command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """A program (helm, kubectl) that finds this server by its kubeconfig."""
        found = {**os.environ, "KUBECONFIG": str(self.kubeconfig), "HOME": str(self.folder)}
        return subprocess.run(command, env=found, input=given, capture_output=True, text=True, check=False)

    def until(self, condition: Callable[[], Any], what: str, seconds: float = _PATIENCE) -> float:
        """Seconds until it holds; what is not there yet does not. AssertionError with the logs."""
        began = time.monotonic()
        while True:
            try:
                if condition():
                    return time.monotonic() - began
            except (OSError, Refused, KeyError, IndexError):
                pass
            ended = [each.args for each in self._started if each.poll() is not None]
            logs = {name: self.log(name) for name in ("etcd", "kube-apiserver", "kube-controller-manager")}
            assert not ended, f"{ended}\n{logs}"
            assert time.monotonic() - began < seconds, f"not within {seconds:g} s: {what}\n{logs}"
            time.sleep(0.1)

    def _start(self) -> None:
        self._certificates()
        store, peer, port = free_port(), free_port(), free_port()
        self._etcd(f"http://127.0.0.1:{store}", f"http://127.0.0.1:{peer}")
        self.url = f"https://127.0.0.1:{port}"
        self._kubeconfig()
        self._api_server(f"http://127.0.0.1:{store}", port)
        self.api = Api(self.url, self.folder / "ca.pem")
        self.started = self.until(lambda: self.api.ask("GET", "/api/v1/namespaces/default"), "the API server is up")
        self._controllers()
        self.until(lambda: self.api.get("/api/v1/namespaces/default/serviceaccounts/default"), "controllers are up")

    def _certificates(self) -> None:
        authority = trustme.CA()
        server = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
        authority.cert_pem.write_to_path(str(self.folder / "ca.pem"))
        server.private_key_pem.write_to_path(str(self.folder / "server.key"))
        server.cert_chain_pems[0].write_to_path(str(self.folder / "server.pem"))
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (self.folder / "accounts.key").write_bytes(private)
        (self.folder / "accounts.pub").write_bytes(public)
        (self.folder / "tokens.csv").write_text(f'{_TOKEN},admin,1,"system:masters"\n')

    def _etcd(self, clients: str, peers: str) -> None:
        self._program(
            "etcd",
            data_dir=self.folder / "etcd",
            listen_client_urls=clients,
            advertise_client_urls=clients,
            listen_peer_urls=peers,
            initial_advertise_peer_urls=peers,
            initial_cluster=f"default={peers}",
            unsafe_no_fsync="true",
            log_level="warn",
        )

    def _api_server(self, store: str, port: int) -> None:
        self._program(
            "kube-apiserver",
            etcd_servers=store,
            bind_address="127.0.0.1",
            secure_port=port,
            tls_cert_file=self.folder / "server.pem",
            tls_private_key_file=self.folder / "server.key",
            token_auth_file=self.folder / "tokens.csv",
            authorization_mode="RBAC",
            service_account_issuer="https://kubernetes.default.svc",
            service_account_key_file=self.folder / "accounts.pub",
            service_account_signing_key_file=self.folder / "accounts.key",
            service_cluster_ip_range=SERVICES,
            endpoint_reconciler_type="none",
        )

    def _controllers(self) -> None:
        self._program(
            "kube-controller-manager",
            kubeconfig=self.kubeconfig,
            authentication_kubeconfig=self.kubeconfig,
            authorization_kubeconfig=self.kubeconfig,
            leader_elect="false",
            bind_address="127.0.0.1",
            secure_port=free_port(),
            cert_dir=self.folder / "controllers",
            service_account_private_key_file=self.folder / "accounts.key",
            root_ca_file=self.folder / "ca.pem",
            node_monitor_period="1s",
        )

    def _kubeconfig(self) -> None:
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.touch(mode=0o600)
        cluster = {"server": self.url, "certificate-authority": str(self.folder / "ca.pem")}
        document: Mapping[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": _TOKEN}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        self.kubeconfig.write_text(yaml.safe_dump(document))

    def _program(self, name: str, **flags: object) -> None:
        options = (f"--{flag.replace('_', '-')}={value}" for flag, value in flags.items())
        command = ["setpriv", "--pdeathsig", "KILL", "--", str(PROGRAMS / name), *options]  # none outlives a killed run
        with (self.folder / f"{name}.log").open("ab") as log:
            self._started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))


def missing() -> str:
    """Why there is no API server here; empty: there is."""
    names = ("etcd", "kube-apiserver", "kube-controller-manager")
    wanted = [name for name in names if not os.access(PROGRAMS / name, os.X_OK)]
    return f"{', '.join(wanted)} are not in {PROGRAMS}: make chart-apply builds them" if wanted else ""
