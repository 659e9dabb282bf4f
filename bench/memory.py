"""What the process grows by: ``python -m bench.memory``.

Four questions, each in a fresh process for each library: how far does the peak of resident memory rise while 1 GiB is
streamed down, and up; what do 20,000 requests leave behind; what does one of 1,000 idle connections cost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import json
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .cases import KIB, MIB
from .processes import REPOSITORY, ServerFacts, child_environment, new_event_loop, running_server

STREAM_BYTES = 1024 * MIB
PIECE = 64 * KIB
REQUESTS = 20_000
WARM_UP_REQUESTS = 2_000
IDLE_CONNECTIONS = 1_000
WARM_UP_CONNECTIONS = 20
GROWTH_BUDGET_MIB = 30
CHILD_SECONDS = 600


def resident_bytes() -> int:
    """Return the resident memory of this process; its peak where the system does not tell the current value."""
    status = Path("/proc/self/status")
    if status.exists():
        return status_field("VmRSS")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * KIB


def status_field(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * KIB
    raise ValueError(f"/proc/self/status has no {name}")


def reset_peak() -> None:
    """Start the peak of resident memory anew (Linux); elsewhere the peak of the whole life is what there is."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    return status_field("VmHWM") if Path("/proc/self/status").exists() else resident_bytes()


async def get(session: Any, url: str) -> None:
    async with session.get(url) as response:
        await response.read()


async def down(http: Any, facts: ServerFacts) -> dict[str, float]:
    """Stream 1 GiB from the server; return the growth of the peak."""
    async with http.ClientSession() as session:
        await get(session, facts.plain + "/small")
        before, size = resident_bytes(), 0
        reset_peak()
        async with session.get(f"{facts.plain}/stream/{STREAM_BYTES}") as response:
            async for piece in response.content.iter_chunked(PIECE):
                size += len(piece)
        if size != STREAM_BYTES:
            raise ValueError(f"expected {STREAM_BYTES} bytes, got {size}")
        return {"growth": peak_bytes() - before}


async def up(http: Any, facts: ServerFacts) -> dict[str, float]:
    """Stream 1 GiB to the server from an async generator; return the growth of the peak."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(STREAM_BYTES // PIECE):
            yield b"x" * PIECE

    async with http.ClientSession() as session:
        await get(session, facts.plain + "/small")
        before = resident_bytes()
        reset_peak()
        async with session.post(facts.plain + "/sink", data=pieces()) as response:
            await response.read()
        return {"growth": peak_bytes() - before}


async def requests(http: Any, facts: ServerFacts) -> dict[str, float]:
    """Make 20,000 requests on one session; return what they leave behind in memory blocks and bytes."""
    url = facts.plain + "/small"
    async with http.ClientSession() as session:
        for _ in range(WARM_UP_REQUESTS):
            await get(session, url)
        gc.collect()
        before, blocks = resident_bytes(), sys.getallocatedblocks()
        for _ in range(REQUESTS):
            await get(session, url)
        gc.collect()
        return {"growth": resident_bytes() - before, "blocks": sys.getallocatedblocks() - blocks}


async def idle(http: Any, facts: ServerFacts) -> dict[str, float]:
    """Open 1,000 connections at once and leave them idle; return what each keeps."""
    raise_file_limit()
    async with http.ClientSession(connector=http.TCPConnector(limit=0)) as session:
        await open_at_once(session, facts, WARM_UP_CONNECTIONS)
        before, traced = resident_bytes(), tracemalloc.get_traced_memory()[0]
        await open_at_once(session, facts, IDLE_CONNECTIONS)
        opened = IDLE_CONNECTIONS - WARM_UP_CONNECTIONS
        kept = tracemalloc.get_traced_memory()[0] - traced
        return {"growth": (resident_bytes() - before) / opened, "traced": kept / opened}


async def open_at_once(session: Any, facts: ServerFacts, count: int) -> None:
    await asyncio.gather(*(get(session, f"{facts.plain}/barrier/{count}") for _ in range(count)))
    await asyncio.sleep(0)
    gc.collect()
    give_back_free_memory()


def give_back_free_memory() -> None:
    """Let the C library return what it keeps for later (glibc), as a thousand requests at once leave a lot of that."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def raise_file_limit() -> None:
    with contextlib.suppress(ImportError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = IDLE_CONNECTIONS + 200
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


QUESTIONS: dict[str, Callable[[Any, ServerFacts], Awaitable[dict[str, float]]]] = {
    "down": down,
    "up": up,
    "requests": requests,
    "idle": idle,
}


def child(question: str, library: str, loop_name: str, facts: ServerFacts) -> None:
    """Answer one question about one library in this process."""
    http = importlib.import_module(library)
    traced = question.endswith("-traced")
    if traced:
        tracemalloc.start()
    with contextlib.closing(new_event_loop(loop_name)) as loop:
        print(json.dumps(loop.run_until_complete(QUESTIONS[question.removesuffix("-traced")](http, facts))))


def ask(question: str, library: str, loop: str, facts: ServerFacts) -> dict[str, float] | str:
    """Return the answer of a fresh process, or the last line of its error."""
    command = [sys.executable, "-m", "bench.memory", "--child", question, "--libs", library, "--loop", loop]
    try:
        done = subprocess.run(
            [*command, "--facts", facts.to_json()],
            env=child_environment(), cwd=REPOSITORY, capture_output=True, text=True, timeout=CHILD_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"not finished after {CHILD_SECONDS} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def mib(answer: dict[str, float] | str, key: str = "growth") -> str:
    return f"{answer[key] / MIB:.1f} MiB" if isinstance(answer, dict) else answer


def kib(answer: dict[str, float] | str, key: str = "growth") -> str:
    return f"{answer[key] / KIB:.2f} KiB" if isinstance(answer, dict) else answer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--libs", default="fairlead,aiohttp", help="default: fairlead,aiohttp")
    parser.add_argument("--loop", default="asyncio", choices=("asyncio", "uvloop"))
    parser.add_argument("--questions", default="down,up,requests,idle", help="default: down,up,requests,idle")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--facts", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.libs, options.loop, ServerFacts(**options.facts))
        return
    libraries, questions = options.libs.split(","), options.questions.split(",")
    view = Table(title=f"Memory, on {options.loop}", title_justify="left")
    for heading in ("question", *libraries):
        view.add_column(heading, justify="left" if heading == "question" else "right")
    with running_server() as facts:

        def answers(question: str) -> list[dict[str, float] | str]:
            return [ask(question, library, options.loop, facts) for library in libraries]

        if "down" in questions:
            view.add_row(f"1 GiB down, growth (budget {GROWTH_BUDGET_MIB} MiB)", *map(mib, answers("down")))
        if "up" in questions:
            view.add_row(f"1 GiB up, growth (budget {GROWTH_BUDGET_MIB} MiB)", *map(mib, answers("up")))
        if "requests" in questions:
            found = answers("requests")
            view.add_row(f"{REQUESTS:,} requests, growth", *map(mib, found))
            view.add_row(
                f"{REQUESTS:,} requests, memory blocks left",
                *(f"{answer['blocks']:.0f}" if isinstance(answer, dict) else answer for answer in found),
            )
        if "idle" in questions:
            view.add_row(f"1 of {IDLE_CONNECTIONS:,} idle connections, resident", *map(kib, answers("idle")))
            traced = [kib(answer, "traced") for answer in answers("idle-traced")]
            view.add_row(f"1 of {IDLE_CONNECTIONS:,} idle connections, traced", *traced)
    Console().print(view)


if __name__ == "__main__":
    main()
