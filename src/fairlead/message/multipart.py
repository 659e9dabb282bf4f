"""Multipart bodies: composing them from payloads; what reads them is in `parts` and can be had from here too.

In: anything that `get_payload` knows. Out: a `MultipartWriter`, which is a payload itself.

Limits: none of its own: each part is sent as its payload sends it, encoded piece by piece.

RFC 2045 §6 (transfer encodings), RFC 2046 §5.1 (multipart), RFC 7578 (form-data), RFC 9110 §8.4 (content codings).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from multidict import CIMultiDict

from .. import hdrs
from ..codec.coding import Encoder, encoder_for, zlib_backend
from ..codec.disposition import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    content_disposition_filename,
    parse_content_disposition,
)
from ..codec.forms import encode_form
from ..codec.multipart import (
    TransferEncoder,
    Transparent,
    boundary_bytes,
    boundary_parameter,
    check_field_text,
    transfer_encoder,
)
from ..errors import quoted
from .parts import (
    BodyPartReader,
    BodyPartReaderPayload,
    MultipartReader,
    MultipartResponseWrapper,
    MultipartUsageError,
)
from .payload import JsonPayload, LookupError, Payload, StringPayload, get_payload

if TYPE_CHECKING:
    from types import TracebackType

    from ..codec.coding import ContentCodingName
    from ..wire.writer import AbstractStreamWriter

__all__ = (
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "BodyPartReader",
    "BodyPartReaderPayload",
    "MultipartPayloadWriter",
    "MultipartReader",
    "MultipartResponseWrapper",
    "MultipartUsageError",
    "MultipartWriter",
    "content_disposition_filename",
    "parse_content_disposition",
)

_Part = tuple[Payload, str, str]


class MultipartWriter(Payload):
    """A body of several parts; each is any payload, another MultipartWriter included."""

    _value: None
    _autoclose = True

    def __init__(self, subtype: str = "mixed", boundary: str | None = None) -> None:
        """Compose ``multipart/<subtype>``; the boundary is random when none is given.

        Raises ValueError for a boundary or subtype that would break the header, TypeError for one that is no str.
        """
        self._boundary = os.urandom(16).hex().encode() if boundary is None else boundary_bytes(boundary)
        check_field_text(subtype)
        super().__init__(None, content_type=f"multipart/{subtype}; boundary={boundary_parameter(self._boundary)}")
        self._parts: list[_Part] = []
        self._is_form_data = subtype == "form-data"

    def __enter__(self) -> MultipartWriter:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        pass

    @property
    def consumed(self) -> bool:
        """True when a part is used up: it came from a source that cannot be read twice."""
        return any(part.consumed for part, _, _ in self._parts)

    @property
    def autoclose(self) -> bool:
        """True when no part holds anything open."""
        return all(part.autoclose for part, _, _ in self._parts)

    def __iter__(self) -> Iterator[_Part]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def __bool__(self) -> bool:
        return True

    @property
    def boundary(self) -> str:
        """The boundary without the two hyphens."""
        return self._boundary.decode("ascii")

    def append(self, obj: Any, headers: Mapping[str, str] | None = None) -> Payload:
        """Add a part for any value that `get_payload` knows; ``headers`` are set on it.

        Raises TypeError for a value nothing is registered for, and what `append_payload` raises.
        """
        fields: CIMultiDict[str] = CIMultiDict(headers or ())
        if isinstance(obj, Payload):
            obj.headers.update(fields)
            return self.append_payload(obj)
        try:
            payload = get_payload(obj, headers=fields)
        except LookupError as exc:
            raise TypeError(f"Cannot create payload from {obj!r:.200}") from exc
        return self.append_payload(payload)

    def append_payload(self, payload: Payload) -> Payload:
        """Add a part; its Content-Encoding (gzip, deflate, br, zstd) and Content-Transfer-Encoding are applied.

        In form-data neither these nor Content-Length may be there (RFC 7578 §4.7, §4.8): raises MultipartUsageError.
        A part without Content-Disposition gets a name there. Raises RuntimeError for an encoding that is not known and
        ValueError for a writer with the same boundary.
        """
        if not isinstance(payload, Payload):
            raise TypeError(f"payload must be a Payload, not {type(payload).__name__}; use append() for other values")
        if isinstance(payload, MultipartWriter) and payload._boundary == self._boundary:
            raise ValueError(f"the boundary of a nested part must not be that of the body: {quoted(self.boundary)}")
        headers = payload.headers
        if self._is_form_data:
            self._describe_field(payload)
            self._parts.append((payload, "", ""))
            return payload
        coding = headers.get(hdrs.CONTENT_ENCODING, "").lower()
        if coding == "identity":
            coding = ""
        elif coding not in ("", "gzip", "deflate", "br", "zstd"):
            raise RuntimeError(f"unknown content encoding: {coding}")
        transfer = headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "").lower()
        if transfer in ("binary", "7bit", "8bit"):
            transfer = ""
        elif transfer not in ("", "base64", "quoted-printable"):
            raise RuntimeError(f"unknown content transfer encoding: {transfer}")
        size = payload.size
        if size is not None and not (coding or transfer):
            headers[hdrs.CONTENT_LENGTH] = str(size)
        self._parts.append((payload, coding, transfer))
        return payload

    def _describe_field(self, payload: Payload) -> None:
        headers = payload.headers
        for name in (hdrs.CONTENT_ENCODING, hdrs.CONTENT_LENGTH, hdrs.CONTENT_TRANSFER_ENCODING):
            if name in headers:
                raise MultipartUsageError(f"a part of multipart/form-data must not have {name} (RFC 7578 §4)")
        if hdrs.CONTENT_DISPOSITION not in headers:
            payload.set_content_disposition("form-data", name=f"section-{len(self._parts)}")

    def append_json(self, obj: Any, headers: Mapping[str, str] | None = None) -> Payload:
        """Add a value as JSON; raises what json.dumps raises, and what `append_payload` raises."""
        return self.append_payload(JsonPayload(obj, headers=CIMultiDict(headers or ())))

    def append_form(
        self, obj: Sequence[tuple[str, str]] | Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Payload:
        """Add pairs or a mapping as a URL-encoded form; raises TypeError for anything else."""
        form: Any = obj
        if not isinstance(form, (Sequence, Mapping)) or isinstance(form, (str, bytes)):
            raise TypeError(f"a form must be a mapping or a sequence of pairs, not {type(obj).__name__}")
        pairs = list(obj.items()) if isinstance(obj, Mapping) else obj
        return self.append_payload(
            StringPayload(
                encode_form(pairs).decode("ascii"),
                headers=CIMultiDict(headers or ()),
                content_type="application/x-www-form-urlencoded",
            )
        )

    @property
    def size(self) -> int | None:
        """Bytes of the whole body, None when a part has no size or is encoded."""
        total = len(self._boundary) + 6
        for part, coding, transfer in self._parts:
            size = part.size
            if coding or transfer or size is None:
                return None
            total += len(self._boundary) + 6 + len(part.binary_headers) + size
        return total

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the parts as text for a human to read, without the line ends around them; not what is sent."""
        return "".join(
            f"--{self.boundary}\r\n{part.binary_headers.decode(encoding, errors)}{part.decode()}"
            for part, _, _ in self._parts
        )

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return what `write` sends; one-shot parts are kept, so that they can be sent afterwards."""
        pieces = []
        for part, coding, transfer in self._parts:
            data = await part.as_bytes(encoding, errors)
            if coding or transfer:
                steps = _Encoders(coding, transfer)
                data = steps.encode(data) + steps.flush()
            pieces += [self._part_start(part), data, b"\r\n"]
        pieces.append(self._end())
        return b"".join(pieces)

    def _part_start(self, part: Payload) -> bytes:
        return b"--%b\r\n%b" % (self._boundary, part.binary_headers)

    def _end(self) -> bytes:
        return b"--%b--\r\n" % self._boundary

    async def write(self, writer: AbstractStreamWriter, close_boundary: bool = True) -> None:
        """Send all parts; without ``close_boundary``, more can be sent by hand after them.

        Raises ValueError for control characters in a part's headers, before that part begins.
        """
        for part, coding, transfer in self._parts:
            await writer.write(self._part_start(part))
            if coding or transfer:
                encoded = MultipartPayloadWriter(writer)
                if coding:
                    encoded.enable_compression(coding)
                if transfer:
                    encoded.enable_encoding(transfer)
                await part.write(encoded)  # type: ignore[arg-type]
                await encoded.write_eof()
            else:
                await part.write(writer)
            await writer.write(b"\r\n")
        if close_boundary:
            await writer.write(self._end())

    async def close(self) -> None:
        """Close all parts; the first error is raised when all were tried."""
        failure: Exception | None = None
        for part, _, _ in self._parts:
            try:
                await part.close()
            except Exception as exc:
                failure = failure or exc
        if failure is not None:
            raise failure


class _Encoders:
    """A content coding, and a transfer encoding over it."""

    __slots__ = ("_coder", "_transfer")

    def __init__(self, coding: str = "", transfer: str = "", *, strategy: int | None = None) -> None:
        self._coder: Encoder | Transparent = _part_encoder(coding, strategy) if coding else Transparent()
        self._transfer: TransferEncoder = transfer_encoder(transfer)

    def encode(self, data: bytes) -> bytes:
        """Take a block and return what is ready."""
        coded = self._coder.encode(data)
        return self._transfer.encode(coded) if coded else b""

    def flush(self) -> bytes:
        """Return the rest."""
        coded = self._coder.flush()
        return (self._transfer.encode(coded) if coded else b"") + self._transfer.flush()


def _part_encoder(coding: str, strategy: int | None) -> Encoder:
    """Return the encoder for a part.

    ``deflate`` is the raw format here, not RFC 9110's zlib format: that is what the readers of parts in use expect,
    while this package's reads both.
    """
    if coding == "deflate":
        options = {"wbits": -15} if strategy is None else {"wbits": -15, "strategy": strategy}
        raw = zlib_backend().compressobj(**options)
        return Encoder(raw.compress, raw.flush)
    if coding not in ("gzip", "br", "zstd"):
        raise RuntimeError(f"unknown content encoding: {coding}")
    return encoder_for(cast("ContentCodingName", coding), strategy=strategy)


class MultipartPayloadWriter:
    """The writer that one encoded part sees: what it writes is encoded and goes on to the writer of the body."""

    def __init__(self, writer: AbstractStreamWriter) -> None:
        self._writer = writer
        self._coding = ""
        self._strategy: int | None = None
        self._transfer = ""
        self._steps: _Encoders | None = None

    def enable_encoding(self, encoding: str) -> None:
        """Apply base64 or quoted-printable to what is written; other names change nothing."""
        if encoding in ("base64", "quoted-printable"):
            self._transfer = encoding

    def enable_compression(self, encoding: str = "deflate", strategy: int | None = None) -> None:
        """Apply a content coding to what is written; ``strategy`` is zlib's."""
        self._coding = encoding
        self._strategy = strategy

    async def write(self, chunk: bytes) -> None:
        """Encode a piece and send what is ready of it."""
        if chunk:
            data = self._encoders().encode(chunk)
            if data:
                await self._writer.write(data)

    async def write_eof(self) -> None:
        """Send the rest of the part; the body goes on."""
        data = self._encoders().flush()
        if data:
            await self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the writer of the body has room again."""
        await self._writer.drain()

    def _encoders(self) -> _Encoders:
        if self._steps is None:
            self._steps = _Encoders(self._coding, self._transfer, strategy=self._strategy)
        return self._steps
