"""Reading in pieces of a given size: how a body that is consumed in pieces is spared a copy of each.

The problem: a transport reads up to 256 KiB at once.  A caller that asks for 64 KiB pieces gets slices of that, and
slicing copies every byte.

asyncio's own transports read at most `max_size` bytes, an attribute that can be set.  Others (uvloop) read into a
buffer of the protocol's choice when it is an `asyncio.BufferedProtocol`: `PieceReader` is one of the wanted size, put
in front of the link for the time of one body.

In: a link and a size in bytes.  Out: the same link, fed with pieces of at most that size.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .link import Link

READ_SIZE: Final = 262144
"""Bytes that asyncio's transports read at once unless told otherwise."""

MIN_PIECE: Final = 65536
"""Smaller pieces, in bytes, are sliced: reading them one by one would cost more than the copy."""


class PieceReader(asyncio.BufferedProtocol):
    """Stand in front of a link and feed it pieces of at most `size` bytes."""

    def __init__(self, link: Link, size: int) -> None:
        self._link = link
        self._view = memoryview(bytearray(size))
        # What does not concern reading goes to the link as it is.
        self.connection_lost = link.connection_lost  # type: ignore[method-assign]
        self.pause_writing = link.pause_writing  # type: ignore[method-assign]
        self.resume_writing = link.resume_writing  # type: ignore[method-assign]
        self.eof_received = link.eof_received  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        self._link.data_received(bytes(self._view[:nbytes]))


def read_pieces(link: Link, transport: asyncio.Transport, size: int) -> bool:
    """Make a transport read at most `size` bytes at once; return False where that can not be had."""
    if size < MIN_PIECE:
        return False
    if hasattr(transport, "max_size"):
        transport.max_size = size
        return True
    if transport.get_extra_info("sslcontext") is not None or transport.is_closing():
        return False
    hand_over(link, transport, PieceReader(link, size))
    return True


def read_freely(link: Link, transport: asyncio.Transport) -> None:
    """Undo `read_pieces()`."""
    if hasattr(transport, "max_size"):
        transport.max_size = READ_SIZE
    elif not transport.is_closing():
        hand_over(link, transport, link)


def hand_over(link: Link, transport: asyncio.Transport, protocol: asyncio.BaseProtocol) -> None:
    """Change the protocol of a transport, which takes effect when reading starts."""
    if not link.reading_paused:
        transport.pause_reading()
    transport.set_protocol(protocol)
    if not link.reading_paused:
        transport.resume_reading()
