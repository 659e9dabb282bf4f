"""Content codings: gzip, deflate, br and zstd, in and out, alone or one over another (RFC 9110 section 8.4).

In: the value of ``Content-Encoding`` and the body in blocks of any size. Out: the decoded body in pieces of at most
``max_length`` bytes, so that a body of a few kilobytes that unpacks to gigabytes costs the memory of one piece. While
:attr:`Decoder.pending` is true there is more output, and ``decode(b"", max_length)`` is how to get it.

What is accepted, where the RFCs leave a choice or servers ignore them:

* Names are case-insensitive and ``x-gzip`` means gzip. A name that is not known, alone or in a list, means that the
  body is handed over as it came: :func:`decoder_for` returns None.
* ``deflate`` is the zlib format (RFC 1950). The raw format (RFC 1951), which some servers send, is told apart by the
  first two bytes, in whatever pieces they come.
* gzip members, zlib streams and zstd frames may follow one another; their contents are one body. Anything else after
  the end of a stream, zero padding included, is an error, as a proxy that glues bodies together would produce it.
* A body without a single byte is an empty body in every coding. One that stops early is an error at the end of input.

Limits: :data:`MAX_CODINGS`, :data:`MEMBERS_PER_CALL`, :data:`ZSTD_WINDOW_LOG`. The libraries hold one window besides
the piece: 32 KiB for gzip and deflate, 16 MiB for br, at most 128 MiB for zstd, touched as far as the body is long.

brotli (or brotlicffi) and zstd (``compression.zstd``, or backports.zstd before Python 3.14) are imported when the first
body needs them. Without them ``br`` and ``zstd`` are not offered to servers. RFCs: 1950, 1951, 1952, 7932, 8878, 9659.
"""

from __future__ import annotations

import functools
import zlib
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Protocol

from ..errors import ProtocolError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec

    Buffer = bytes | bytearray | memoryview

__all__ = (
    "CodingError",
    "ContentCodingName",
    "Decoder",
    "Encoder",
    "ZLibBackendProtocol",
    "accept_encoding",
    "decoder_for",
    "encoder_for",
    "set_zlib_backend",
    "zlib_backend",
)

ContentCodingName = Literal["gzip", "deflate", "br", "zstd"]

# Codings in one Content-Encoding. Servers use one, rarely two; each more multiplies what a small body can unpack to.
MAX_CODINGS: Final = 5
# Streams begun in one call. An empty gzip member is 20 bytes and some microseconds: this bounds the time of a call.
MEMBERS_PER_CALL: Final = 1024
# Bytes of input offered at once while a block is worked off in pieces: what is left over is copied back each time.
MIN_WINDOW: Final = 64
MAX_WINDOW: Final = 64 * 1024
# log2 of the largest zstd window: what libzstd itself accepts unasked. RFC 9659 asks servers for 23 (8 MiB) at most.
ZSTD_WINDOW_LOG: Final = 27
# Bytes that pass from one coding of a list to the next at once, and how often in one call.
STAGE_PIECE: Final = 64 * 1024
STAGE_ROUNDS: Final = 64
# brotli's own default, 11, takes a hundred times as long as 5 for a few per cent: not for what is sent as it is made.
BROTLI_QUALITY: Final = 5
# The first block of the list in which brotli collects output; each next one is twice as large. See _BrotliDecoder.
BROTLI_FIRST_BLOCK: Final = 32 * 1024
# The first brotli that can stop at a given amount of output.
BROTLI_SINCE: Final = (1, 2)

_RAW_WBITS: Final = -15
_ZLIB_WBITS: Final = 15
_GZIP_WBITS: Final = 31


class CodingError(ProtocolError):
    """A body does not decode: ``coding.corrupt``, ``.trailing``, ``.truncated``, ``.chain`` or ``.unavailable``."""


# ---------------------------------------------------------------------------------------------------- zlib backend


class ZLibCompressObjProtocol(Protocol):
    """What the compressobj of a zlib backend returns."""

    def compress(self, data: Buffer, /) -> bytes:
        """Take data, return what is ready."""

    def flush(self, mode: int = ..., /) -> bytes:
        """Return the rest."""


class ZLibDecompressObjProtocol(Protocol):
    """What the decompressobj of a zlib backend returns."""

    def decompress(self, data: Buffer, max_length: int = ..., /) -> bytes:
        """Take data, return at most ``max_length`` bytes."""

    def flush(self, length: int = ..., /) -> bytes:
        """Return the rest."""

    @property
    def eof(self) -> bool:
        """True when the end of the stream was read."""

    @property
    def unconsumed_tail(self) -> bytes:
        """The input that ``max_length`` left over."""

    @property
    def unused_data(self) -> bytes:
        """The input behind the end of the stream."""


class ZLibBackendProtocol(Protocol):
    """A module with the interface of :mod:`zlib`, such as ``isal.isal_zlib`` or ``zlib_ng.zlib_ng``."""

    MAX_WBITS: int
    Z_FULL_FLUSH: int
    Z_SYNC_FLUSH: int
    Z_BEST_SPEED: int
    Z_FINISH: int

    def compressobj(
        self, level: int = ..., method: int = ..., wbits: int = ..., memLevel: int = ..., strategy: int = ...
    ) -> ZLibCompressObjProtocol:
        """Return a compressor."""

    def decompressobj(self, wbits: int = ...) -> ZLibDecompressObjProtocol:
        """Return a decompressor."""

    def compress(self, data: Buffer, /, level: int = ..., wbits: int = ...) -> bytes:
        """Compress at once."""

    def decompress(self, data: Buffer, /, wbits: int = ..., bufsize: int = ...) -> bytes:
        """Decompress at once."""


_backend: ZLibBackendProtocol = zlib


def set_zlib_backend(new_zlib_backend: ZLibBackendProtocol) -> None:
    """Use another module than :mod:`zlib` for gzip and deflate from now on, in both directions.

    Bodies that are under way keep the module they began with. TypeError when it lacks what every body needs.
    """
    for name in ("compressobj", "decompressobj"):
        if not callable(getattr(new_zlib_backend, name, None)):
            raise TypeError(f"a zlib backend is a module like zlib; {new_zlib_backend!r} has no function {name}()")
    global _backend
    _backend = new_zlib_backend


def zlib_backend() -> ZLibBackendProtocol:
    """Return the module that gzip and deflate use."""
    return _backend


# -------------------------------------------------------------------------------------------- the optional libraries


def _spec(name: str) -> ModuleSpec | None:
    from importlib.util import find_spec

    try:
        return find_spec(name)
    except (ImportError, ValueError):  # a missing parent package; a module put into sys.modules without a spec
        return None


def _is_current(spec: ModuleSpec) -> bool:
    """Tell a brotli that can bound its output from an older one, by the version in the name of its metadata.

    An import would tell as well, for the price of loading a megabyte that most programs never use.
    """
    import os

    folder = os.path.dirname(spec.origin or "")
    if spec.submodule_search_locations is not None:  # a package; its metadata lies beside its folder
        folder = os.path.dirname(folder)
    name = spec.name.lower()
    try:
        entries = os.listdir(folder or ".")
    except OSError:
        return True
    for entry in entries:
        package, _, version = entry.lower().partition("-")
        if package == name and version.endswith((".dist-info", ".egg-info")):
            numbers = version.split(".")[:2]
            if len(numbers) == 2 and all(n.isdecimal() for n in numbers):
                return (int(numbers[0]), int(numbers[1])) >= BROTLI_SINCE
    return True


@functools.cache
def _brotli_name() -> str | None:
    return next((name for name in ("brotli", "brotlicffi") if (spec := _spec(name)) and _is_current(spec)), None)


@functools.cache
def _zstd_name() -> str | None:
    return next((name for name in ("compression.zstd", "backports.zstd") if _spec(name)), None)


def _library(coding: str, name: str | None, wanted: str) -> Any:
    """Import what ``coding`` needs."""
    from importlib import import_module

    try:
        if name is not None:
            return import_module(name)
    except ImportError as exc:
        raise CodingError(
            "coding.unavailable", f"{name}, which {coding} needs, cannot be imported: {exc}", fault="local"
        ) from exc
    raise CodingError(
        "coding.unavailable",
        f"the content coding {coding} needs {wanted}, which is not installed; pip install 'fairlead[speedups]' has it, "
        "and auto_decompress=False hands over bodies as they come",
        fault="local",
    )


def _brotli() -> Any:
    return _library("br", _brotli_name(), "Brotli 1.2 or newer")


def _zstd() -> Any:
    return _library("zstd", _zstd_name(), "Python 3.14 or backports.zstd")


@functools.cache
def accept_encoding() -> str:
    """Return the ``Accept-Encoding`` that says what can be decoded here, best understood first; imports nothing."""
    return "gzip, deflate" + (", br" if _brotli_name() else "") + (", zstd" if _zstd_name() else "")


# ------------------------------------------------------------------------------------------------------------ decoding


class Decoder(ABC):
    """Undoes one content coding, or a list of them, piece by piece."""

    __slots__ = ("pending",)

    pending: bool  # more output is there to be had without new input

    def __init__(self) -> None:
        """Start before the first byte."""
        self.pending = False

    @abstractmethod
    def decode(self, data: Buffer, max_length: int) -> bytes:
        """Take a block of the body and return at most ``max_length`` decoded bytes, none if more input is needed.

        ``data`` may be empty, and is meant to be while :attr:`pending` is true: what comes then is kept, and that
        memory is the caller's to bound. An empty result does not mean that nothing is pending.
        Raises CodingError when the body is not in the coding, ValueError when ``max_length`` is below 1.
        """

    @abstractmethod
    def finish(self) -> bytes:
        """Say that the body has ended, once nothing is pending; return what is left, which is nothing so far.

        Raises CodingError ``coding.truncated`` when the stream is incomplete, RuntimeError while output is pending.
        """

    def _ended(self, coding: str, complete: bool) -> bytes:
        if self.pending:
            raise RuntimeError("decode(b'', max_length) must be called until nothing is pending before finish()")
        if complete:
            return b""
        raise CodingError("coding.truncated", f"the {coding} body ended before its end; {_AS_IT_CAME}")


_AS_IT_CAME: Final = "auto_decompress=False hands over bodies as they come"


def _positive(max_length: int) -> None:
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, not {max_length!r}")


class _MemberDecoder(Decoder):
    """A coding whose streams may follow one another: gzip, deflate, zstd.

    ``_engine`` is the library's object for the current stream and None before the first one. ``_held[_at:]`` is input
    that it has not been given yet. What a library does not use of a block it copies to a new object, so a block that
    gives many pieces or holds many streams is given in windows, sized by what was used of the last: all copies
    together stay proportional to the input.
    """

    __slots__ = ("_at", "_coding", "_engine", "_errors", "_held", "_members", "_window")

    # The library keeps what it did not use, and says so in needs_input; otherwise it hands it back as unconsumed_tail.
    _keeps_input = False

    def __init__(self, coding: str, errors: tuple[type[Exception], ...]) -> None:
        """Remember the coding's name and what its library raises."""
        self.pending = False
        self._coding = coding
        self._errors = errors
        self._engine: Any = None
        self._held: Buffer = b""
        self._at = 0
        self._window = MAX_WINDOW
        self._members = 0

    @abstractmethod
    def _begin(self, held: Buffer, at: int) -> Any:
        """Return the engine for the stream that begins at ``held[at]``, or None when that takes more bytes."""

    def decode(self, data: Buffer, max_length: int) -> bytes:
        """See :meth:`Decoder.decode`."""
        engine = self._engine
        if engine is None and data and not self._held:  # most bodies are one stream, and many are one block
            engine = self._engine = self._begin(data, 0)
            if engine is not None:
                self._members = 1
        if engine is None or self._held or engine.eof or max_length < 1:
            return self._go_on(data, b"", max_length)
        try:
            out: bytes = engine.decompress(data, max_length)
        except self._errors as exc:
            self._fail(exc)
        if engine.eof:
            rest = engine.unused_data
            if rest:
                self._window = MIN_WINDOW
                return self._go_on(rest, out, max_length)
            self.pending = False
            return out
        self.pending = len(out) >= max_length
        if not self._keeps_input and (tail := engine.unconsumed_tail):
            self._held = tail
            self._at = 0
            self._window = max(MIN_WINDOW, 2 * (len(data) - len(tail)))
            self.pending = True
        return out

    def _go_on(self, data: Buffer, out: bytes, max_length: int) -> bytes:
        """Decode what does not fit the plain case: streams that begin, input that is held; ``out`` comes first."""
        _positive(max_length)
        held, at = self._held, self._at
        if data:
            if at < len(held):
                held = b"".join((memoryview(held)[at:], data))
            else:
                held = data
                if not out:
                    self._window = len(data)
            at = 0
        pieces = [out] if out else []
        room = max_length - len(out)
        members = 0
        more = True
        while room:
            engine = self._engine
            if engine is None or engine.eof:
                if at >= len(held) or members == MEMBERS_PER_CALL:
                    more = at < len(held)
                    break
                engine = self._begin(held, at)
                if engine is None:
                    more = False
                    break
                self._engine = engine
                self._members += 1
                members += 1
            out, held, at = self._step(engine, held, at, room)
            if out:
                pieces.append(out)
                room -= len(out)
            if room and at >= len(held):
                more = False
                break
        else:
            more = at < len(held) or not self._engine.eof
        self._keep(held, at)
        self.pending = more
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _step(self, engine: Any, held: Buffer, at: int, room: int) -> tuple[bytes, Buffer, int]:
        """Give the engine one window of the input; return its output, and what is held from where on."""
        window: Buffer = b""
        if at < len(held) and (not self._keeps_input or engine.needs_input):
            size = self._window
            window = held if at == 0 and size >= len(held) else memoryview(held)[at : at + size]
        try:
            out: bytes = engine.decompress(window, room)
        except self._errors as exc:
            self._fail(exc)
        at += len(window)
        rest: bytes = b""
        if engine.eof:
            rest = engine.unused_data
        elif not self._keeps_input:
            rest = engine.unconsumed_tail
        if len(rest) <= at:
            at -= len(rest)
        else:  # the engine kept input from earlier blocks
            held, at = b"".join((rest, memoryview(held)[at:])), 0
        self._window = min(MAX_WINDOW, max(MIN_WINDOW, 2 * (len(window) - len(rest))))
        return out, held, at

    def _keep(self, held: Buffer, at: int) -> None:
        if at >= len(held):
            self._held, self._at = b"", 0
        elif type(held) is bytes:
            self._held, self._at = held, at
        else:  # the caller's buffer, which it may use again
            self._held, self._at = bytes(memoryview(held)[at:]), 0

    def _fail(self, exc: Exception) -> NoReturn:
        if self._members > 1:
            raise CodingError(
                "coding.trailing",
                f"the {self._coding} body goes on after the end of its stream {self._members - 1} with what is not "
                f"another one ({exc}); {_AS_IT_CAME}",
            ) from exc
        raise CodingError("coding.corrupt", f"the body is not valid {self._coding}: {exc}; {_AS_IT_CAME}") from exc

    def finish(self) -> bytes:
        """See :meth:`Decoder.finish`."""
        engine = self._engine
        return self._ended(self._coding, not self._held and (engine is None or engine.eof))


class _ZlibDecoder(_MemberDecoder):
    """gzip, and deflate in both of its formats."""

    __slots__ = ("_decompressobj",)

    def __init__(self, coding: str) -> None:
        """Take the backend of this moment."""
        backend = _backend
        super().__init__(coding, (zlib.error, getattr(backend, "error", zlib.error)))
        self._decompressobj = backend.decompressobj

    def _begin(self, held: Buffer, at: int) -> ZLibDecompressObjProtocol | None:
        """Sniff the format of deflate: RFC 1950's header is a multiple of 31 with method 8 in the first byte.

        A raw stream whose first byte ends in 8 would begin with a stored block that has a one in its padding, which
        encoders do not write, so for nearly all raw streams one byte decides.
        """
        if self._coding == "gzip":
            return self._decompressobj(wbits=_GZIP_WBITS)
        first = held[at]
        if first & 0x0F != 8 or first >> 4 > 7:
            return self._decompressobj(wbits=_RAW_WBITS)
        if at + 1 == len(held):
            return None
        return self._decompressobj(wbits=_RAW_WBITS if (first << 8 | held[at + 1]) % 31 else _ZLIB_WBITS)


class _ZstdDecoder(_MemberDecoder):
    """zstd; skippable frames are skipped by the library."""

    __slots__ = ("_decompressor", "_options")

    _keeps_input = True

    def __init__(self) -> None:
        """Import the library."""
        library = _zstd()
        super().__init__("zstd", (library.ZstdError,))
        self._decompressor: Callable[..., Any] = library.ZstdDecompressor
        self._options = {library.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG}

    def _begin(self, held: Buffer, at: int) -> Any:
        return self._decompressor(options=self._options)


class _BrotliDecoder(Decoder):
    """br: one stream, and nothing may follow it.

    brotlicffi stops exactly at the limit. brotli collects output in blocks of 32 KiB, 64 KiB, 128 KiB ... and stops
    after the block in which the limit was reached, so it is asked for less than half, and what still comes over
    ``max_length`` waits for the next call.
    """

    __slots__ = ("_drained", "_engine", "_error", "_exact", "_held", "_started", "_surplus")

    def __init__(self) -> None:
        """Import the library."""
        super().__init__()
        library = _brotli()
        self._engine: Any = library.Decompressor()
        if not hasattr(self._engine, "can_accept_more_data"):
            raise CodingError(
                "coding.unavailable",
                f"br needs Brotli 1.2 or newer, not {library.__name__} "
                f"{getattr(library, '__version__', '')}; {_AS_IT_CAME}",
                fault="local",
            )
        self._error: type[Exception] = library.error
        self._exact = library.__name__ == "brotlicffi"
        self._held = b""
        self._surplus = b""
        self._drained = True
        self._started = False

    def decode(self, data: Buffer, max_length: int) -> bytes:
        """See :meth:`Decoder.decode`."""
        _positive(max_length)
        if data:
            self._started = True
        if self._held:
            data = self._held + bytes(data)
            self._held = b""
        if self._surplus or not self._drained:
            self._held = bytes(data)
            data = b""
        out = self._surplus
        if not out:
            asked = max_length if self._exact else max(1, (max_length - BROTLI_FIRST_BLOCK) // 2)
            try:
                out = self._engine.process(data, output_buffer_limit=asked)
            except self._error as exc:
                raise CodingError("coding.corrupt", f"the body is not valid br: {exc}; {_AS_IT_CAME}") from exc
            self._drained = len(out) < asked and self._engine.can_accept_more_data()
        self._surplus = out[max_length:]
        self.pending = bool(self._surplus or self._held) or not self._drained
        return out if not self._surplus else out[:max_length]

    def finish(self) -> bytes:
        """See :meth:`Decoder.finish`."""
        return self._ended("br", not self._started or self._engine.is_finished())


class _Chain(Decoder):
    """Two codings, one over the other; either may be a chain itself."""

    __slots__ = ("_first", "_held", "_second")

    def __init__(self, first: Decoder, second: Decoder) -> None:
        """Undo ``first`` before ``second``."""
        super().__init__()
        self._first = first
        self._second = second
        self._held: Buffer = b""

    def decode(self, data: Buffer, max_length: int) -> bytes:
        """See :meth:`Decoder.decode`."""
        _positive(max_length)
        first, second = self._first, self._second
        if self._held:
            data = b"".join((self._held, data))
            self._held = b""
        pieces: list[bytes] = []
        room = max_length
        for _ in range(STAGE_ROUNDS):
            between: bytes = b""
            if not second.pending:
                if not data and not first.pending:
                    break
                between = first.decode(data, STAGE_PIECE)
                data = b""
                if not between:
                    continue
            out = second.decode(between, room)
            if out:
                pieces.append(out)
                room -= len(out)
                if not room:
                    break
        if data:
            self._held = bytes(data)
        self.pending = second.pending or first.pending or bool(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def finish(self) -> bytes:
        """See :meth:`Decoder.finish`."""
        return self._first.finish() + self._second.finish()


_DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    "gzip": lambda: _ZlibDecoder("gzip"),
    "x-gzip": lambda: _ZlibDecoder("gzip"),
    "deflate": lambda: _ZlibDecoder("deflate"),
    "br": _BrotliDecoder,
    "zstd": _ZstdDecoder,
}


def decoder_for(content_encoding: str) -> Decoder | None:
    """Return what undoes the codings of a ``Content-Encoding`` field, or None when the body is to be left as it is.

    Several codings stand in the order in which they were applied (RFC 9110 section 8.4). ``identity`` is skipped, and
    a name that is not known makes the whole body opaque. Raises CodingError ``coding.chain`` for more than
    :data:`MAX_CODINGS`, and ``coding.unavailable`` when the library for br or zstd is not installed.
    """
    make = _DECODERS.get(content_encoding.lower())
    if make is not None:
        return make()
    names = [name for item in content_encoding.lower().split(",") if (name := item.strip(" \t")) and name != "identity"]
    if not names or any(name not in _DECODERS for name in names):
        return None
    if len(names) > MAX_CODINGS:
        raise CodingError(
            "coding.chain",
            f"at most {MAX_CODINGS} content codings are undone, and here are {len(names)}: {quoted(content_encoding)}; "
            f"{_AS_IT_CAME}",
        )
    decoder = _DECODERS[names.pop()]()
    while names:
        decoder = _Chain(decoder, _DECODERS[names.pop()]())
    return decoder


# ------------------------------------------------------------------------------------------------------------ encoding


class Encoder:
    """Applies one content coding: blocks in, and what is ready of the coded body out."""

    __slots__ = ("_compress", "_flush")

    def __init__(self, compress: Callable[[Buffer], bytes], flush: Callable[[], bytes]) -> None:
        """Wrap the two methods of a library's compressor."""
        self._compress = compress
        self._flush = flush

    def encode(self, data: Buffer) -> bytes:
        """Take a block and return the coded bytes that are ready, often none."""
        return self._compress(data)

    def flush(self) -> bytes:
        """End the body and return the rest of it; to be called once."""
        return self._flush()


# What level means: lowest, highest.
_LEVELS: Final[dict[str, tuple[int, int]]] = {"gzip": (-1, 9), "deflate": (-1, 9), "br": (0, 11), "zstd": (-131072, 22)}


def encoder_for(coding: ContentCodingName, *, level: int | None = None, strategy: int | None = None) -> Encoder:
    """Return an encoder for ``gzip``, ``deflate`` (the zlib format), ``br`` or ``zstd``.

    ``level`` is the library's, default its own (br: 5); ``strategy`` is zlib's and for gzip and deflate only.
    Raises ValueError for anything else, and CodingError ``coding.unavailable`` when the library is not installed.
    """
    bounds = _LEVELS.get(coding)
    if bounds is None:
        raise ValueError(f"a body can be coded as {', '.join(_LEVELS)}, not as {quoted(coding)}")
    if level is not None and not bounds[0] <= level <= bounds[1]:
        raise ValueError(f"level for {coding} must be from {bounds[0]} to {bounds[1]}, not {level!r}")
    if coding in ("gzip", "deflate"):
        options = {"wbits": _GZIP_WBITS if coding == "gzip" else _ZLIB_WBITS}
        if level is not None:
            options["level"] = level
        if strategy is not None:
            options["strategy"] = strategy
        zip_ = _backend.compressobj(**options)
        return Encoder(zip_.compress, zip_.flush)
    if strategy is not None:
        raise ValueError(f"strategy is a parameter of gzip and deflate, not of {coding}")
    if coding == "br":
        brotli = _brotli().Compressor(quality=BROTLI_QUALITY if level is None else level)
        return Encoder(brotli.process, brotli.finish)
    zstd = _zstd().ZstdCompressor(level=level)
    return Encoder(zstd.compress, zstd.flush)
