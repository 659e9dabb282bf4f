"""Happy Eyeballs: the race between the addresses of one host (RFC 8305).

In: addresses in the order of the resolver, and a function that connects to one of them. Out: what the first attempt
that succeeded returned; losers are cancelled, and a result that a loser still brings is disposed of. Errors are
gathered: when all attempts fail one OSError tells of all of them.

Ordering (``interleave``) is a pure function; ``race`` is the only thing here that waits. One address costs no task.
Limits: each address is tried once, so a race has at most as many tasks as addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import TypeVar

from .sockets import AddrInfoType

__all__ = ("ATTEMPT_DELAY", "combined_error", "interleave", "race")

# Seconds between two attempts; RFC 8305 section 8 recommends 250 ms.
ATTEMPT_DELAY = 0.25

_T = TypeVar("_T")


def interleave(addr_infos: Sequence[AddrInfoType], first_family_count: int = 1) -> list[AddrInfoType]:
    """Return the addresses with the families taking turns, the family of the first address leading.

    ``first_family_count`` addresses of the leading family come before the first of another one; 0 counts as 1.
    The order inside a family stays (RFC 8305 section 4).
    """
    by_family: dict[int, list[AddrInfoType]] = {}
    for info in addr_infos:
        by_family.setdefault(info[0], []).append(info)
    families = list(by_family.values())
    if len(families) < 2:
        return list(addr_infos)
    head = max(first_family_count, 1) - 1
    ordered = families[0][:head]
    families[0] = families[0][head:]
    for turn in zip_longest(*families):
        ordered.extend(info for info in turn if info is not None)
    return ordered


def combined_error(errors: Sequence[OSError]) -> OSError:
    """Return one error for all the attempts; it keeps the errno, and so its class, when all agree on it.

    The single errors are in the ExceptionGroup that is its ``__cause__``.
    """
    if len(errors) == 1:
        return errors[0]
    reasons = list(dict.fromkeys(exc.strerror or str(exc) for exc in errors))
    numbers = {exc.errno for exc in errors}
    error = OSError(numbers.pop() if len(numbers) == 1 else None, "; ".join(reasons))
    error.__cause__ = ExceptionGroup("all connection attempts failed", errors)
    return error


async def race(
    addr_infos: Sequence[AddrInfoType],
    connect: Callable[[AddrInfoType], Awaitable[_T]],
    dispose: Callable[[_T], object],
    delay: float | None,
) -> tuple[_T, AddrInfoType]:
    """Return the result of the first address to which ``connect`` succeeds, and that address.

    The next attempt starts ``delay`` seconds after the last one, or at once when it fails; with None only when it
    fails. A result that is not the winner's goes to ``dispose``. Raises OSError when every attempt failed; other
    exceptions of ``connect`` end the race. Cancellation cancels every attempt (RFC 8305 section 5).
    """
    if not addr_infos:
        raise OSError(None, "no address to connect to")
    if len(addr_infos) == 1:
        return await connect(addr_infos[0]), addr_infos[0]
    if delay is None:
        return await _in_turn(addr_infos, connect)
    return await _staggered(addr_infos, connect, dispose, max(delay, 0.0))


async def _in_turn(
    addr_infos: Sequence[AddrInfoType], connect: Callable[[AddrInfoType], Awaitable[_T]]
) -> tuple[_T, AddrInfoType]:
    errors: list[OSError] = []
    for info in addr_infos:
        try:
            return await connect(info), info
        except OSError as exc:
            errors.append(exc)
    raise combined_error(errors)


async def _staggered(
    addr_infos: Sequence[AddrInfoType],
    connect: Callable[[AddrInfoType], Awaitable[_T]],
    dispose: Callable[[_T], object],
    delay: float,
) -> tuple[_T, AddrInfoType]:
    running: dict[asyncio.Task[_T], AddrInfoType] = {}
    errors: list[OSError] = []
    waiting = list(reversed(addr_infos))
    try:
        while waiting or running:
            if waiting:
                info = waiting.pop()
                running[asyncio.ensure_future(_attempt(connect, info))] = info
            timeout = delay if waiting else None
            done, _ = await asyncio.wait(running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            # The order of the attempts decides when two end in the same turn of the loop.
            for task in [task for task in running if task in done]:
                info = running[task]
                error = None if task.cancelled() else task.exception()
                if error is None:
                    del running[task]
                    return task.result(), info
                del running[task]
                if not isinstance(error, OSError):
                    raise error
                errors.append(error)
        raise combined_error(errors)
    finally:
        for task in running:
            task.add_done_callback(lambda loser: _dispose_result(loser, dispose))
            task.cancel()
        # A frame that keeps the errors which keep the frame would be a reference cycle.
        errors = []


async def _attempt(connect: Callable[[AddrInfoType], Awaitable[_T]], info: AddrInfoType) -> _T:
    return await connect(info)


def _dispose_result(task: asyncio.Task[_T], dispose: Callable[[_T], object]) -> None:
    if not task.cancelled() and task.exception() is None:
        dispose(task.result())
