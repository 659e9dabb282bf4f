"""Multipart bodies: boundaries, part header sections, the search for delimiters, transfer encodings (RFC 2046 §5.1).

The problem of reading: a part ends where a line begins with the boundary, and that line may be cut anywhere by the
network. `PartBuffer` holds what came and has not been taken yet. Each byte is searched once, and what is held back is
only a tail that might be the beginning of a delimiter, so a body streams through in the pieces in which it came, and a
peer that sends single bytes, or lines that are nearly the boundary, costs no more than any other.

In: bytes in any pieces (`feed`), the end (`feed_eof`). Out: lines, body pieces, parsed header fields (`PartHead`).
Going out: `serialise_fields`, `boundary_parameter`, the encoders of RFC 2045 §6.

Limits: `MAX_BOUNDARY`, `MAX_DELIMITER_LINE`; header lines and their number as the caller says.

What is accepted beyond the grammar, because senders do it: a line of the header section, a delimiter line or the line
before the first delimiter may end in a bare LF; padding may follow a boundary; the last CRLF may be missing.
What a body contains is decided by CRLF only. A line that begins with the boundary and goes on with something else is an
error and not content: other parsers would see a delimiter there (RFC 2046 §5.1.1 says that they should).

RFC 2045 §6 (transfer encodings), RFC 2046 §5.1 (multipart), RFC 7578 (form-data), RFC 9110 §5 (fields).
"""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING, Final, Literal, Protocol

from multidict import CIMultiDict

from ..errors import BadHttpMessage, InvalidHeader, LineTooLong, ProtocolError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = (
    "Base64Encoder",
    "MultipartError",
    "PartBuffer",
    "PartHead",
    "QuotedPrintableEncoder",
    "Transparent",
    "aligned",
    "boundary_bytes",
    "boundary_parameter",
    "check_field_text",
    "decode_transfer",
    "delimiter_kind",
    "part_length",
    "serialise_fields",
    "transfer_encoder",
)

MAX_BOUNDARY: Final = 70
"""Characters of a boundary (RFC 2046 §5.1.1)."""

MAX_DELIMITER_LINE: Final = 1024
"""Bytes of a line that holds a boundary, padding included: nobody pads more, and the line is kept until it ends."""

MAX_CARRY: Final = 1024
"""Bytes without meaning (line breaks, mostly) that may stand inside one group of four base64 characters."""

# RFC 9110 §5.1, §5.6.2: a field name is a token.
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 §5.5: no control characters in a value but the tab.
_NOT_IN_VALUE = re.compile(rb"[^\t\x20-\x7e\x80-\xff]")
# RFC 9110 §5.5, §5.6.2 for text on its way out: CR, LF and NUL end or hide fields, the other controls mean nothing.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 §5.6.4: what a quoted-string cannot hold, quoted or not.
_NOT_QUOTABLE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
# A part may have one of each of these: two would let two readers see two different bodies (RFC 9110 §5.3).
_SINGLETONS = frozenset(
    {"content-disposition", "content-encoding", "content-length", "content-transfer-encoding", "content-type"}
)


class MultipartError(ProtocolError, ValueError):
    """The body is not what RFC 2046 §5.1 calls multipart: ``multipart.boundary``, ``.truncated``, ``.length`` …"""


# ------------------------------------------------------------------------------------------------- boundaries, fields


def boundary_bytes(boundary: str) -> bytes:
    """Return the boundary of a body to be written; raises ValueError for what no reader would find.

    Longer ones than `MAX_BOUNDARY` are left to the caller's judgement: some readers accept them, this one does not.
    """
    if not isinstance(boundary, str):
        raise TypeError(f"boundary must be a str, not {type(boundary).__name__}")
    try:
        raw = boundary.encode("ascii")
    except UnicodeEncodeError:
        raise ValueError(f"boundary should contain ASCII only chars, got {quoted(boundary)}") from None
    if _NOT_QUOTABLE.search(raw):
        raise ValueError(f"boundary value contains invalid characters: {quoted(boundary)}")
    if not raw or raw[-1:] in b" \t":
        raise ValueError(f"boundary must not be empty or end in white space (RFC 2046 §5.1.1), got {quoted(boundary)}")
    return raw


def boundary_parameter(boundary: bytes) -> str:
    """Return the boundary as a parameter value: a token as it is, anything else as a quoted-string."""
    if _TOKEN.fullmatch(boundary):
        return boundary.decode("ascii")
    if _NOT_QUOTABLE.search(boundary):
        raise ValueError(f"boundary value contains invalid characters: {quoted(boundary)}")
    return '"' + boundary.decode("ascii").replace("\\", "\\\\").replace('"', '\\"') + '"'


def delimiter_kind(line: bytes, boundary: bytes) -> Literal["part", "end"] | None:
    """Tell whether a line is the delimiter of the next part or the close-delimiter; ``boundary`` begins with ``--``."""
    line = line.rstrip(b" \t\r\n")
    if line == boundary:
        return "part"
    if line == boundary + b"--":
        return "end"
    return None


def check_field_text(text: str) -> str:
    """Return ``text`` when it can stand in a field line; raises ValueError for CR, LF, NUL and other controls."""
    if _CONTROL.search(text):
        raise ValueError(
            f"a header field must not contain CR, LF, NUL or other control characters (they would start fields of "
            f"their own), got {quoted(text)}"
        )
    return text


def serialise_fields(fields: Mapping[str, str]) -> bytes:
    """Return a part's header section in UTF-8 with the empty line that ends it; see `check_field_text`."""
    lines = [check_field_text(f"{name}: {value}") for name, value in fields.items()]
    lines += ["", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def part_length(value: str | None) -> int | None:
    """Return the number in a part's Content-Length, None without one; raises MultipartError unless it is all digits."""
    if value is None:
        return None
    if not (value.isascii() and value.isdigit()):
        raise MultipartError("multipart.length", f"invalid Content-Length of a body part: {quoted(value)}")
    return int(value)


class PartHead:
    """The header section of one part, line by line.

    Values are decoded as UTF-8; a byte that is not becomes a surrogate, as RFC 7578 senders use whatever they like.
    """

    __slots__ = ("_left", "fields")

    def __init__(self, max_headers: int) -> None:
        """Accept at most ``max_headers`` lines."""
        self._left = max_headers
        self.fields: CIMultiDict[str] = CIMultiDict()

    def add(self, line: bytes) -> bool:
        """Take one line with its line end; True when it was the empty line, and `fields` is complete.

        Raises InvalidHeader and BadHttpMessage. A folded line (RFC 9112 §5.2) is an error: what unfolds it differently
        would see other fields.
        """
        line = line.removesuffix(b"\n").removesuffix(b"\r")
        if not line:
            return True
        if not self._left:
            raise BadHttpMessage("Too many headers received in one body part; max_headers changes the limit")
        self._left -= 1
        raw_name, colon, raw_value = line.partition(b":")
        if not colon or raw_name[:1] in b" \t" or raw_name[-1:] in b" \t":
            raise InvalidHeader(line)
        if not _NAME.fullmatch(raw_name):
            raise InvalidHeader(raw_name)
        raw_value = raw_value.strip(b" \t")
        if _NOT_IN_VALUE.search(raw_value):
            raise InvalidHeader(raw_value)
        name = raw_name.decode("ascii")
        if name in self.fields and name.lower() in _SINGLETONS:
            raise BadHttpMessage(f"Duplicate {name!r} header found in a body part.")
        self.fields.add(name, raw_value.decode("utf-8", "surrogateescape"))
        return False


# ---------------------------------------------------------------------------------------------------------- reading


class PartBuffer:
    """What came of a multipart body and was not taken yet, and where in it the next delimiter is.

    Positions: ``_pos`` is the next byte, up to ``_safe`` the bytes are known to be body, ``_stop`` is where the
    delimiter begins. The last two belong to ``_delimiter`` and are forgotten when another one is asked for.
    """

    __slots__ = ("_data", "_delimiter", "_pos", "_safe", "_searched", "_stop", "eof", "line_start")

    def __init__(self) -> None:
        """Begin at the start of a body, which counts as the start of a line."""
        self._data = b""
        self._pos = 0
        self._searched = 0
        self._delimiter = b""
        self._safe = 0
        self._stop = -1
        self.eof = False
        self.line_start = True

    @property
    def pending(self) -> int:
        """Bytes that were fed and not taken."""
        return len(self._data) - self._pos

    @property
    def ended(self) -> bool:
        """True when the delimiter that `body` was asked about is next."""
        return self._stop >= 0 and self._pos >= self._stop

    def feed(self, data: bytes) -> None:
        """Append input."""
        pos = self._pos
        if pos == len(self._data):
            self._data = bytes(data)
            self._searched = 0
        else:
            self._data = self._data[pos:] + data
            self._searched = max(0, self._searched - pos)
        self._safe = max(0, self._safe - pos)
        if self._stop >= 0:
            self._stop -= pos
        self._pos = 0

    def feed_eof(self) -> None:
        """Say that no more input comes."""
        self.eof = True

    def take_rest(self) -> bytes:
        """Return everything that is pending."""
        return self.exactly(self.pending)

    def exactly(self, n: int, *, to_line_end: bool = False) -> bytes:
        """Return up to n bytes, whatever they are; with ``to_line_end`` nothing after the first LF."""
        pos = self._pos
        end = pos + n
        if to_line_end:
            end = self._data.find(b"\n", pos, end) + 1 or end
        out = self._data[pos:end]
        if out:
            self._moved(pos + len(out))
        return out

    def line(self, limit: int) -> bytes | None:
        """Return the next line with its LF, at the end of input what is left, and None when more input is needed.

        Raises LineTooLong when the line has more than ``limit`` bytes without its end; it is not taken then.
        """
        data, pos = self._data, self._pos
        end = data.find(b"\n", max(pos, self._searched)) + 1
        if not end:
            self._searched = end = len(data)
            complete = self.eof
        else:
            complete = True
        size = end - pos
        if size > limit:  # the line end counts for nothing, whichever it is
            line = data[pos : pos + limit + 3].rstrip(b"\r\n")
            if len(line) > limit:
                raise LineTooLong(line[:limit], limit, size)
        if not complete:
            return None
        out = data[pos:end]
        self._moved(end)
        self.line_start = True
        return out

    def body(self, delimiter: bytes, n: int, *, to_line_end: bool = False) -> bytes:
        """Return up to n bytes that belong to the body, or b"" when `ended` or when more input is needed.

        ``delimiter`` is the line break and the boundary with its two hyphens. Where a line begins already, the
        boundary alone is the delimiter. With ``to_line_end`` nothing after the first LF is returned.
        """
        if delimiter != self._delimiter:
            self._delimiter = delimiter
            self._safe = self._pos
            self._stop = -1
        pos = self._pos
        if self._stop < 0 and self._safe <= pos:
            self._scan()
        end = min(pos + n, self._safe)
        if to_line_end:
            end = self._data.find(b"\n", pos, end) + 1 or end
        if end <= pos:
            return b""
        self._pos = end
        self.line_start = False
        return self._data[pos:end]

    def to_delimiter_line(self) -> None:
        """Go from the line break in front of the delimiter, when there is one, to the boundary; needs `ended`."""
        if not self._data.startswith(self._boundary(), self._pos):
            self._pos += self._delimiter.index(b"-")
        self._moved(self._pos)
        self.line_start = True

    def skip_break(self) -> bool | None:
        """Take the CRLF that stands here; False when something else does, None when more input is needed."""
        if self.pending < 2 and not self.eof:
            return None
        if not self._data.startswith(b"\r\n", self._pos):
            return False
        self._moved(self._pos + 2)
        self.line_start = True
        return True

    def _boundary(self) -> bytes:
        return self._delimiter.lstrip(b"\r\n")

    def _moved(self, pos: int) -> None:
        self._pos = self._safe = pos
        self._stop = -1
        self._delimiter = b""
        self.line_start = False

    def _scan(self) -> None:
        """Find the delimiter, or how far the body reaches for certain."""
        data, pos, delimiter = self._data, self._pos, self._delimiter
        if self.line_start:
            boundary = self._boundary()
            if data.startswith(boundary, pos):
                self._safe = self._stop = pos
                return
            if not self.eof and boundary.startswith(data[pos : pos + len(boundary)]):
                return
        found = data.find(delimiter, pos)
        if found >= 0:
            self._safe = self._stop = found
            return
        self._safe = len(data)
        if self.eof:
            return
        # Hold back a tail that the next input may complete: the longest end of the data that begins a delimiter.
        first = delimiter[:1]
        at = data.find(first, max(pos, len(data) - len(delimiter) + 1))
        while at >= 0:
            if delimiter.startswith(data[at:]):
                self._safe = at
                return
            at = data.find(first, at + 1)


# ----------------------------------------------------------------------------------------------- transfer encodings


class TransferEncoder(Protocol):
    """Applies a Content-Transfer-Encoding (RFC 2045 §6) to blocks of any size."""

    def encode(self, data: bytes) -> bytes:
        """Take a block and return what is ready."""

    def flush(self) -> bytes:
        """Return the rest."""


class Transparent:
    """``binary``, ``7bit``, ``8bit`` and none: the body as it is."""

    def encode(self, data: bytes) -> bytes:
        """Return the block."""
        return data

    def flush(self) -> bytes:
        """Return nothing."""
        return b""


class Base64Encoder:
    """``base64`` in one line: HTTP has no line limit, and some decoders of parts accept no line breaks."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        """Hold nothing."""
        self._held = b""

    def encode(self, data: bytes) -> bytes:
        """Take a block; groups of three bytes are coded, up to two bytes wait for the next block."""
        if self._held:
            data = self._held + data
        whole = len(data) - len(data) % 3
        self._held = bytes(data[whole:])
        return binascii.b2a_base64(memoryview(data)[:whole], newline=False)

    def flush(self) -> bytes:
        """Return the last group with its padding."""
        held, self._held = self._held, b""
        return binascii.b2a_base64(held, newline=False)


class QuotedPrintableEncoder:
    """``quoted-printable``: text lines stay lines, and every other byte survives as well.

    A block with CRLF line ends alone, or LF alone, is coded as text. One that mixes them, or holds a CR of its own, is
    coded as binary, where CR and LF are escaped, since a text line end may be rewritten on the way.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        """Hold nothing."""
        self._held = b""

    def encode(self, data: bytes) -> bytes:
        """Take a block; a CR at its end waits to see whether an LF follows."""
        data = self._held + data
        self._held = b""
        if data.endswith(b"\r"):
            data, self._held = data[:-1], b"\r"
        return self._code(data)

    def flush(self) -> bytes:
        """Return the CR that was held back, if any."""
        held, self._held = self._held, b""
        return self._code(held)

    def _code(self, data: bytes) -> bytes:
        pairs = data.count(b"\r\n")
        text = data.count(b"\r") == pairs and (not pairs or data.count(b"\n") == pairs)
        return binascii.b2a_qp(data, istext=text)


_IDENTITY = frozenset({"", "binary", "7bit", "8bit"})


def transfer_encoder(name: str) -> TransferEncoder:
    """Return an encoder for a Content-Transfer-Encoding; raises ValueError for a name that is not known."""
    if name == "base64":
        return Base64Encoder()
    if name == "quoted-printable":
        return QuotedPrintableEncoder()
    if name in _IDENTITY:
        return Transparent()
    raise ValueError(f"unknown content transfer encoding: {quoted(name)}")


def decode_transfer(data: bytes | bytearray | memoryview, name: str) -> bytes | bytearray | memoryview:
    """Undo a Content-Transfer-Encoding; raises RuntimeError for a name that is not known.

    Characters outside of the base64 alphabet are skipped (RFC 2045 §6.8); raises binascii.Error, a ValueError, when
    the length does not fit.
    """
    if name == "base64":
        return binascii.a2b_base64(data)
    if name == "quoted-printable":
        return binascii.a2b_qp(data)
    if name in _IDENTITY:
        return data
    raise RuntimeError(f"unknown content transfer encoding: {name}")


def aligned(data: bytes, name: str) -> tuple[bytes, bytes]:
    """Split a piece of a coded body so that the first part decodes on its own; the second belongs to the next piece.

    For base64 the first part holds whole groups of four characters, for quoted-printable no cut escape.
    """
    if name == "base64":
        over = len(_NOT_BASE64.sub(b"", data)) % 4
        cut = len(data)
        while over:  # from the end back over the characters of the open group
            cut -= 1
            over -= not _NOT_BASE64.match(data, cut, cut + 1)
        rest = data[cut:]
        if len(rest) > MAX_CARRY:
            rest = _NOT_BASE64.sub(b"", rest)
        return data[:cut], rest
    if name == "quoted-printable":
        cut = data.rfind(b"=", max(0, len(data) - 2))
        if cut >= 0:
            return data[:cut], data[cut:]
    return data, b""
