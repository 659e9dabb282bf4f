"""Workers for gunicorn: ``gunicorn module:app -k fairlead.web.worker.GunicornWebWorker``.

In: an `Application`, or a coroutine function that returns one or an `AppRunner`, and gunicorn's settings; the sockets
are gunicorn's. Out: a process that serves until the master ends it, its parent is gone, or it has answered
`max_requests`.

What counts of gunicorn's settings: bind, certfile and what belongs to it, ssl_context, keepalive, graceful_timeout,
max_requests, accesslog and access_log_format (in fairlead's notation). SIGTERM lets running handlers finish for
`GRACEFUL_SHARE` of graceful_timeout; SIGINT and SIGQUIT let them finish for `QUICK_TIMEOUT`.

Importing this module needs gunicorn, which runs on Unix only.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import signal
import sys
from typing import TYPE_CHECKING, Any

from .access_log import AccessLogger
from .app import Application
from .runner import AppRunner
from .sites import SharedSockSite

try:
    from gunicorn.config import AccessLogFormat  # type: ignore[import-untyped, import-not-found, unused-ignore]
    from gunicorn.workers import base  # type: ignore[import-untyped, import-not-found, unused-ignore]
except ImportError as exc:
    raise ImportError(
        "fairlead.web.worker needs gunicorn, which could not be imported: pip install gunicorn (it runs on Unix only)"
    ) from exc

if TYPE_CHECKING:
    from ssl import SSLContext
    from types import FrameType

    from .request import BaseRequest
    from .server import Server
    from .stream_response import StreamResponse

__all__ = ("GunicornUVLoopWebWorker", "GunicornWebWorker")

BEAT = 1.0
"""Seconds between two signs of life to the master; gunicorn's timeout is at least one."""

GRACEFUL_SHARE = 0.95
"""The part of graceful_timeout in which handlers may finish: the rest is for the clean-up."""

QUICK_TIMEOUT = 0.1
"""Seconds that handlers get after SIGINT or SIGQUIT."""

FAILED = 1
"""The exit status after a failure that another worker may not have."""

BOOT_ERROR = 3
"""The exit status that tells the master that trying again is of no use."""


class GunicornWebWorker(base.Worker):  # type: ignore[misc,unused-ignore]
    """Serves on asyncio's own loop."""

    alive: bool

    DEFAULT_AIOHTTP_LOG_FORMAT = AccessLogger.LOG_FORMAT
    DEFAULT_GUNICORN_LOG_FORMAT = AccessLogFormat.default

    def __init__(self, *args: Any, **kw: Any) -> None:
        """Prepare a worker as gunicorn asks for it, before the process is forked."""
        super().__init__(*args, **kw)
        self.exit_code = 0
        self.loop: asyncio.AbstractEventLoop
        self._runner: AppRunner | None = None
        self._wake: asyncio.Event | None = None
        self._serving = False
        self._requests = 0

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make the worker's loop."""
        return asyncio.new_event_loop()

    def init_process(self) -> None:
        """Make the loop and run in it; gunicorn calls this in the new process."""
        self.loop = self.new_loop()
        asyncio.set_event_loop(self.loop)
        super().init_process()

    def run(self) -> None:
        """Serve until the worker is to end, then exit the process; a failing start-up exits with `BOOT_ERROR`."""
        try:
            self.loop.run_until_complete(self._run())
        except Exception:
            self.log.exception("Exception in gunicorn worker")
            self.exit_code = FAILED if self._serving else BOOT_ERROR
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
        sys.exit(self.exit_code)

    async def _run(self) -> None:
        self._wake = asyncio.Event()
        beat = self.loop.create_task(self._beat())
        try:
            self._runner = runner = await self._make_runner()
            try:
                await runner.setup()
                if self.cfg.max_requests:
                    self._count(runner.protocol_factory)
                await self._listen(runner)
                self._serving = True
                await self._watch()
            finally:
                await runner.cleanup()
        finally:
            beat.cancel()
            await asyncio.wait([beat])

    def _count(self, server: Server) -> None:
        """Count the requests that the server hands over."""
        handler = server.request_handler

        async def counted(request: BaseRequest) -> StreamResponse:
            self._requests += 1
            if self._requests > self.max_requests:
                self._end_watch()
            return await handler(request)

        server.request_handler = counted

    async def _listen(self, runner: AppRunner) -> None:
        ssl_context = self._create_ssl_context(self.cfg) if self.cfg.is_ssl else None
        for wrapped in self.sockets:
            # gunicorn closes its own object; the site closes this one.
            sock = wrapped.sock.dup()
            await SharedSockSite(runner, sock, ssl_context=ssl_context, backlog=self.cfg.backlog).start()

    async def _make_runner(self) -> AppRunner:
        wsgi = self.wsgi
        if not isinstance(wsgi, Application) and inspect.iscoroutinefunction(wsgi):
            wsgi = await wsgi()
        if isinstance(wsgi, AppRunner):
            return wsgi
        if wsgi is self.wsgi and not isinstance(wsgi, Application):
            raise RuntimeError(
                f"wsgi app should be either Application or async function returning Application, got {wsgi}"
            )
        logged = self.cfg.accesslog
        return AppRunner(
            wsgi,
            logger=self.log,
            keepalive_timeout=self.cfg.keepalive,
            access_log=self.log.access_log if logged else None,
            access_log_format=self._get_valid_log_format(self.cfg.access_log_format)
            if logged
            else AccessLogger.LOG_FORMAT,
            shutdown_timeout=self.cfg.graceful_timeout * GRACEFUL_SHARE,
        )

    async def _beat(self) -> None:
        """Show the master that the loop turns, from start-up to the end of the clean-up."""
        while True:
            self.notify()
            await asyncio.sleep(BEAT)

    async def _watch(self) -> None:
        """Wait until the worker is to end; a look each BEAT finds what wakes nobody."""
        assert self._wake is not None
        pid = os.getpid()
        while self.alive:
            if self._requests > self.max_requests:
                self.log.info("Max requests, shutting down: %s", self)
                self.alive = False
            elif pid == os.getpid() and self.ppid != os.getppid():
                self.log.info("Parent changed, shutting down: %s", self)
                self.alive = False
            else:
                try:
                    await asyncio.wait_for(self._wake.wait(), BEAT)
                except TimeoutError:
                    pass

    def init_signals(self) -> None:
        """Handle gunicorn's signals in the loop."""
        for number in self.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        handlers = {
            signal.SIGQUIT: self.handle_quit,
            signal.SIGTERM: self.handle_exit,
            signal.SIGINT: self.handle_quit,
            signal.SIGWINCH: self.handle_winch,
            signal.SIGUSR1: self.handle_usr1,
            signal.SIGABRT: self.handle_abort,
        }
        for number, handler in handlers.items():
            self.loop.add_signal_handler(number, handler, number, None)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End gracefully."""
        self.alive = False
        self._end_watch()

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        """End quickly."""
        self.alive = False
        self.cfg.worker_int(self)
        if self._runner is not None:
            self._runner.shutdown_timeout = min(self._runner.shutdown_timeout, QUICK_TIMEOUT)
        self._end_watch()

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """End now: the master has not heard of this worker for too long."""
        self.alive = False
        self.exit_code = 1
        self.cfg.worker_abort(self)
        sys.exit(1)

    def _end_watch(self) -> None:
        if self._wake is not None:
            self._wake.set()

    def _create_ssl_context(self, cfg: Any) -> SSLContext:
        import ssl

        def make() -> SSLContext:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=cfg.ca_certs)
            context.load_cert_chain(cfg.certfile, cfg.keyfile)
            context.verify_mode = cfg.cert_reqs
            if cfg.ciphers:
                context.set_ciphers(cfg.ciphers)
            return context

        # The setting of this name may make another context; gunicorn has it since 21.
        hook = getattr(cfg, "ssl_context", None)
        context: SSLContext = make() if hook is None else hook(cfg, make)
        return context

    def _get_valid_log_format(self, source_format: str) -> str:
        """Return the format to use; ValueError for one in gunicorn's notation that is not its default."""
        if source_format == self.DEFAULT_GUNICORN_LOG_FORMAT:
            return self.DEFAULT_AIOHTTP_LOG_FORMAT
        if re.search(r"%\([^)]+\)", source_format):
            raise ValueError(
                "Gunicorn's style options in form of `%(name)s` are not supported for the log formatting:"
                f" use the format of fairlead.web.AccessLogger in access_log_format, got {source_format!r}"
            )
        return source_format


class GunicornUVLoopWebWorker(GunicornWebWorker):
    """Serves on uvloop."""

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Make the worker's loop; ImportError when uvloop is not installed."""
        import uvloop

        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop
