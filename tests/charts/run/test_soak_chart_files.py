"""Files of Secrets and ConfigMaps that change under running pods, by the link that a kubelet replaces."""

from __future__ import annotations

import base64
import ssl
from typing import Final

import pytest
import trustme

from tests.charts.run.conftest import Shop
from tests.charts.run.network import connect_in
from tests.charts.run.probes import wait
from tests.charts.run.release import NAMESPACE

pytestmark = pytest.mark.soak  # two rollouts: for `make chart-run`

_NAME: Final = "api.example"
_PATIENCE: Final = 120.0


def _secret(shop: Shop, authority: trustme.CA) -> None:
    """As an issuer of certificates writes it; the kubelet sees it at its next look."""
    issued = authority.issue_cert(_NAME)
    chain = b"".join(each.bytes() for each in issued.cert_chain_pems).decode()
    shop.release.put_secret("api-tls", **{"tls.crt": chain, "tls.key": issued.private_key_pem.bytes().decode()})


def _serial(shop: Shop, address: tuple[str, int], authority: trustme.CA) -> object:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    plain = connect_in(shop.consumer.place.link.namespace, address, 10)
    with context.wrap_socket(plain, server_hostname=_NAME) as connection:
        found = connection.getpeercert()
    assert found
    return found["serialNumber"]


def test_a_renewed_certificate_is_served_without_a_restart(shop: Shop) -> None:
    release, authority = shop.release, trustme.CA()
    _secret(shop, authority)
    release.upgrade({"gateway.tls": {"enabled": True, "secretName": "api-tls"}})
    release.settle(_PATIENCE)
    release.proxy.now()
    service = release.proxy.services[NAMESPACE, release.full]
    address = service.address, {name: port for name, port, _ in service.ports}["https"]
    before = _serial(shop, address, authority)
    _secret(shop, authority)
    pods = list(release.gateways().pods)
    for pod in pods:
        assert pod.volumes is not None
        pod.volumes.refresh()
    for pod in pods:
        own = pod.place.address, 8443
        wait(lambda own=own: _serial(shop, own, authority) != before, _PATIENCE, release.state)  # type: ignore[misc]
    assert not any(pod.restarts for pod in pods)
    release.upgrade()


def test_a_key_of_a_secret_is_readable_by_the_group_alone(shop: Shop) -> None:
    release = shop.release
    _secret(shop, trustme.CA())
    release.upgrade({"gateway.tls": {"enabled": True, "secretName": "api-tls"}})
    release.settle(_PATIENCE)
    pod = release.gateways().pods[0]
    told = pod.execute("sh", "-c", "stat -L -c '%a %u %g' /etc/penstock/tls/tls.key")
    assert told == (0, "440 0 10001\n")
    assert base64.b64decode(release.objects.get("Secret", "api-tls")["data"]["tls.key"]).decode() == "".join(
        pod.execute("cat", "/etc/penstock/tls/tls.key")[1]
    )
    release.upgrade()
