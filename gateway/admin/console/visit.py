"""One request of somebody who is signed in: what they may, what they sent, and the page that they get."""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gateway.admin.console.forms import Form
from gateway.admin.console.inside import Answer, Inside
from gateway.admin.console.sessions import Session
from gateway.consumers.tokens import Token
from gateway.core.errors import Forbidden

BASE: Final = "/console"
PAGES: Final = 100  # of one list that are read for one page of the console
_LOCAL: Final = re.compile(r"/console(/[A-Za-z0-9_.~@%/-]*)?(\?[A-Za-z0-9_.~@%&=+:-]*)?\Z")


def when(seconds: float | None) -> str:
    """A time as people of any country read it, in UTC."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def as_json(value: Any) -> str:
    """A text for people, which the template escapes; `tojson` would write < as \\u003c."""
    return json.dumps(value, ensure_ascii=False, default=str)


def to(*parts: str, **query: str) -> str:
    """The address of a page; names are quoted, whatever they hold."""
    path = "/".join([BASE, *(quote(str(part), safe="@") for part in parts)])
    return f"{path}?{urlencode(query)}" if query else path


def local(target: str) -> str:
    """Where to go after signing in: a page of the console and nothing else (open redirects)."""
    return target if _LOCAL.match(target) and "//" not in target else BASE


def environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("gateway.admin.console"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["when"] = when
    made.filters["json"] = as_json
    made.globals["to"] = to
    return made


TEMPLATES: Final = environment()


def page(template: str, status: int = 200, **shown: Any) -> HTMLResponse:
    return HTMLResponse(TEMPLATES.get_template(template).render(**shown), status)


@dataclass(slots=True)
class Visit:
    request: Request
    actor: Token
    session: Session
    inside: Inside
    form: Form

    def check_form(self) -> None:
        """Forbidden unless the form is one of this session's (CSRF)."""
        if not hmac.compare_digest(self.form.text("csrf").encode(), self.session.forms.encode()):
            raise Forbidden("This form is of another session. Open the page again and send it from there.")

    def named(self, name: str) -> str:
        found: str = self.request.path_params[name]
        return found

    def asked(self, name: str) -> str:
        return self.request.query_params.get(name, "").strip()

    def may(self, role: str, component: str | None = None) -> bool:
        return self.actor.may(role, component)

    async def get(self, *parts: str, query: Mapping[str, str] | None = None) -> Answer:
        return await self.inside.call(self.actor, "GET", parts, query=query)

    async def pages(self, *parts: str, query: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
        """All of a list, over its pages; a hundred of them at most."""
        found: list[dict[str, Any]] = []
        asked = dict(query or {})
        for _ in range(PAGES):
            answer = await self.get(*parts, query=asked)
            found += answer.items
            if not answer.more:
                break
            asked |= {"cursor": dict(parse_qsl(answer.more)).get("cursor", "")}
        return found

    async def send(self, method: str, *parts: str, **more: Any) -> Answer:
        return await self.inside.call(self.actor, method, parts, **more)

    def page(self, template: str, status: int = 200, **shown: Any) -> Response:
        told, self.session.told = self.session.told, ""
        here = self.request.url.path
        about = {"actor": self.actor, "may": self.may, "csrf": self.session.forms, "told": told, "here": here}
        return page(template, status, **about, **shown)

    def go(self, told: str, *parts: str, **query: str) -> Response:
        """After a change: to a page that says so; a reload of it changes nothing again."""
        self.session.told = told
        return RedirectResponse(to(*parts, **query), 303)


Page = Callable[[Visit], Awaitable[Response]]
