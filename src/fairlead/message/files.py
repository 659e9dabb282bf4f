"""Bodies that are read from files while they are sent.

In: an open file and the place in it where it stands when the payload is first used. Out: the bytes from there on, again
and again when the file can be moved back, once and then `consumed` when it cannot (a pipe, a socket).

Reads happen in the loop's default executor, since a disk or a network file system may take its time; what lies in
memory is read on the spot. Limits: `READ_BLOCK` bytes are held at a time, whatever the size of the file. A file that
grows while it is sent is sent as long as it was at the beginning.

The problem of text files: a size must be told before the first byte is sent, and the number of bytes on disk is the
number of bytes sent only when nothing is converted. When the file's encoding is the payload's, the bytes on disk are
sent as they are, line ends included, and their number is the size. Otherwise the text is read, encoded anew, and sent
with no size told.
"""

from __future__ import annotations

import asyncio
import codecs
import io
from typing import IO, TYPE_CHECKING, Any, Final, TextIO

from .. import hdrs
from .body import PAYLOAD_REGISTRY, Payload, StringIOPayload, text_encoding
from .facts import bytes_on_disk, guess_filename

if TYPE_CHECKING:
    from ..wire.writer import AbstractStreamWriter

__all__ = ("BufferedReaderPayload", "BytesIOPayload", "IOBasePayload", "TextIOPayload")

READ_BLOCK: Final = 2**18
"""Bytes read at once (256 KiB): a trip to the executor costs about as much as copying that many bytes."""

READ_CHARACTERS: Final = READ_BLOCK // 4
"""Characters read at once from a text file that is encoded anew: at most `READ_BLOCK` bytes in UTF-8."""


class IOBasePayload(Payload):
    """A file opened for reading bytes."""

    _value: IO[Any]
    _start_position: int | None = None

    def __init__(self, value: IO[Any], disposition: str = "attachment", *args: Any, **kwargs: Any) -> None:
        """Take the file; with a name, Content-Disposition gets it, unless ``disposition`` is None or headers have one.

        `close` closes the file.
        """
        if "filename" not in kwargs:
            kwargs["filename"] = guess_filename(value)
        super().__init__(value, *args, **kwargs)
        if self._filename is not None and disposition is not None and hdrs.CONTENT_DISPOSITION not in self.headers:
            self.set_content_disposition(disposition, filename=self._filename)

    @property
    def size(self) -> int | None:
        """Bytes from the start position to the end of a regular file, else None; raises ValueError when closed."""
        on_disk = bytes_on_disk(self._value)
        if on_disk is None or not self._note_start() or self._start_position is None:
            return None
        return max(0, on_disk - self._start_position)

    def _note_start(self) -> bool:
        """Remember where the file stands; False when it has no places."""
        if self._start_position is None:
            try:
                self._start_position = self._value.tell()
            except (AttributeError, OSError):
                return False
        return True

    def _rewind(self) -> None:
        """Go to the start position; without one, the file is used up by what follows."""
        fresh = self._start_position is None
        if not self._note_start():
            self._consumed = True
        elif not fresh:
            try:
                self._value.seek(self._start_position or 0)
            except (AttributeError, OSError):
                self._consumed = True

    def _open(self, limit: int | None) -> tuple[int | None, bytes]:
        """Rewind, and return how many bytes are to be sent, if that is known, and the first of them."""
        self._rewind()
        size = self.size
        if limit is None or (size is not None and size < limit):
            limit = size
        return limit, self._read_block(READ_BLOCK if limit is None else min(READ_BLOCK, limit))

    def _read_block(self, n: int) -> bytes:
        """Return up to n bytes, b"" at the end."""
        return self._value.read(n) or b"" if n else b""

    def _read_all(self) -> bytes:
        self._rewind()
        return self._value.read() or b""

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the file from its start position to its end; errors of reading are raised as they are."""
        await self.write_with_length(writer, None)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send up to ``content_length`` bytes from the start position, and read none beyond them.

        Cancelled, it leaves the file somewhere in the middle, and the next call begins anew.
        """
        run = asyncio.get_running_loop().run_in_executor
        left, block = await run(None, self._open, content_length)
        while block:
            if left is not None:
                block = block[:left]
                left -= len(block)
            await writer.write(block)
            if left == 0:
                return
            block = await run(None, self._read_block, READ_BLOCK if left is None else min(READ_BLOCK, left))

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the file as text; blocks while it is read."""
        return self._read_all().decode(encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the whole file from its start position."""
        return await asyncio.get_running_loop().run_in_executor(None, self._read_all)

    async def close(self) -> None:
        """Close the file, in the executor, as closing may write."""
        if not getattr(self._value, "closed", False):
            await asyncio.get_running_loop().run_in_executor(None, self._value.close)


class BufferedReaderPayload(IOBasePayload):
    """What ``open(path, "rb")`` returns."""


class BytesIOPayload(IOBasePayload):
    """What is left to read in an `io.BytesIO`; it is read in the loop, as that takes no waiting."""

    _value: io.BytesIO
    _size: int
    _autoclose = True

    def __init__(self, value: io.BytesIO, *args: Any, **kwargs: Any) -> None:
        """Take the buffer as long as it is now; `close` does not close it."""
        super().__init__(value, *args, **kwargs)
        self._start_position = value.tell()
        self._size = max(0, value.getbuffer().nbytes - self._start_position)

    @property
    def size(self) -> int:
        """Bytes from the start position to the end."""
        return self._size

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send up to ``content_length`` bytes from the start position, giving way to other tasks in between."""
        left, block = self._open(content_length)
        while block and left:
            left -= len(block)
            await writer.write(block)
            if left:
                await asyncio.sleep(0)
                block = self._read_block(min(READ_BLOCK, left))

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the bytes from the start position."""
        return self._read_all()

    async def close(self) -> None:
        """Do nothing: the buffer is the caller's, and holds nothing open."""


class TextIOPayload(IOBasePayload):
    """A file opened for reading text."""

    _value: TextIO

    def __init__(
        self, value: TextIO, *args: Any, encoding: str | None = None, content_type: str | None = None, **kwargs: Any
    ) -> None:
        """Take the file; charset and media type are found as for `StringPayload`, not from the file."""
        encoding, content_type = text_encoding(encoding, content_type)
        self._encoder = codecs.getincrementalencoder(encoding)()
        super().__init__(value, *args, content_type=content_type, encoding=encoding, **kwargs)

    @property
    def size(self) -> int | None:
        """Bytes from the start position on when they are sent as they lie on disk, else None."""
        self._note_start()
        source = self._as_it_lies()
        on_disk = None if source is None else bytes_on_disk(source)
        return None if on_disk is None else max(0, on_disk - (self._start_position or 0))

    def _as_it_lies(self) -> Any:
        """Return the binary file below the text when its bytes need no conversion."""
        start, value = self._start_position, self._value
        # Larger positions carry the state of a decoder in the middle of something.
        if start is None or start >> 64 or not isinstance(value, io.TextIOWrapper):
            return None
        assert self._encoding is not None
        try:
            same = codecs.lookup(value.encoding).name == codecs.lookup(self._encoding).name
        except LookupError:
            return None
        if not same or (start and "".encode(self._encoding)):  # a byte order mark is at the beginning only
            return None
        return value.buffer

    def _open(self, limit: int | None) -> tuple[int | None, bytes]:
        self._encoder.reset()
        return super()._open(limit)

    def _rewind(self) -> None:
        super()._rewind()
        if self._as_it_lies() is not None:
            self._value.seek(self._start_position or 0)  # drops what the text layer has read ahead

    def _read_block(self, n: int) -> bytes:
        if not n:
            return b""
        source = self._as_it_lies()
        if source is not None:
            return source.read(n) or b""
        while True:
            text = self._value.read(min(n, READ_CHARACTERS))
            data = self._encoder.encode(text, final=not text)
            if data or not text:
                return data

    def _read_all(self) -> bytes:
        self._encoder.reset()
        self._rewind()
        source = self._as_it_lies()
        return source.read() if source is not None else self._encoder.encode(self._value.read(), final=True)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the text; blocks while it is read, and the arguments count for nothing, as it is text already."""
        self._rewind()
        return self._value.read()


PAYLOAD_REGISTRY.register(StringIOPayload, io.StringIO)
PAYLOAD_REGISTRY.register(BytesIOPayload, io.BytesIO)
PAYLOAD_REGISTRY.register(BufferedReaderPayload, (io.BufferedReader, io.BufferedRandom))
PAYLOAD_REGISTRY.register(TextIOPayload, io.TextIOBase)
