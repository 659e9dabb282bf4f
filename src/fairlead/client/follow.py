"""The loop of one call: request, response, redirects, one retry.

In: a session, a method, a URL and a `Plan`.  Out: the final response, its head received.

One turn of the loop is one request.  A turn takes an idle connection when there is one, without waiting for anything;
everything that waits (a slot, a name, a connection, middlewares, traces) is beside that path.

Retry: a reused connection may have been closed by the server at the very moment that it was taken.  If no byte of a
response came, an idempotent request whose body can be replayed is sent once more, on a fresh connection (RFC 9112
§9.3.1); any request is, when nothing of it was written.  Others fail, with an error that says that the request may have
been processed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from yarl import URL

from .. import hdrs
from ..codec.urls import merge_params
from ..errors import (
    ClientConnectionResetError,
    ClientOSError,
    ClientPayloadError,
    ConnectionTimeoutError,
    NonHttpUrlClientError,
    ServerDisconnectedError,
    TooManyRedirects,
    TotalTimeoutError,
)
from . import redirects
from .auth import strip_auth_from_url
from .env import get_env_proxy_for_url
from .request import ClientRequest
from .response import translated
from .timeouts import limit_of

if TYPE_CHECKING:
    from ..wire.exchange import Exchange
    from .connector import Connection
    from .options import Plan
    from .response import ClientResponse
    from .session import ClientSession
    from .template import Route
    from .tracing import Trace

IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be sent twice (RFC 9110 §9.2.2)."""

LOST: Final = (ServerDisconnectedError, ClientOSError, ClientConnectionResetError)
"""What a connection that has ended looks like."""

MIDDLEWARE_GRACE: Final = 0.02
"""Seconds after which a call whose total time has run out is ended inside its middlewares."""

_SET_COOKIE = hdrs.SET_COOKIE

Handler = Callable[[ClientRequest], Awaitable["ClientResponse"]]


async def run(session: ClientSession, method: str, url: URL, plan: Plan) -> ClientResponse:
    """Make a call in full; see `ClientSession.request` for what it raises."""
    started = session.loop.time()
    tracker = plan.upload_tracker
    if tracker is not None:
        tracker.claim()
    try:
        traces = session.make_traces(plan)
        return await Call(session, method, url, plan, traces, started).run()
    finally:
        if tracker is not None:
            tracker.call_ended()


async def recover(
    session: ClientSession, plan: Plan, exchange: Exchange, route: Route, exc: BaseException
) -> ClientResponse:
    """Go on after a plain request on a reused connection has failed: raise, or send it once more."""
    exchange.abort()
    if not isinstance(exc, Exception):
        raise exc
    request = session.plain_request(exchange, plan)
    error = translated(exc, request.request_info)
    if not isinstance(error, LOST):
        if error is exc:
            raise error
        raise error from exc
    if exchange.link.received or exchange.method not in IDEMPOTENT:
        raise error if exchange.link.received else explained(error, request)
    request.started = started = exchange.started(session.loop.time())
    request.fresh = True
    response = await attempt(session, request, plan, [], started, retried=True)
    return await after(session, plan, response, started)


async def after(session: ClientSession, plan: Plan, response: ClientResponse, started: float) -> ClientResponse:
    """Finish a plain call whose response is a redirect or came by a detour."""
    if _SET_COOKIE in response.headers:
        session.cookie_jar.update_cookies_from_headers(response.headers.getall(_SET_COOKIE), response.url)
    request = response.request
    call = Call(session, request.method, request.original_url, plan, [], started)
    return await call.after(request, response)


async def check_status(plan: Plan, response: ClientResponse) -> None:
    """Apply `raise_for_status` to the final response."""
    check = plan.raise_for_status
    if check is True:
        if response.status >= 400:
            await response.receive_excerpt()
        response.raise_for_status()
    elif check:
        try:
            await check(response)
        except BaseException:
            response.close()
            raise


async def attempt(
    session: ClientSession,
    request: ClientRequest,
    plan: Plan,
    traces: list[Trace],
    started: float,
    *,
    retried: bool = False,
) -> ClientResponse:
    """Send one request and wait for the head of its response, once more if the connection turned out to be dead."""
    connector = session.open_connector()
    conn = None if traces or retried else connector.reuse(request)
    while True:
        if conn is None:
            request.check()
            conn = await connect(session, request, plan, traces, started)
        link = conn.protocol
        reused = link is not None and link.used
        written = False
        try:
            response = await request.send(conn)
            written = True
            await response.start(conn)
        except LOST as exc:
            untouched = link is None or not link.received
            if written and not (reused and untouched):
                raise
            if retried or (written and not (request.method in IDEMPOTENT and request.replayable())):
                if written:
                    raise explained(exc, request) from exc.__cause__
                raise
            retried = request.fresh = True
            conn = None
            await request.wait_upload()
            continue
        if traces:
            response.trace(traces)
        return response


def explained(exc: BaseException, request: ClientRequest) -> BaseException:
    """Say what a lost connection means for a request that is not repeated automatically."""
    exc.add_note(
        f"{request.method} {request.url} was sent on a reused connection that ended without an answer; it may have "
        "been processed, so it was not sent again. Repeat it yourself if that is safe."
    )
    return exc


async def connect(
    session: ClientSession, request: ClientRequest, plan: Plan, traces: list[Trace], started: float
) -> Connection:
    """Wait for a connection, within the call's total time."""
    connector = session.open_connector()
    timeout = plan.timeout
    total = limit_of(timeout.total)
    loop = session.loop
    try:
        async with asyncio.timeout_at(None if total is None else started + total) as scope:
            return await connector.connect(request, traces, timeout)
    except ConnectionTimeoutError:
        raise
    except TimeoutError as exc:
        if scope.expired():
            assert total is not None
            phase = request.phase or "pool"
            raise TotalTimeoutError(
                total, phase, loop.time() - started, f"{request}, no connection yet ({connector.in_use} in use)"
            ) from exc
        raise ConnectionTimeoutError(f"Connection timeout to host {request.url}") from exc


class Call:
    """A call that needs more than one plain request."""

    def __init__(
        self, session: ClientSession, method: str, url: URL, plan: Plan, traces: list[Trace], started: float
    ) -> None:
        self.session = session
        self.method = method
        self.url = url
        self.plan = plan
        self.traces = traces
        self.started = started
        self.history: list[ClientResponse] = []
        self.headers = session.merged_headers(plan.headers)
        self.params = plan.params
        self.auth = plan.auth
        self.cookies = plan.cookies
        self.cookies_from = url  # where the call's own cookies may go
        self.data: Any = plan.data if plan.json is None else session.json_payload(plan.json)
        self.request: ClientRequest | None = None

    async def run(self) -> ClientResponse:
        """Run the loop with its traces around it."""
        for trace in self.traces:
            await trace.send_request_start(self.method, merge_params(self.url, self.params), self.headers)
        try:
            response = await self._loop()
            await check_status(self.plan, response)
        except BaseException as exc:
            await self._close_body()
            for trace in self.traces:
                await trace.send_request_exception(self.method, merge_params(self.url, self.params), self.headers, exc)
            raise
        await self._close_body()
        try:
            for trace in self.traces:
                await trace.send_request_end(self.method, merge_params(self.url, self.params), self.headers, response)
        except BaseException:
            response.close()
            raise
        return response

    async def after(self, request: ClientRequest, response: ClientResponse) -> ClientResponse:
        """Go on after a plain request was answered with a redirect."""
        self.request = request
        try:
            if not await self._take(response):
                response = await self._loop()
        except BaseException:
            response.close()
            raise
        await check_status(self.plan, response)
        return response

    async def _close_body(self) -> None:
        """Let go of the body: no further request will send it."""
        if self.request is not None:
            await self.request.close()

    async def _loop(self) -> ClientResponse:
        while True:
            self.request = request = self._build()
            response = await self._send(request)
            try:
                if await self._take(response):
                    return response
            except BaseException:
                response.close()
                raise

    async def _send(self, request: ClientRequest) -> ClientResponse:
        session, plan, traces, started = self.session, self.plan, self.traces, self.started
        received: list[ClientResponse] = []

        async def send(request: ClientRequest) -> ClientResponse:
            response = await attempt(session, request, plan, traces, started)
            received.append(response)
            if _SET_COOKIE in response.headers:
                session.cookie_jar.update_cookies_from_headers(response.headers.getall(_SET_COOKIE), response.url)
            return response

        handler: Handler = send
        for middleware in reversed(plan.middlewares):
            handler = _bind(middleware, handler)
        try:
            if handler is send:
                return await send(request)
            return await self._in_time(handler, request)
        except BaseException:
            for response in received:  # a middleware may have held it when it failed
                response.close()
            raise

    async def _in_time(self, handler: Handler, request: ClientRequest) -> ClientResponse:
        """Run the middlewares within the call's total time: they may wait for something else than a response."""
        total = limit_of(self.plan.timeout.total)
        loop = self.session.loop
        try:
            # Whoever waits for a connection or a response says it better, so give them a moment to do so.
            async with asyncio.timeout_at(None if total is None else self.started + total + MIDDLEWARE_GRACE) as scope:
                return await handler(request)
        except TimeoutError as exc:
            if total is None or not scope.expired() or isinstance(exc, TotalTimeoutError):
                raise
            raise TotalTimeoutError(total, "middlewares", loop.time() - self.started, str(request)) from exc

    def _build(self) -> ClientRequest:
        session, plan = self.session, self.plan
        url, url_auth = strip_auth_from_url(self.url)
        if url_auth is not None and self.auth is not None:
            raise ValueError("Cannot combine AUTH argument with credentials encoded in URL")
        auth = self.auth or url_auth or session.default_auth_for(url)
        if auth is not None and hdrs.AUTHORIZATION in self.headers:
            raise ValueError("Cannot combine AUTHORIZATION header with AUTH argument or credentials encoded in URL")
        self.url = url
        self.auth = self.auth or url_auth  # credentials of the URL hold for redirects within its origin
        proxy, proxy_auth = plan.proxy, plan.proxy_auth
        if proxy is None and session.trust_env:
            try:
                proxy, proxy_auth = get_env_proxy_for_url(url)
            except LookupError:
                pass
        if proxy is not None:
            proxy, own = strip_auth_from_url(proxy)
            proxy_auth = proxy_auth or own
        request = session.request_class(
            self.method,
            url,
            params=self.params,
            headers=self.headers,
            skip_auto_headers=session.skipped(plan.skip_auto_headers),
            data=self.data,
            cookies=session.cookies_for(url, self.cookies, self.cookies_from),
            auth=auth,
            version=session.version,
            compress=plan.compress,
            chunked=plan.chunked,
            expect100=plan.expect100,
            loop=session.loop,
            response_class=session.response_class,
            proxy=proxy,
            proxy_auth=proxy_auth,
            timer=None,
            session=session,
            ssl=plan.ssl,
            server_hostname=plan.server_hostname,
            proxy_headers=plan.proxy_headers,
            traces=self.traces,
            trust_env=session.trust_env,
        )
        request.plan = plan
        request.started = self.started
        return request

    async def _take(self, response: ClientResponse) -> bool:
        """Look at a response: True when it is the final one, else prepare the next request."""
        plan, session = self.plan, self.session
        if not plan.allow_redirects or response.status not in redirects.REDIRECTS:
            response.set_history(self.history)
            return True
        for trace in self.traces:
            await trace.send_request_redirect(self.method, merge_params(self.url, self.params), self.headers, response)
        self.history.append(response)
        if plan.max_redirects and len(self.history) >= plan.max_redirects:
            response.close()
            raise TooManyRedirects(self.history[0].request_info, tuple(self.history))
        request = self.request
        assert request is not None
        step = redirects.decide(
            self.method, request.original_url, response.status, response.headers, requote=session.requote_redirect_url
        )
        if step is None:
            response.set_history(self.history)
            return True
        if step.url.scheme not in session.open_connector().allowed_protocol_schema_set:
            raise NonHttpUrlClientError(step.url)
        await self._prepare(request, step)
        response.release()
        await request.wait_upload()
        return False

    async def _prepare(self, request: ClientRequest, step: redirects.Follow) -> None:
        if step.keep_body:
            body = request.payload()
            if body is not None:
                if not request.replayable():
                    raise ClientPayloadError(
                        "Cannot follow redirect with a consumed request body. "
                        "Use bytes, a seekable file-like object, or set allow_redirects=False."
                    )
                self.data = body
        else:
            self.data = None
            for name in redirects.BODY_FIELDS:
                self.headers.pop(name, None)
        if not step.same_origin:
            self.auth = None
            for name in redirects.CROSS_ORIGIN_SECRETS:
                self.headers.pop(name, None)
        self.method = step.method
        self.url = step.url
        self.params = None


def _bind(middleware: Any, handler: Handler) -> Handler:
    async def call(request: ClientRequest) -> ClientResponse:
        response: ClientResponse = await middleware(request, handler)
        return response

    return call
