"""Load for a server: wrk where requests are timed, and a plain client where they are counted."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from .cases import Case
from .servers import HOST

LOAD_SECONDS = 900  # of one phase of Load, for a server that runs under callgrind
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
END = b"\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"

# wrk sends the same bytes each time, so Lua runs before the first request and after the last one only.
SCRIPT = """
wrk.method = {method}
wrk.headers = {{{fields}}}
{body}
function done(summary, latency, requests)
  io.write(string.format(
    '{{"requests": %d, "microseconds": %d, "bad": %d, "lost": %d, "p50": %d, "p99": %d}}\\n',
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


def available() -> bool:
    return shutil.which("wrk") is not None


def write_script(case: Case, directory: Path) -> Path:
    """Write the wrk script of a case."""
    body = ""
    if case.body:
        file = directory / f"{case.name}.body"
        file.write_bytes(case.body)
        body = f'wrk.body = assert(io.open({json.dumps(str(file))}, "rb")):read("*a")'
    fields = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in case.fields().items())
    script = directory / f"{case.name}.lua"
    script.write_text(SCRIPT.format(method=json.dumps(case.method), fields=fields, body=body))
    return script


def run_wrk(script: Path, case: Case, port: int, connections: int, seconds: int) -> dict[str, Any]:
    """Run wrk once; return its summary, or ``error``.  It keeps to the core that this process has."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://{HOST}:{port}{case.path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            answer: dict[str, Any] = json.loads(line)
            return answer
    return {"error": (done.stderr or done.stdout).strip()[-300:] or f"wrk ended with status {done.returncode}"}


def whole(answer: bytes) -> bool:
    """Is this a complete response with a length or chunks?  A body that ends like the last chunk would deceive it."""
    head_end = answer.find(END)
    if head_end < 0:
        return False
    head = answer[: head_end + 2]
    if length := LENGTH.search(head):
        return len(answer) >= head_end + 4 + int(length[1])
    if CHUNKED.search(head):
        return answer.endswith(LAST_CHUNK) and len(answer) >= head_end + 4 + len(LAST_CHUNK)
    raise ValueError(f"a response without a length: {head[:200]!r}")


class Caller(asyncio.Protocol):
    """One connection with one request in flight."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.answer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if whole(self.answer):
            answer, self.answer = self.answer, b""
            self.load.answered(self, answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.load.fail(ConnectionError(f"the server closed a connection: {error}"))


class Load:
    """Connections that send a request as soon as the answer to the one before is there."""

    def __init__(self, port: int, request: bytes, connections: int) -> None:
        self.port = port
        self.request = request
        self.connections = connections
        self.callers: list[Caller] = []
        self.to_send = self.to_come = 0
        self.finished: asyncio.Future[None] | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self.connections):
            _, caller = await loop.create_connection(lambda: Caller(self), HOST, self.port)
            self.callers.append(caller)

    async def run(self, count: int) -> None:
        """Send ``count`` requests and wait for the answers."""
        self.finished = asyncio.get_running_loop().create_future()
        self.to_send = self.to_come = count
        for caller in self.callers[:count]:
            self.send(caller)
        async with asyncio.timeout(LOAD_SECONDS):
            await self.finished

    def send(self, caller: Caller) -> None:
        if self.to_send:
            self.to_send -= 1
            caller.transport.write(self.request)

    def answered(self, caller: Caller, answer: bytes) -> None:
        if not answer.startswith(b"HTTP/1.1 200 "):
            self.fail(ValueError(f"a wrong answer: {answer[:80]!r}"))
            return
        self.to_come -= 1
        self.send(caller)
        if not self.to_come and self.finished is not None and not self.finished.done():
            self.finished.set_result(None)

    def fail(self, error: Exception) -> None:
        if self.finished is not None and not self.finished.done():
            self.finished.set_exception(error)

    def close(self) -> None:
        for caller in self.callers:
            caller.transport.close()


def per_request(cost: Mapping[int, float]) -> float:
    """Return the slope between the two lengths of a mapping from number of requests to cost."""
    (shorter, less), (longer, more) = sorted(cost.items())
    return (more - less) / (longer - shorter)
