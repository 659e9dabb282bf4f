"""Lists that can be frozen, and signals: such lists of coroutine functions that are all awaited when one is sent.

A signal is a list while it is being set up and immutable once frozen, so that a send never races with a change.
In: receivers; out: one awaited call each, in order. The first receiver that raises ends the send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableSequence
from typing import Any, TypeVar, overload

_T = TypeVar("_T")
Receiver = Callable[..., Awaitable[object]]
_ReceiverT = TypeVar("_ReceiverT", bound=Receiver)


class FrozenList(MutableSequence[_T]):
    """A list until ``freeze()``; changing it later raises RuntimeError."""

    __slots__ = ("_frozen", "_items")

    def __init__(self, items: Iterable[_T] = ()) -> None:
        """Start with these items, unfrozen."""
        self._items: list[_T] = list(items)
        self._frozen = False

    @property
    def frozen(self) -> bool:
        """Whether ``freeze()`` was called."""
        return self._frozen

    def freeze(self) -> None:
        """Forbid further changes; freezing twice is harmless."""
        self._frozen = True

    def _check_mutable(self) -> None:
        if self._frozen:
            raise RuntimeError("Cannot modify frozen list.")

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self._items)

    def __iter__(self) -> Iterator[_T]:
        """Iterate over the items in order."""
        return iter(self._items)

    @overload
    def __getitem__(self, index: int) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> list[_T]: ...
    def __getitem__(self, index: int | slice) -> _T | list[_T]:
        """Return one item, or a plain list for a slice."""
        return self._items[index]

    @overload
    def __setitem__(self, index: int, value: _T) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[_T]) -> None: ...
    def __setitem__(self, index: Any, value: Any) -> None:
        """Replace items; RuntimeError when frozen."""
        self._check_mutable()
        self._items[index] = value

    def __delitem__(self, index: int | slice) -> None:
        """Remove items; RuntimeError when frozen."""
        self._check_mutable()
        del self._items[index]

    def insert(self, index: int, value: _T) -> None:
        """Insert ``value`` before ``index``; RuntimeError when frozen."""
        self._check_mutable()
        self._items.insert(index, value)

    def clear(self) -> None:
        """Remove every item; RuntimeError when frozen, even if there is none."""
        self._check_mutable()
        self._items.clear()

    def reverse(self) -> None:
        """Reverse the order in place; RuntimeError when frozen, even if there is none."""
        self._check_mutable()
        self._items.reverse()

    def __eq__(self, other: object) -> bool:
        """Compare with a list or another frozen list by items."""
        return self._items == (other._items if isinstance(other, FrozenList) else other)

    def __hash__(self) -> int:
        """Hash by items; RuntimeError unless frozen, since the hash would change."""
        if not self._frozen:
            raise RuntimeError("Cannot hash unfrozen list.")
        return hash(tuple(self._items))

    def __repr__(self) -> str:
        """Show state and items."""
        return f"<{type(self).__name__}(frozen={self._frozen}, {self._items!r})>"


class Signal(FrozenList[Receiver]):
    """A list of receivers that can be sent to after ``freeze()``.

    Changing a frozen signal and sending an unfrozen one raise RuntimeError. A cancelled ``send`` cancels the receiver
    that is running and skips the rest.
    """

    __slots__ = ("_owner",)

    def __init__(self, owner: object) -> None:
        """Start empty; ``owner`` is only shown in the repr."""
        super().__init__()
        self._owner = owner

    async def send(self, *args: Any, **kwargs: Any) -> None:
        """Await every receiver in order with these arguments; RuntimeError unless frozen."""
        if not self._frozen:
            raise RuntimeError("Cannot send non-frozen signal.")
        for receiver in self._items:
            await receiver(*args, **kwargs)

    def __call__(self, func: _ReceiverT) -> _ReceiverT:
        """Append ``func`` and return it, for use as a decorator."""
        self.append(func)
        return func

    def __repr__(self) -> str:
        """Show owner, state and receivers."""
        return f"<Signal owner={self._owner}, frozen={self._frozen}, {self._items!r}>"
