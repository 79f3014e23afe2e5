"""The tags by which stored responses are found again: of a version, of a URL's path, of a name."""

from __future__ import annotations


def version_tag(version: str) -> str:
    """component@version."""
    return f"version:{version}"


def url_tag(path: bytes) -> str:
    """The path as it stood in the request, whatever its query."""
    return f"url:{path.decode('latin-1')}"


def named_tag(tag: str) -> str:
    return f"tag:{tag}"
