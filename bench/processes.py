"""Starts the processes of a benchmark: the server, and one client for each library and event loop.

The client and the server are different processes on different cores, where the system lets a process choose its core.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "bench" / "results"
SERVER_START_SECONDS = 30


def available_cores() -> list[int]:
    """Return the cores that this process may use; none where the system has no notion of it (Windows, macOS)."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return []


def client_and_server_cores() -> tuple[int | None, int | None]:
    """Return one core for the client and another one for the server; none of them when there are not two."""
    cores = available_cores()
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def pin_to(core: int | None) -> None:
    """Keep this process on one core, where the system can."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def new_event_loop(*names: str) -> asyncio.AbstractEventLoop:
    """Return a new loop of the first kind in ``names`` that is installed: 'asyncio' or 'uvloop'."""
    for name in names:
        if name == "asyncio":
            return asyncio.new_event_loop()
        if importlib.util.find_spec(name):
            import uvloop

            loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
            return loop
    raise SystemExit(f"no event loop of {', '.join(names)} is installed")


def child_environment() -> dict[str, str]:
    """Return the environment of every measured process: fixed hash seed, fairlead from this source tree."""
    environment = dict(os.environ, PYTHONHASHSEED="0")
    paths = [str(REPOSITORY / "src"), str(REPOSITORY), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        environment.pop(name, None)
    return environment


@dataclass(frozen=True)
class ServerFacts:
    """What a client needs to know about the running server."""

    plain: str
    tls: str
    ca_file: str
    sizes: dict[str, int]

    def to_json(self) -> str:
        return json.dumps(vars(self))


@contextlib.contextmanager
def running_server(core: int | None = None) -> Iterator[ServerFacts]:
    """Run the benchmark server as a process of its own."""
    command = [sys.executable, "-m", "bench.server", *(["--core", str(core)] if core is not None else [])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment(), cwd=REPOSITORY, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise SystemExit("the benchmark server did not start; its error is above")
        yield ServerFacts(**json.loads(line))
    finally:
        process.stdin.close()
        try:
            process.wait(SERVER_START_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


class ClientProcess:
    """A client process that runs a case when it is told to and answers with what the run cost it."""

    def __init__(self, library: str, loop: str, facts: ServerFacts, core: int | None = None) -> None:
        self.library = library
        self.loop = loop
        command = [sys.executable, "-m", "bench.client", "--library", library, "--loop", loop]
        command += ["--facts", facts.to_json(), *(["--core", str(core)] if core is not None else [])]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment(), cwd=REPOSITORY, text=True
        )

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send one order and wait for its answer; an answer with ``error`` says why there is none."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        try:
            print(json.dumps(order), file=stdin, flush=True)
        except BrokenPipeError:
            return {"error": "the client process ended"}
        return read_answer(stdout)

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def read_answer(stdout: IO[str]) -> dict[str, Any]:
    for line in stdout:
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    return {"error": "the client process ended"}


def timestamp() -> str:
    return time.strftime("%Y%m%d-%H%M%S")
