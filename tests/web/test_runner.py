"""Runners: the order in which a server ends, what is drained, what is cancelled, and how long that takes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.web.both import Log, same

import fairlead
from fairlead import web

QUICK = 1.0
"""Seconds in which a server ends that has nothing to drain."""

Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def serving(handler: Handler, **options: Any) -> AsyncIterator[tuple[web.AppRunner, str]]:
    app = web.Application()
    app.router.add_route("*", "/", handler)
    runner = web.AppRunner(app, access_log=None, **options)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner, site.name
    finally:
        await runner.cleanup()


async def hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


class Stopwatch:
    """Measures how long its block takes."""

    def __enter__(self) -> Stopwatch:
        self.begun = time.monotonic()
        return self

    def __exit__(self, *args: object) -> None:
        self.seconds = time.monotonic() - self.begun


# --- the order -------------------------------------------------------------------------------------------------------


async def test_a_running_request_is_drained_between_shutdown_and_cleanup() -> None:
    async def scenario(web: Any, log: Log) -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def handler(request: Any) -> Any:
            log.add("handler")
            begun.set()
            await go_on.wait()
            log.add("answer")
            return web.Response(text="done")

        async def context(app: Any) -> AsyncIterator[None]:
            log.add("enter")
            yield
            log.add("leave")

        async def on_shutdown(app: Any) -> None:
            log.add("on_shutdown")
            asyncio.get_running_loop().call_later(0.05, go_on.set)

        async def on_cleanup(app: Any) -> None:
            log.add("on_cleanup")

        app = web.Application()
        app.router.add_get("/", handler)
        app.cleanup_ctx.append(context)
        app.on_shutdown.append(on_shutdown)
        app.on_cleanup.append(on_cleanup)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await begun.wait()
        await runner.cleanup()
        answer = await reader.read()
        log.add(answer.split(b"\r\n")[0], answer.endswith(b"done"))
        writer.close()

    seen = await same(scenario)
    assert [line[0] for line in seen[:-1]] == ["enter", "handler", "on_shutdown", "answer", "leave", "on_cleanup"]


class FakeServer:
    """Notes what a runner asks of its server; fails where it is told to."""

    def __init__(self, log: list[Any], *failing: str) -> None:
        self.log, self.failing = log, failing
        self.connections: list[Any] = []

    def note(self, what: Any) -> None:
        self.log.append(what)
        if what in self.failing or (isinstance(what, tuple) and what[0] in self.failing):
            raise ValueError(str(what))

    def pre_shutdown(self) -> None:
        self.note("pre_shutdown")

    async def shutdown(self, timeout: float | None = None) -> None:
        self.note(("shutdown", timeout))


class FakeRunner(web.BaseRunner):
    def __init__(self, server: FakeServer, **options: Any) -> None:
        super().__init__(**options)
        self.fake = server

    async def shutdown(self) -> None:
        self.fake.note("on_shutdown")

    async def _make_server(self) -> Any:
        self.fake.note("make")
        return self.fake

    async def _cleanup_server(self) -> None:
        self.fake.note("clean up")


class FakeSite(web.BaseSite):
    def __init__(self, runner: FakeRunner, name: str) -> None:
        super().__init__(runner)
        self.fake, self._name = runner.fake, name

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        await super().start()

    async def stop(self) -> None:
        await super().stop()
        self.fake.note(self._name)


STEPS = ["a", "b", "pre_shutdown", "on_shutdown", ("shutdown", 7), "clean up"]


async def ended(*failing: str) -> tuple[list[Any], BaseException | None]:
    log: list[Any] = []
    runner = FakeRunner(FakeServer(log, *failing), shutdown_timeout=7)
    await runner.setup()
    for name in "ab":
        await FakeSite(runner, name).start()
    log.clear()
    try:
        await runner.cleanup()
    except Exception as exc:
        return log, exc
    finally:
        assert (runner.server, runner.sites) == (None, set())
    return log, None


async def test_the_steps_of_a_cleanup_are_done_in_order() -> None:
    assert await ended() == (STEPS, None)


@pytest.mark.parametrize("failing", ["a", "on_shutdown", "shutdown", "clean up"])
async def test_a_step_that_fails_keeps_no_other_from_being_done(failing: str) -> None:
    log, error = await ended(failing)
    assert log == STEPS
    assert isinstance(error, ValueError)


async def test_the_errors_of_several_steps_come_out_together() -> None:
    log, error = await ended("a", "on_shutdown", "clean up")
    assert log == STEPS
    assert isinstance(error, web.CleanupError)
    assert [str(each) for each in error.exceptions] == ["a", "on_shutdown", "clean up"]


async def test_the_shutdown_timeout_can_be_changed_until_it_counts() -> None:
    log: list[Any] = []
    runner = FakeRunner(FakeServer(log))
    assert runner.shutdown_timeout == 60
    await runner.setup()
    runner.shutdown_timeout = 3
    await runner.cleanup()
    assert ("shutdown", 3) in log


async def test_setting_up_twice_starts_once() -> None:
    log: list[Any] = []
    runner = FakeRunner(FakeServer(log))
    await runner.setup()
    await runner.setup()
    assert log == ["make"]
    await runner.cleanup()
    await runner.setup()
    await runner.cleanup()
    assert log.count("make") == log.count("on_shutdown") == 2


async def test_wrong_arguments_are_refused_in_the_same_words() -> None:
    async def scenario(web: Any, log: Log) -> None:
        log.tried("no application", lambda: web.AppRunner(5))
        for given in (5, int):
            runner = web.AppRunner(web.Application(), access_log_class=given)
            try:
                await runner.setup()
            except TypeError as exc:
                log.add("TypeError" if given == 5 else str(exc).replace("aiohttp.abc", "fairlead.abc"))
            await runner.cleanup()
        site = object()
        runner = web.AppRunner(web.Application())
        for name in ("_check_site", "_unreg_site", "_reg_site", "_reg_site"):
            log.tried(name, lambda name=name: getattr(runner, name)("site"))
        del site

    await same(scenario)


async def test_options_of_the_application_win_over_those_of_the_runner() -> None:
    app = web.Application(handler_args={"keepalive_timeout": 3})
    runner = web.AppRunner(app, keepalive_timeout=9, lingering_time=4)
    await runner.setup()
    assert runner.server is not None
    protocol = runner.server()
    assert protocol.keepalive_timeout == 3
    await runner.cleanup()


async def test_a_low_level_server_is_run_without_an_application() -> None:
    server = web.Server(hello)  # type: ignore[arg-type]
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    assert runner.server is server
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with fairlead.ClientSession() as session, session.get(site.name) as response:
        assert await response.text() == "hello"
    await runner.cleanup()
    assert runner.server is None


# --- how long it takes -----------------------------------------------------------------------------------------------


async def test_idle_connections_end_at_once() -> None:
    async with serving(hello) as (runner, url), fairlead.ClientSession() as session:
        for _ in range(3):
            async with session.get(url) as response:
                await response.read()
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        with Stopwatch() as watch:
            await runner.cleanup()
        assert await reader.read() == b""
        writer.close()
    assert watch.seconds < QUICK


async def test_streams_end_soon_and_their_handlers_are_told() -> None:
    ends: list[str] = []

    async def polite(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await request.wait_for_shutdown()
        ends.append(f"told {request.shutting_down}")
        await response.write(b" ended")
        return response

    async def deaf(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return response

    for handler, last in ((polite, "told True"), (deaf, "cancelled")):
        async with serving(handler) as (runner, url), fairlead.ClientSession() as session:
            async with session.get(url) as response:
                assert await response.content.readexactly(5) == b"begun"
                with Stopwatch() as watch:
                    async with asyncio.timeout(5):
                        await runner.cleanup()
                if handler is polite:
                    assert await response.read() == b" ended"
        assert watch.seconds < QUICK
        assert ends.pop() == last


async def test_a_request_that_takes_too_long_is_cancelled_after_the_timeout() -> None:
    begun, seen = asyncio.Event(), []

    async def slow(request: web.Request) -> web.Response:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        raise AssertionError

    async with serving(slow, shutdown_timeout=0.2) as (runner, url), fairlead.ClientSession() as session:
        asking = asyncio.ensure_future(session.get(url))
        await begun.wait()
        with Stopwatch() as watch:
            await runner.cleanup()
        with pytest.raises(fairlead.ClientConnectionError):
            await asking
    assert seen == ["cancelled"]
    assert 0.15 < watch.seconds < QUICK


async def test_a_cancelled_cleanup_closes_the_connections_and_can_be_taken_up_again() -> None:
    begun, order = asyncio.Event(), []

    async def slow(request: web.Request) -> web.Response:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            order.append("handler")
        raise AssertionError

    async def on_shutdown(app: web.Application) -> None:
        order.append("on_shutdown")

    async def on_cleanup(app: web.Application) -> None:
        order.append("on_cleanup")

    app = web.Application()
    app.router.add_get("/", slow)
    app.on_shutdown.append(on_shutdown)
    app.on_cleanup.append(on_cleanup)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    await begun.wait()
    with Stopwatch() as watch:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(runner.cleanup(), 0.05)
        assert await reader.read() == b""
        assert runner.server is not None
        await runner.cleanup()
    writer.close()
    assert watch.seconds < 2 * QUICK
    assert runner.server is None
    assert sorted(order) == ["handler", "on_cleanup", "on_shutdown"]


async def test_a_request_whose_head_is_still_coming_is_served() -> None:
    async with serving(hello) as (runner, _):
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"GET / HTTP/1.1\r\nHost")
        await asyncio.sleep(0.01)
        ending = asyncio.create_task(runner.cleanup())
        await asyncio.sleep(0.05)
        writer.write(b": a\r\n\r\n")
        assert (await reader.read()).endswith(b"hello")
        await ending
        writer.close()


async def test_a_shutdown_under_load_loses_no_accepted_request() -> None:
    """Clients that connect one after the other get a whole answer, or are refused before they could send."""
    outcomes: list[str] = []

    async def slowly(request: web.Request) -> web.Response:
        await asyncio.sleep(0.002)
        return web.Response(text="hello")

    async def client(address: Any) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection(*address)
            except ConnectionRefusedError:
                outcomes.append("refused")
                return
            try:
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer = await reader.read()
                outcomes.append("answered" if answer.endswith(b"hello") else f"lost {answer!r}")
            except ConnectionError as exc:
                outcomes.append(repr(exc))
            finally:
                writer.close()

    async with serving(slowly) as (runner, _):
        address = runner.addresses[0]
        clients = [asyncio.create_task(client(address)) for _ in range(20)]
        await asyncio.sleep(0.1)
        await runner.cleanup()
        await asyncio.gather(*clients)
    assert set(outcomes) == {"answered", "refused"}
    assert outcomes.count("answered") > 20


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="loops have no signal handlers there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_loop_that_runs(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    loop = asyncio.new_event_loop()
    try:
        runner = web.AppRunner(web.Application(), handle_signals=True)
        loop.run_until_complete(runner.setup())
        loop.call_soon(os.kill, os.getpid(), number)
        with pytest.raises(web.GracefulExit) as caught:
            loop.run_until_complete(asyncio.wait_for(loop.create_future(), 5))
        assert caught.value.code == 1
        loop.run_until_complete(runner.cleanup())
        assert signal.getsignal(number) in (before, signal.SIG_DFL, signal.default_int_handler)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
            loop.run_until_complete(asyncio.wait([task]))
        loop.close()
        signal.signal(number, before)
