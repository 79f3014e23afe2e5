"""Composes the console: its pages behind the gate, the session and the form's own word; the admin REST is beside it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import resources
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.admin.access import Access
from gateway.admin.app import Admin
from gateway.admin.attempts import Attempts
from gateway.admin.console import apis, consumers, looking, overview, policies, topics
from gateway.admin.console.forms import Form, read
from gateway.admin.console.gate import HEADERS, Gate, cookies
from gateway.admin.console.inside import Inside, Proved, RestRefused
from gateway.admin.console.sessions import Prove, Session, Sessions
from gateway.admin.console.signing_in import Way, by_token
from gateway.admin.console.visit import BASE, Page, Visit, local, page, to
from gateway.consumers.tokens import Token
from gateway.core.errors import BadRequest, InternalError, NotFound, Problem, Unauthorized
from gateway.core.ids import id_source

log: Final = logging.getLogger("gateway.admin")
ASSETS: Final = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
SAFE: Final = ("GET", "HEAD")

_next_id: Final = id_source()
Plain = Callable[[Request], Awaitable[Response]]


class Console:
    """`rest` is the admin REST whose access is `inside.Proved`; `attempts` are those of the REST, too; `metrics` gives
    the counters of every worker. `ways` are buttons beside the token's field; a way ends with `begin`."""

    def __init__(
        self,
        rest: ASGIApp,
        access: Access,
        attempts: Attempts,
        metrics: Callable[[], Sequence[Mapping[str, Any]]],
        origins: Sequence[str] = (),
        ways: Sequence[Way] = (),
    ) -> None:
        self.inside = Inside(rest)
        self.access = access
        self.gate = Gate(tuple(origins))
        self.sessions = Sessions(access.clock)
        self.attempts = attempts
        self.ways = tuple(ways)
        self.overview = overview.Overview(metrics, access.clock)

    def beside(self, app: ASGIApp) -> ASGIApp:
        """What is below `/console` is answered here, `/` leads there, everything else is `app`'s."""
        routed = self._routed()

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope.get("path", "")
            if scope["type"] == "http" and (path in {"/", BASE} or path.startswith(f"{BASE}/")):
                await routed(scope, receive, _guarded(send))
            else:
                await app(scope, receive, send)

        return serve

    def _routed(self) -> Router:
        pages: dict[str, dict[str, Plain]] = {}
        for module in (self.overview, apis, policies, consumers, topics, looking):
            for path, method, answer in module.PAGES:
                pages.setdefault(BASE + path, {})[method] = self._signed_in(answer)
        routes = [self._route(path, methods) for path, methods in pages.items()]
        own: list[tuple[str, dict[str, Plain]]] = [
            ("/", {"GET": self._home}),
            (f"{BASE}/sign-in", {"GET": self._ask, "POST": self._sign_in}),
            (f"{BASE}/sign-out", {"POST": self._signed_in(self._sign_out)}),
            (f"{BASE}/static/{{name}}", {"GET": self._asset}),
        ]
        for way in self.ways:
            own += [(f"{BASE}/sign-in/{way.name}{more}", {"GET": self._by(way)}) for more in ("", "/back")]
        router = Router([*(self._route(*each) for each in own), *routes], redirect_slashes=False)
        router.default = self._nowhere
        return router

    def _route(self, path: str, methods: dict[str, Plain]) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                self.gate.origin(request)
                if request.method not in SAFE:
                    self.gate.check(request)
                return await methods["GET" if request.method == "HEAD" else request.method](request)
            except Exception as error:
                return await self._refused(request, error)

        return Route(path, endpoint, methods=list(methods))

    async def _nowhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def endpoint(request: Request) -> Response:
            error = NotFound("There is no such page.")
            return await self._refused(request, error)

        await (await endpoint(Request(scope, receive)))(scope, receive, send)

    # sessions

    def _cookie(self, request: Request) -> tuple[str, str]:
        """The session cookie's name and what the browser sent."""
        name = self.gate.cookie_name(self.gate.origin(request))
        return name, cookies(request).get(name, "")

    async def _who(self, request: Request) -> tuple[Session, Token] | None:
        _, sent = self._cookie(request)
        session = self.sessions.find(sent) if sent else None
        if session is None:
            return None
        actor = await session.prove()
        if actor is None:
            self.sessions.end(sent)
            return None
        return session, actor

    def _signed_in(self, answer: Page) -> Plain:
        async def endpoint(request: Request) -> Response:
            found = await self._who(request)
            if found is None:
                raise Unauthorized("Sign in first; a session ends after half an hour without a request.")
            session, actor = found
            form = Form({}) if request.method in SAFE else await read(request)
            visit = Visit(request, actor, session, self.inside, form)
            if request.method not in SAFE:
                visit.check_form()
            return await answer(visit)

        return endpoint

    def begin(self, request: Request, prove: Prove, target: str = BASE, leave: str = "") -> Response:
        """Signs somebody in who was just proved, and leads on. The page leads on by itself and is no redirect: a cookie
        that is SameSite=Strict would not go along with a redirect that another site began."""
        origin = self.gate.origin(request)
        name, sent = self._cookie(request)
        if sent:
            self.sessions.end(sent)
        answer = page("signed_in.html", target=local(target))
        answer.headers["Set-Cookie"] = self.gate.cookie(origin, name, self.sessions.begin(prove, leave))
        return answer

    def _by(self, way: Way) -> Plain:
        async def answer(request: Request) -> Response:
            return await way.answer(request, self.begin)

        return answer

    async def _home(self, _request: Request) -> Response:
        return RedirectResponse(BASE, 303)

    def _form_cookie(self, request: Request) -> str:
        return self.gate.cookie_name(self.gate.origin(request)) + "-form"

    def _asking(self, request: Request, target: str, wrong: str = "", status: int = 200) -> Response:
        """Before there is a session, the form's word stands in a cookie of its own."""
        name = self._form_cookie(request)
        word = cookies(request).get(name) or secrets.token_urlsafe(32)
        answer = page("sign_in.html", status, csrf=word, target=local(target), wrong=wrong, ways=self.ways)
        answer.headers["Set-Cookie"] = self.gate.cookie(self.gate.origin(request), name, word)
        return answer

    async def _ask(self, request: Request) -> Response:
        target = local(request.query_params.get("to", BASE))
        return RedirectResponse(target, 303) if await self._who(request) else self._asking(request, target)

    async def _sign_in(self, request: Request) -> Response:
        address = request.client.host if request.client is not None else ""
        self.attempts.check(address)
        form = await read(request)
        word = cookies(request).get(self._form_cookie(request), "")
        if not word or not secrets.compare_digest(word.encode(), form.text("csrf").encode()):
            raise BadRequest("The form is of another visit, or cookies are off. Open the page again.")
        prove = await by_token(self.access, form.text("token"))
        if prove is None:
            self.attempts.wrong(address)
            wrong = "The token is unknown, revoked or has ended."
            return self._asking(request, form.text("to"), wrong, 401)
        return self.begin(request, prove, form.text("to"))

    async def _sign_out(self, visit: Visit) -> Response:
        name, sent = self._cookie(visit.request)
        self.sessions.end(sent)
        leave = visit.session.leave  # a page, as browsers follow no form to another site (CSP form-action)
        answer = page("signed_out.html", leave=leave) if leave else RedirectResponse(to("sign-in"), 303)
        answer.headers["Set-Cookie"] = self.gate.cookie(self.gate.origin(visit.request), name, "")
        return answer

    # other answers

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in ASSETS:
            raise NotFound("There is no such file.")
        content = resources.files("gateway.admin.console").joinpath("static", name).read_bytes()
        return Response(content, headers={"Content-Type": ASSETS[name], "Cache-Control": "no-cache"})

    async def _refused(self, request: Request, error: Exception) -> Response:
        """A page that says what is wrong and where to go on; a failure's reason is for the log."""
        if isinstance(error, Unauthorized) and request.method in SAFE:
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(to("sign-in", to=request.url.path + query), 303)
        problem, status, headers = _told(error)
        signing_in = request.url.path.startswith(to("sign-in") + "/")  # there going back is to an attempt that is over
        answer = page("refused.html", status, problem=problem, signing_in=signing_in)
        for name, value in headers:
            answer.headers[name.decode()] = value.decode()
        return answer


def console_beside(admin: Admin, origins: Sequence[str] = (), ways: Sequence[Way] = ()) -> ASGIApp:
    """The admin REST with the console beside it, which calls the same REST as who is signed in."""
    access = admin.access
    proved = Proved(access.store, access.hasher, access.clock)
    inside = Admin(admin.service, proved, admin.metrics, admin.lines).routed()
    return Console(inside, access, admin.attempts, admin.metrics, origins, ways).beside(admin.app())


def _told(error: Exception) -> tuple[Mapping[str, Any], int, Sequence[tuple[bytes, bytes]]]:
    if isinstance(error, RestRefused):
        return error.problem, error.status, ()
    if isinstance(error, HTTPException):
        return {"title": "Not offered here"}, error.status_code, ()
    known = error if isinstance(error, Problem) else InternalError("The node's log tells more.")
    told = {"title": known.title, "detail": known.detail, "code": known.code}
    if known.status >= 500 and known.status != 503:
        told["id"] = _next_id()
        log.error("console request %s answered %d %s", told["id"], known.status, known.code, exc_info=error)
    return told, known.status, known.headers


def _guarded(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return guarded
