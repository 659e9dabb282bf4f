"""Signals: a list until frozen, then something to send; the same answers as the oracle's signal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from fairlead.signals import FrozenList, Signal


async def nothing(*args: object, **kwargs: object) -> None:
    """Receive and do nothing."""


async def other(*args: object, **kwargs: object) -> None:
    """Receive and do nothing, under another name."""


def signal(*receivers: Any, frozen: bool = False) -> Signal:
    made = Signal("owner")
    made.extend(receivers)
    if frozen:
        made.freeze()
    return made


async def test_send_awaits_receivers_in_order_with_the_arguments() -> None:
    calls: list[tuple[str, tuple[object, ...], dict[str, object]]] = []

    async def first(*args: object, **kwargs: object) -> None:
        await asyncio.sleep(0)
        calls.append(("first", args, kwargs))

    async def second(*args: object, **kwargs: object) -> None:
        calls.append(("second", args, kwargs))

    await signal(first, second, frozen=True).send(1, a=2)
    assert calls == [("first", (1,), {"a": 2}), ("second", (1,), {"a": 2})]


async def test_the_first_error_ends_the_send() -> None:
    calls = []

    async def fail() -> None:
        raise KeyError("first")

    async def never() -> None:
        calls.append("never")

    with pytest.raises(KeyError, match="first"):
        await signal(fail, never, frozen=True).send()
    assert calls == []


async def test_an_unfrozen_signal_cannot_be_sent() -> None:
    with pytest.raises(RuntimeError, match="Cannot send non-frozen signal"):
        await signal(nothing).send()


CHANGES: dict[str, Callable[[Any], object]] = {
    "append": lambda s: s.append(other),
    "insert": lambda s: s.insert(0, other),
    "extend": lambda s: s.extend([other]),
    "iadd": lambda s: s.__iadd__([other]),
    "setitem": lambda s: s.__setitem__(0, other),
    "set slice": lambda s: s.__setitem__(slice(0, 1), [other]),
    "delitem": lambda s: s.__delitem__(0),
    "pop": lambda s: s.pop(),
    "remove": lambda s: s.remove(nothing),
    "clear": lambda s: s.clear(),
    "reverse": lambda s: s.reverse(),
    "decorate": lambda s: s(other),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_work_until_frozen_and_as_in_the_oracle(change: str) -> None:
    ours = signal(nothing)
    CHANGES[change](ours)
    aiosignal = pytest.importorskip("aiosignal")
    theirs = aiosignal.Signal("owner")
    theirs.append(nothing)
    CHANGES[change](theirs)
    assert list(ours) == list(theirs)


@pytest.mark.parametrize("change", CHANGES)
def test_a_frozen_signal_does_not_change(change: str) -> None:
    frozen = signal(nothing, frozen=True)
    with pytest.raises(RuntimeError, match="Cannot modify frozen list"):
        CHANGES[change](frozen)
    assert list(frozen) == [nothing]


@pytest.mark.parametrize("change", ["clear", "reverse"])
def test_an_empty_frozen_signal_refuses_too(change: str) -> None:
    with pytest.raises(RuntimeError, match="Cannot modify frozen list"):
        CHANGES[change](signal(frozen=True))


def test_decorating_returns_the_function() -> None:
    made = Signal(None)
    assert made(nothing) is nothing
    assert made == [nothing]


def test_reading() -> None:
    made = signal(nothing, other)
    assert (len(made), made[0], made[0:1], other in made, made.index(other), list(made)) == (
        2,
        nothing,
        [nothing],
        True,
        1,
        [nothing, other],
    )
    assert made == signal(nothing, other)
    assert made != [nothing]


def test_hash_only_when_frozen() -> None:
    with pytest.raises(RuntimeError, match="Cannot hash unfrozen list"):
        hash(signal())
    assert hash(signal(nothing, frozen=True)) == hash(signal(nothing, frozen=True))


def test_freezing_twice_is_harmless() -> None:
    made = signal(frozen=True)
    made.freeze()
    assert made.frozen is True
    assert signal().frozen is False


def test_repr_is_that_of_the_oracle() -> None:
    aiosignal = pytest.importorskip("aiosignal")
    theirs = aiosignal.Signal("owner")
    theirs.append(nothing)
    assert repr(signal(nothing)) == repr(theirs)


def test_a_frozen_list_keeps_its_items_and_refuses_changes() -> None:
    made = FrozenList([3, 1])
    made.append(2)
    made.freeze()
    assert (made.frozen, made == [3, 1, 2], made[0], made[1:], 1 in made) == (True, True, 3, [1, 2], True)
    for change in (lambda: made.append(4), lambda: made.pop(), lambda: made.clear(), made.reverse):
        with pytest.raises(RuntimeError, match=r"^Cannot modify frozen list\.$"):
            change()
    assert list(made) == [3, 1, 2]


def test_a_frozen_list_shows_like_the_oracle() -> None:
    frozenlist = pytest.importorskip("frozenlist")
    assert repr(FrozenList([1])) == repr(frozenlist.FrozenList([1]))
