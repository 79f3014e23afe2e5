"""`oidc-provider`, an OpenID provider that somebody else wrote, as a process: installed by `.ci/run`, or by `npm ci` in
tests/e2e/openid. And a browser that fills in its pages."""

from __future__ import annotations

import html
import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

FOLDER = Path(__file__).parent / "openid"
NODE = FOLDER / "node_modules" / ".bin" / "node"  # of its own: distributions have older ones than the provider takes
MISSING = "" if NODE.exists() else "run `npm ci` in tests/e2e/openid"
if MISSING and os.environ.get("PENSTOCK_REQUIRE_OPENID"):
    raise RuntimeError(f"the OpenID provider has to be there: {MISSING}")
INSTALLED = pytest.mark.skipif(bool(MISSING), reason=f"the OpenID provider is not installed: {MISSING}")
SECRET = "planted-secret-of-the-gateway-0123456789"
PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


@dataclass
class Provider:
    issuer: str
    resource: str

    def token(self, **more: str) -> str:
        form = {"grant_type": "client_credentials", "scope": "read"} | more
        answer = httpx2.post(f"{self.issuer}/token", data=form, auth=("machine", SECRET))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(clients: Sequence[dict[str, Any]]) -> Iterator[Provider]:
    told = json.dumps({"port": free_port(), "clients": list(clients)})
    process = subprocess.Popen(
        [str(NODE), "provider.js"],
        cwd=FOLDER,
        env={**os.environ, "PROVIDER": told},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    said = process.stdout.readline().split()
    assert said[:1] == ["ready"], said
    try:
        yield Provider(said[1], said[2])
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait(10)


def browse(browser: httpx2.Client, url: str, name: str, **typed: str) -> httpx2.Response:
    """Follows every redirect and fills in every form of the provider, as a person would: the page at the end."""
    answer = browser.get(url, headers=PAGE)
    for _ in range(20):
        if answer.is_redirect:
            url = urljoin(url, answer.headers["Location"])
            answer = browser.get(url, headers=PAGE)
        elif (filled := _form(answer.text, name, typed)) is not None:
            action, fields = filled
            url = urljoin(url, action)
            answer = browser.post(url, data=fields, headers=PAGE)
        else:
            return answer
    raise AssertionError(f"it goes round in circles: {url}")


def _form(page: str, name: str, typed: dict[str, str]) -> tuple[str, dict[str, str]] | None:
    """The page's form with what somebody types; None: there is none to fill in."""
    found = re.search(r"<form([^>]*)>(.*?)</form>", page, re.DOTALL)
    if found is None or "/console/" in found[1]:
        return None
    action = re.search(r'action="([^"]*)"', found[1])
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', found[2])) | typed
    if 'name="login"' in found[2]:
        fields |= {"login": name, "password": "any"}
    return html.unescape(action[1]) if action else "", fields
