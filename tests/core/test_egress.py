"""The egress list (CASES M73)."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from gateway.core.egress import Egress
from gateway.core.locations import Location


def refused(egress: Egress, host: str, address: str | None = None) -> bool:
    return egress.refuses(host, None if address is None else ipaddress.ip_address(address)) is not None


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
     "::a9fe:a9fe", "fe80::1", "febf::1", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1", "239.255.255.255", "ff02::1",
     "255.255.255.255", "fd00:ec2::254", "100.100.100.200"],
)  # fmt: skip
def test_m73_metadata_link_local_multicast_and_unspecified_are_refused_by_default(address: str) -> None:
    assert refused(Egress(), "erp", address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "192.0.2.7", "2001:db8::7", "169.253.1.1"])
def test_other_addresses_are_allowed_by_default(address: str) -> None:
    assert not refused(Egress(), "erp", address)


def test_an_entry_that_holds_a_metadata_address_allows_it_alone() -> None:
    egress = Egress.parse(["169.254.170.2"])
    assert not refused(egress, "erp", "169.254.170.2")
    assert refused(egress, "erp", "169.254.169.254")
    assert refused(egress, "erp", "10.0.0.1")


def test_a_name_that_is_allowed_may_not_lead_to_a_metadata_address() -> None:
    egress = Egress.parse(["*.example"])
    assert not refused(egress, "api.example", "10.0.0.1")
    assert refused(egress, "api.example", "169.254.169.254")


def test_what_is_forbidden_wins() -> None:
    egress = Egress.parse(["10.0.0.0/8", "!10.9.0.0/16", "!admin.example"])
    assert not refused(egress, "erp", "10.1.2.3")
    assert refused(egress, "erp", "10.9.2.3")
    assert refused(egress, "erp", "::ffff:10.9.2.3")
    assert refused(egress, "admin.example", "10.1.2.3")
    assert refused(egress, "ADMIN.example.", "10.1.2.3")


def test_a_star_stands_for_names_below_not_for_the_name_itself() -> None:
    egress = Egress.parse(["*.example"])
    assert not refused(egress, "a.b.example")
    assert refused(egress, "example")
    assert refused(egress, "badexample")


def test_a_name_is_left_for_its_addresses_where_networks_are_allowed() -> None:
    egress = Egress.parse(["10.0.0.0/8"])
    assert not refused(egress, "erp")
    assert refused(egress, "erp", "192.0.2.7")
    assert refused(Egress.parse(["api.example"]), "erp")


def test_sockets_of_the_node_itself_are_refused(tmp_path: Path) -> None:
    egress = Egress.parse([], own=tmp_path)
    assert egress.refuses_socket(str(tmp_path / "store.sock"))
    assert egress.refuses_socket("/run/app.sock") is None
    link = tmp_path.parent / f"{tmp_path.name}-link.sock"
    link.symlink_to(tmp_path / "store.sock")
    assert egress.refuses_socket(str(link))


def test_sockets_are_listed_by_path() -> None:
    egress = Egress.parse(["unix:/run/apps/*", "!unix:/run/apps/secret*"])
    assert egress.refuses_location(Location.parse("unix:/run/apps/a.sock")) is None
    assert egress.refuses_location(Location.parse("unix:/run/docker.sock"))
    assert egress.refuses_location(Location.parse("unix:/run/apps/secret.sock"))
    assert egress.refuses_location(Location.parse("http://erp")) is None


@pytest.mark.parametrize("entry", ["", "!", "10.0.0.1/8", "10.0.0", "http://a", "a b", "*", "unix:run", "a.*.b", "999"])
def test_an_entry_that_is_none_is_told(entry: str) -> None:
    with pytest.raises(ValueError, match=r"egress|network"):
        Egress.parse([entry])
