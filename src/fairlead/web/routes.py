"""Routes and matches: which handler answers which method, and what a router found for one request.

In: a method, a handler (coroutine function, view class, callable) and an Expect handler. Out: routes, which resources
hold, and matches: a dictionary of the variable parts of the path that knows its route and its applications.

A match is made for each request, so it is bare: four slots, no copies, no checks. RFC 9110 sections 9.1 (method) and
10.1.1 (Expect).
"""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, TypedDict

from .. import hdrs
from ..codec.events import HttpVersion11
from .abstract import AbstractMatchInfo, AbstractView
from .exceptions import HTTPException, HTTPExpectationFailed

if TYPE_CHECKING:
    from pathlib import Path

    from yarl import URL

    from .abstract import ExpectHandler, Handler
    from .app import Application
    from .request import Request
    from .resources import AbstractResource, AbstractRuleMatching
    from .stream_response import StreamResponse

# RFC 9110 section 5.6.2: a method is a token. The wildcard "*" is one too.
_METHOD = re.compile(r"[0-9A-Za-z!#$%&'*+.^_`|~-]+")
_PACKAGE = __name__.partition(".")[0]


class InfoDict(TypedDict, total=False):
    """What ``get_info`` returns; each kind of resource fills in its own part."""

    path: str
    formatter: str
    pattern: re.Pattern[str]
    directory: Path
    prefix: str
    routes: dict[str, AbstractRoute]
    app: Application
    domain: str
    rule: AbstractRuleMatching
    http_exception: HTTPException


async def answer_expectation(request: Request) -> None:
    """Tell the client to go on when it expects 100-continue.

    Raises HTTPExpectationFailed for any other expectation. HTTP/1.0 clients know no expectations, so theirs are not
    answered. RFC 9110 section 10.1.1.
    """
    if request.version != HttpVersion11:
        return
    expectation = request.headers.get(hdrs.EXPECT, "")
    if expectation.lower() != "100-continue":
        raise HTTPExpectationFailed(text=f"Unknown Expect: {expectation}")
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The interim response is not part of the response whose size the access log reports.
    request.writer.output_size = 0


def _caller_level() -> int:
    """Return the stacklevel of the first frame outside this package: where the route was written."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        frame, level = frame.f_back, level + 1
    return level


def _deprecated(message: str) -> None:
    warnings.warn(message, DeprecationWarning, stacklevel=_caller_level())


def _is_async(function: Any) -> bool:
    """Tell whether a call gives a coroutine: of a coroutine function, or of an object with ``async __call__``."""
    while isinstance(function, partial):
        function = function.func
    if inspect.isclass(function):
        return False
    return inspect.iscoroutinefunction(function) or (
        callable(function) and inspect.iscoroutinefunction(type(function).__call__)
    )


def _as_handler(handler: Any) -> Handler:
    """Return what a route awaits; plain functions are wrapped and deprecated, anything else is an AssertionError."""
    if _is_async(handler) or (inspect.isclass(handler) and issubclass(handler, AbstractView)):
        pass
    elif inspect.isgeneratorfunction(handler):
        _deprecated("Bare generators are deprecated, use @coroutine wrapper")
    elif callable(handler):
        _deprecated("Bare functions are deprecated, use async ones")
        return _awaitable(handler)
    else:
        raise AssertionError(f"Handler must be a coroutine function or a subclass of web.View, got {handler!r}")
    return handler  # type: ignore[no-any-return]


def _awaitable(function: Callable[[Request], Any]) -> Handler:
    @wraps(function)
    async def handler_wrapper(request: Request) -> StreamResponse:
        answer = function(request)
        if inspect.isawaitable(answer):
            answer = await answer
        return answer  # type: ignore[no-any-return]

    return handler_wrapper


class AbstractRoute(ABC):
    """One method of one resource, and the handler that answers it."""

    def __init__(
        self,
        method: str,
        handler: Handler | type[AbstractView],
        *,
        expect_handler: ExpectHandler | None = None,
        resource: AbstractResource | None = None,
    ) -> None:
        """Check what is given; ValueError for a method that is not a token, AssertionError for a wrong handler."""
        if expect_handler is None:
            expect_handler = answer_expectation
        elif not _is_async(expect_handler):
            raise AssertionError(f"Coroutine is expected, got {expect_handler!r}")
        method = method.upper()
        if _METHOD.fullmatch(method) is None:
            raise ValueError(f"{method} is not allowed HTTP method")
        self._method = method
        self._handler = _as_handler(handler)
        self._expect_handler = expect_handler
        self._resource = resource

    @property
    def method(self) -> str:
        """The method in upper case, ``*`` for any."""
        return self._method

    @property
    def handler(self) -> Handler:
        """What is awaited with the request; a view class is awaited in the same way."""
        return self._handler

    @property
    @abstractmethod
    def name(self) -> str | None:
        """The name of the resource, None when it has none."""

    @property
    def resource(self) -> AbstractResource | None:
        """The resource that holds the route, None for the routes of errors."""
        return self._resource

    @abstractmethod
    def get_info(self) -> InfoDict:
        """Return facts about the resource, for logs and tools."""

    @abstractmethod
    def url_for(self, *args: str, **kwargs: str) -> URL:
        """Return the URL of the resource with its variable parts filled in."""

    async def handle_expect_header(self, request: Request) -> StreamResponse | None:
        """Await the Expect handler; a response that it returns is sent instead of calling the handler."""
        return await self._expect_handler(request)


class ResourceRoute(AbstractRoute):
    """A route that lies in a resource."""

    def __init__(
        self,
        method: str,
        handler: Handler | type[AbstractView],
        resource: AbstractResource,
        *,
        expect_handler: ExpectHandler | None = None,
    ) -> None:
        super().__init__(method, handler, expect_handler=expect_handler, resource=resource)
        self._owner = resource

    def __repr__(self) -> str:
        return f"<ResourceRoute [{self.method}] {self._owner} -> {self.handler!r}"

    @property
    def name(self) -> str | None:
        """The name of the resource, None when it has none."""
        return self._owner.name

    def url_for(self, *args: str, **kwargs: str) -> URL:
        """Return the URL of the resource with its variable parts filled in."""
        return self._owner.url_for(*args, **kwargs)

    def get_info(self) -> InfoDict:
        """Return facts about the resource, for logs and tools."""
        return self._owner.get_info()


class SystemRoute(AbstractRoute):
    """The route of a request that no resource answers: its handler raises the error."""

    def __init__(self, http_exception: HTTPException) -> None:
        # Made for each such request and always right, so nothing is checked.
        self._method = hdrs.METH_ANY
        self._handler = self._handle
        self._expect_handler = answer_expectation
        self._resource = None
        self._http_exception = http_exception

    def __repr__(self) -> str:
        return f"<SystemRoute {self.status}: {self.reason}>"

    @property
    def name(self) -> str | None:
        """None: errors have no names."""
        return None

    @property
    def status(self) -> int:
        """The status code of the error."""
        return self._http_exception.status

    @property
    def reason(self) -> str:
        """The reason phrase of the error."""
        return self._http_exception.reason

    def url_for(self, *args: str, **kwargs: str) -> URL:
        """Raise RuntimeError: an error has no URL."""
        raise RuntimeError(".url_for() is not allowed for SystemRoute")

    def get_info(self) -> InfoDict:
        """Return the error under ``http_exception``."""
        return {"http_exception": self._http_exception}

    async def _handle(self, request: Request) -> StreamResponse:
        raise self._http_exception


class UrlMappingMatchInfo(dict[str, str], AbstractMatchInfo):
    """The variable parts of the path by their names, and the route, the handler and the applications of the request."""

    __slots__ = ("_apps", "_current_app", "_frozen", "_route")

    def __init__(self, match_dict: dict[str, str], route: AbstractRoute, *, app: Application | None = None) -> None:
        """Match a route; with `app` the match belongs to this one application and is frozen."""
        if match_dict:
            self |= match_dict
        self._route = route
        self._current_app = app
        self._apps: tuple[Application, ...]
        if app is None:
            self._apps = ()
            self._frozen = False
        else:
            self._apps = (app,)
            self._frozen = True

    def __repr__(self) -> str:
        return f"<MatchInfo {super().__repr__()}: {self._route}>"

    @property
    def handler(self) -> Handler:
        """The handler of the route."""
        return self._route._handler

    @property
    def route(self) -> AbstractRoute:
        """The route that answers the request; a SystemRoute when there is none."""
        return self._route

    @property
    def expect_handler(self) -> ExpectHandler:
        """What is awaited first when the request has an Expect field."""
        return self._route.handle_expect_header

    @property
    def http_exception(self) -> HTTPException | None:
        """The error that answers the request, None when a route was found."""
        return None

    def get_info(self) -> InfoDict:  # type: ignore[override]
        """Return facts about the resource, for logs and tools."""
        return self._route.get_info()

    @property
    def apps(self) -> tuple[Application, ...]:
        """The applications that the request passes, the outermost first."""
        return self._apps

    def add_app(self, app: Application) -> None:
        """Put ``app`` around the applications that are there already; RuntimeError after ``freeze``."""
        if self._frozen:
            raise RuntimeError("Cannot change apps stack after .freeze() call")
        if self._current_app is None:
            self._current_app = app
        self._apps = (app, *self._apps)

    def bind(self, app: Application) -> None:
        """Do ``add_app`` and ``freeze`` in one step, for the outermost application, which handles every request."""
        if self._frozen:
            raise RuntimeError("Cannot change apps stack after .freeze() call")
        if self._current_app is None:
            self._current_app = app
            self._apps = (app,)
        else:
            self._apps = (app, *self._apps)
        self._frozen = True

    @property
    def current_app(self) -> Application:
        """The application whose middleware or handler is running; AssertionError before there is any."""
        app = self._current_app
        if app is None:
            raise AssertionError("The match belongs to no application yet")
        return app

    @current_app.setter
    def current_app(self, app: Application) -> None:
        self._current_app = app

    def freeze(self) -> None:
        """Allow no more applications."""
        self._frozen = True


class MatchInfoError(UrlMappingMatchInfo):
    """The match of a request that no route answers."""

    __slots__ = ("_exception",)

    def __init__(self, http_exception: HTTPException) -> None:
        self._exception = http_exception
        super().__init__({}, SystemRoute(http_exception))

    @property
    def http_exception(self) -> HTTPException:
        """The error that answers the request."""
        return self._exception

    def __repr__(self) -> str:
        return f"<MatchInfoError {self._exception.status}: {self._exception.reason}>"
