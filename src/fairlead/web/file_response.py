"""A file as a response: `FileResponse`, with ranges, validators and siblings that are compressed already.

In: a path and a request. Out: the file or a part of it, 304, 412 or 416 as the request's conditions say, 404 where
there is no file and 403 where there is one that is not to be had: not regular, or not readable.

Everything that asks the disk happens in the loop's default executor. A trip there and back costs several times what
opening and reading a file of some kilobytes does, so there is one for such a file, which is then sent with its head in
one write. A larger one is kept open and sent by `loop.sendfile()` where nothing is in between; over TLS, compressed,
chunked, or on a loop that has no sendfile, it is read and written in chunks.

What is announced is what was there when the file was opened. A file that grows meanwhile is sent as long as it was; one
that shrinks ends the connection, so that nobody takes a part of it for the whole.

Limits: `disk.SMALL_FILE` bytes are held for a small file, `chunk_size` bytes at a time for another.
RFC 9110 sections 8.8 (validators), 12.5.3 (Accept-Encoding), 13 (conditions), 14 (ranges).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import mimetypes
import os
import pathlib
from typing import TYPE_CHECKING, Any, Final, cast

from .. import hdrs
from ..codec.dates import http_date
from ..codec.preconditions import Span
from ..errors import ClientConnectionResetError
from .disk import ENCODING_EXTENSIONS as ENCODING_EXTENSIONS
from .disk import Look, Wish, take
from .stream_response import NOW, ContentCoding, StreamResponse, accepted_codings, coding_is_available, date_now

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from ..typedefs import LooseHeaders, PathLike
    from ..wire.writer import AbstractStreamWriter
    from .request import BaseRequest

__all__ = ("CONTENT_TYPES", "FALLBACK_CONTENT_TYPE", "NOSENDFILE", "FileResponse")

logger = logging.getLogger("fairlead.web")

NOSENDFILE: bool = bool(os.environ.get("FAIRLEAD_NOSENDFILE") or os.environ.get("AIOHTTP_NOSENDFILE"))
"""Whether files are always read and written in chunks: sendfile fails on some network and overlay file systems."""

DEFAULT_CHUNK_SIZE: Final = 256 * 1024
"""Bytes read at once from a file that is not sent by sendfile."""

MAX_REMEMBERED: Final = 256
"""Modification times whose text is remembered."""

FALLBACK_CONTENT_TYPE: Final = "application/octet-stream"
"""The media type of a file whose name tells nothing."""

# What a name like f.tar.gz stands for when nobody takes the coding off: the archive, not what is in it.
ADDITIONAL_CONTENT_TYPES: Final = {
    "application/gzip": ".gz",
    "application/x-brotli": ".br",
    "application/x-bzip2": ".bz2",
    "application/x-compress": ".Z",
    "application/x-xz": ".xz",
    "application/zstd": ".zst",
}

# What every browser loads and older versions of Python do not know.
_NEWER_TYPES: Final = {
    ".md": "text/markdown",
    ".otf": "font/otf",
    ".ttf": "font/ttf",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}

_GONE: Final = "Cannot write to closing transport: the connection was lost"


class ContentTypes(mimetypes.MimeTypes):
    """Media types by the ends of file names, the same on every machine."""

    def __init__(self) -> None:
        super().__init__()
        # A compressed file is sent as what it is, not decoded on the way.
        self.encodings_map.clear()
        for media_type, extension in ADDITIONAL_CONTENT_TYPES.items():
            self.add_type(media_type, extension)
        for extension, media_type in _NEWER_TYPES.items():
            self.types_map[True].setdefault(extension, media_type)

    def guess_file_type(self, path: PathLike, *, strict: bool = True) -> tuple[str | None, str | None]:
        """Return the media type and the coding that a file name tells, None for what it does not; reads no file."""
        base, extension = os.path.splitext(path)
        while extension in self.suffix_map:
            base, extension = os.path.splitext(base + self.suffix_map[extension])
        encoding = self.encodings_map.get(extension)
        if encoding is not None:
            extension = os.path.splitext(base)[1]
        for types in (self.types_map[True],) if strict else (self.types_map[True], self.types_map[False]):
            found = types.get(extension) or types.get(extension.lower())
            if found is not None:
                return found, encoding
        return None, encoding


CONTENT_TYPES: ContentTypes = ContentTypes()
"""Where `FileResponse` looks up media types; `CONTENT_TYPES.add_type("font/woff2", ".woff2")` adds one."""


@functools.lru_cache(MAX_REMEMBERED)
def last_modified(second: int) -> str:
    """Write a Last-Modified field."""
    return http_date(second)


class FileResponse(StreamResponse):
    """The file at a path, or the part of it that the request asks for.

    Status 200 becomes 206, 304, 412 or 416 as the request's conditions say, 403 where there is something else than a
    file or no permission to read it, 404 where there is nothing, 500 where the disk fails, which is logged. ETag,
    Last-Modified, Accept-Ranges and Content-Range are set by the response; Content-Type by the file's name unless it is
    given. Where the request accepts it, a regular file with the same name and `.br`, `.zst` or `.gz` after it is sent
    instead.
    """

    _send_headers_immediately = False
    _look: Look | None = None
    _asked: BaseRequest | None = None  # for whom `_look` was taken
    _sent: Look | None = None  # what the head was made of, where no header fields were
    _given: pathlib.Path | None = None

    def __init__(
        self,
        path: PathLike,
        chunk_size: int = DEFAULT_CHUNK_SIZE,
        status: int = 200,
        reason: str | None = None,
        headers: LooseHeaders | None = None,
    ) -> None:
        """Take the path, which is looked at when the response is prepared.

        `chunk_size` is in bytes, for files that can not be sent by sendfile. Raises TypeError for what is no path.
        """
        super().__init__(status=status, reason=reason, headers=headers)
        if not isinstance(path, str):
            self._given = pathlib.Path(path)
            path = str(self._given)
        self._name = path
        self._chunk_size = chunk_size

    @property
    def _path(self) -> pathlib.Path:
        path = self._given
        if path is None:
            path = self._given = pathlib.Path(self._name)
        return path

    @_path.setter
    def _path(self, path: PathLike) -> None:
        self._given = pathlib.Path(path)
        self._name = str(self._given)

    def expect(self, look: Look, request: BaseRequest) -> None:
        """Use what was found already, if the response is sent to this request and neither path nor status change."""
        self._look = look
        self._asked = request

    async def prepare(self, request: BaseRequest) -> AbstractStreamWriter | None:
        """Look at the file, decide what the request gets, and send it.

        Raises ConnectionError when the client has gone, OSError when the disk fails after the head was sent.
        Cancellation closes the file, and the connection where the head was sent.
        """
        if self.prepared:
            return await super().prepare(request)
        look, self._look = self._look, None
        whole = self._compression and self._will_compress(request)
        if (
            look is None
            or self._asked is not request
            or look.path != self._name
            or look.wish.status != self._status
            or look.wish.whole != whole
        ):
            if look is not None:
                look.close()
            look = Look(self._name, Wish(request, self._status, whole=whole))
            await take(look)
        self._asked = None
        if look.error is not None:
            logger.error("%s can not be read", self._name, exc_info=look.error)
        if look.body is not None and type(self) is FileResponse and request.plain and not request.shutting_down:
            message = self._render(look)
            if message is not None:
                await self._send_at_once(request, look, message)
                return None
        try:
            self._describe(look)
            return await self._deliver(request, look)
        finally:
            if look.file is not None:
                _close_elsewhere(look)

    # ---- the plain case: a small file, as it lies there, for a client that wants nothing special

    @property  # type: ignore[override]  # HeadersMixin only looks into it
    def _headers(self) -> CIMultiDict[str]:
        fields = self._fields
        if fields is None:
            fields = super()._headers
            if self._sent is not None:
                self._describe(self._sent)  # for those who ask afterwards, as access logs do
        return fields

    @_headers.setter
    def _headers(self, fields: CIMultiDict[str]) -> None:
        self._fields = fields

    def _render(self, look: Look) -> bytes | None:
        """Return the whole message, None where the head needs more thought."""
        body = look.body
        if self._special or self._fields is not None or look.status != 200 or look.coding is not None or body is None:
            return None
        if len(body) != look.size:
            return None
        date_now()
        media_type = self._type = CONTENT_TYPES.guess_file_type(self._name)[0] or FALLBACK_CONTENT_TYPE
        head = (
            f'HTTP/1.1 200 {self._reason}\r\nContent-Type: {media_type}\r\nEtag: "{look.tag}"\r\n'
            f"Last-Modified: {last_modified(look.modified)}\r\nContent-Length: {look.size}\r\nAccept-Ranges: bytes"
        )
        return b"%b%b%b" % (head.encode("utf-8"), NOW.tail, body)

    async def _send_at_once(self, request: BaseRequest, look: Look, message: bytes) -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ClientConnectionResetError(_GONE)
        transport.write(message)
        look.body = None
        self._sent = look
        self._keep_alive = True
        self._eof_sent = True
        self._body_length = len(message)
        if request.protocol.writing_paused:
            await request.protocol.drain()

    # ---- the head

    def _will_compress(self, request: BaseRequest) -> bool:
        """Tell whether this request gets the file in a content coding that is applied while it is sent."""
        if self._compression_force is not None:
            return self._compression_force is not ContentCoding.identity
        weights = accepted_codings(",".join(request.headers.getall(hdrs.ACCEPT_ENCODING, ())))
        for coding in ContentCoding:
            if weights.get(coding.value, 0.0) > 0.0 and coding_is_available(coding):
                return coding is not ContentCoding.identity
        return False

    def _describe(self, look: Look) -> None:
        """Set status and header fields by what was found."""
        headers = self._headers
        span = look.span
        if look.status != self._status:
            self.set_status(look.status)
        if span is None:
            self._compression = self._chunked = False
            self._describe_empty(look)
            return
        if hdrs.CONTENT_TYPE not in headers:
            headers[hdrs.CONTENT_TYPE] = CONTENT_TYPES.guess_file_type(self._name)[0] or FALLBACK_CONTENT_TYPE
        if look.coding is not None:
            headers[hdrs.CONTENT_ENCODING] = look.coding
        compressed = look.wish.whole and look.coding is None
        self._validate(look, weakly=compressed)
        if not self._chunked:
            headers[hdrs.CONTENT_LENGTH] = str(span.length)
        if compressed:
            # The bytes of a range are those of the file as it lies there; these are not.
            headers.pop(hdrs.ACCEPT_RANGES, None)
        else:
            headers[hdrs.ACCEPT_RANGES] = "bytes"
            self._compression = False
        if look.status == 206 and span.length:
            headers[hdrs.CONTENT_RANGE] = f"bytes {span.first}-{span.first + span.length - 1}/{look.size}"

    def _describe_empty(self, look: Look) -> None:
        """Do so for an answer without a body: an error, or 304."""
        headers = self._headers
        if look.status == 304:
            self._validate(look, weakly=look.wish.whole and look.coding is None)
            headers.pop(hdrs.CONTENT_LENGTH, None)
            return
        if look.status == 416:
            headers[hdrs.CONTENT_RANGE] = f"bytes */{look.size}"
        headers[hdrs.CONTENT_LENGTH] = "0"

    def _validate(self, look: Look, *, weakly: bool) -> None:
        """Set the validators (RFC 9110 section 8.8): what is compressed on the way is not the same bytes each time."""
        headers = self._headers
        if look.coding is not None or look.wish.whole:
            self._vary()
        headers[hdrs.ETAG] = f'W/"{look.tag}"' if weakly else f'"{look.tag}"'
        headers[hdrs.LAST_MODIFIED] = last_modified(look.modified)

    def _vary(self) -> None:
        """Say that another Accept-Encoding may get another answer (RFC 9110 section 12.5.5)."""
        varied = self._headers.getall(hdrs.VARY, ())
        names = {name.strip().lower() for field in varied for name in field.split(",")}
        if not names & {"*", "accept-encoding"}:
            self._headers[hdrs.VARY] = ", ".join((*varied, "Accept-Encoding"))

    # ---- the body

    async def _deliver(self, request: BaseRequest, look: Look) -> AbstractStreamWriter | None:
        protocol = request.protocol
        writer = await super().prepare(request)
        assert writer is not None
        if self._must_be_empty_body or (look.body is None and look.file is None):
            await super().write_eof()
            return writer
        span = cast(Span, look.span)
        try:
            if look.file is None:
                body = cast(bytes, look.body)
                await super().write_eof(body)
                sent = len(body)
            else:
                sent = await self._transfer(request, writer, look, span)
                if sent == span.length:
                    await super().write_eof()
        except BaseException as exc:
            # Whatever was sent is not the whole, and only the end of the connection can say so.
            _cut(protocol)
            if isinstance(exc, OSError) and not isinstance(exc, ConnectionError):
                logger.error("%s can not be read any further", self._name, exc_info=exc)
            raise
        if sent != span.length:
            logger.warning("%s became shorter while it was sent: %d of %d bytes", self._name, sent, span.length)
            _cut(protocol)
        return writer

    async def _transfer(self, request: BaseRequest, writer: AbstractStreamWriter, look: Look, span: Span) -> int:
        """Send a part of an open file, and return how many bytes there were."""
        transport = request.transport
        if transport is None:
            raise ClientConnectionResetError(_GONE)
        assert look.file is not None
        as_it_lies = not self._compression and not self._chunked and writer.length is not None
        if as_it_lies and not NOSENDFILE and transport.get_extra_info("sslcontext") is None:
            writer.send_headers()
            try:
                sent = await asyncio.get_running_loop().sendfile(transport, look.file, *span, fallback=False)
            except RuntimeError as exc:
                # Before the first byte: the connection is gone, or neither loop nor transport nor file can do it.
                if transport.is_closing():
                    raise ClientConnectionResetError(_GONE) from exc
            else:
                writer.output_size += sent
                writer.length = span.length - sent
                return sent
        return await self._copy(writer, look, span)

    async def _copy(self, writer: AbstractStreamWriter, look: Look, span: Span) -> int:
        """Do the same through memory."""
        loop = asyncio.get_running_loop()
        position, left = span
        while left:
            chunk = await loop.run_in_executor(None, look.read, position, min(self._chunk_size, left))
            if not chunk:
                break
            position += len(chunk)
            left -= len(chunk)
            await writer.write(chunk)
        return span.length - left


def _cut(protocol: Any) -> None:
    """End a connection on which less was sent than was announced."""
    if protocol is not None:
        protocol.force_close()


def _close_elsewhere(look: Look) -> None:
    """Close the file without waiting for it, as on a network file system it may take its time."""
    try:
        asyncio.get_running_loop().run_in_executor(None, look.close)
    except RuntimeError:  # the executor is shut down
        look.close()
