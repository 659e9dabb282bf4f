"""`run_app`: serve an application from a plain function until a signal comes.

In: an application, or an awaitable that makes one, and where to listen. Out: nothing; the function returns when the
server was asked to end and has ended.

The first SIGINT or SIGTERM ends gracefully, as `runner` describes. A second Ctrl-C ends now: handlers and clean-up are
cancelled, what does not heed that within `LAST_WAIT` seconds is left behind, and GracefulExit comes out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .abstract import AbstractAccessLogger
from .access_log import AccessLogger, access_logger
from .app import Application
from .errors import GracefulExit
from .runner import SHUTDOWN_TIMEOUT, AppRunner
from .sites import BACKLOG, BaseSite, SockSite, TCPSite, UnixSite

if TYPE_CHECKING:
    from ssl import SSLContext

    from ..typedefs import PathLike

KEEPALIVE_TIMEOUT = 75.0
"""Seconds that an idle connection is kept, as long as nginx keeps one."""

LAST_WAIT = 1.0
"""Seconds that cancelled tasks get after the second Ctrl-C."""


def run_app(
    app: Application | Awaitable[Application],
    *,
    host: str | Iterable[str] | None = None,
    port: int | None = None,
    path: PathLike | Iterable[PathLike] | None = None,
    sock: socket.socket | Iterable[socket.socket] | None = None,
    shutdown_timeout: float = SHUTDOWN_TIMEOUT,
    keepalive_timeout: float = KEEPALIVE_TIMEOUT,
    ssl_context: SSLContext | None = None,
    print: Callable[..., None] | None = print,
    backlog: int = BACKLOG,
    access_log_class: type[AbstractAccessLogger] = AccessLogger,
    access_log_format: str = AccessLogger.LOG_FORMAT,
    access_log: logging.Logger | None = access_logger,
    handle_signals: bool = True,
    reuse_address: bool | None = None,
    reuse_port: bool | None = None,
    handler_cancellation: bool = False,
    loop: asyncio.AbstractEventLoop | None = None,
    **kwargs: Any,
) -> None:
    """Serve an application until SIGINT or SIGTERM, or until the loop is ended with GracefulExit.

    Listens at each `host` with `port` (all interfaces and 8080, with TLS 8443, when nothing else is given), at each
    Unix socket of `path`, and at each bound `sock`. Timeouts are in seconds. With `print`, that is told where it
    listens. In the loop's debug mode the access log is shown on stderr when nothing else handles it. `kwargs` are
    arguments of `Server`. The loop is made when none is given, and closed in the end.

    Errors of the application, of its start-up and of listening come out as they are, after the cleanup. RuntimeError
    when a loop is running already: use `AppRunner` there.
    """
    if _running():
        if asyncio.iscoroutine(app):
            app.close()
        raise RuntimeError(
            "run_app() starts an event loop of its own and can not be called from a running one: use web.AppRunner"
        )
    if loop is None:
        loop = asyncio.new_event_loop()
    if loop.get_debug() and access_log is access_logger:
        _show_access_log(access_log)
    places = _Places(
        hosts=_listed(host, (str, bytes, bytearray, memoryview)),
        paths=_listed(path, (str, bytes, os.PathLike)),
        socks=_listed(sock, (socket.socket,)),
        port=port,
        ssl_context=ssl_context,
        backlog=backlog,
        reuse_address=reuse_address,
        reuse_port=reuse_port,
    )
    if host is None and (port is not None or (path is None and sock is None)):
        places.hosts.append(None)
    options = {
        "handle_signals": handle_signals,
        "shutdown_timeout": shutdown_timeout,
        "keepalive_timeout": keepalive_timeout,
        "access_log_class": access_log_class,
        "access_log_format": access_log_format,
        "access_log": access_log,
        "handler_cancellation": handler_cancellation,
        **kwargs,
    }
    _run(loop, _serve(app, options, places, print), handle_signals)


def _run(loop: asyncio.AbstractEventLoop, serving: Coroutine[Any, Any, None], handle_signals: bool) -> None:
    """Run the serving coroutine until it ends, or until a signal does and then its clean-up; close the loop."""
    main = loop.create_task(serving)
    patience: float | None = None
    try:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(main)
        except (GracefulExit, KeyboardInterrupt):
            patience = LAST_WAIT
            if handle_signals:
                _let_interrupts_through(loop)
            try:
                _end(main, loop)
            except KeyboardInterrupt:
                if handle_signals:
                    raise GracefulExit from None
                raise
            patience = None
    finally:
        try:
            _cancel_rest(loop, patience)
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
            asyncio.set_event_loop(None)


def _running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _show_access_log(logger: logging.Logger) -> None:
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.DEBUG)
    if not logger.hasHandlers():
        logger.addHandler(logging.StreamHandler())


def _let_interrupts_through(loop: asyncio.AbstractEventLoop) -> None:
    """Make the next Ctrl-C a KeyboardInterrupt, which comes even when a handler blocks the loop."""
    try:
        loop.remove_signal_handler(signal.SIGINT)
    except (NotImplementedError, RuntimeError, ValueError):
        # Windows, or not the main thread, where nothing was set.
        pass


def _end(main: asyncio.Task[None], loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the serving task and run its clean-up; its errors come out."""
    main.cancel()
    try:
        loop.run_until_complete(main)
    except asyncio.CancelledError:
        pass


def _cancel_rest(loop: asyncio.AbstractEventLoop, patience: float | None) -> None:
    """Cancel what is left in the loop and report what fails then; wait at most `patience` seconds for it."""
    rest = asyncio.all_tasks(loop)
    if not rest:
        return
    for task in rest:
        task.cancel()
    done, stubborn = loop.run_until_complete(asyncio.wait(rest, timeout=patience))
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            loop.call_exception_handler(
                {"message": "unhandled exception during run_app() shutdown", "exception": error, "task": task}
            )
    for task in stubborn:
        loop.call_exception_handler(
            {"message": f"a task did not end within {patience} s of its cancellation", "task": task}
        )


@dataclass
class _Places:
    """Where to listen, and how."""

    hosts: list[Any]
    paths: list[Any]
    socks: list[Any]
    port: int | None
    ssl_context: SSLContext | None
    backlog: int
    reuse_address: bool | None
    reuse_port: bool | None

    def sites(self, runner: AppRunner) -> Iterator[BaseSite]:
        tls, backlog = self.ssl_context, self.backlog
        for host in self.hosts:
            yield TCPSite(
                runner,
                host,
                self.port,
                ssl_context=tls,
                backlog=backlog,
                reuse_address=self.reuse_address,
                reuse_port=self.reuse_port,
            )
        for path in self.paths:
            yield UnixSite(runner, path, ssl_context=tls, backlog=backlog)
        for sock in self.socks:
            yield SockSite(runner, sock, ssl_context=tls, backlog=backlog)


def _listed(given: Any, single: tuple[type, ...]) -> list[Any]:
    """Return one value or an iterable of them as a list."""
    if given is None:
        return []
    return [given] if isinstance(given, single) else list(given)


async def _serve(
    app: Application | Awaitable[Application],
    options: dict[str, Any],
    places: _Places,
    print: Callable[..., None] | None,
) -> None:
    if not isinstance(app, Application) and isinstance(app, Awaitable):
        app = await app
    runner = AppRunner(app, **options)
    try:
        await runner.setup()
        for site in places.sites(runner):
            await site.start()
        if print:
            names = ", ".join(sorted(site.name for site in runner.sites))
            print(f"======== Running on {names} ========\n(Press CTRL+C to quit)")
        await asyncio.get_running_loop().create_future()
    finally:
        await runner.cleanup()
