"""The text and the forms that a request's body holds, and how a body that is not acceptable is refused.

In: bytes and the charset that the client named, or a multipart reader. Out: text, or the fields of a form; files go to
`FileField` objects.

Limits: `MAX_FILE_IN_MEMORY` bytes of a file are held in memory, the rest goes to disk, in the loop's executor; the
caller gives the number of fields and the bytes of all of them together. Charsets whose decoding takes more than linear
time are not known here.

What the client did wrong raises errors that are what `bytes.decode` and the multipart reader raise, and `ProtocolError`
too, with the status that the server answers when nobody catches them.

RFC 7578 (multipart/form-data), WHATWG URL section 5 (urlencoded).
"""

from __future__ import annotations

import asyncio
import codecs
import functools
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final, cast
from urllib.parse import parse_qsl

from multidict import CIMultiDictProxy, MultiDict

from .. import hdrs
from ..codec.mime import DEFAULT_TYPE
from ..codec.multipart import MultipartError
from ..errors import MAX_QUOTED, ProtocolError
from ..message.parts import MultipartReader

if TYPE_CHECKING:
    from ..message.parts import BodyPartReader

__all__ = (
    "FileField",
    "UndecodableTextError",
    "UnknownCharsetError",
    "close_files",
    "decode_text",
    "parse_urlencoded",
    "read_multipart",
    "refuse_with",
    "size_error_class",
    "too_large",
    "too_many_fields",
)

MAX_FILE_IN_MEMORY: Final = 2**18
"""Bytes of one uploaded file that are held in memory before it goes to disk (256 KiB)."""

READ_SIZE: Final = 2**16
"""Bytes of a part that are asked for at once (64 KiB)."""

# Codecs of Python that no HTTP message is in. Decoding punycode takes quadratic time.
_NO_CHARSETS: Final = frozenset("idna mbcs oem punycode raw-unicode-escape undefined unicode-escape".split())


class UnknownCharsetError(ProtocolError, LookupError):
    """A text is in a charset that is not known; nobody's fault but the client's."""

    def __init__(self, charset: str) -> None:
        """Say which."""
        super().__init__("body.charset", f"unknown encoding: {ascii(charset[:MAX_QUOTED])[1:-1]}", status=415)


class UndecodableTextError(ProtocolError, UnicodeDecodeError):
    """A text is not in the charset that the client named."""

    def __init__(self, cause: UnicodeDecodeError) -> None:
        """Take over what the decoder found."""
        UnicodeDecodeError.__init__(self, *cause.args)
        self.slug = "body.text"
        self.message = UnicodeDecodeError.__str__(self)
        self.fault = "peer"
        self.status = 400

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what the decoder found."""
        return type(self), (UnicodeDecodeError(*self.args),)


@functools.lru_cache(maxsize=64)
def _known_charset(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name not in _NO_CHARSETS
    except LookupError:
        return False


def decode_text(data: bytes | bytearray, charset: str) -> str:
    """Decode a text; raises UnknownCharsetError, a LookupError, and UndecodableTextError, a UnicodeDecodeError."""
    try:
        if charset != "utf-8" and not _known_charset(charset):
            raise UnknownCharsetError(charset)
        return data.decode(charset)
    except UnicodeDecodeError as exc:
        raise UndecodableTextError(exc) from None
    except LookupError:  # a codec that is no text encoding, base64 for one
        raise UnknownCharsetError(charset) from None
    except ValueError:  # a name that codecs refuses to look up
        raise UnknownCharsetError(charset) from None


# ---- refusals

_size_error: type[Exception] = ValueError


def refuse_with(size_error: type[Exception]) -> None:
    """Name the exception for bodies that are too large, called with the limit, what came, and ``text``.

    The server's exceptions are responses, and responses need requests: so they are told to this module from outside.
    """
    global _size_error
    _size_error = size_error


def size_error_class() -> type[Exception]:
    """Return what `refuse_with` named, ValueError before it was called."""
    return _size_error


def too_large(limit: int, actual: int) -> Exception:
    """Make the error for a body of more bytes than ``client_max_size``; ``actual`` is what is known of its size."""
    return _refusal(f"Maximum request body size {limit} exceeded.", limit, actual, "client_max_size")


def too_many_fields(limit: int, actual: int) -> Exception:
    """Make the error for a form of more fields than ``client_max_fields``."""
    return _refusal(f"Maximum number of form fields {limit} exceeded.", limit, actual, "client_max_fields")


def _refusal(text: str, limit: int, actual: int, option: str) -> Exception:
    make: Any = _size_error
    error: Exception = make(text) if make is ValueError else make(limit, actual, text=text)
    error.add_note(f"{option}={limit} of the application or the request changes the limit; at least {actual} came")
    return error


# ---- forms


class FileField:
    """A file of a form: its name there, the name that the client gave it, and the file, open at its start.

    ``filename`` is what the client says: never use it as a path. The file is closed when the response has been sent.
    """

    __slots__ = ("content_type", "file", "filename", "headers", "name")
    __match_args__ = ("name", "filename", "file", "content_type", "headers")

    name: str
    filename: str
    file: IO[bytes]
    content_type: str
    headers: CIMultiDictProxy[str]

    def __init__(
        self, name: str, filename: str, file: IO[bytes], content_type: str, headers: CIMultiDictProxy[str]
    ) -> None:
        """Take the parts as they are; they cannot be changed."""
        for attribute, value in zip(self.__match_args__, (name, filename, file, content_type, headers), strict=True):
            object.__setattr__(self, attribute, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a FileField cannot be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError("a FileField cannot be changed")

    def _parts(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__match_args__)

    def __eq__(self, other: object) -> bool:
        if type(other) is type(self):
            return self._parts() == other._parts()
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.name, self.filename, id(self.file), self.content_type))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__match_args__)
        return f"{type(self).__name__}({shown})"


def parse_urlencoded(body: bytes, charset: str, max_fields: int) -> list[tuple[str, str]]:
    """Return the pairs of a form in order; fields without ``=`` are empty.

    Raises what `decode_text` raises and `too_many_fields` when there are more than ``max_fields`` (0: no limit).
    """
    text = decode_text(body.rstrip(), charset)
    fields = text.count("&") + 1
    if max_fields and fields > max_fields:
        raise too_many_fields(max_fields, fields)
    return parse_qsl(text, keep_blank_values=True, encoding=charset)


class _Spool:
    """A temporary file that is written to without keeping the loop."""

    __slots__ = ("_loop", "_size", "_write", "file")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.file = SpooledTemporaryFile(max_size=MAX_FILE_IN_MEMORY)  # noqa: SIM115
        self._loop = loop
        self._size = 0
        self._write: asyncio.Future[Any] | None = None

    async def write(self, data: bytes) -> None:
        """Append to the file; cancelled, the write goes on in its thread."""
        self._size += len(data)
        if self._size <= MAX_FILE_IN_MEMORY:
            self.file.write(data)
            return
        self._write = self._loop.run_in_executor(None, self.file.write, data)
        await asyncio.shield(self._write)

    async def rewind(self) -> None:
        """Go to the start, which writes what is buffered."""
        if self._size <= MAX_FILE_IN_MEMORY:
            self.file.seek(0)
            return
        self._write = self._loop.run_in_executor(None, self.file.seek, 0)
        await asyncio.shield(self._write)

    def close(self) -> None:
        """Close the file as soon as no thread writes to it."""
        write = self._write
        if write is None or write.done():
            self.file.close()
        else:
            write.add_done_callback(self._close_after)

    def _close_after(self, write: asyncio.Future[Any]) -> None:
        if not write.cancelled():
            write.exception()  # nobody is there to hear of it
        self.file.close()


class _FormReader:
    """Reads one multipart form, and counts."""

    __slots__ = ("_form", "_loop", "_max_fields", "_max_size", "_size")

    def __init__(self, loop: asyncio.AbstractEventLoop, max_size: int, max_fields: int) -> None:
        self._loop = loop
        self._max_size = max_size
        self._max_fields = max_fields
        self._size = 0
        self._form = MultiDict[str | bytearray | FileField]()

    async def read(self, reader: MultipartReader) -> MultiDict[str | bytearray | FileField]:
        """Read all fields."""
        form = self._form
        try:
            while (part := await reader.next()) is not None:
                if self._max_fields and len(form) >= self._max_fields:
                    raise too_many_fields(self._max_fields, len(form) + 1)
                if isinstance(part, MultipartReader):
                    raise MultipartError("multipart.nested", "To decode nested multipart you need to use custom reader")
                name = part.name
                if name is None:
                    raise MultipartError("multipart.name", "Multipart field missing name.")
                filename = part.filename
                form.add(name, await self._file(part, name, filename) if filename else await self._value(part))
        except BaseException:
            close_files(form)
            raise
        return form

    async def _piece(self, part: BodyPartReader) -> bytes:
        """Return the next piece of a part, b"" at its end; the pieces of all parts count."""
        while piece := await part.read_chunk(READ_SIZE):
            data = part.decode(piece)
            self._size += len(data)
            if self._max_size and self._size > self._max_size:
                raise too_large(self._max_size, self._size)
            if data:
                return data
        return b""

    async def _file(self, part: BodyPartReader, name: str, filename: str) -> FileField:
        spool = _Spool(self._loop)
        try:
            while data := await self._piece(part):
                await spool.write(data)
            await spool.rewind()
        except BaseException:
            spool.close()
            raise
        content_type = part.headers.get(hdrs.CONTENT_TYPE) or DEFAULT_TYPE
        return FileField(name, filename, cast("IO[bytes]", spool.file), content_type, part.headers)

    async def _value(self, part: BodyPartReader) -> str | bytearray:
        value = bytearray()
        while data := await self._piece(part):
            value += data
        content_type = part.headers.get(hdrs.CONTENT_TYPE)
        if content_type is None or content_type.startswith("text/"):
            return decode_text(value, part.get_charset(default="utf-8"))
        return value


async def read_multipart(
    reader: MultipartReader, loop: asyncio.AbstractEventLoop, max_size: int, max_fields: int
) -> MultiDict[str | bytearray | FileField]:
    """Read a form: text fields as str, those of another content type as bytearray, files as `FileField`.

    ``max_size`` bounds the bytes of all values together, ``max_fields`` their number; 0 is no limit. Raises
    `too_large`, `too_many_fields`, MultipartError, a ValueError, for what is no form, and what `decode_text` raises.
    Whatever is raised, cancellation included, no file stays open.
    """
    return await _FormReader(loop, max_size, max_fields).read(reader)


def close_files(form: Any) -> None:
    """Close the files of a form."""
    for value in form.values():
        if isinstance(value, FileField):
            value.file.close()
