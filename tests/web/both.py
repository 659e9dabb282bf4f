"""The same scenario with `aiohttp.web` and with `fairlead.web`, and what each showed.

In: a coroutine function that takes the module and a `Log`. Out: the lines of the log, in which addresses in memory, the
names of the two packages and ports read the same. aiohttp runs in a thread and a loop of its own, where what it leaves
behind counts for nothing.
"""

from __future__ import annotations

import asyncio
import gc
import re
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

_ADDRESS = re.compile(r"0x[0-9a-f]+")
_PACKAGE = re.compile(r"\b(aiohttp|fairlead)(\.[a-z_]+)*\b")
_PORT = re.compile(r"(?<=:)[0-9]{5}\b")

# Told by aiohttp for each plain string that is used as a key, which these scenarios do throughout.
QUIET = "It is recommended to use web.AppKey"


def plain(value: Any) -> Any:
    """`value` as something that compares by what a user would see."""
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, BaseException):
        facts = [type(value).__name__, plain(str(value))]
        if hasattr(value, "exceptions"):
            facts[1:] = [[plain(error) for error in value.exceptions]]
        return facts
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, type):
        return value.__name__
    text = value if isinstance(value, str) else repr(value)
    return _PORT.sub("PORT", _PACKAGE.sub("PACKAGE", _ADDRESS.sub("ADDRESS", text)))


class Log(list[Any]):
    """What happened, in order; `key` is an AppKey of the library, which aiohttp can not make in every thread."""

    key: Any = None

    def add(self, *facts: Any) -> None:
        self.append([plain(fact) for fact in facts])

    def tried(self, label: str, action: Callable[[], Any]) -> None:
        """Do something and note what came of it, with the warnings."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                outcome = action()
            except Exception as exc:
                outcome = exc
        told = [[w.category.__name__, str(w.message)] for w in caught if not str(w.message).startswith(QUIET)]
        self.add(label, outcome, *told)

    async def awaited(self, label: str, action: Awaitable[Any]) -> None:
        """Await something and note what came of it."""
        try:
            self.add(label, await action)
        except (Exception, asyncio.CancelledError) as exc:
            self.add(label, exc)


Scenario = Callable[[Any, Log], Awaitable[None]]


async def _run(web: Any, scenario: Scenario, key: Any) -> Log:
    log = Log()
    log.key = key
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=QUIET)
        await scenario(web, log)
    return log


def _reference(web: Any, scenario: Scenario, key: Any) -> Log:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(lambda loop, context: None)
            log = runner.run(_run(web, scenario, key))
        gc.collect()
    return log


async def logs(scenario: Scenario) -> tuple[Log, Log]:
    """What aiohttp and what fairlead showed."""
    from fairlead import web as ours

    theirs = pytest.importorskip("aiohttp.web")
    keys = [each.AppKey("key", int) for each in (theirs, ours)]
    expected = await asyncio.to_thread(_reference, theirs, scenario, keys[0])
    return expected, await _run(ours, scenario, keys[1])


async def same(scenario: Scenario) -> Log:
    """Assert that both show the same, and return it."""
    theirs, ours = await logs(scenario)
    assert ours == theirs
    return ours
