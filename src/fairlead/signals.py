"""An ordered list of coroutine functions that are all awaited when the signal is sent.

A signal is a list while it is being set up and immutable once frozen, so that a send never races with a change.
In: receivers; out: one awaited call each, in order. The first receiver that raises ends the send.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableSequence
from typing import Any, TypeVar, overload

Receiver = Callable[..., Awaitable[object]]
_ReceiverT = TypeVar("_ReceiverT", bound=Receiver)


class Signal(MutableSequence[Receiver]):
    """A list of receivers that can be sent to after ``freeze()``.

    Changing a frozen signal and sending an unfrozen one raise RuntimeError. A cancelled ``send`` cancels the receiver
    that is running and skips the rest.
    """

    __slots__ = ("_frozen", "_owner", "_receivers")

    def __init__(self, owner: object) -> None:
        """Start empty; ``owner`` is only shown in the repr."""
        self._owner = owner
        self._receivers: list[Receiver] = []
        self._frozen = False

    @property
    def frozen(self) -> bool:
        """Whether ``freeze()`` was called."""
        return self._frozen

    def freeze(self) -> None:
        """Forbid further changes and allow sending; freezing twice is harmless."""
        self._frozen = True

    async def send(self, *args: Any, **kwargs: Any) -> None:
        """Await every receiver in order with these arguments; RuntimeError unless frozen."""
        if not self._frozen:
            raise RuntimeError("Cannot send non-frozen signal.")
        for receiver in self._receivers:
            await receiver(*args, **kwargs)

    def __call__(self, func: _ReceiverT) -> _ReceiverT:
        """Append ``func`` and return it, for use as a decorator."""
        self.append(func)
        return func

    def _check_mutable(self) -> None:
        if self._frozen:
            raise RuntimeError("Cannot modify frozen list.")

    def __len__(self) -> int:
        """Return the number of receivers."""
        return len(self._receivers)

    def __iter__(self) -> Iterator[Receiver]:
        """Iterate over the receivers in the order in which they are called."""
        return iter(self._receivers)

    @overload
    def __getitem__(self, index: int) -> Receiver: ...
    @overload
    def __getitem__(self, index: slice) -> list[Receiver]: ...
    def __getitem__(self, index: int | slice) -> Receiver | list[Receiver]:
        """Return one receiver, or a plain list for a slice."""
        return self._receivers[index]

    @overload
    def __setitem__(self, index: int, value: Receiver) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[Receiver]) -> None: ...
    def __setitem__(self, index: Any, value: Any) -> None:
        """Replace receivers; RuntimeError when frozen."""
        self._check_mutable()
        self._receivers[index] = value

    def __delitem__(self, index: int | slice) -> None:
        """Remove receivers; RuntimeError when frozen."""
        self._check_mutable()
        del self._receivers[index]

    def insert(self, index: int, value: Receiver) -> None:
        """Insert ``value`` before ``index``; RuntimeError when frozen."""
        self._check_mutable()
        self._receivers.insert(index, value)

    def clear(self) -> None:
        """Remove every receiver; RuntimeError when frozen, even if there is none."""
        self._check_mutable()
        self._receivers.clear()

    def reverse(self) -> None:
        """Reverse the order in place; RuntimeError when frozen, even if there is none."""
        self._check_mutable()
        self._receivers.reverse()

    def __eq__(self, other: object) -> bool:
        """Compare with a list or another signal by receivers."""
        return self._receivers == (other._receivers if isinstance(other, Signal) else other)

    def __hash__(self) -> int:
        """Hash by receivers; RuntimeError unless frozen, since the hash would change."""
        if not self._frozen:
            raise RuntimeError("Cannot hash unfrozen list.")
        return hash(tuple(self._receivers))

    def __repr__(self) -> str:
        """Show owner, state and receivers."""
        return f"<Signal owner={self._owner}, frozen={self._frozen}, {self._receivers!r}>"
