"""Real programs as clients of a server under test: where they are, and how they are run.

In: a program's name and its arguments. Out: what it wrote and its status. Tests are skipped where the program is
missing; nothing runs longer than it is given, and what does is killed with all its children.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from dataclasses import dataclass

import pytest

RUN_TIMEOUT = 30.0
"""Seconds for one run, far more than any of these takes."""


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    status: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()


def program(*names: str) -> str:
    """The path of the first of `names` that is installed; skips the test where none is."""
    path = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
    for name in names:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    pytest.skip(f"{names[0]} is not installed")


def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # its group is its own: see start_new_session
        else:
            process.kill()


async def run(*arguments: str, given: bytes | None = None, limit: float = RUN_TIMEOUT) -> Ended:
    """Run a program with `given` on its standard input, and fail when it takes longer than `limit` seconds."""
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limit):
            out, err = await process.communicate(given)
    except TimeoutError:
        raise AssertionError(f"{arguments[0]} did not end within {limit:g} s") from None
    finally:
        if process.returncode is None:
            _kill(process)
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, out, err)


async def curl(*arguments: str, given: bytes | None = None, fails: bool = False) -> Ended:
    """Run curl without a configuration or a proxy; it must succeed unless it is said to fail."""
    ended = await run(program("curl"), "-q", "-sS", "--noproxy", "*", "--max-time", "20", *arguments, given=given)
    assert (ended.status != 0) == fails, (ended.status, ended.err.decode())
    return ended
