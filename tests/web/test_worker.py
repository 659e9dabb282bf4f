"""The workers for gunicorn: with gunicorn itself, and what they make of its settings."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trustme

import fairlead
from fairlead import web

needs_gunicorn = pytest.mark.skipif(
    sys.platform == "win32" or importlib.util.find_spec("gunicorn") is None, reason="gunicorn is not installed"
)

MODULE = """
import asyncio, os
from fairlead import web

async def answer(request):
    return web.Response(text=f"{os.getpid()} {type(asyncio.get_running_loop()).__module__} {request.scheme}")

async def slow(request):
    await asyncio.sleep(float(request.query["for"]))
    return web.Response(text="slow")

async def cleaned(app):
    print("cleaned", flush=True)

app = web.Application()
app.router.add_get("/", answer)
app.router.add_get("/slow", slow)
app.on_cleanup.append(cleaned)

async def make():
    return app

async def make_runner():
    return web.AppRunner(app)

def plain():
    return app

async def fail(app):
    raise ValueError("no database")

failing = web.Application()
failing.on_startup.append(fail)
"""


class Gunicorn:
    """A running master with one worker."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def wait_for(self, pattern: str) -> re.Match[str]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError("".join(self.lines))

    def rest(self) -> str:
        assert self.process.stdout is not None
        self.lines += self.process.stdout.readlines()
        self.process.wait()
        return "".join(self.lines)


@contextmanager
def gunicorn(tmp_path: Path, app: str, *options: str, kind: str = "GunicornWebWorker") -> Iterator[Gunicorn]:
    (tmp_path / "served.py").write_text(MODULE)
    source = str(Path(web.__file__).parent.parent.parent)
    # The master is known to be up by its log, and to have a worker by the worker's own line.
    command = [sys.executable, "-W", "error::DeprecationWarning:fairlead", "-m", "gunicorn", f"served:{app}"]
    command += ["-k", f"fairlead.web.worker.{kind}", "-b", "127.0.0.1:0", "--graceful-timeout", "5", *options]
    environment = {**os.environ, "PYTHONPATH": source, "HOME": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        watchdog = threading.Timer(30, process.kill)
        watchdog.start()
        try:
            yield Gunicorn(process)
        finally:
            watchdog.cancel()
            if process.poll() is None:
                process.terminate()


async def get(session: fairlead.ClientSession, url: str, **options: Any) -> str:
    """Ask until the worker is there: the master listens before it."""
    async with session.get(url, **options) as response:
        return await response.text()


@needs_gunicorn
@pytest.mark.slow
@pytest.mark.parametrize(
    ("app", "kind", "loop"),
    [
        ("app", "GunicornWebWorker", "asyncio"),
        ("make", "GunicornWebWorker", "asyncio"),
        ("make_runner", "GunicornWebWorker", "asyncio"),
        ("app", "GunicornUVLoopWebWorker", "uvloop"),
    ],
)
async def test_each_kind_serves_and_ends_gracefully(app: str, kind: str, loop: str, tmp_path: Path) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    with gunicorn(tmp_path, app, kind=kind) as running:
        (port,) = running.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)").groups()
        async with fairlead.ClientSession(f"http://127.0.0.1:{port}") as session:
            answer = (await get(session, "/")).split()
            assert answer[1].startswith(loop)
            slow = asyncio.create_task(get(session, "/slow?for=0.4"))
            await asyncio.sleep(0.1)
            running.process.send_signal(signal.SIGTERM)
            assert await slow == "slow"
        told = await asyncio.to_thread(running.rest)
    assert running.process.returncode == 0
    assert "cleaned\n" in told
    assert "Traceback" not in told


@needs_gunicorn
@pytest.mark.slow
async def test_an_interrupt_ends_quickly(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "app") as running:
        (port,) = running.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)").groups()
        async with fairlead.ClientSession(f"http://127.0.0.1:{port}") as session:
            await get(session, "/")
            slow = asyncio.create_task(get(session, "/slow?for=30"))
            await asyncio.sleep(0.1)
            running.process.send_signal(signal.SIGINT)
            with pytest.raises(fairlead.ClientConnectionError):
                await slow
        told = await asyncio.to_thread(running.rest)
    assert "cleaned\n" in told


@needs_gunicorn
@pytest.mark.slow
async def test_a_worker_ends_after_its_requests_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "app", "--max-requests", "3", "--access-logfile", "-") as running:
        (port,) = running.wait_for(r"Listening at: http://127\.0\.0\.1:(\d+)").groups()
        pids = []
        async with fairlead.ClientSession(f"http://127.0.0.1:{port}") as session:
            for _ in range(4):
                pids.append((await get(session, "/")).split()[0])
            await asyncio.to_thread(running.wait_for, "Max requests, shutting down")
            await asyncio.to_thread(running.wait_for, "Booting worker")
            pids.append((await get(session, "/")).split()[0])
        running.process.send_signal(signal.SIGTERM)
        told = await asyncio.to_thread(running.rest)
    assert len(set(pids[:4])) == 1
    assert pids[4] != pids[0]
    assert '"GET / HTTP/1.1" 200' in told


@needs_gunicorn
@pytest.mark.slow
@pytest.mark.parametrize(
    ("app", "message"),
    [
        ("plain", "RuntimeError: wsgi app should be either Application or async function returning Application, got"),
        ("failing", "ValueError: no database"),
    ],
)
def test_a_failing_start_ends_the_master(app: str, message: str, tmp_path: Path) -> None:
    with gunicorn(tmp_path, app) as running:
        told = running.rest()
    assert message in told
    assert "Worker failed to boot" in told
    assert running.process.returncode == 3


@needs_gunicorn
@pytest.mark.slow
async def test_tls_is_that_of_gunicorns_settings(tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    with gunicorn(tmp_path, "app", "--certfile", "cert.pem", "--keyfile", "key.pem") as running:
        (port,) = running.wait_for(r"Listening at: https://127\.0\.0\.1:(\d+)").groups()
        async with fairlead.ClientSession() as session:
            assert (await get(session, f"https://127.0.0.1:{port}/", ssl=trusted)).endswith(" https")
        running.process.send_signal(signal.SIGTERM)
        assert "Traceback" not in await asyncio.to_thread(running.rest)


# --- its parts -------------------------------------------------------------------------------------------------------


def made(**settings: Any) -> Any:
    """A worker that gunicorn has not started."""
    from gunicorn.config import Config  # type: ignore[import-untyped, unused-ignore]

    from fairlead.web.worker import GunicornWebWorker

    config = Config()
    for name, value in settings.items():
        config.set(name, value)
    log = SimpleNamespace(access_log="gunicorn's", info=lambda *args: None)
    worker = GunicornWebWorker(1, os.getppid(), [], None, 30, config, log)
    worker.tmp.close()
    return worker


@needs_gunicorn
def test_formats_of_the_access_log() -> None:
    worker = made()
    assert worker._get_valid_log_format(worker.DEFAULT_GUNICORN_LOG_FORMAT) == web.AccessLogger.LOG_FORMAT
    assert worker._get_valid_log_format("%a %r") == "%a %r"
    with pytest.raises(ValueError, match=r"form of `%\(name\)s` are not supported.*got '%\(h\)s'$"):
        worker._get_valid_log_format("%(h)s")


@needs_gunicorn
@pytest.mark.parametrize("logged", [False, True])
async def test_settings_become_options_of_the_runner(logged: bool) -> None:
    worker = made(keepalive=7, graceful_timeout=10, accesslog="-" if logged else None, access_log_format="%a")
    worker.wsgi = web.Application()
    runner = await worker._make_runner()
    assert runner.shutdown_timeout == 9.5
    await runner.setup()
    assert runner.server is not None
    kwargs = runner.server._kwargs
    assert kwargs["keepalive_timeout"] == 7
    assert kwargs["access_log"] == ("gunicorn's" if logged else None)
    assert kwargs["access_log_format"] == ("%a" if logged else web.AccessLogger.LOG_FORMAT)
    await runner.cleanup()


@needs_gunicorn
async def test_it_ends_when_its_parent_is_gone() -> None:
    worker = made()
    worker.ppid = -1
    worker._wake = asyncio.Event()
    await worker._watch()
    assert worker.alive is False


@needs_gunicorn
def test_an_abort_exits_with_1() -> None:
    called: list[Any] = []
    worker = made(worker_abort=lambda worker: called.append(worker))
    with pytest.raises(SystemExit) as caught:
        worker.handle_abort(signal.SIGABRT, None)
    assert (caught.value.code, worker.exit_code, worker.alive, called) == (1, 1, False, [worker])


@needs_gunicorn
def test_a_context_of_ones_own_for_tls(tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    seen: list[ssl.SSLContext] = []

    def hook(config: Any, default: Any) -> ssl.SSLContext:
        seen.append(default())
        return seen[0]

    worker = made(
        certfile=str(tmp_path / "cert.pem"), keyfile=str(tmp_path / "key.pem"), ciphers="ECDHE+AESGCM", ssl_context=hook
    )
    context = worker._create_ssl_context(worker.cfg)
    assert seen == [context]
    assert context.verify_mode == ssl.CERT_NONE
    assert any("AES" in cipher["name"] for cipher in context.get_ciphers())


def test_without_gunicorn_the_import_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "fairlead.web.worker", raising=False)
    monkeypatch.setitem(sys.modules, "gunicorn", None)
    monkeypatch.setitem(sys.modules, "gunicorn.config", None)
    with pytest.raises(ImportError, match=r"^fairlead\.web\.worker needs gunicorn.*pip install gunicorn"):
        importlib.import_module("fairlead.web.worker")
