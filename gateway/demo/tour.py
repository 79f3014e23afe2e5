"""The demo's way through the gateway: its files, its upstream, its keys, and the calls that it prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx2
import orjson

from gateway.core.settings import Settings
from gateway.demo.database import make
from gateway.demo.shop import DATABASE
from gateway.demo.upstream import Upstream

KIND = "application/yaml"
POLICY = "{{kind: Policy, name: partner-rules, steps: [{}]}}"
CLOSED = POLICY.format("{id: closed, use: respond, with: {status: 503, body: stocktaking}}")
OPEN = POLICY.format("{id: team, use: headers, with: {request: {set: {X-Team: shop}}}}")


def shipped(name: str) -> Path:
    """A folder of documents: in a checkout beside the package, in a wheel inside it."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "_shipped" / name
    return inside if inside.exists() else package.parent / name


class Tour:
    """Use as a context: it owns the upstream."""

    def __init__(self, data: Path, host: str, port: int, admin_port: int, workers: int) -> None:
        folder = data.absolute() / "demo"
        database = folder / "shop.db"
        make(database)
        os.environ[DATABASE] = str(database)
        self._upstream = Upstream()
        self._environment = folder / "environment.yaml"
        self._database = database
        self.settings = Settings(
            manifests=shipped("api_components"),
            policies=shipped("policies"),
            processes=("gateway.demo",),
            environment=self._environment,
            data=data,
            host=host,
            port=port,
            admin_port=admin_port,
            workers=workers,
            log_level="warning",
        )

    def __enter__(self) -> Self:
        url = self._upstream.start()
        ledger = f"sqlite+aiosqlite:///{self._database}"
        self._environment.write_text(
            f'kind: Environment\nname: demo\nvalues:\n  erp_url: "{url}"\n  ledger_url: "{ledger}"\n'
        )
        return self

    def __exit__(self, *_error: object) -> None:
        self._upstream.stop()

    def announce(self, event: dict[str, Any]) -> None:
        """Prints the calls once the gateway is ready, each with the status to expect."""
        if event["event"] != "ready":
            sys.stderr.write(f"{event.get('text', event)}\n")
            return
        token = self._token(event)
        url = event["url"].replace("//0.0.0.0:", "//127.0.0.1:")  # where a call can be pasted
        key, trial = self._keys(event["admin"], token)
        sys.stdout.write(
            f"\nPenstock's sample shop is open: {url} (admin {event['admin']}). Ctrl-C closes it.\n"
            "Paste any of these calls; the status to expect stands behind each.\n"
        )
        for line in calls(url, event["admin"], key, trial, token):
            sys.stdout.write(f"{line}\n")
        sys.stdout.write("\n")
        sys.stdout.flush()

    def _token(self, event: dict[str, Any]) -> str:
        context = orjson.loads((self.settings.data / "context.json").read_bytes())
        return str(event["token"] or context["token"])

    def _keys(self, admin: str, token: str) -> tuple[str, str]:
        """A key of the gold plan, and a fresh one of the trial plan for each start: its two calls are its own."""
        with httpx2.Client(base_url=f"{admin}/admin/v1", headers={"Authorization": f"Bearer {token}"}) as client:
            for name in ("partner", "visitor"):
                if client.get(f"/applications/{name}").status_code == 404:
                    client.post("/applications", json={"name": name}).raise_for_status()
            made = [
                client.post("/keys", json={"application": name, "api": "shop", "plan": plan}).raise_for_status().json()
                for name, plan in (("partner", "gold"), ("visitor", "trial"))
            ]
        return made[0]["key"], made[1]["key"]


def calls(url: str, admin: str, key: str, trial: str, token: str) -> Iterator[str]:
    """Titles and one call a line, in an order in which all of them hold."""
    with_key = f"-H 'X-API-KEY: {key}'"
    shop = f"{url}/shop"
    json = "-H 'Content-Type: application/json'"
    yield "\n# REST: one typed operation, two versions; the version stands in the path or in a header"
    yield f"curl -s {shop}/v2/orders/7 {with_key}  # 200"
    yield f"curl -s -i {shop}/v1/orders/7 {with_key}  # 200 with Deprecation, Sunset and Link"
    yield f"curl -s '{shop}/orders?status=open&limit=2' -H 'Api-Version: v1' {with_key}  # 200"
    order = '{"customer_id": 3, "lines": [{"product_id": 11, "quantity": 2}]}'
    yield f"curl -s {shop}/v2/orders {with_key} {json} -d '{order}'  # 201"
    wrong = '{"customer_id": "x", "lines": []}'
    yield f"curl -s {shop}/v2/orders {with_key} {json} -d '{wrong}'  # 400 naming each place"
    yield f"curl -s {shop}/v2/orders/999999 {with_key}  # 404 as problem details"
    yield f"curl -s '{shop}/v2/tax/DE?amount=19.90' {with_key}  # 200 from an HTTP backend, typed"
    yield f"curl -s {shop}/v2/openapi.json  # 200"
    yield "\n# SOAP: the same operation"
    yield f"curl -s '{shop}/v2/soap?wsdl'  # 200"
    yield _soap(shop, with_key, "v2", "7", 200)
    yield _soap(shop, with_key, "v1", "999999", 500)
    yield "\n# OData: a table, a process, a function"
    filtered = "$filter=status%20eq%20%27open%27%20and%20total%20gt%20900&$orderby=total%20desc&$top=3&$count=true"
    yield f"curl -s '{shop}/v2/odata/Orders?{filtered}' {with_key}  # 200"
    yield f"curl -s '{shop}/v2/odata/Orders(7)?$select=id,total' {with_key}  # 200"
    yield f"curl -s '{shop}/v2/odata/Turnover?$filter=orders%20ge%20400' {with_key}  # 200"
    yield f"curl -s '{shop}/v1/odata/get_order(id=7)' {with_key}  # 200"
    yield f"curl -s '{shop}/v2/odata/$metadata'  # 200"
    yield "\n# An event: accepted at once, billed by a listener that runs the same typed call"
    yield f"curl -s -i {shop}/v2/order-events {with_key} {json} -d '{{\"id\": 7}}'  # 202 with its status URL"
    yield "\n# Relayed bytes, streamed both ways"
    yield f"curl -s {shop}/v2/erp/stock/7 {with_key}  # 200"
    yield "\n# What is refused"
    yield f"curl -s {shop}/v2/orders/7  # 401"
    yield f"curl -s -X DELETE {shop}/v2/orders/7 {with_key}  # 405"
    yield f"curl -s {shop}/v9/orders/7 {with_key}  # 404 listing the versions"
    for status in (200, 200, 429):
        yield f"curl -s {shop}/v2/orders/8 -H 'X-API-KEY: {trial}'  # {status} on the trial plan"
    yield "\n# A policy changed while it serves"
    apply = f"curl -s {admin}/admin/v1/apply -H 'Authorization: Bearer {token}' -H 'Content-Type: {KIND}'"
    yield f"{apply} -d '{CLOSED}'  # 200"
    yield f"curl -s {shop}/v2/orders/7 {with_key}  # 503"
    yield f"{apply} -d '{OPEN}'  # 200"
    yield f"curl -s {shop}/v2/orders/7 {with_key}  # 200"
    yield f"curl -s {admin}/admin/v1/audit -H 'Authorization: Bearer {token}'  # 200"


def _soap(shop: str, with_key: str, version: str, id: str, status: int) -> str:
    envelope = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        f'<get_order xmlns="urn:example:shop:{version}"><id>{id}</id></get_order></e:Body></e:Envelope>'
    )
    return f"curl -s {shop}/{version}/soap {with_key} -H 'Content-Type: text/xml' -d '{envelope}'  # {status}"
