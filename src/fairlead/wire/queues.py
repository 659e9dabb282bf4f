"""Queues of items that one producer feeds and one consumer awaits: `DataQueue`, `FlowControlDataQueue`.

In: items with their sizes, then one end or one error.  Out: the items in order.  `FlowControlDataQueue` stops the
connection from reading while more than twice its limit is queued.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from .streams import AsyncStreamIterator, EofStream, ReadFlow

T = TypeVar("T")


class DataQueue(Generic[T]):
    """An unbounded queue for one reader: the producer bounds what it feeds.

    `read()` may be cancelled while it waits: no item is lost.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._eof = False
        self._waiter: asyncio.Future[None] | None = None
        self._exception: BaseException | None = None
        self._buffer: deque[tuple[T, int]] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def is_eof(self) -> bool:
        """Tell whether the end was fed, whatever is still queued."""
        return self._eof

    def at_eof(self) -> bool:
        """Tell whether the end was fed and every item was read."""
        return self._eof and not self._buffer

    def exception(self) -> BaseException | None:
        """Return the error that ended the queue, if one did."""
        return self._exception

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        """End the queue with an error, which the reader meets after the queued items."""
        if exc_cause is not None and exc.__cause__ is None and exc_cause.args:
            exc.__cause__ = exc_cause
        self._eof = True
        self._exception = exc
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_exception(exc)

    def feed_data(self, data: T, size: int = 0) -> None:
        """Append one item that counts as `size` bytes."""
        self._size += size
        self._buffer.append((data, size))
        self._wake()

    def feed_eof(self) -> None:
        """Declare that no more items will come."""
        self._eof = True
        self._wake()

    async def read(self) -> T:
        """Return the next item; raises EofStream after the last, or the error that ended the queue."""
        if not self._buffer and not self._eof:
            if self._waiter is not None:
                raise RuntimeError("read() called while another coroutine is already waiting for incoming data")
            waiter = self._waiter = self._loop.create_future()
            try:
                await waiter
            finally:
                if self._waiter is waiter:
                    self._waiter = None
        if self._buffer:
            data, size = self._buffer.popleft()
            self._size -= size
            return data
        if self._exception is not None:
            raise self._exception
        raise EofStream

    def __aiter__(self) -> AsyncStreamIterator[T]:
        return AsyncStreamIterator(self.read)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)


class FlowControlDataQueue(DataQueue[T]):
    """A DataQueue that stops its connection from reading while more than twice `limit` bytes are queued."""

    def __init__(self, protocol: ReadFlow, limit: int, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._protocol = protocol
        self._limit = limit * 2
        self._paused = False

    def feed_data(self, data: T, size: int = 0) -> None:
        super().feed_data(data, size)
        if self._size > self._limit and not self._paused:
            self._paused = True
            self._protocol.pause_reading()

    async def read(self) -> T:
        item = await super().read()
        if self._paused and (self._size < self._limit or not self._size):
            self._paused = False
            self._protocol.resume_reading()
        return item
