"""How every test runs: coroutine tests in a loop of their own, and nothing may be left behind.

A test fails, besides its own assertions, when after it

* a task is still pending, or the loop's exception handler was called,
* an exception was raised where nobody could see it (``sys.unraisablehook``: finalizers and callbacks),
* something was not closed: warnings are errors (see pyproject.toml), ResourceWarning included. Reference cycles are
  collected after coroutine tests only, which are the ones that open things, without the objects of the imports.

``FAIRLEAD_LOOP=uvloop`` runs the coroutine tests on uvloop; ``PYTHONASYNCIODEBUG=1`` turns the loop's debug mode on.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # property tests are skipped by their own importorskip
    pass
else:
    _quiet = [HealthCheck.too_slow]
    # The same examples in each run, so that a red test is red for everybody; `make fuzz` is where new ones are found.
    settings.register_profile("fixed", derandomize=True, deadline=None, max_examples=50, suppress_health_check=_quiet)
    settings.register_profile("fuzz", deadline=None, max_examples=5000, suppress_health_check=_quiet)
    settings.load_profile(os.environ.get("FAIRLEAD_HYPOTHESIS", "fixed"))

# Seconds after which a coroutine test is cancelled: a hang becomes a failure that shows where it hung.
TEST_TIMEOUT = float(os.environ.get("FAIRLEAD_TEST_TIMEOUT", "60"))

# Turns of the loop that a finished test gives to transports and tasks that are already on their way out.
SETTLING_TURNS = 10


def new_loop() -> asyncio.AbstractEventLoop:
    """Make the loop that FAIRLEAD_LOOP asks for."""
    kind = os.environ.get("FAIRLEAD_LOOP", "asyncio")
    if kind == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    if kind != "asyncio":
        raise pytest.UsageError(f"FAIRLEAD_LOOP must be 'asyncio' or 'uvloop', not {kind!r}")
    return asyncio.new_event_loop()


class Leftovers:
    """What went wrong behind the back of the running test."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.cause: BaseException | None = None

    def note(self, text: str, cause: BaseException | None = None) -> None:
        self.found.append(text)
        self.cause = self.cause or cause

    def on_loop_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        subject = context.get("task") or context.get("future") or context.get("handle") or context.get("transport")
        self.note(f"loop exception handler: {context['message']}: {exc!r} ({subject!r})", exc)

    def on_unraisable(self, unraisable: Any) -> None:
        where = unraisable.err_msg or "exception ignored in"
        self.note(f"{where} {unraisable.object!r}: {unraisable.exc_value!r}", unraisable.exc_value)

    def check(self) -> None:
        if self.found:
            found, cause = self.found, self.cause
            self.found, self.cause = [], None
            raise AssertionError("left behind by the test:\n  " + "\n  ".join(found)) from cause


@contextmanager
def nothing_unraisable(leftovers: Leftovers) -> Iterator[None]:
    """Send unraisable exceptions, ResourceWarnings of finalizers included, to ``leftovers``."""
    before = sys.unraisablehook
    sys.unraisablehook = leftovers.on_unraisable
    try:
        yield
    finally:
        sys.unraisablehook = before


async def _run_and_settle(test: Callable[[], Any], leftovers: Leftovers) -> None:
    before = asyncio.all_tasks()
    try:
        async with asyncio.timeout(TEST_TIMEOUT) as deadline:
            await test()
    except TimeoutError as exc:
        if deadline.expired():
            raise AssertionError(f"the test did not end within {TEST_TIMEOUT:g} s") from exc
        raise
    finally:
        for _ in range(SETTLING_TURNS):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - before:
            leftovers.note(f"pending task {task.get_name()}: {task.get_coro()!r}")


def run_coroutine_test(test: Callable[[], Any]) -> None:
    """Run one coroutine test in a fresh loop and fail on whatever it leaves behind."""
    leftovers = Leftovers()
    debug = bool(os.environ.get("PYTHONASYNCIODEBUG"))
    with nothing_unraisable(leftovers):
        with asyncio.Runner(debug=debug, loop_factory=new_loop) as runner:
            runner.get_loop().set_exception_handler(leftovers.on_loop_exception)
            runner.run(_run_and_settle(test, leftovers))
        del runner
        gc.collect()
    leftovers.check()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run ``async def`` tests; everything else is pytest's own business."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in names if name in pyfuncitem.funcargs}
    # pytest's own catch_warnings is in force here; finalizers that run in the loop obey it as well.
    warnings.simplefilter("error", ResourceWarning)
    run_coroutine_test(lambda: pyfuncitem.obj(**arguments))
    return True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Take the imported modules out of the collector's sight: each collection after a test then costs little."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse async generators as tests: they would pass without running."""
    for item in items:
        if inspect.isasyncgenfunction(getattr(item, "obj", None)):
            raise pytest.UsageError(f"{item.nodeid} is an async generator; a test must not yield")
