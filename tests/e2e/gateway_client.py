"""What end-to-end tests know of the started node, and how they talk to it."""

from __future__ import annotations

import itertools
import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

_numbers = itertools.count(1)


@dataclass
class Node:
    """`url` of the gateway, `admin` of the admin REST, and the shop's `database`."""

    client: httpx2.Client
    url: str
    admin: str
    token: str
    database: Path

    def key(self, api: str, plan: str | None = None) -> str:
        """A key of an application of its own."""
        name = f"app-{os.getpid()}-{next(_numbers)}"
        self.administer("POST", "/applications", json={"name": name})
        made = self.administer("POST", "/keys", json={"application": name, "api": api, "plan": plan})
        return str(made.json()["key"])

    def administer(self, method: str, path: str, **parts: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}", "If-Match": "*", **parts.pop("headers", {})}
        answer = self.client.request(method, f"{self.admin}/admin/v1{path}", headers=headers, **parts)
        assert answer.is_success, answer.text
        return answer

    def apply(self, documents: str) -> Any:
        headers = {"Content-Type": "application/yaml"}
        return self.administer("POST", "/apply", content=documents, headers=headers).json()

    def call(self, method: str, path: str, key: str | None = None, **parts: Any) -> httpx2.Response:
        headers = {**({"X-API-KEY": key} if key else {}), **parts.pop("headers", {})}
        return self.client.request(method, self.url + path, headers=headers, **parts)

    def sql(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(self.database, timeout=10)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(query, values).fetchall()

    def write(self, statement: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.database, timeout=10)) as connection, connection:
            connection.execute(statement, values)
