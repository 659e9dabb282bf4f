"""wire.eyeballs: the order of addresses and the race between them (RFC 8305), on a loop whose time is made up."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

import pytest

from fairlead.wire.eyeballs import combined_error, interleave, race
from fairlead.wire.sockets import AddrInfoType, numeric_addr_info


def infos(hosts: str) -> list[AddrInfoType]:
    return [numeric_addr_info(host, 80) for host in hosts.split()]


def hosts(addr_infos: list[AddrInfoType]) -> str:
    return " ".join(info[4][0] for info in addr_infos)


@pytest.mark.parametrize(
    ("given", "count", "expected"),
    [
        ("::1 ::2 ::3 1.1.1.1 2.2.2.2", 1, "::1 1.1.1.1 ::2 2.2.2.2 ::3"),
        ("::1 ::2 ::3 1.1.1.1 2.2.2.2", 2, "::1 ::2 1.1.1.1 ::3 2.2.2.2"),
        ("1.1.1.1 ::1 ::2", 1, "1.1.1.1 ::1 ::2"),
        ("1.1.1.1 2.2.2.2 ::1", 0, "1.1.1.1 ::1 2.2.2.2"),
        ("1.1.1.1 2.2.2.2 ::1", 9, "1.1.1.1 2.2.2.2 ::1"),
        ("1.1.1.1 2.2.2.2", 1, "1.1.1.1 2.2.2.2"),
        ("", 1, ""),
    ],
)
def test_families_take_turns(given: str, count: int, expected: str) -> None:
    assert hosts(interleave(infos(given), count)) == expected


def test_interleaving_loses_and_repeats_nothing() -> None:
    given = infos("::1 1.1.1.1 ::2 ::3 2.2.2.2 ::4")
    for count in range(8):
        assert sorted(map(repr, interleave(given, count))) == sorted(map(repr, given))


def test_one_error_stays_itself() -> None:
    error = ConnectionRefusedError(errno.ECONNREFUSED, "no")
    assert combined_error([error]) is error


def test_errors_that_agree_keep_their_class_and_say_everything() -> None:
    parts = [ConnectionRefusedError(errno.ECONNREFUSED, text) for text in ("no 1", "no 2", "no 1")]
    error = combined_error(parts)
    assert isinstance(error, ConnectionRefusedError)
    assert (error.errno, error.strerror) == (errno.ECONNREFUSED, "no 1; no 2")
    assert isinstance(error.__cause__, ExceptionGroup)
    assert error.__cause__.exceptions == tuple(parts)


def test_errors_that_disagree_have_no_errno() -> None:
    error = combined_error([ConnectionRefusedError(errno.ECONNREFUSED, "no"), OSError(errno.ENETUNREACH, "far")])
    assert (type(error), error.errno, error.strerror) == (OSError, None, "no; far")


class MadeUpTimeLoop(asyncio.SelectorEventLoop):
    """A loop that jumps to the next timer instead of sleeping, so that delays cost nothing and are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        select = self._selector.select  # type: ignore[attr-defined]

        def jump(timeout: float | None) -> Any:
            self.now += timeout or 0.0
            return select(0)

        self._selector.select = jump  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now


class Peer:
    """What each address does: answers or fails after some seconds; keeps the history."""

    def __init__(self, plan: dict[str, tuple[float, OSError | None]]) -> None:
        self.plan = plan
        self.history: list[tuple[float, str, str]] = []
        self.disposed: list[str] = []

    def note(self, what: str, host: str) -> None:
        self.history.append((round(asyncio.get_running_loop().time(), 3), what, host))

    async def connect(self, info: AddrInfoType) -> str:
        host = info[4][0]
        self.note("start", host)
        seconds, error = self.plan[host]
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.note("cancelled", host)
            raise
        if error is not None:
            self.note("failed", host)
            raise error
        self.note("connected", host)
        return host

    async def race(self, delay: float | None) -> str:
        winner, info = await race(infos(" ".join(self.plan)), self.connect, self.disposed.append, delay)
        assert info[4][0] == winner
        return winner


def run(main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=MadeUpTimeLoop) as runner:
        return runner.run(main())


def refused(host: str) -> OSError:
    return ConnectionRefusedError(errno.ECONNREFUSED, f"{host} refused")


def test_a_prompt_first_address_wins_alone() -> None:
    peer = Peer({"::1": (0.1, None), "1.1.1.1": (0.1, None)})
    assert run(lambda: peer.race(0.25)) == "::1"
    assert peer.history == [(0.0, "start", "::1"), (0.1, "connected", "::1")]


def test_a_slow_first_address_is_overtaken_and_cancelled() -> None:
    peer = Peer({"::1": (9.0, None), "1.1.1.1": (0.1, None)})
    assert run(lambda: peer.race(0.25)) == "1.1.1.1"
    assert peer.history == [
        (0.0, "start", "::1"),
        (0.25, "start", "1.1.1.1"),
        (0.35, "connected", "1.1.1.1"),
        (0.35, "cancelled", "::1"),
    ]


def test_a_slow_first_address_may_still_win() -> None:
    peer = Peer({"::1": (0.3, None), "1.1.1.1": (0.1, None)})
    assert run(lambda: peer.race(0.25)) == "::1"
    assert peer.history[-1] == (0.3, "cancelled", "1.1.1.1")


def test_a_failure_starts_the_next_attempt_at_once() -> None:
    peer = Peer({"::1": (0.1, refused("::1")), "1.1.1.1": (0.1, None)})
    assert run(lambda: peer.race(0.25)) == "1.1.1.1"
    assert peer.history[2] == (0.1, "start", "1.1.1.1")


def test_without_a_delay_addresses_are_tried_in_turn() -> None:
    peer = Peer({"::1": (5.0, refused("::1")), "1.1.1.1": (1.0, None)})
    assert run(lambda: peer.race(None)) == "1.1.1.1"
    assert [entry[:2] for entry in peer.history] == [
        (0.0, "start"),
        (5.0, "failed"),
        (5.0, "start"),
        (6.0, "connected"),
    ]


@pytest.mark.parametrize("delay", [0.25, None])
def test_when_all_fail_the_error_tells_of_all(delay: float | None) -> None:
    peer = Peer({host: (0.1, refused(host)) for host in ("::1", "1.1.1.1", "2.2.2.2")})
    with pytest.raises(ConnectionRefusedError, match=r"::1 refused; 1\.1\.1\.1 refused; 2\.2\.2\.2 refused"):
        run(lambda: peer.race(delay))


def test_of_two_that_connect_in_one_turn_the_later_one_is_disposed_of() -> None:
    peer = Peer({"::1": (0.5, None), "1.1.1.1": (0.25, None)})
    assert run(lambda: peer.race(0.25)) == "::1"
    assert peer.disposed == ["1.1.1.1"]


def test_cancellation_cancels_every_attempt() -> None:
    peer = Peer({"::1": (9.0, None), "1.1.1.1": (9.0, None)})

    async def main() -> None:
        task = asyncio.ensure_future(peer.race(0.25))
        await asyncio.sleep(1.0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)

    run(main)
    assert [entry[1:] for entry in peer.history[2:]] == [("cancelled", "::1"), ("cancelled", "1.1.1.1")]


def test_an_error_that_is_no_oserror_ends_the_race() -> None:
    async def connect(info: AddrInfoType) -> str:
        if info[0] == socket.AF_INET6:
            raise LookupError("broken factory")
        await asyncio.sleep(9)
        return "never"

    with pytest.raises(LookupError, match="broken factory"):
        run(lambda: race(infos("1.1.1.1 ::1"), connect, print, 0.25))


def test_no_address_is_an_error() -> None:
    peer = Peer({})
    with pytest.raises(OSError, match="no address to connect to"):
        run(lambda: peer.race(0.25))
