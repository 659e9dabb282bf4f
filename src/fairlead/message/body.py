"""The base of all request and response bodies, the registry that finds one for a value, and those that lie in memory.

In: a value that a caller handed over as a body. Out: a `Payload`: its size when that is known, the fields that
describe it, and `write`, which sends it through an `AbstractStreamWriter`, as often as it is asked to when it can.

Limits: a body of more than `TOO_LARGE_BYTES_BODY` in one bytes object is sent, with a ResourceWarning.

RFC 9110 §8.3 (Content-Type), RFC 6266 and RFC 7578 §4.2 (Content-Disposition).
"""

from __future__ import annotations

import enum
import json
import warnings
from abc import ABC, abstractmethod
from typing import IO, TYPE_CHECKING, Any, Final

from multidict import CIMultiDict

from .. import hdrs
from ..codec.disposition import content_disposition_header
from ..codec.mime import guess_type, parse_mimetype
from ..codec.multipart import serialise_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..typedefs import JSONBytesEncoder, JSONEncoder
    from ..wire.writer import AbstractStreamWriter

__all__ = (
    "PAYLOAD_REGISTRY",
    "BytesPayload",
    "JsonBytesPayload",
    "JsonPayload",
    "LookupError",
    "Order",
    "Payload",
    "PayloadRegistry",
    "StringIOPayload",
    "StringPayload",
    "get_payload",
    "payload_type",
    "register_payload",
)

TOO_LARGE_BYTES_BODY: Final = 2**20
"""Bytes in one object above which `BytesPayload` warns: copying more at once is felt by everything else in the loop."""


class LookupError(Exception):
    """No payload type is registered for the type of a value."""


class Order(str, enum.Enum):  # noqa: UP042  (str() of a StrEnum is another text)
    """When the registry asks a payload type: before, with or after the usual ones."""

    normal = "normal"
    try_first = "try_first"
    try_last = "try_last"


def get_payload(data: Any, *args: Any, **kwargs: Any) -> Payload:
    """Return the payload for a value; see `PayloadRegistry.get`."""
    return PAYLOAD_REGISTRY.get(data, *args, **kwargs)


def register_payload(factory: type[Payload], type: Any, *, order: Order = Order.normal) -> None:
    """Let ``factory`` make the payloads for values of ``type``; see `PayloadRegistry.register`."""
    PAYLOAD_REGISTRY.register(factory, type, order=order)


class payload_type:
    """Class decorator that registers a payload type for values of ``type`` (a type or a tuple of types)."""

    def __init__(self, type: Any, *, order: Order = Order.normal) -> None:
        self.type = type
        self.order = order

    def __call__(self, factory: type[Payload]) -> type[Payload]:
        register_payload(factory, self.type, order=self.order)
        return factory


class PayloadRegistry:
    """Which payload type stands for which type of value.

    Asked in this order: the ``try_first`` types, the exact type of the value, the others by isinstance in the order
    of registration, the ``try_last`` types. For one exact type the last registration counts.
    """

    __slots__ = ("_exact", "_first", "_last", "_normal")

    def __init__(self) -> None:
        self._first: list[tuple[type[Payload], Any]] = []
        self._normal: list[tuple[type[Payload], Any]] = []
        self._last: list[tuple[type[Payload], Any]] = []
        self._exact: dict[Any, type[Payload]] = {}

    def get(self, data: Any, *args: Any, **kwargs: Any) -> Payload:
        """Return ``data`` when it is a payload already, else a new one made with the further arguments.

        Raises this module's LookupError when no type fits.
        """
        for factory, kind in self._first:
            if isinstance(data, kind):
                return factory(data, *args, **kwargs)
        exact = self._exact.get(type(data))
        if exact is not None:
            return exact(data, *args, **kwargs)
        if isinstance(data, Payload):
            return data
        for registered in (self._normal, self._last):
            for factory, kind in registered:
                if isinstance(data, kind):
                    return factory(data, *args, **kwargs)
        raise LookupError(f"no payload type is registered for {type(data).__module__}.{type(data).__qualname__}")

    def register(self, factory: type[Payload], type: Any, *, order: Order = Order.normal) -> None:
        """Let ``factory`` make the payloads for values of ``type``; raises ValueError unless order is an `Order`."""
        if order is Order.try_first:
            self._first.append((factory, type))
        elif order is Order.normal:
            self._normal.append((factory, type))
            for kind in type if isinstance(type, tuple) else (type,):
                self._exact[kind] = factory
        elif order is Order.try_last:
            self._last.append((factory, type))
        else:
            raise ValueError(f"Unsupported order {order!r}")


class Payload(ABC):
    """A body: what it is (`headers`, `content_type`, `size`), and how it is sent (`write`).

    Subclasses keep the value in ``_value``, set ``_size`` when it is known, and ``_consumed`` once it cannot be sent
    again.
    """

    _default_content_type: str = "application/octet-stream"
    _size: int | None = None
    _consumed: bool = False
    _autoclose: bool = False

    def __init__(
        self,
        value: Any,
        headers: CIMultiDict[str] | Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        content_type: str | None = None,
        filename: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Describe the value: a Content-Type in ``headers`` wins over ``content_type``, that over the file name's."""
        self._value = value
        self._encoding = encoding
        self._filename = filename
        if content_type is None:
            default = self._default_content_type
            content_type = default if filename is None else guess_type(filename, default)
        self._headers: CIMultiDict[str] = CIMultiDict({hdrs.CONTENT_TYPE: content_type})
        if headers:
            self._headers.update(headers)

    @property
    def size(self) -> int | None:
        """Bytes that `write` sends, None when that shows only at the end."""
        return self._size

    @property
    def filename(self) -> str | None:
        """The name of the file behind the payload."""
        return self._filename

    @property
    def headers(self) -> CIMultiDict[str]:
        """The fields that describe the payload; they may be changed."""
        return self._headers

    @property
    def binary_headers(self) -> bytes:
        """The fields as the header section of a body part; raises ValueError for control characters in them."""
        return serialise_fields(self._headers)

    @property
    def encoding(self) -> str | None:
        """The charset that text is encoded in."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """The value of Content-Type."""
        return self._headers[hdrs.CONTENT_TYPE]

    @property
    def consumed(self) -> bool:
        """True when the value is used up: it came from a source that cannot be read twice."""
        return self._consumed

    @property
    def autoclose(self) -> bool:
        """True when nothing is held open, so that `close` need not be called."""
        return self._autoclose

    def set_content_disposition(
        self, disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: Any
    ) -> None:
        """Set Content-Disposition; raises ValueError for a type or parameter name that is not a token."""
        self._headers[hdrs.CONTENT_DISPOSITION] = content_disposition_header(disptype, quote_fields, _charset, **params)

    @abstractmethod
    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the value as text; a name that bytes share."""

    @abstractmethod
    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the value; cancelled, it may have sent a part of it."""

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the value, but never more than ``content_length`` bytes when that is given."""
        if content_length is None:
            await self.write(writer)
        else:
            await self.write(LimitedWriter(writer, content_length))  # type: ignore[arg-type]

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the bytes that `write` sends; ``encoding`` counts for text that has none of its own."""
        return self.decode(encoding, errors).encode(encoding, errors)

    async def close(self) -> None:  # noqa: B027  (nothing to do is the usual case)
        """Let go of what is held open; more calls do nothing."""


class LimitedWriter:
    """A writer that drops what exceeds a number of bytes; everything else goes to the one behind it."""

    def __init__(self, writer: AbstractStreamWriter, limit: int) -> None:
        self._writer = writer
        self._left = limit

    async def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Write what still fits."""
        if self._left > 0:
            chunk = chunk[: self._left]
            self._left -= len(chunk)
            await self._writer.write(chunk)

    async def write_eof(self, chunk: bytes = b"") -> None:
        """Write what still fits and end the message."""
        chunk = chunk[: self._left]
        self._left = 0
        await self._writer.write_eof(chunk)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


class BytesPayload(Payload):
    """Bytes in memory."""

    _value: bytes | bytearray | memoryview
    _size: int
    _autoclose = True

    def __init__(self, value: bytes | bytearray | memoryview, *args: Any, **kwargs: Any) -> None:
        """Take the value without a copy; raises TypeError unless it is bytes, bytearray or memoryview."""
        if "content_type" not in kwargs and len(args) < 2:
            kwargs["content_type"] = "application/octet-stream"
        if isinstance(value, memoryview):
            if not value.c_contiguous:
                value = bytes(value)
            elif value.itemsize != 1:
                value = value.cast("B")
        elif not isinstance(value, (bytes, bytearray)):
            raise TypeError(f"value argument must be byte-ish, not {type(value)!r}")
        super().__init__(value, *args, **kwargs)
        self._size = len(value)
        if self._size > TOO_LARGE_BYTES_BODY:
            warnings.warn(
                f"Sending {self._size} bytes from one bytes object may block the event loop; "
                "pass an io.BytesIO object or a file instead",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the bytes as text."""
        return str(self._value, encoding, errors)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the bytes as they are."""
        return bytes(self._value)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send everything in one piece."""
        await writer.write(self._value)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the first ``content_length`` bytes in one piece."""
        value = self._value
        if content_length is not None and content_length < len(value):
            value = value[:content_length]
        await writer.write(value)


class StringPayload(BytesPayload):
    """Text, encoded at once: in ``encoding``, else in the charset of ``content_type``, else in UTF-8."""

    def __init__(
        self, value: str, *args: Any, encoding: str | None = None, content_type: str | None = None, **kwargs: Any
    ) -> None:
        """Encode the text; raises UnicodeEncodeError, and the builtin LookupError for an encoding nobody knows."""
        encoding, content_type = text_encoding(encoding, content_type)
        super().__init__(value.encode(encoding), *args, encoding=encoding, content_type=content_type, **kwargs)


class StringIOPayload(StringPayload):
    """What is left to read in an `io.StringIO`."""

    def __init__(self, value: IO[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(value.read(), *args, **kwargs)


class JsonPayload(BytesPayload):
    """A value as JSON."""

    def __init__(
        self,
        value: Any,
        encoding: str = "utf-8",
        content_type: str = "application/json",
        dumps: JSONEncoder = json.dumps,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Serialise at once with ``dumps``, whose errors are raised: TypeError and ValueError from json.dumps."""
        text = dumps(value)
        super().__init__(text.encode(encoding), *args, content_type=content_type, encoding=encoding, **kwargs)


class JsonBytesPayload(BytesPayload):
    """A value as JSON from an encoder that returns bytes, as orjson does."""

    def __init__(
        self,
        value: Any,
        dumps: JSONBytesEncoder,
        content_type: str = "application/json",
        *args: Any,
        **kwargs: Any,
    ) -> None:
        """Serialise at once with ``dumps``; raises TypeError when it returns something else than bytes."""
        super().__init__(dumps(value), *args, content_type=content_type, **kwargs)


def text_encoding(encoding: str | None, content_type: str | None) -> tuple[str, str]:
    """Return the charset for a text and its media type: the one given fills in the other, and UTF-8 is the default."""
    if encoding is None:
        if content_type is None:
            return "utf-8", "text/plain; charset=utf-8"
        return parse_mimetype(content_type).parameters.get("charset", "utf-8"), content_type
    return encoding, content_type or f"text/plain; charset={encoding}"


PAYLOAD_REGISTRY = PayloadRegistry()
PAYLOAD_REGISTRY.register(BytesPayload, (bytes, bytearray, memoryview))
PAYLOAD_REGISTRY.register(StringPayload, str)
