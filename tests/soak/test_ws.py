"""A thousand WebSockets open at once: what each costs in memory beside aiohttp, and the time of a message to all.

Each end has a process of its own, and the other end is always aiohttp's, so that what grows is the end in question.
The numbers are printed (`pytest -rP`, `-s`) and bounded: fairlead may not need more than aiohttp.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the size of a process is read from /proc"),
]

WARM = 50
OPEN = 1000
MORE_ALLOWED = 1.05
"""How much more than aiohttp's memory a connection may take: the resident size moves by whole arenas."""


class End:
    """One end in a process of its own."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "ws_crowd.py"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the process ended with {self.process.wait()}"
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, order: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(order, file=self.process.stdin, flush=True)
        return self.answer()


@contextmanager
def crowd(server: str, client: str) -> Iterator[tuple[End, End]]:
    with server_end(server) as one, end(client, "client", str(one.answer()["port"])) as other:
        yield one, other


@contextmanager
def end(*arguments: str) -> Iterator[End]:
    running = End(*arguments)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


def server_end(library: str) -> Any:
    return end(library, "server")


def measure(server: str, client: str, side: str) -> dict[str, float]:
    """Open the crowd, send to all; return what the end of `side` grew by for each, and the times of the broadcast."""
    with crowd(server, client) as (one, other):
        measured = one if side == "server" else other
        other.ask(f"open {WARM}")
        before = measured.ask("measure")
        other.ask(f"open {OPEN}")
        after = measured.ask("measure")
        told = one.ask("broadcast")
        assert told["sent"] == WARM + OPEN
        other.ask(f"received {WARM + OPEN}")
        first = told
        second = one.ask("broadcast")
        other.ask(f"received {2 * (WARM + OPEN)}")
        return {
            "bytes": (after["resident"] - before["resident"]) / OPEN,
            "blocks": (after["blocks"] - before["blocks"]) / OPEN,
            "first": first["own"] * 1e3,
            "again": second["own"] * 1e3,
        }


@pytest.mark.parametrize("side", ["server", "client"])
def test_a_thousand_at_once(side: str) -> None:
    found = {}
    for library in ("aiohttp", "fairlead"):
        pair = (library, "aiohttp") if side == "server" else ("aiohttp", library)
        found[library] = measure(*pair, side)
        print(
            f"{side}, {library}: {found[library]['bytes'] / 1024:.1f} KiB and {found[library]['blocks']:.0f} objects"
            f" for each of {OPEN}"
            + (
                f"; broadcast to {WARM + OPEN}: {found[library]['first']:.1f} ms of processor time, the second"
                f" {found[library]['again']:.1f} ms"
                if side == "server"
                else ""
            )
        )
    for what in ("bytes", "blocks"):
        assert found["fairlead"][what] <= found["aiohttp"][what] * MORE_ALLOWED
