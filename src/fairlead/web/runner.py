"""Runners: a server and its sites, from set-up to cleanup.

In: an application, or a low-level `Server`. Out: `setup()` starts it up, sites listen, and `cleanup()` ends all in this
order:

1. every site stops listening, after it has accepted what waits,
2. handlers are told (`Server.pre_shutdown`) and idle connections are closed,
3. the application's `on_shutdown` is sent,
4. handlers that run may finish, up to `shutdown_timeout` seconds, and are cancelled then,
5. the application's cleanup contexts are left and `on_cleanup` is sent.

A step that fails does not keep the next ones from being done; one error comes out as itself, several as `CleanupError`.
"""

from __future__ import annotations

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from .abstract import AbstractAccessLogger
from .access_log import AccessLogger
from .app import Application, raise_collected
from .errors import GracefulExit

if TYPE_CHECKING:
    from .server import Server
    from .sites import BaseSite

SHUTDOWN_TIMEOUT = 60.0
"""Seconds that running handlers get before they are cancelled, unless the runner says otherwise."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def raise_graceful_exit() -> None:
    """Raise GracefulExit, which ends the loop that runs."""
    raise GracefulExit


class BaseRunner(ABC):
    """Owns a server and the sites that listen for it."""

    __slots__ = ("_handle_signals", "_kwargs", "_server", "_shutdown_sent", "_shutdown_timeout", "_sites")

    def __init__(
        self, *, handle_signals: bool = False, shutdown_timeout: float = SHUTDOWN_TIMEOUT, **kwargs: Any
    ) -> None:
        """Prepare a runner; `kwargs` are arguments of the `Server`, `shutdown_timeout` is in seconds.

        With `handle_signals`, SIGINT and SIGTERM raise GracefulExit out of the loop that runs.
        """
        self._handle_signals = handle_signals
        self._kwargs = kwargs
        self._server: Server | None = None
        self._sites: list[BaseSite] = []
        self._shutdown_timeout = shutdown_timeout
        self._shutdown_sent = False

    @property
    def server(self) -> Server | None:
        """The server; None before `setup()` and after `cleanup()`."""
        return self._server

    @property
    def protocol_factory(self) -> Server:
        """The server, which makes a protocol for each connection; RuntimeError before `setup()`."""
        if self._server is None:
            raise RuntimeError("Call runner.setup() before starting a site")
        return self._server

    @property
    def shutdown_timeout(self) -> float:
        """Seconds that running handlers get; can be set until `cleanup()` comes to them."""
        return self._shutdown_timeout

    @shutdown_timeout.setter
    def shutdown_timeout(self, seconds: float) -> None:
        self._shutdown_timeout = seconds

    @property
    def addresses(self) -> list[Any]:
        """The addresses of all listening sockets."""
        return [address for site in self._sites for address in site.addresses]

    @property
    def sites(self) -> set[BaseSite]:
        """The sites that were started."""
        return set(self._sites)

    async def setup(self) -> None:
        """Start up what is served and make the server; nothing happens when that was done already.

        Errors of the start-up come out as they are; `cleanup()` then ends what was begun. With `handle_signals`, works
        in the main thread only.
        """
        if self._server is not None:
            return
        if self._handle_signals:
            loop = asyncio.get_running_loop()
            try:
                for number in STOP_SIGNALS:
                    loop.add_signal_handler(number, raise_graceful_exit)
            except NotImplementedError:
                # Windows: Ctrl-C is a KeyboardInterrupt.
                pass
        self._server = await self._make_server()
        self._shutdown_sent = False

    @abstractmethod
    async def shutdown(self) -> None:
        """Tell what is served that the end has begun."""

    async def cleanup(self) -> None:
        """Stop the sites, let running handlers finish, and end what is served.

        Errors come out when everything is done. Cancellation closes all connections at once and ends the cleanup;
        calling it again goes on with what was left.
        """
        errors: list[BaseException] = []
        for site in list(self._sites):
            await self._attempt(site.stop(), errors)
        server = self._server
        if server is not None:
            # What was accepted in this turn becomes a connection in the next.
            await asyncio.sleep(0)
            server.pre_shutdown()
            if not self._shutdown_sent:
                self._shutdown_sent = True
                await self._attempt(self.shutdown(), errors)
            await self._attempt(self._drain(server), errors)
        await self._attempt(self._cleanup_server(), errors)
        self._server = None
        self._drop_signal_handlers()
        raise_collected(errors)

    async def _attempt(self, step: Awaitable[None], errors: list[BaseException]) -> None:
        try:
            await step
        except asyncio.CancelledError:
            self._drop_signal_handlers()
            if self._server is not None:
                await self._server.shutdown(0)
            raise
        except Exception as exc:
            errors.append(exc)

    async def _drain(self, server: Server) -> None:
        """Let handlers finish; a cancellation leaves them to the one who meets it, and waits for what he does."""
        draining = asyncio.ensure_future(server.shutdown(self._shutdown_timeout))
        try:
            await asyncio.shield(draining)
        except asyncio.CancelledError:
            try:
                # The handlers are cancelled by this, which ends the draining as well.
                await server.shutdown(0)
            finally:
                draining.cancel()
            raise

    def _drop_signal_handlers(self) -> None:
        if self._handle_signals:
            loop = asyncio.get_running_loop()
            try:
                for number in STOP_SIGNALS:
                    loop.remove_signal_handler(number)
            except NotImplementedError:
                pass

    @abstractmethod
    async def _make_server(self) -> Server:
        """Start up and return the server."""

    @abstractmethod
    async def _cleanup_server(self) -> None:
        """End what `_make_server` has begun, also when it has failed."""

    # Packages call the three with an underscore.

    def register_site(self, site: BaseSite) -> None:
        """Take a site that starts; RuntimeError when it is there already."""
        self._reg_site(site)

    def check_site(self, site: BaseSite) -> None:
        """Raise RuntimeError for a site that was not started."""
        self._check_site(site)

    def unregister_site(self, site: BaseSite) -> None:
        """Forget a site that has stopped; RuntimeError when it is not there."""
        self._unreg_site(site)

    def _reg_site(self, site: BaseSite) -> None:
        if site in self._sites:
            raise RuntimeError(f"Site {site} is already registered in runner {self}")
        self._sites.append(site)

    def _check_site(self, site: BaseSite) -> None:
        if site not in self._sites:
            raise RuntimeError(f"Site {site} is not registered in runner {self}")

    def _unreg_site(self, site: BaseSite) -> None:
        self._check_site(site)
        self._sites.remove(site)


class ServerRunner(BaseRunner):
    """Runs a low-level `Server`."""

    __slots__ = ("_web_server",)

    def __init__(self, web_server: Server, *, handle_signals: bool = False, **kwargs: Any) -> None:
        """Prepare a runner of a server."""
        super().__init__(handle_signals=handle_signals, **kwargs)
        self._web_server = web_server

    async def shutdown(self) -> None:
        """Do nothing: a plain server has nobody to tell."""

    async def _make_server(self) -> Server:
        return self._web_server

    async def _cleanup_server(self) -> None:
        """Do nothing: a plain server has begun nothing."""


class AppRunner(BaseRunner):
    """Runs an application."""

    __slots__ = ("_app",)

    def __init__(
        self,
        app: Application,
        *,
        handle_signals: bool = False,
        access_log_class: type[AbstractAccessLogger] = AccessLogger,
        **kwargs: Any,
    ) -> None:
        """Prepare a runner of an application; TypeError for what is none."""
        if not isinstance(app, Application):
            raise TypeError(f"The first argument should be web.Application instance, got {app!r}")
        kwargs["access_log_class"] = access_log_class
        super().__init__(handle_signals=handle_signals, **kwargs)
        self._app = app

    @property
    def app(self) -> Application:
        """The application."""
        return self._app

    async def shutdown(self) -> None:
        """Send the application's `on_shutdown`."""
        await self._app.shutdown()

    async def _make_server(self) -> Server:
        return await self._app.launch(**self._kwargs)

    async def _cleanup_server(self) -> None:
        await self._app.cleanup()
