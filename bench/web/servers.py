"""The servers that are compared, and the process that each of them runs in."""

from __future__ import annotations

import contextlib
import functools
import http.client
import importlib.metadata
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ..processes import REPOSITORY, child_environment, read_answer
from .cases import BY_NAME, STATIC_VARIABLE, Case

HOST = "127.0.0.1"
START_SECONDS = 20
START_SECONDS_SLOWED = 300  # under callgrind
STOP_SECONDS = 10
ANSWER_SECONDS = 10
CPU_FIELDS = (13, 14)  # of /proc/PID/stat, counted from 0: user and system time in clock ticks
PARENT_FIELD = 3


@dataclass(frozen=True)
class Server:
    """One server; ``packages`` are the distributions that it is made of, the first named gives its version."""

    name: str
    packages: tuple[str, ...]
    cases: tuple[str, ...] = tuple(BY_NAME)
    own_loop: bool = True  # runs in a loop that serve.py makes, so that it can mark phases for callgrind


SERVERS = {
    server.name: server
    for server in (
        Server("fairlead", ("fairlead",)),
        Server("aiohttp", ("aiohttp",)),
        Server("uvicorn+starlette", ("uvicorn", "starlette", "httptools")),
        Server("granian+starlette", ("granian", "starlette"), own_loop=False),
        Server("uvicorn+blacksheep", ("uvicorn", "blacksheep", "httptools")),
        Server("bare", (), cases=("hello",)),
    )
}


def versions(name: str) -> str:
    """Return what a server is made of, as text: 'uvicorn 0.30, starlette 0.40'."""
    found = []
    for package in SERVERS[name].packages:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(package)
    return ", ".join(found)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """A running server, which ends when its standard input does."""

    def __init__(
        self, name: str, loop: str, static: Path, core: int | None = None, under: tuple[str, ...] = ()
    ) -> None:
        self.name = name
        self.loop = loop
        self.port = free_port()
        self.slowed = bool(under)
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # closed by stop()
        command = [*(under or (sys.executable,)), "-m", "bench.web.serve"]
        command += ["--server", name, "--loop", loop, "--port", str(self.port)]
        command += ["--core", str(core)] if core is not None else []
        environment = child_environment() | {STATIC_VARIABLE: str(static)}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env=environment, cwd=REPOSITORY, text=True,
        )  # fmt: skip

    def wrong_with(self, case: Case) -> str:
        """Ask once; return what is wrong with the answer, or ''."""
        patience = START_SECONDS_SLOWED if self.slowed else ANSWER_SECONDS
        connection = http.client.HTTPConnection(HOST, self.port, timeout=patience)
        try:
            connection.request(case.method, case.path, case.body or None, case.fields())
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        if answer.status != 200:
            return f"status {answer.status}, expected 200"
        if answer.will_close:
            return "the server closes the connection after its answer"
        try:
            right = case.right(body)
        except ValueError as error:
            return f"{type(error).__name__}: {error}"
        return "" if right else f"wrong body of {len(body)} bytes: {body[:40]!r}"

    def not_started(self) -> str:
        """Wait until the server listens; return the reason when it does not, or ''."""
        deadline = time.monotonic() + (START_SECONDS_SLOWED if self.slowed else START_SECONDS)
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return self.last_words() or f"exit status {self.process.returncode}"
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
                return ""
            time.sleep(0.05)
        return "it does not listen"

    def order(self, word: str) -> str:
        """Send an order to a server that runs in a loop of serve.py; return what went wrong, or ''."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            print(word, file=self.process.stdin, flush=True)
        return str(read_answer(self.process.stdout).get("error", ""))

    def processor_time(self) -> tuple[float, float] | None:
        """Return user and system seconds of the process and all that it started; None where there is no /proc."""
        table = process_table()
        if not table:
            return None
        family = {self.process.pid}
        while grown := {pid for pid, row in table.items() if row[0] in family} - family:
            family |= grown
        rows = [table[pid] for pid in family if pid in table]
        return sum(row[1] for row in rows), sum(row[2] for row in rows)

    def last_words(self) -> str:
        """Return the last line that the server wrote to its error stream."""
        self.errors.seek(0)
        return ([line.strip() for line in self.errors if line.strip()] or [""])[-1][-300:]

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        for end in (lambda: None, self.process.terminate, self.process.kill):
            end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS * (10 if self.slowed else 1))
                break
        self.process.stdout.close()
        self.errors.close()


@functools.cache
def tick() -> float:
    return 1 / os.sysconf("SC_CLK_TCK")


def process_table() -> dict[int, tuple[int, float, float]]:
    """Return parent, user seconds and system seconds of every process, threads included."""
    table = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            _, _, tail = stat.read_text(errors="replace").rpartition(")")
            fields = ["", "", *tail.split()]
            user, system = (int(fields[at]) * tick() for at in CPU_FIELDS)
            table[int(stat.parent.name)] = int(fields[PARENT_FIELD]), user, system
    return table
