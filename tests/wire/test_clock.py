"""wire.clock: deadlines on a clock that the test moves."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from tests.wire.fakes import FakeClock

from fairlead.wire.clock import RESOLUTION, Deadlines, deadlines_of


class Item:
    """Something with a deadline; it notes when it was met."""

    def __init__(self, deadline: float, deadlines: Deadlines | None = None) -> None:
        self.deadline = deadline
        self.deadlines = deadlines
        self.looks: list[float] = []
        self.met: float | None = None

    def expire(self, now: float) -> None:
        self.looks.append(now)
        if self.met is None and now >= self.deadline:
            self.met = now
            if self.deadlines is not None:
                self.deadlines.discard(self)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.999, 1.0, 1.5, 7.25, 300.0])
def test_a_deadline_is_never_met_early_and_at_most_one_look_late(delay: float) -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.loop)
    item = Item(clock.now + delay)
    deadlines.watch(item)
    clock.advance(delay + 2 * RESOLUTION)
    assert item.met is not None
    assert 0 <= item.met - item.deadline <= RESOLUTION


def test_nothing_is_looked_at_after_discard() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.loop)
    item = Item(clock.now + 5)
    deadlines.watch(item)
    clock.advance(2)
    looks = len(item.looks)
    assert looks
    deadlines.discard(item)
    deadlines.discard(item)
    clock.advance(100)
    assert len(item.looks) == looks


def test_one_timer_serves_all_and_stops_when_nothing_is_watched() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.loop)
    items = [Item(clock.now + 300) for _ in range(1000)]
    for item in items:
        deadlines.watch(item)
    assert (len(deadlines), len(clock.timers)) == (1000, 1)
    clock.advance(10)
    assert len(clock.timers) == 1
    for item in items:
        deadlines.discard(item)
    clock.advance(2)
    assert (len(deadlines), clock.timers) == (0, [])
    deadlines.watch(items[0])
    assert len(clock.timers) == 1


def test_watching_and_discarding_leaves_no_timers_behind() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.loop)
    for _ in range(5000):
        item = Item(clock.now + 300)
        deadlines.watch(item)
        deadlines.discard(item)
    assert len(deadlines) == 0
    assert len(clock.heap) == 1


def test_items_may_come_and_go_while_others_are_looked_at() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.loop)
    late = Item(clock.now + 0.5, deadlines)

    class Adding(Item):
        def expire(self, now: float) -> None:
            super().expire(now)
            deadlines.watch(late)

    items = [Adding(clock.now + 0.5, deadlines), Item(clock.now + 0.5, deadlines)]
    for item in items:
        deadlines.watch(item)
    clock.advance(3)
    assert late.met is not None
    assert len(deadlines) == 0


async def test_one_item_that_raises_keeps_no_other_from_its_deadline() -> None:
    clock = FakeClock()
    reported: list[str] = []
    clock.call_exception_handler = lambda context: reported.append(repr(context["exception"]))  # type: ignore[attr-defined]
    deadlines = Deadlines(clock.loop)

    class Broken(Item):
        def expire(self, now: float) -> None:
            raise ZeroDivisionError("broken")

    item, broken = Item(clock.now + 1.5), Broken(0)
    deadlines.watch(broken)
    deadlines.watch(item)
    clock.advance(3)
    assert item.met is not None
    assert set(reported) == {"ZeroDivisionError('broken')"}


def test_what_nobody_holds_is_forgotten() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock.loop)
    item = Item(clock.now + 300)
    deadlines.watch(item)
    del item
    gc.collect()
    assert len(deadlines) == 0


def test_a_loop_has_one_set_of_deadlines() -> None:
    one, other = FakeClock(), FakeClock()
    mine = deadlines_of(one.loop)
    assert deadlines_of(one.loop) is mine
    assert deadlines_of(other.loop) is not mine


def test_a_loop_that_is_over_is_forgotten() -> None:
    """Programs that call `asyncio.run()` again and again must not grow."""
    loop = asyncio.new_event_loop()
    deadlines_of(loop).watch(Item(loop.time() + 300))
    gone = weakref.ref(loop)
    loop.close()
    del loop
    gc.collect()
    assert gone() is None
