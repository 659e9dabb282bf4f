"""The conftest notices what a test leaves behind; each case is a test run of its own, inside this process."""

from __future__ import annotations

import asyncio
import socket
import sys
import warnings
from typing import Any

import pytest

# importlib mode names modules by their path, so the conftest cannot be imported by a fixed name.
conftest: Any = next(
    module for module in list(sys.modules.values()) if callable(getattr(module, "run_coroutine_test", None))
)


def test_a_clean_test_passes_and_really_ran() -> None:
    ran = []

    async def test() -> None:
        await asyncio.sleep(0)
        ran.append(True)

    conftest.run_coroutine_test(test)
    assert ran == [True]


def test_the_test_s_own_failure_is_what_is_reported() -> None:
    async def test() -> None:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        conftest.run_coroutine_test(test)


def test_pending_task_is_found() -> None:
    async def test() -> None:
        test.task = asyncio.get_running_loop().create_task(asyncio.Event().wait(), name="forgotten")  # type: ignore[attr-defined]

    with pytest.raises(AssertionError, match="pending task forgotten"):
        conftest.run_coroutine_test(test)


def test_exception_in_a_callback_is_found() -> None:
    async def test() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)

    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        conftest.run_coroutine_test(test)


def test_exception_nobody_retrieved_is_found() -> None:
    async def fail() -> None:
        raise KeyError("lost")

    async def test() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task

    with pytest.raises(AssertionError, match="never retrieved"):
        conftest.run_coroutine_test(test)


def test_unclosed_socket_is_found() -> None:
    async def test() -> None:
        cycle: list[object] = [socket.socket()]
        cycle.append(cycle)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AssertionError, match="unclosed <socket"):
            conftest.run_coroutine_test(test)


def test_exception_in_a_finalizer_is_found() -> None:
    class Broken:
        def __del__(self) -> None:
            raise LookupError("finalizer")

    async def test() -> None:
        Broken()

    with pytest.raises(AssertionError, match="finalizer"):
        conftest.run_coroutine_test(test)


def test_a_hang_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conftest, "TEST_TIMEOUT", 0.01)

    async def test() -> None:
        await asyncio.Event().wait()

    with pytest.raises(AssertionError, match="did not end within"):
        conftest.run_coroutine_test(test)


@pytest.mark.parametrize("value", [1])
async def test_coroutine_tests_get_parameters_and_fixtures(value: int, tmp_path: Any) -> None:
    assert value == 1
    assert tmp_path.is_dir()


def test_an_unknown_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRLEAD_LOOP", "trio")
    with pytest.raises(pytest.UsageError, match="'trio'"):
        conftest.new_loop()
