"""The application: its state, routes, middlewares and signals, and its life from start-up to cleanup.

In: requests, one `_handle` call each. Out: what the handler returned. An application is set up, frozen, started, told
of the shutdown, and cleaned up; a sub-application shares the life of its parent and keeps its own state.

Life: ``startup`` enters the cleanup contexts in order and sends ``on_startup``; ``shutdown`` sends ``on_shutdown``;
``cleanup`` leaves the contexts in the opposite order and sends ``on_cleanup``. Each does the application itself first
and then its sub-applications in the order in which they were added. What is to be ended is ended even when something
before it failed: one error comes out as itself, several as `CleanupError`.

Limits: a chain of middlewares is composed once for each handler and kept, up to `CHAINS` of them.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
)
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from ..keys import AppKey
from ..signals import FrozenList, Signal
from .abstract import AbstractAccessLogger, AbstractMatchInfo, AbstractRouter
from .access_log import AccessLogger
from .errors import NotAppKeyWarning
from .middlewares import compose, warn_of_old_style
from .request import Request
from .resources import Domain, MaskDomain, MatchedSubAppResource, PrefixedSubAppResource
from .router import UrlDispatcher
from .routes import UrlMappingMatchInfo
from .server import Server

if TYPE_CHECKING:
    from ..typedefs import Middleware
    from .abstract import Handler
    from .protocol import RequestHandler
    from .request import BaseRequest
    from .routedef import AbstractRouteDef
    from .routes import AbstractRoute
    from .stream_response import StreamResponse

_T = TypeVar("_T")
_U = TypeVar("_U")
_ResourceT = TypeVar("_ResourceT", MatchedSubAppResource, PrefixedSubAppResource)

web_logger = logging.getLogger("fairlead.web")

CLIENT_MAX_SIZE = 1024**2
"""Bytes of a request body that `Request.read()` and what builds on it accept, unless the application says otherwise."""

CLIENT_MAX_FIELDS = 1000
"""Fields of a form that `Request.post()` accepts, unless the application says otherwise."""

CHAINS = 1024
"""Composed chains that an application keeps: more than most have routes. Past it the oldest is composed anew."""

CleanupContextFactory = Callable[["Application"], AsyncIterator[Any] | AbstractAsyncContextManager[Any]]


class CleanupError(RuntimeError):
    """Several things failed while an application was cleaned up; `exceptions` are all of them, in order."""

    @property
    def exceptions(self) -> list[BaseException]:
        """What was raised."""
        return cast("list[BaseException]", self.args[1])


def raise_collected(errors: list[BaseException]) -> None:
    """Empty the list and raise its one error, or CleanupError for several; a cancellation comes first."""
    others: list[BaseException] = []
    cancelled: BaseException | None = None
    while errors:
        error = errors.pop(0)
        if isinstance(error, asyncio.CancelledError):
            cancelled = error
        else:
            others += error.exceptions if isinstance(error, CleanupError) else [error]
        del error
    # What is raised knows the frames that it passes: they must not know it, or they keep each other alive.
    first: BaseException | None
    if not others:
        first = None
    elif len(others) == 1:
        first = others[0]
    else:
        first = CleanupError("Multiple errors on cleanup stage", others)
    del others
    try:
        if cancelled is not None:
            raise cancelled from first
        if first is not None:
            raise first
    finally:
        del cancelled, first


async def _send_to_all(signal: Signal, app: Application) -> None:
    """Send a signal that ends things: a receiver that fails does not keep the others from ending theirs."""
    if not signal.frozen:
        raise RuntimeError("Cannot send non-frozen signal.")
    errors: list[BaseException] = []
    for receiver in signal:
        try:
            await receiver(app)
        except asyncio.CancelledError as exc:
            errors.append(exc)
            break
        except Exception as exc:
            errors.append(exc)
    raise_collected(errors)


class CleanupContext(FrozenList[CleanupContextFactory]):
    """What is entered at start-up and left at cleanup: functions of the application.

    Each returns an asynchronous generator that yields once, or an asynchronous context manager.
    """

    __slots__ = ("_exits",)

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._exits: list[Callable[[], Awaitable[object]]] = []

    def __repr__(self) -> str:
        """Show state and items."""
        return f"<FrozenList(frozen={self.frozen}, {list(self)!r})>"

    async def _on_startup(self, app: Application) -> None:
        """Enter each in order; what was entered before one that fails is left by `leave()`."""
        for factory in self:
            context = factory(app)
            kind = type(context)
            if hasattr(kind, "__aenter__") and hasattr(kind, "__aexit__"):
                await cast("AbstractAsyncContextManager[Any]", context).__aenter__()
                self._exits.append(partial(context.__aexit__, None, None, None))  # type: ignore[union-attr]
            elif hasattr(kind, "__anext__"):
                iterator = cast("AsyncIterator[Any]", context)
                try:
                    await iterator.__anext__()
                except StopAsyncIteration:
                    raise RuntimeError(f"generator didn't yield: {factory!r} must yield once") from None
                self._exits.append(partial(_finish, iterator, factory))
            else:
                if asyncio.iscoroutine(context):
                    context.close()
                raise TypeError(
                    f"{context!r} is not an async iterator or an async context manager: a function in cleanup_ctx must"
                    f" be an async generator function or return one of these, and {factory!r} is or does not"
                )

    async def leave(self) -> None:
        """Leave what was entered, the last first, each once; errors come out when all are left."""
        errors: list[BaseException] = []
        while self._exits:
            leave = self._exits.pop()
            try:
                await leave()
            except (Exception, asyncio.CancelledError) as exc:
                errors.append(exc)
        raise_collected(errors)

    async def _on_cleanup(self, app: Application) -> None:
        await self.leave()


async def _finish(iterator: AsyncIterator[Any], factory: CleanupContextFactory) -> None:
    try:
        await iterator.__anext__()
    except StopAsyncIteration:
        return
    aclose = getattr(iterator, "aclose", None)
    if aclose is not None:
        await aclose()
    raise RuntimeError(f"generator didn't stop: {factory!r} must yield once")


class Application(MutableMapping[str | AppKey[Any], Any]):
    """A set of routes with their middlewares, state and signals.

    It is a mapping of the state that handlers share; use `AppKey` for keys. After it was frozen, at the end of
    start-up, its routes, middlewares and signals can not be changed.
    """

    ATTRS = frozenset(
        "logger _chains _cleanup_ctx _client_max_fields _client_max_size _debug _find _frozen _handler_args"
        " _hooked _loop _middlewares _on_cleanup _on_response_prepare _on_shutdown _on_startup _pre_frozen _router"
        " _run_middlewares _state _subapps".split()
    )

    def __init__(
        self,
        *,
        logger: logging.Logger = web_logger,
        router: UrlDispatcher | None = None,
        middlewares: Iterable[Middleware] = (),
        handler_args: Mapping[str, Any] | None = None,
        client_max_size: int = CLIENT_MAX_SIZE,
        client_max_fields: int = CLIENT_MAX_FIELDS,
        loop: asyncio.AbstractEventLoop | None = None,
        debug: Any = ...,
    ) -> None:
        """Set up an empty application.

        `handler_args` are arguments of `Server` and win over the runner's. `client_max_size` is in bytes of body and 0
        means no limit. `router`, `loop` and `debug` are deprecated.
        """
        if router is None:
            router = UrlDispatcher()
        else:
            warnings.warn("router argument is deprecated", DeprecationWarning, stacklevel=2)
            if not isinstance(router, AbstractRouter):
                raise TypeError(f"router must be an AbstractRouter, got {router!r}")
        if loop is not None:
            warnings.warn("loop argument is deprecated", DeprecationWarning, stacklevel=2)
        if debug is not ...:
            warnings.warn("debug argument is deprecated", DeprecationWarning, stacklevel=2)
        self.logger = logger
        self._debug = debug
        self._router = router
        # Known from the start of the server on: Any spares the checks for what is None before.
        self._loop: Any = loop
        self._handler_args = handler_args
        self._client_max_size = client_max_size
        self._client_max_fields = client_max_fields
        self._middlewares: FrozenList[Middleware] = FrozenList(middlewares)
        # Whether this application or one below it has any of these; known when frozen.
        self._run_middlewares = False
        # The router's, where it can be asked without awaiting.
        self._find: Callable[[Request, Application], Any] | None = None
        self._hooked = True  # a receiver of on_response_prepare
        self._chains: dict[tuple[int, tuple[Application, ...]], tuple[Handler, Handler]] = {}
        self._state: dict[str | AppKey[Any], Any] = {}
        self._frozen = False
        self._pre_frozen = False
        self._subapps: list[Application] = []
        self._on_response_prepare = Signal(self)
        self._on_startup = Signal(self)
        self._on_shutdown = Signal(self)
        self._on_cleanup = Signal(self)
        self._cleanup_ctx = CleanupContext()
        self._on_startup.append(self._cleanup_ctx._on_startup)
        self._on_cleanup.append(self._cleanup_ctx._on_cleanup)
        router.post_init(self)

    def __init_subclass__(cls) -> None:
        # One frame up is the metaclass, two is the class statement.
        warnings.warn(
            f"Inheritance class {cls.__name__} from web.Application is discouraged", DeprecationWarning, stacklevel=3
        )

    # --- the mapping -------------------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        """Compare by identity: two applications with the same state are two."""
        return self is other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        """Be true even without state."""
        return True

    @overload
    def __getitem__(self, key: AppKey[_T]) -> _T: ...
    @overload
    def __getitem__(self, key: str) -> Any: ...
    def __getitem__(self, key: str | AppKey[_T]) -> Any:
        """Return a value of the state; KeyError when there is none."""
        return self._state[key]

    @overload
    def __setitem__(self, key: AppKey[_T], value: _T) -> None: ...
    @overload
    def __setitem__(self, key: str, value: Any) -> None: ...
    def __setitem__(self, key: str | AppKey[_T], value: Any) -> None:
        """Set a value of the state; warns for keys that are no `AppKey`, and when the application is frozen."""
        self._check_frozen()
        if not isinstance(key, AppKey):
            warnings.warn(
                "It is recommended to use web.AppKey instances for keys.", category=NotAppKeyWarning, stacklevel=2
            )
        self._state[key] = value

    def __delitem__(self, key: str | AppKey[_T]) -> None:
        """Remove a value of the state; KeyError when there is none, a warning when the application is frozen."""
        self._check_frozen()
        del self._state[key]

    def __len__(self) -> int:
        """Return the number of values in the state."""
        return len(self._state)

    def __iter__(self) -> Iterator[str | AppKey[Any]]:
        """Iterate over the keys of the state."""
        return iter(self._state)

    @overload  # type: ignore[override]
    def get(self, key: AppKey[_T], default: None = ...) -> _T | None: ...
    @overload
    def get(self, key: AppKey[_T], default: _U) -> _T | _U: ...
    @overload
    def get(self, key: str, default: Any = ...) -> Any: ...
    def get(self, key: str | AppKey[_T], default: Any = None) -> Any:
        """Return a value of the state, or `default`."""
        return self._state.get(key, default)

    def __repr__(self) -> str:
        """Show the identity, since an application has no name."""
        return f"<Application 0x{id(self):x}>"

    def __call__(self) -> Application:
        """Return the application itself: gunicorn asks callables for it."""
        return self

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop (deprecated: ask asyncio)."""
        warnings.warn("loop property is deprecated", DeprecationWarning, stacklevel=2)
        return self._loop  # type: ignore[no-any-return]

    @property
    def debug(self) -> bool:
        """Whether the loop was in debug mode (deprecated: ask asyncio)."""
        warnings.warn("debug property is deprecated", DeprecationWarning, stacklevel=2)
        return cast("bool", self._debug)

    @property
    def pre_frozen(self) -> bool:
        """Whether routes, middlewares and signals can no longer be changed."""
        return self._pre_frozen

    @property
    def frozen(self) -> bool:
        """Whether the state can no longer be changed without a warning."""
        return self._frozen

    @property
    def router(self) -> UrlDispatcher:
        """The routes."""
        return self._router

    @property
    def middlewares(self) -> FrozenList[Middleware]:
        """The middlewares; the first is the outermost."""
        return self._middlewares

    @property
    def on_startup(self) -> Signal:
        """Sent with the application before the server accepts connections."""
        return self._on_startup

    @property
    def on_shutdown(self) -> Signal:
        """Sent with the application when the server has stopped listening and requests may still be running."""
        return self._on_shutdown

    @property
    def on_cleanup(self) -> Signal:
        """Sent with the application when all connections are closed."""
        return self._on_cleanup

    @property
    def on_response_prepare(self) -> Signal:
        """Sent with request and response before the head of a response is written."""
        return self._on_response_prepare

    @property
    def cleanup_ctx(self) -> CleanupContext:
        """Generator functions, or functions that return a context manager, entered at start-up, left at cleanup."""
        return self._cleanup_ctx

    # --- setting up --------------------------------------------------------------------------------------------------

    def add_routes(self, routes: Iterable[AbstractRouteDef]) -> list[AbstractRoute]:
        """Add the routes of a table or list, and return them."""
        return self._router.add_routes(routes)

    def add_subapp(self, prefix: str, subapp: Application) -> PrefixedSubAppResource:
        """Let a sub-application answer below a path prefix.

        It is set up no further: its routes, middlewares and signals are frozen here. RuntimeError when either
        application is frozen, ValueError for an empty prefix.
        """
        if not isinstance(prefix, str):
            raise TypeError("Prefix must be str")
        prefix = prefix.rstrip("/")
        if not prefix:
            raise ValueError("Prefix cannot be empty")
        return self._add_subapp(partial(PrefixedSubAppResource, prefix, subapp), subapp)

    def add_domain(self, domain: str, subapp: Application) -> MatchedSubAppResource:
        """Let a sub-application answer for a host; ``*`` in it stands for any characters.

        RuntimeError when either application is frozen, ValueError for what is no domain.
        """
        if not isinstance(domain, str):
            raise TypeError("Domain must be str")
        rule: Domain = MaskDomain(domain) if "*" in domain else Domain(domain)
        return self._add_subapp(partial(MatchedSubAppResource, rule, subapp), subapp)

    def _add_subapp(self, make: Callable[[], _ResourceT], subapp: Application) -> _ResourceT:
        if not isinstance(subapp, Application):
            raise TypeError(f"subapp must be a web.Application instance, got {subapp!r}")
        if self._frozen:
            raise RuntimeError("Cannot add sub application to frozen application")
        if subapp.frozen:
            raise RuntimeError("Cannot add frozen application")
        if subapp is self or subapp.contains(self):
            raise ValueError("An application cannot be a sub-application of itself")
        resource = make()
        self._router.register_resource(resource)
        self._reg_subapp_signals(subapp)
        self._subapps.append(subapp)
        subapp.pre_freeze()
        if self._loop is not None:
            subapp._set_loop(self._loop)
        return resource

    def contains(self, app: Application) -> bool:
        """Tell whether an application is one of the sub-applications, at any depth."""
        return any(subapp is app or subapp.contains(app) for subapp in self._subapps)

    def _reg_subapp_signals(self, subapp: Application) -> None:
        async def start(app: Application) -> None:
            await subapp.on_startup.send(subapp)

        async def shut_down(app: Application) -> None:
            await _send_to_all(subapp.on_shutdown, subapp)

        async def clean_up(app: Application) -> None:
            await _send_to_all(subapp.on_cleanup, subapp)

        self._on_startup.append(start)
        self._on_shutdown.append(shut_down)
        self._on_cleanup.append(clean_up)

    def _check_frozen(self) -> None:
        if self._frozen:
            warnings.warn(
                "Changing state of started or joined application is deprecated", DeprecationWarning, stacklevel=3
            )

    def _set_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if loop is None:
            loop = asyncio.get_event_loop()
        if self._loop is not None and self._loop is not loop:
            raise RuntimeError("web.Application instance initialized with different loop")
        self._loop = loop
        if self._debug is ...:
            self._debug = loop.get_debug()
        for subapp in self._subapps:
            subapp._set_loop(loop)

    def pre_freeze(self) -> None:
        """Forbid changes of routes, middlewares and signals, here and in the sub-applications."""
        if self._pre_frozen:
            return
        self._pre_frozen = True
        self._middlewares.freeze()
        self._router.freeze()
        for signal in (self._on_response_prepare, self._on_startup, self._on_shutdown, self._on_cleanup):
            signal.freeze()
        self._cleanup_ctx.freeze()
        warn_of_old_style(self._middlewares)
        self._run_middlewares = bool(self._middlewares)
        self._hooked = bool(self._on_response_prepare)
        if isinstance(self._router, UrlDispatcher) and self._router.finds_at_once:
            self._find = self._router.find
        for subapp in self._subapps:
            subapp.pre_freeze()
            self._run_middlewares = self._run_middlewares or subapp._run_middlewares
            self._hooked = self._hooked or subapp._hooked

    def freeze(self) -> None:
        """Forbid every further change, here and in the sub-applications."""
        if self._frozen:
            return
        self.pre_freeze()
        self._frozen = True
        for subapp in self._subapps:
            subapp.freeze()

    # --- life --------------------------------------------------------------------------------------------------------

    async def startup(self) -> None:
        """Enter the cleanup contexts and send `on_startup`, here and in the sub-applications.

        The first error comes out at once; `cleanup()` then leaves the contexts that were entered.
        """
        await self._on_startup.send(self)

    async def shutdown(self) -> None:
        """Send `on_shutdown`, here and in the sub-applications; errors come out when all receivers were called."""
        await _send_to_all(self._on_shutdown, self)

    async def cleanup(self) -> None:
        """Leave the cleanup contexts and send `on_cleanup`, here and in the sub-applications.

        Errors come out when all was done, several as `CleanupError`. When start-up has failed, only the contexts that
        were entered are left. Cancellation is passed to what is running and ends the rest.
        """
        if self._on_cleanup.frozen:
            await _send_to_all(self._on_cleanup, self)
            return
        errors: list[BaseException] = []
        for app in self._tree():
            try:
                await app.cleanup_ctx.leave()
            except (Exception, asyncio.CancelledError) as exc:
                errors.append(exc)
        raise_collected(errors)

    def _tree(self) -> Iterator[Application]:
        yield self
        for subapp in self._subapps:
            yield from subapp._tree()

    async def launch(self, **kwargs: Any) -> Server:
        """Start up on the running loop and return the frozen application's `Server`; `kwargs` are the server's.

        Errors of start-up come out as they are; call `cleanup()` then.
        """
        loop = asyncio.get_running_loop()
        self._set_loop(loop)
        self._on_startup.freeze()
        await self.startup()
        self.freeze()
        return self._make_handler(loop=loop, **kwargs)

    def make_handler(
        self,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        access_log_class: type[AbstractAccessLogger] = AccessLogger,
        **kwargs: Any,
    ) -> Server:
        """Freeze the application and return its `Server` (deprecated: use AppRunner)."""
        warnings.warn(
            "Application.make_handler(...) is deprecated, use AppRunner API instead", DeprecationWarning, stacklevel=2
        )
        return self._make_handler(loop=loop, access_log_class=access_log_class, **kwargs)

    def _make_handler(
        self,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        access_log_class: type[AbstractAccessLogger] = AccessLogger,
        **kwargs: Any,
    ) -> Server:
        if not (isinstance(access_log_class, type) and issubclass(access_log_class, AbstractAccessLogger)):
            raise TypeError(
                f"access_log_class must be subclass of fairlead.abc.AbstractAccessLogger, got {access_log_class}"
            )
        self._set_loop(loop)
        self.freeze()
        kwargs["debug"] = self._debug
        kwargs["access_log_class"] = access_log_class
        if self._handler_args:
            kwargs.update(self._handler_args)
        # The requests that the server makes are those of its request_factory.
        handle = cast("Callable[[BaseRequest], Awaitable[StreamResponse]]", self._handle)
        return Server(handle, request_factory=self._make_request, loop=self._loop, **kwargs)

    # --- requests ----------------------------------------------------------------------------------------------------

    def _make_request(
        self,
        message: Any,
        payload: Any,
        protocol: RequestHandler,
        writer: Any,
        task: asyncio.Task[None],
        _cls: type[Request] = Request,
    ) -> Request:
        return _cls(
            message,
            payload,
            protocol,
            writer,
            task,
            self._loop,
            client_max_size=self._client_max_size,
            client_max_fields=self._client_max_fields,
        )

    async def _handle(self, request: Request) -> StreamResponse:
        """Answer a request: find the handler, ask what expects a body first, run the middlewares and the handler."""
        find = self._find
        match_info: Any = None if find is None else find(request, self)
        if match_info.__class__ is not UrlMappingMatchInfo:
            if match_info is None:
                match_info = await self._router.resolve(request)
            self._bind(match_info)
        request.set_match_info(match_info)
        request.hooked = self._hooked
        if request.expects:
            early: StreamResponse | None = await match_info.expect_handler(request)
            if early is not None:
                return early
        handler: Handler = self._chain(match_info) if self._run_middlewares else match_info.handler
        return await handler(request)

    def _bind(self, match_info: Any) -> None:
        """Make a match of a router's own kind belong to this application."""
        if not isinstance(match_info, AbstractMatchInfo):
            raise TypeError(f"match_info should be AbstractMatchInfo instance, not {match_info!r}")
        match_info.add_app(self)
        match_info.freeze()

    def _chain(self, match_info: AbstractMatchInfo) -> Handler:
        """Return the handler within its middlewares, composed when it is first asked for."""
        handler = match_info.handler
        apps = match_info.apps
        key = (id(handler), apps)
        found = self._chains.get(key)
        if found is not None:
            return found[1]
        chain = compose(handler, apps)
        # The handler of an error that the router answers with was made for this request alone.
        if match_info.http_exception is None:
            if len(self._chains) >= CHAINS:
                del self._chains[next(iter(self._chains))]
            # The handler is kept with its chain, so that its id stays its own.
            self._chains[key] = (handler, chain)
        return chain
