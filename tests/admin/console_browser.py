"""Somebody at the console, without a browser: cookies, forms and nothing else; a real socket below."""

from __future__ import annotations

import re
from typing import Any

import httpx2

_FORMS = re.compile(r'name="csrf" value="([^"]+)"')


class Person:
    def __init__(self, url: str) -> None:
        self.url = url
        alone = httpx2.Limits(max_keepalive_connections=0)  # no connection outlives its answer
        self.client = httpx2.Client(base_url=url, timeout=30, limits=alone)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self.client.get(path, headers=headers)

    def word(self, path: str = "/console") -> str:
        """What proves that a form is the console's."""
        found = _FORMS.search(self.get(path).text)
        assert found is not None
        return found[1]

    def sign_in(self, token: str, to: str = "/console", **headers: str) -> httpx2.Response:
        fields = {"csrf": self.word("/console/sign-in"), "token": token, "to": to}
        return self.client.post("/console/sign-in", data=fields, headers={"Origin": self.url, **headers})

    def send(
        self, path: str, fields: dict[str, Any] | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        """A form of the page before, as a browser sends it."""
        sent = {"csrf": self.word(), **(fields or {})}
        return self.client.post(path, data=sent, headers={"Origin": self.url, **(headers or {})}, **more)


def signed_in(url: str, token: str) -> Person:
    person = Person(url)
    assert person.sign_in(token).status_code == 200
    return person
