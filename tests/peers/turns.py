"""Waiting in turns of the loop instead of seconds: what is not so after many turns never will be.

In: a condition. Out: nothing, or an AssertionError that says what did not come true. Limits: `MOST_TURNS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

MOST_TURNS = 10_000
"""Turns of the loop that something may take, sockets of this machine included."""


async def turns(count: int) -> None:
    """Give the loop that many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], what: str) -> None:
    """Give the loop turns until `condition()` is true."""
    for _ in range(MOST_TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"never came true: {what}")
