"""What image/system_packages.py makes of dpkg's list."""

from __future__ import annotations

from image.system_packages import extended, packages, purl, release

STATUS = """\
Package: libc6
Status: install ok installed
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Source: glibc
Version: 2.41-12
Description: GNU C Library: Shared libraries
 Contains the standard libraries that are used by
 nearly all programs.

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1

Package: libstdc++6
Status: install ok installed
Architecture: amd64
Source: gcc-14 (14.2.0-19)
Version: 14.2.0-19+b1

Package: login
Status: hold ok installed
Architecture: all
Version: 1:4.16.0-2+really2.41-5
"""
DEBIAN = {"ID": "debian", "VERSION_ID": "13"}


def test_only_what_is_installed_is_listed() -> None:
    assert [each["Package"] for each in packages(STATUS)] == ["libc6", "libstdc++6", "login"]


def test_a_purl_tells_architecture_distribution_and_source() -> None:
    assert [purl(each, "debian", "13") for each in packages(STATUS)] == [
        "pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13&upstream=glibc",
        "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?arch=amd64&distro=debian-13&upstream=gcc-14%4014.2.0-19",
        "pkg:deb/debian/login@1:4.16.0-2%2Breally2.41-5?arch=all&distro=debian-13",
    ]


def test_the_bill_keeps_what_it_has_and_gets_the_system_with_its_packages() -> None:
    library = {"bom-ref": "lxml==6", "name": "lxml", "purl": "pkg:pypi/lxml@6", "type": "library"}
    made = extended({"components": [library], "dependencies": [{"ref": "lxml==6"}]}, STATUS, DEBIAN)
    assert made["components"][0] == library
    names = [(each["type"], each["name"]) for each in made["components"][1:]]  # type: ignore[index]
    assert names == [
        ("operating-system", "debian"),
        ("library", "libc6"),
        ("library", "libstdc++6"),
        ("library", "login"),
    ]
    (system,) = [each for each in made["dependencies"] if each["ref"] == "debian-13"]  # type: ignore[index]
    assert len(system["dependsOn"]) == 3  # type: ignore[index]


def test_the_release_is_read_without_its_quotes() -> None:
    assert release("# it is\nID=debian\nVERSION_ID=\"13\"\nNAME='Debian GNU/Linux'\n") == {
        **DEBIAN,
        "NAME": "Debian GNU/Linux",
    }
