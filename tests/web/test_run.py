"""`run_app`: where it listens, what it prints, how it ends; side by side with aiohttp's where both promise the same."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from tests.web.both import Log, plain

import fairlead
from fairlead import web
from fairlead.web import run as run_module

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the tests send signals")

SOON = 0.01
"""Seconds after which a server that is ending gets one more signal."""

QUICK = 1.0
"""Seconds in which a server ends that has nothing to drain."""


async def hello(request: Any) -> Any:
    return web.Response(text="hello")


@contextmanager
def signals_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupt(number: int = signal.SIGINT) -> None:
    os.kill(os.getpid(), number)


def again(app: Any) -> None:
    """Let the shutdown of an application begin with one more interrupt."""

    async def on_shutdown(app: Any) -> None:
        asyncio.get_running_loop().call_later(SOON, interrupt)

    app.on_shutdown.append(on_shutdown)


def traced(web: Any, log: Log) -> Any:
    app = web.Application()
    app.router.add_get("/", hello)
    for name in ("on_startup", "on_shutdown", "on_cleanup"):

        async def receiver(app: Any, name: str = name) -> None:
            log.add(name)

        getattr(app, name).append(receiver)

    async def context(app: Any) -> AsyncIterator[None]:
        log.add("enter")
        yield
        log.add("leave")

    app.cleanup_ctx.append(context)
    return app


def run(web: Any, log: Log, app: Any, number: int | None = None, **options: Any) -> None:
    """Run an application, send it a signal when it has told where it listens, and note what came of it."""

    def printed(*args: Any, **kwargs: Any) -> None:
        log.add("print", args, sorted(kwargs))
        if number is not None:
            asyncio.get_running_loop().call_soon(interrupt, number)

    options.setdefault("print", printed)
    with signals_restored():
        try:
            log.add("returned", web.run_app(app, **options))
        except BaseException as exc:
            log.add("raised", exc)


def both(scenario: Callable[[Any, Log], None]) -> Log:
    """Run the scenario with both libraries and compare."""
    reference = pytest.importorskip("aiohttp.web")
    theirs, ours = Log(), Log()
    scenario(reference, theirs)
    scenario(web, ours)
    assert ours == theirs
    return ours


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def bound() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


PLACES: dict[str, Callable[[], dict[str, Any]]] = {
    "host": lambda: {"host": "127.0.0.1", "port": 0},
    "hosts": lambda: {"host": ["127.0.0.1", "127.0.0.2"], "port": 0},
    "iterator of hosts": lambda: {"host": iter(["127.0.0.1", "127.0.0.2"]), "port": 0},
    "no hosts": lambda: {"host": [], "port": 0},
    "port": lambda: {"port": 0},
    "path": lambda: {"path": "a.sock"},
    "path object": lambda: {"path": Path("a.sock")},
    "paths": lambda: {"path": ["b.sock", Path("a.sock")]},
    "path and host": lambda: {"path": "a.sock", "host": "127.0.0.1", "port": 0},
    "path and port": lambda: {"path": "a.sock", "port": 0},
    "sock": lambda: {"sock": bound()},
    "socks": lambda: {"sock": [bound(), bound()]},
    "sock and port": lambda: {"sock": bound(), "port": 0},
    "all": lambda: {"sock": [bound()], "port": 0, "host": "127.0.0.1", "path": "a.sock", "backlog": 5},
    "reuse": lambda: {"port": 0, "host": "127.0.0.1", "reuse_address": True, "reuse_port": True},
}


@pytest.mark.parametrize("place", PLACES)
def test_places_to_listen_at_are_the_same(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def scenario(web: Any, log: Log) -> None:
        run(web, log, traced(web, log), signal.SIGINT, **PLACES[place]())

    seen = both(scenario)
    assert seen[-1] == ["returned", None]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("handled", [True, False])
def test_signals_end_it_in_the_same_way(number: signal.Signals, handled: bool) -> None:
    if number is signal.SIGTERM and not handled:
        pytest.skip("the process would end")

    def scenario(web: Any, log: Log) -> None:
        run(web, log, traced(web, log), number, host="127.0.0.1", port=0, handle_signals=handled)

    seen = both(scenario)
    assert seen[-4:] == [["on_shutdown"], ["leave"], ["on_cleanup"], ["returned", None]]


def test_the_default_port_is_8080() -> None:
    places: list[Any] = []

    class Refused(Exception):
        pass

    async def create_server(*args: Any, **kwargs: Any) -> Any:
        places.append(args[1:])
        raise Refused

    for options, expected in (
        ({}, (None, 8080)),
        ({"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)}, (None, 8443)),
        ({"host": "127.0.0.1"}, ("127.0.0.1", 8080)),
    ):
        loop = asyncio.new_event_loop()
        loop.create_server = create_server  # type: ignore[method-assign]
        with pytest.raises(Refused), signals_restored():
            web.run_app(web.Application(), loop=loop, **options)  # type: ignore[arg-type]
        assert places.pop() == expected


# --- the application -------------------------------------------------------------------------------------------------


def test_the_application_may_be_made_in_the_loop() -> None:
    def scenario(web: Any, log: Log) -> None:
        async def make() -> Any:
            log.add("make", asyncio.get_running_loop().get_debug())
            return traced(web, log)

        run(web, log, make(), signal.SIGINT, host="127.0.0.1", port=0)

    both(scenario)


def test_errors_before_anything_listens_come_out() -> None:
    def scenario(web: Any, log: Log) -> None:
        async def make() -> Any:
            raise ValueError("no application")

        run(web, log, make(), port=0)
        run(web, log, 5, port=0)

    both(scenario)


def test_a_failing_start_leaves_the_contexts_and_comes_out() -> None:
    log = Log()
    app = traced(web, log)

    async def fail(app: web.Application) -> None:
        raise ValueError("start")

    app.on_startup.append(fail)
    run(web, log, app, port=0)
    # aiohttp does not leave them.
    assert log == [["enter"], ["on_startup"], ["leave"], ["raised", ["ValueError", "start"]]]


def test_a_port_in_use_comes_out_after_the_cleanup() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        def scenario(web: Any, log: Log) -> None:
            run(web, log, traced(web, log), host="127.0.0.1", port=port)

        seen = both(scenario)
    assert seen[-4:-1] == [["on_shutdown"], ["leave"], ["on_cleanup"]]
    assert seen[-1][1][0] == "OSError"


def test_a_loop_that_runs_is_no_place_for_it() -> None:
    async def make() -> web.Application:
        raise AssertionError

    async def main() -> None:
        with pytest.raises(RuntimeError, match=r"can not be called from a running one: use web\.AppRunner$"):
            web.run_app(make())

    asyncio.run(main())


def test_a_signal_during_the_start_ends_it() -> None:
    def scenario(web: Any, log: Log) -> None:
        app = traced(web, log)

        async def slow(app: Any) -> None:
            asyncio.get_running_loop().call_soon(interrupt)
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                log.add("slow")
                raise

        app.on_startup.append(slow)
        run(web, log, app, port=0)

    theirs, ours = Log(), Log()
    scenario(pytest.importorskip("aiohttp.web"), theirs)
    scenario(web, ours)
    # aiohttp leaves the contexts open.
    assert ours == [*theirs[:-1], ["leave"], theirs[-1]]
    assert ours[-1] == ["returned", None]


# --- the loop --------------------------------------------------------------------------------------------------------


def test_a_given_loop_is_used_and_closed() -> None:
    def scenario(web: Any, log: Log) -> None:
        loop = asyncio.new_event_loop()
        app = traced(web, log)

        async def look(app: Any) -> None:
            log.add(asyncio.get_running_loop() is loop)

        app.on_startup.append(look)
        run(web, log, app, signal.SIGINT, host="127.0.0.1", port=0, loop=loop)
        log.add(loop.is_closed())

    both(scenario)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("state", ["fresh", "with a level", "with a handler", "other logger", "none"])
def test_the_access_log_is_shown_in_debug_mode(debug: bool, state: str) -> None:
    def scenario(web: Any, log: Log) -> None:
        logger = logging.getLogger(f"{web.__name__.split('.')[0]}.access")
        options = {}
        if state == "other logger":
            logger = options["access_log"] = logging.getLogger("another")  # type: ignore[assignment]
        elif state == "none":
            options["access_log"] = None  # type: ignore[assignment]
        before = (logger.level, logger.handlers[:], logger.propagate)
        try:
            logger.propagate = False  # pytest handles everything at the root
            if state == "with a level":
                logger.setLevel(logging.ERROR)
            if state == "with a handler":
                logger.addHandler(logging.NullHandler())
            loop = asyncio.new_event_loop()
            loop.set_debug(debug)
            run(web, log, traced(web, log), signal.SIGINT, host="127.0.0.1", port=0, loop=loop, **options)
            log.add(logger.level, [type(handler) for handler in logger.handlers])
        finally:
            logger.setLevel(before[0])
            logger.handlers[:] = before[1]
            logger.propagate = before[2]

    both(scenario)


def test_tasks_that_are_left_are_cancelled_and_their_errors_reported(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()

    async def left(name: str) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            log.add(name)
            if name == "failing":
                raise ValueError("from what was left")

    tasks = []

    async def start(app: web.Application) -> None:
        tasks.extend(asyncio.create_task(left(name)) for name in ("quiet", "failing"))

    app = web.Application()
    app.on_startup.append(start)
    run(web, log, app, signal.SIGINT, host="127.0.0.1", port=0)
    assert sorted(line[0] for line in log) == ["failing", "print", "quiet", "returned"]
    (record,) = [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.ERROR]
    assert record.getMessage().startswith("unhandled exception during run_app() shutdown")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "from what was left"


# --- the end ---------------------------------------------------------------------------------------------------------


def test_a_second_interrupt_is_immediate() -> None:
    def scenario(web: Any, log: Log) -> None:
        app = traced(web, log)
        again(app)

        async def slow(app: Any) -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                log.add("slow")
                raise

        app.on_shutdown.append(slow)
        begun = time.monotonic()
        run(web, log, app, signal.SIGINT, host="127.0.0.1", port=0)
        log.add(time.monotonic() - begun < QUICK)

    seen = both(scenario)
    assert seen[-3:] == [["slow"], ["raised", ["GracefulExit", ""]], [True]]


def test_a_second_interrupt_ends_even_a_loop_that_is_blocked() -> None:
    log, app = Log(), web.Application()

    async def block(app: web.Application, sleep: Any = time.sleep) -> None:
        timer = threading.Timer(SOON, interrupt)
        timer.start()
        sleep(30)
        timer.join()

    app.on_shutdown.append(block)
    begun = time.monotonic()
    run(web, log, app, signal.SIGINT, host="127.0.0.1", port=0)
    assert time.monotonic() - begun < QUICK
    assert log[-1] == ["raised", ["GracefulExit", ""]]


def test_a_second_interrupt_without_signal_handlers_is_a_keyboard_interrupt() -> None:
    log, app = Log(), web.Application()
    again(app)

    async def slow(app: web.Application) -> None:
        await asyncio.sleep(60)

    app.on_shutdown.append(slow)
    run(web, log, app, signal.SIGINT, host="127.0.0.1", port=0, handle_signals=False)
    assert log[-1] == ["raised", ["KeyboardInterrupt", ""]]


def test_a_second_interrupt_does_not_wait_for_what_ignores_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_module, "LAST_WAIT", 0.1)
    log, app = Log(), web.Application()
    again(app)

    async def stubborn(app: web.Application) -> None:
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.add("ignored")

    app.on_shutdown.append(stubborn)
    begun = time.monotonic()
    loop = asyncio.new_event_loop()
    run(web, log, app, signal.SIGINT, host="127.0.0.1", port=0, loop=loop)
    assert time.monotonic() - begun < QUICK
    assert log[1:] == [["ignored"], ["raised", ["GracefulExit", ""]]]
    assert "a task did not end within 0.1 s of its cancellation" in caplog.text
    # What was left behind is closed here, so that it does not complain when it is collected.
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        task.get_coro().close()  # type: ignore[union-attr]


def test_nothing_need_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log()

    async def serve(app: web.Application) -> None:
        asyncio.get_running_loop().call_later(SOON, interrupt)

    app = traced(web, log)
    app.on_startup.append(serve)
    run(web, log, app, host="127.0.0.1", port=0, print=None)
    assert log[-1] == ["returned", None]
    assert capsys.readouterr().out == ""


class Served:
    """An application that runs in this thread, with a client in another, which then ends it."""

    def __init__(self, app: web.Application, client: Callable[[Any], Any], **options: Any) -> None:
        self.app, self.client, self.options = app, client, options
        self.port = free_port()
        self.result: Any = None
        self.told = 0.0
        self.log = Log()

    def run(self) -> Served:
        thread = threading.Thread(target=self._client, daemon=True)

        def printed(*args: Any) -> None:
            thread.start()

        run(web, self.log, self.app, host="127.0.0.1", port=self.port, print=printed, **self.options)
        self.took = time.monotonic() - self.told
        thread.join(5)
        assert not thread.is_alive()
        return self

    def _client(self) -> None:
        try:
            self.result = self.client(self)
        except BaseException as exc:
            self.result = exc

    def stop(self) -> None:
        self.told = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)

    def connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return sock


def rest(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def test_idle_connections_do_not_hold_it_up() -> None:
    def client(served: Served) -> bytes:
        with served.connect() as sock:
            answer = sock.recv(65536)
            served.stop()
            assert rest(sock) == b""
        return answer

    app = web.Application()
    app.router.add_get("/", hello)
    served = Served(app, client).run()
    assert served.result.endswith(b"hello")
    assert served.took < QUICK


def test_running_requests_are_answered_first() -> None:
    begun = threading.Event()

    async def slow(request: web.Request) -> web.Response:
        begun.set()
        await asyncio.sleep(0.2)
        return web.Response(text="done")

    def client(served: Served) -> bytes:
        with served.connect() as sock:
            begun.wait(5)
            served.stop()
            return rest(sock)

    app = web.Application()
    app.router.add_get("/", slow)
    served = Served(app, client).run()
    assert served.result.endswith(b"done")
    assert served.log == [["returned", None]]


def test_the_shutdown_timeout_bounds_the_waiting() -> None:
    begun = threading.Event()

    async def slow(request: web.Request) -> web.Response:
        begun.set()
        await asyncio.sleep(60)
        raise AssertionError

    def client(served: Served) -> bytes:
        with served.connect() as sock:
            begun.wait(5)
            served.stop()
            return rest(sock)

    app = web.Application()
    app.router.add_get("/", slow)
    served = Served(app, client, shutdown_timeout=0.1).run()
    assert (served.result, served.log) == (b"", [["returned", None]])
    assert served.took < QUICK


def test_a_handler_may_end_the_server() -> None:
    async def end(request: web.Request) -> web.Response:
        raise web.GracefulExit

    def client(served: Served) -> bytes:
        served.told = time.monotonic()
        with served.connect() as sock:
            return rest(sock)

    app = web.Application()
    app.router.add_get("/", end)
    served = Served(app, client).run()
    assert (served.result, served.log) == (b"", [["returned", None]])
    assert served.took < QUICK


def test_options_reach_the_connections() -> None:
    seen: list[Any] = []

    async def look(request: web.Request) -> web.Response:
        seen.append(request.protocol.keepalive_timeout)
        seen.append(request.scheme)
        return web.Response(text="seen")

    authority = trustme.CA()
    server, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(trusted)

    def client(served: Served) -> str:
        async def ask() -> str:
            async with (
                fairlead.ClientSession() as session,
                session.get(f"https://127.0.0.1:{served.port}/", ssl=trusted) as response,
            ):
                return await response.text()

        try:
            return asyncio.run(ask())
        finally:
            served.stop()

    app = web.Application()
    app.router.add_get("/", look)
    served = Served(app, client, ssl_context=server, keepalive_timeout=7).run()
    assert (served.result, seen) == ("seen", [7, "https"])


SCRIPT = """
import sys
from fairlead import web

app = web.Application()

async def on_shutdown(app):
    print("shutdown", flush=True)
    if "slow" in sys.argv:
        import asyncio
        await asyncio.sleep(60)

app.on_shutdown.append(on_shutdown)
web.run_app(app, host="127.0.0.1", port=0)
print("returned", flush=True)
"""


@pytest.mark.parametrize(
    ("numbers", "code", "last"),
    [
        ([signal.SIGTERM], 0, "returned"),
        ([signal.SIGINT, signal.SIGINT], 1, "shutdown"),
        ([signal.SIGTERM, signal.SIGTERM], 1, "shutdown"),
    ],
)
def test_the_exit_code_tells_how_it_ended(numbers: list[int], code: int, last: str) -> None:
    arguments = [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), *(["slow"] if code else [])]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
    ) as it:
        watchdog = threading.Timer(20, it.kill)
        watchdog.start()
        assert it.stdout is not None
        assert it.stderr is not None
        lines = [it.stdout.readline(), it.stdout.readline()]
        for number in numbers:
            it.send_signal(number)
            lines.append(it.stdout.readline())
        lines += it.stdout.readlines()
        err = it.stderr.read()
        watchdog.cancel()
    assert plain(lines[0]) == "======== Running on http://127.0.0.1:PORT ========\n"
    assert lines[1] == "(Press CTRL+C to quit)\n"
    assert [line.strip() for line in lines if line.strip()][-1] == last
    assert (it.returncode, err) == (code, "")


def _environment() -> dict[str, str]:
    source = str(Path(web.__file__).parent.parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
