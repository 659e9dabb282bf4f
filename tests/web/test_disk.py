"""What the disk has under a path, and what a request gets of it."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.web.requests import decode_request
from tests.web.tree import TEN, TIME_NS, write

from fairlead.codec.preconditions import Span
from fairlead.web import disk
from fairlead.web.disk import SMALL_FILE, Look, Wish, accepted_siblings, take

posix_only = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


def wish(method: str = "GET", status: int = 200, whole: bool = False, **fields: str) -> Wish:
    headers = [(name.replace("_", "-"), value) for name, value in fields.items()]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return Wish(decode_request(f"{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()), status, whole=whole)


def look(path: Path | str, wanted: Wish | None = None) -> Look:
    found = Look(str(path), wanted or wish())
    found.run()
    return found


def large(path: Path, size: int = SMALL_FILE + 1) -> Path:
    return write(path, bytes(size))


# ---- what is found


def test_a_small_file_is_read_at_once(tmp_path: Path) -> None:
    found = look(write(tmp_path / "a"))
    assert (found.status, found.body, found.size, found.span) == (200, TEN, 10, Span(0, 10))
    assert found.tag == f"{TIME_NS:x}-a"
    assert found.modified == 1_600_000_001
    assert found.file is None


@pytest.mark.parametrize("extra", [0, 1])
def test_the_limit_of_small_files(tmp_path: Path, extra: int) -> None:
    found = look(large(tmp_path / "a", SMALL_FILE + extra))
    assert (found.body is None) is bool(extra)
    assert (found.file is None) is not bool(extra)
    found.close()


def test_a_part_of_a_large_file_is_small(tmp_path: Path) -> None:
    path = write(tmp_path / "a", bytes(SMALL_FILE) + TEN)
    found = look(path, wish(Range="bytes=-10"))
    assert (found.status, found.body, found.span) == (206, TEN, Span(SMALL_FILE, 10))


def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    assert look(write(tmp_path / "a", b"")).body == b""


@pytest.mark.parametrize(
    ("name", "status"),
    [("missing", 404), ("a/b", 404), ("a\0b", 404), ("x" * 5000, 404), ("dir", 403), ("\udcff", 404)],
)
def test_what_is_no_file(tmp_path: Path, name: str, status: int) -> None:
    write(tmp_path / "a")
    (tmp_path / "dir").mkdir()
    found = look(f"{tmp_path}/{name}")
    assert (found.status, found.body, found.span) == (status, None, None)
    assert found.directory is (name == "dir")


@posix_only
def test_what_is_no_regular_file_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    monkeypatch.setattr(os, "open", lambda *args: pytest.fail("opened"))
    assert look(tmp_path / "fifo").status == 403
    assert look("/dev/null").status == 403


@posix_only
def test_a_pipe_that_takes_the_place_of_a_file_does_not_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a")

    def replace() -> None:
        path.unlink()
        os.mkfifo(path)

    before_opening(monkeypatch, replace)
    found = look(path)
    assert (found.status, found.body, found.span) == (403, None, None)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
@pytest.mark.parametrize("call", ["stat", "open"])
def test_what_may_not_be_read_is_forbidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call: str
) -> None:
    path = write(tmp_path / "a")
    monkeypatch.setattr(os, call, raiser(OSError(number, "no")))
    assert look(path).status == 403


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.ENOMEM])
def test_failures_of_the_machine_are_nobody_s_404(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = write(tmp_path / "a")
    monkeypatch.setattr(os, "open", raiser(OSError(number, "broken")))
    found = look(path)
    assert (found.status, found.span, str(found.error)) == (500, None, f"[Errno {number}] broken")


def test_head_opens_the_file_but_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "read", lambda *args: pytest.fail("read"))
    found = look(write(tmp_path / "a"), wish("HEAD"))
    assert (found.status, found.body, found.span) == (200, None, Span(0, 10))
    assert look(large(tmp_path / "b"), wish("HEAD")).file is None


def test_what_is_not_modified_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", lambda *args: pytest.fail("opened"))
    found = look(write(tmp_path / "a"), wish(If_None_Match=f'"{TIME_NS:x}-a"'))
    assert (found.status, found.span) == (304, None)


# ---- between the looks


def raiser(exc: BaseException) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        raise exc

    return call


def before_opening(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object], times: int = 1) -> list[int]:
    """Do something each time between the first look and the opening."""
    real, done = os.open, []

    def opening(*args: Any, **kwargs: Any) -> int:
        if len(done) < times:
            done.append(1)
            action()
        return real(*args, **kwargs)

    monkeypatch.setattr(os, "open", opening)
    return done


def test_a_file_that_is_replaced_is_told_as_what_it_is_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a")
    before_opening(monkeypatch, lambda: path.write_bytes(b"another one"))
    found = look(path)
    assert (found.body, found.size, found.span) == (b"another one", 11, Span(0, 11))
    assert found.tag == f"{path.stat().st_mtime_ns:x}-b"


def test_conditions_hold_for_the_file_that_was_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a")
    before_opening(monkeypatch, lambda: write(path, b"new"))
    found = look(path, wish(If_None_Match=f'"{TIME_NS:x}-3"'))
    assert (found.status, found.body, found.span) == (304, None, None)


@posix_only
def test_a_link_that_takes_the_place_of_a_sibling_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a")
    secret, sibling = write(tmp_path / "secret", b"secret"), write(tmp_path / "a.gz", b"gzip")

    def replace() -> None:
        sibling.unlink()
        sibling.symlink_to(secret)

    before_opening(monkeypatch, replace)
    found = look(tmp_path / "a", wish(Accept_Encoding="gzip"))
    assert (found.body, found.coding) == (TEN, None)


def shrinking_reads(monkeypatch: pytest.MonkeyPatch, path: Path, times: int) -> list[int]:
    real, cut = os.read, []

    def reading(fd: int, size: int) -> bytes:
        if len(cut) < times:
            cut.append(1)
            os.truncate(path, os.fstat(fd).st_size // 2)
        return real(fd, size)

    monkeypatch.setattr(os, "read", reading)
    return cut


def test_a_file_that_shrinks_while_it_is_read_is_looked_at_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a")
    shrinking_reads(monkeypatch, path, 1)
    found = look(path)
    assert (found.body, found.size, found.span) == (TEN[:5], 5, Span(0, 5))


def test_a_file_that_always_shrinks_is_given_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shrinking_reads(monkeypatch, write(tmp_path / "a", bytes(4096)), 100)
    opened = before_opening(monkeypatch, lambda: None, 100)
    found = look(tmp_path / "a")
    assert found.span is not None
    assert found.body is not None
    assert len(found.body) < found.span.length
    assert len(opened) == disk.MAX_ATTEMPTS


def test_short_reads_are_put_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: real(fd, min(size, 3)))
    assert look(write(tmp_path / "a")).body == TEN


def test_a_file_that_grows_is_read_as_long_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = write(tmp_path / "a"), os.read

    def reading(fd: int, size: int) -> bytes:
        with path.open("ab") as file:
            file.write(b"more")
        return real(fd, size)

    monkeypatch.setattr(os, "read", reading)
    assert look(path).body == TEN


# ---- siblings


@pytest.mark.parametrize(
    ("field", "endings"),
    [
        ("gzip, deflate, br, zstd", [".br", ".zst", ".gz"]),
        ("gzip", [".gz"]),
        ("GZIP", [".gz"]),
        ("x-gzip", [".gz"]),
        ("br;q=0.5, gzip", [".gz", ".br"]),
        ("gzip;q=0", []),
        ("gzip;q=0, br", [".br"]),
        ("x-gzip, gzip;q=0", []),
        ("*", []),
        ("identity", []),
        ("", []),
        ("notgzip, brx", []),
        ("gzip;q=nonsense", []),
    ],
)
def test_which_siblings_are_accepted(field: str, endings: list[str]) -> None:
    assert [ending for ending, _ in accepted_siblings(field)] == endings


def test_a_sibling_is_sent_with_its_own_facts(tmp_path: Path) -> None:
    write(tmp_path / "a"), write(tmp_path / "a.gz", b"zip")
    found = look(tmp_path / "a", wish(Accept_Encoding="gzip"))
    assert (found.body, found.coding, found.size, found.tag) == (b"zip", "gzip", 3, f"{TIME_NS:x}-3")


def test_a_sibling_may_be_all_there_is(tmp_path: Path) -> None:
    write(tmp_path / "a.br", b"zip")
    assert look(tmp_path / "a", wish(Accept_Encoding="br")).body == b"zip"
    assert look(tmp_path / "a", wish(Accept_Encoding="gzip")).status == 404


def test_a_sibling_that_may_not_be_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a"), write(tmp_path / "a.gz", b"zip")
    real = os.open

    def opening(path: str, *args: Any) -> int:
        if path.endswith(".gz"):
            raise PermissionError(errno.EACCES, "no")
        return real(path, *args)

    monkeypatch.setattr(os, "open", opening)
    found = look(tmp_path / "a", wish(Accept_Encoding="gzip"))
    assert (found.body, found.coding, found.status) == (TEN, None, 200)


# ---- wishes


def test_ranges_are_for_get_and_for_what_would_be_a_success() -> None:
    assert wish(Range="bytes=0-1").range == "bytes=0-1"
    assert wish("HEAD", Range="bytes=0-1").range is None
    assert wish("POST", Range="bytes=0-1").range is None
    assert wish(status=404, Range="bytes=0-1", If_None_Match='"a"').range is None
    assert wish(status=404, If_None_Match='"a"').conditions is None
    assert wish(status=204, Range="bytes=0-1").range is None
    assert wish(whole=True, Range="bytes=0-1").range is None


@pytest.mark.parametrize("name", ["If_Match", "If_None_Match", "If_Modified_Since", "If_Unmodified_Since"])
def test_each_condition_is_noticed(name: str) -> None:
    assert wish(**{name: "x"}).conditions is not None
    assert wish().conditions is None


# ---- reading a large file


def test_reading_and_closing_a_large_file(tmp_path: Path) -> None:
    found = look(write(tmp_path / "a", bytes(SMALL_FILE) + TEN))
    assert found.read(SMALL_FILE + 3, 4) == b"3456"
    assert found.read(SMALL_FILE + 10, 4) == b""
    found.close()
    found.close()
    with pytest.raises(ValueError, match="closed"):
        found.read(0, 1)


def test_a_look_that_is_dropped_closes_its_file_without_a_warning(tmp_path: Path) -> None:
    found = look(large(tmp_path / "a"))
    assert found.file is not None
    number = found.file.fileno()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del found
        gc.collect()
    with pytest.raises(OSError):
        os.fstat(number)


# ---- rides


async def test_a_look_is_taken_in_another_thread(tmp_path: Path) -> None:
    threads: list[threading.Thread] = []

    class Watched(Look):
        def run(self) -> None:
            threads.append(threading.current_thread())
            super().run()

    found = Watched(str(write(tmp_path / "a")), wish())
    await take(found)
    assert found.body == TEN
    assert threads[0] is not threading.main_thread()


async def test_those_who_ask_together_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    trips: list[int] = []
    real = loop.run_in_executor

    def counting(executor: Any, job: Any, riders: Any) -> Any:
        trips.append(len(riders))
        return real(executor, job, riders)

    monkeypatch.setattr(loop, "run_in_executor", counting)
    path = str(write(tmp_path / "a"))
    looks = [Look(path, wish()) for _ in range(disk.MAX_RIDERS + 3)]
    await asyncio.gather(*(take(each) for each in looks))
    assert trips == [disk.MAX_RIDERS, 3]
    assert all(each.body == TEN for each in looks)
    await take(Look(path, wish()))
    assert trips[2:] == [1]


async def test_one_failure_leaves_the_others_of_a_ride_alone(tmp_path: Path) -> None:
    class Broken(Look):
        def run(self) -> None:
            raise OSError(errno.EIO, "broken")

    path = str(write(tmp_path / "a"))
    looks = [Look(path, wish()), Broken(path, wish()), Look(path, wish())]
    outcomes = await asyncio.gather(*(take(each) for each in looks), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), OSError, type(None)]
    assert looks[2].body == TEN


async def test_a_cancelled_ride_leaves_no_file_open(tmp_path: Path) -> None:
    entered, leave = threading.Event(), threading.Event()
    opened: list[int] = []

    class Slow(Look):
        def _find(self) -> None:
            entered.set()
            leave.wait(10)
            super()._find()
            assert self.file is not None
            opened.append(self.file.fileno())

    slow = Slow(str(large(tmp_path / "a")), wish())
    second = Look(str(large(tmp_path / "b")), wish())
    tasks = [asyncio.ensure_future(take(each)) for each in (slow, second)]
    await asyncio.to_thread(entered.wait, 10)
    for task in tasks:
        task.cancel()
    assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [asyncio.CancelledError] * 2
    leave.set()
    await asyncio.get_running_loop().shutdown_default_executor()
    assert slow.file is not None
    assert slow.file.closed
    with pytest.raises(OSError):
        os.fstat(opened[0])
    assert second.file is None  # nobody was waiting any more, so it was not even opened


async def test_without_an_executor_the_wait_fails_instead_of_hanging(tmp_path: Path) -> None:
    await asyncio.get_running_loop().shutdown_default_executor()
    with pytest.raises(RuntimeError):
        await take(Look(str(tmp_path), wish()))


async def test_when_no_thread_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio.get_running_loop(), "run_in_executor", raiser(MemoryError("no threads")))
    with pytest.raises(MemoryError):
        await take(Look(str(tmp_path), wish()))


def test_each_loop_has_its_own_rides(tmp_path: Path) -> None:
    path = str(write(tmp_path / "a"))
    for _ in range(3):
        found = Look(path, wish())
        asyncio.run(take(found))
        assert found.body == TEN
    gc.collect()
    assert not disk._rides
