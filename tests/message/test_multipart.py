"""Composing multipart bodies; byte for byte what the oracle sends."""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.message.bodies import OURS, Collector, oracle, written

from fairlead.message import multipart
from fairlead.message.multipart import MultipartPayloadWriter, MultipartUsageError, MultipartWriter
from fairlead.message.payload import BytesIOPayload, BytesPayload, StringPayload, get_payload


async def two() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"cd"


def composed(lib: Any, *parts: tuple[Any, ...], subtype: str = "mixed", boundary: str = ":") -> Any:
    writer = lib.MultipartWriter(subtype, boundary=boundary)
    for part in parts:
        writer.append(*part)
    return writer


def nested(lib: Any) -> Any:
    return composed(lib, (composed(lib, ("x",), boundary="inner"),), ("y",), subtype="related")


def by_kind(lib: Any) -> Any:
    writer = composed(lib, ("text",), (b"bytes", {"X-A": "b"}), (io.BytesIO(b"buffer"),), (io.StringIO("é"),))
    writer.append(lib.payload.StringPayload("payload"), {"X-B": "c"})
    writer.append_json({"a": 1})
    writer.append_json({"a": 1}, {"Content-Type": "x/y"})
    writer.append_form({"a": "b"})
    writer.append_form([("a", "b c"), ("a", "é")], {"X-C": "d"})
    writer.append_form({"a": ["b", "c"]})
    return writer


TEXT = "f=éo " * 20 + "\r\n.x"
COMPOSED: dict[str, Any] = {
    "empty": composed,
    "one": lambda lib: composed(lib, ("x",)),
    "kinds": by_kind,
    "nested": nested,
    "boundary in quotes": lambda lib: composed(lib, ("x",), boundary='a "b\\c'),
    "subtype with parameters": lambda lib: composed(lib, ("x",), subtype='related; type="x/y"'),
    "headers in UTF-8": lambda lib: composed(lib, ("x", {"X": "é€"})),
    "length in headers": lambda lib: composed(lib, ("x", {"Content-Length": "7"})),
    "iterable": lambda lib: composed(lib, (two(),)),
    "gzip": lambda lib: composed(lib, ("foo" * 3, {"Content-Encoding": "gzip"})),
    "deflate": lambda lib: composed(lib, ("foo" * 3, {"Content-Encoding": "deflate"})),
    "identity": lambda lib: composed(lib, ("foo" * 3, {"Content-Encoding": "identity"})),
    "no coding": lambda lib: composed(lib, ("foo" * 3, {"Content-Encoding": ""})),
    "base64": lambda lib: composed(lib, (TEXT, {"Content-Transfer-Encoding": "base64"})),
    "base64 of an iterable": lambda lib: composed(lib, (two(), {"Content-Transfer-Encoding": "BASE64"})),
    "quoted-printable": lambda lib: composed(lib, (TEXT, {"Content-Transfer-Encoding": "quoted-printable"})),
    "binary": lambda lib: composed(lib, (TEXT, {"Content-Transfer-Encoding": "binary"})),
    "no transfer encoding": lambda lib: composed(lib, (TEXT, {"Content-Transfer-Encoding": ""})),
    "gzip in base64": lambda lib: composed(
        lib, (TEXT, {"Content-Encoding": "gzip", "Content-Transfer-Encoding": "base64"})
    ),
    "form": lambda lib: composed(
        lib, ("x",), (b"y", {"Content-Disposition": 'form-data; name="q"'}), subtype="form-data"
    ),
}


@pytest.mark.parametrize("name", COMPOSED)
async def test_sent_as_by_the_oracle(name: str) -> None:
    make = COMPOSED[name]
    ours, theirs = make(OURS), make(oracle())
    assert list(ours.headers.items()) == list(theirs.headers.items())
    assert (len(ours), ours.boundary, ours.size) == (len(theirs), theirs.boundary, theirs.size)
    assert [list(part.headers.items()) for part, _, _ in ours] == [list(p.headers.items()) for p, _, _ in theirs]
    sent = await written(ours)
    assert sent == await written(theirs)
    assert ours.consumed == theirs.consumed
    assert ours.size in (None, len(sent))
    ours, theirs = make(OURS), make(oracle())
    if "iterable" not in name:
        assert ours.decode() == theirs.decode()
    # The oracle's as_bytes() leaves out the encodings; what is hashed or replayed must be what is sent.
    assert await ours.as_bytes() == sent
    assert not ours.consumed
    assert await written(ours) == sent


REFUSED: dict[str, Any] = {
    "boundary not ASCII": lambda lib: lib.MultipartWriter(boundary="é"),
    "boundary with a line end": lambda lib: lib.MultipartWriter(boundary="a\r\nb"),
    "value that is no body": lambda lib: composed(lib, (5,)),
    "list": lambda lib: composed(lib, ([("a", "b")],)),
    "headers that are none": lambda lib: composed(lib, ("x", 5)),
    "unknown coding": lambda lib: composed(lib, ("x", {"Content-Encoding": "compress"})),
    "codings in a row": lambda lib: composed(lib, ("x", {"Content-Encoding": "gzip, deflate"})),
    "unknown transfer encoding": lambda lib: composed(lib, ("x", {"Content-Transfer-Encoding": "zz"})),
    "JSON of bytes": lambda lib: lib.MultipartWriter().append_json(b"x"),
    "form of a str": lambda lib: lib.MultipartWriter().append_form("ab"),
    "coding in a form": lambda lib: composed(lib, ("x", {"Content-Encoding": "gzip"}), subtype="form-data"),
    "length in a form": lambda lib: composed(lib, ("x", {"Content-Length": "1"}), subtype="form-data"),
    "transfer encoding in a form": lambda lib: composed(
        lib, ("x", {"Content-Transfer-Encoding": "binary"}), subtype="form-data"
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_by_the_oracle(name: str) -> None:
    with pytest.raises(Exception) as theirs:
        REFUSED[name](oracle())
    with pytest.raises(theirs.type) as ours:
        REFUSED[name](OURS)
    assert str(ours.value)


# ------------------------------------------------------------------------------------------------------- our own


def test_boundary_is_random() -> None:
    boundaries = {MultipartWriter().boundary for _ in range(10)}
    assert len(boundaries) == 10
    assert {len(boundary) for boundary in boundaries} == {32}
    assert MultipartWriter().content_type.startswith("multipart/mixed; boundary=")


@pytest.mark.parametrize("boundary", ["", "a "])
def test_boundaries_no_reader_would_find(boundary: str) -> None:
    with pytest.raises(ValueError, match="boundary"):
        MultipartWriter(boundary=boundary)


def test_subtype_that_would_start_a_field() -> None:
    with pytest.raises(ValueError, match="control characters"):
        MultipartWriter("mixed\r\nX: y")


def test_nested_part_with_the_same_boundary() -> None:
    writer = MultipartWriter(boundary=":")
    with pytest.raises(ValueError, match="must not be that of the body"):
        writer.append(writer)
    with pytest.raises(ValueError, match="must not be that of the body"):
        writer.append(MultipartWriter(boundary=":"))


@pytest.mark.parametrize("value", [5, {1, 2}, b"ab"])
def test_form_that_is_none(value: Any) -> None:
    with pytest.raises(TypeError, match="a form must be"):
        MultipartWriter().append_form(value)


def test_append_payload_wants_a_payload() -> None:
    value: Any = "x"
    with pytest.raises(TypeError, match="use append"):
        MultipartWriter().append_payload(value)


async def test_header_injection_is_refused_before_the_part_begins() -> None:
    writer = composed(OURS, ("first",), ("second",))
    list(writer)[1][0].headers["X"] = "a\r\n\r\nbody"
    sent = Collector()
    with pytest.raises(ValueError, match="control characters"):
        await writer.write(sent)
    assert sent.data.endswith(b"first\r\n")
    with pytest.raises(ValueError, match="control characters"):
        _ = writer.size


async def test_never_more_than_the_length() -> None:
    writer = nested(OURS)
    whole = await written(writer)
    for length in (None, 0, 1, 50, len(whole), len(whole) + 5):
        assert await written(writer, length) == whole[:length]


async def test_without_the_final_delimiter() -> None:
    writer = composed(OURS, ("x",))
    sent = Collector()
    await writer.write(sent, close_boundary=False)
    assert await written(writer) == sent.data + b"--:--\r\n"


async def test_parts_that_can_be_sent_once() -> None:
    writer = composed(OURS, ("x",), (two(),))
    assert not writer.consumed
    await written(writer)
    assert writer.consumed


async def test_other_codings() -> None:
    body = b"foo" * 100
    for coding in ("br", "zstd"):
        pytest.importorskip({"br": "brotli", "zstd": "backports.zstd"}[coding])
        writer = MultipartWriter(boundary=":")
        writer.append(body, {"Content-Encoding": coding})
        part: Any = await multipart.MultipartReader(writer.headers, Pushed(await written(writer))).next()  # type: ignore[arg-type]
        assert await part.read(decode=True) == body


class Pushed:
    """A stream of one piece."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    async def read(self, n: int = -1) -> bytes:
        data, self.data = self.data, b""
        return data


@pytest.mark.parametrize("name", ["7bit", "8bit"])
async def test_transfer_encodings_that_change_nothing(name: str) -> None:
    writer = composed(OURS, (b"x", {"Content-Transfer-Encoding": name}))
    assert writer.size == len(await written(writer))


def test_context_manager_and_truth() -> None:
    with MultipartWriter() as writer:
        assert writer
        writer.append("x")
    assert len(writer) == 1


class Held(BytesIOPayload):
    """A payload that holds something open."""

    _autoclose = False
    closed = 0
    error: Exception | None = None

    async def close(self) -> None:
        self.closed += 1
        if self.error:
            raise self.error


async def test_close_closes_all_parts() -> None:
    first, second = Held(io.BytesIO(b"x")), Held(io.BytesIO(b"y"))
    writer = MultipartWriter()
    assert writer.autoclose
    writer.append(first)
    writer.append(second)
    assert not writer.autoclose
    first.error = OSError("disk full")
    with pytest.raises(OSError, match="disk full"):
        await writer.close()
    assert (first.closed, second.closed) == (1, 1)
    first.error = None
    await writer.close()


async def test_parts_are_payloads() -> None:
    writer = MultipartWriter()
    assert get_payload(writer) is writer
    part = writer.append("x")
    assert type(part) is StringPayload
    again = BytesPayload(b"y")
    assert writer.append(again) is again


# ---------------------------------------------------------------------------------------------------- encoding writer


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "other"])
async def test_transfer_encoding_writer_as_the_oracle(encoding: str) -> None:
    seen = []
    for lib in (OURS, oracle()):
        sent = Collector()
        writer = lib.multipart.MultipartPayloadWriter(sent)
        writer.enable_encoding(encoding)
        for piece in (b"a", b"b=c ", b"", "é\r\n".encode() * 50):
            await writer.write(piece)
        await writer.write_eof()
        seen.append(sent.data)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("strategy", [None, zlib.Z_HUFFMAN_ONLY])
async def test_content_coding_writer(coding: str, strategy: int | None) -> None:
    sent = Collector()
    writer = MultipartPayloadWriter(sent)  # type: ignore[arg-type]
    writer.enable_compression(coding, strategy)
    for _ in range(100):
        await writer.write(b"abc" * 100)
    await writer.write_eof()
    await writer.drain()
    plain = gzip.decompress(sent.data) if coding == "gzip" else zlib.decompress(sent.data, -15)
    assert plain == b"abc" * 10_000
    assert len(sent.data) < 20_000


async def test_content_coding_writer_default_and_unknown() -> None:
    sent = Collector()
    writer = MultipartPayloadWriter(sent)  # type: ignore[arg-type]
    writer.enable_compression()
    await writer.write_eof()
    assert zlib.decompress(sent.data, -15) == b""
    writer = MultipartPayloadWriter(sent)  # type: ignore[arg-type]
    writer.enable_compression("compress")
    with pytest.raises(RuntimeError, match="unknown content encoding: compress"):
        await writer.write(b"x")


async def test_cancelled_while_sending() -> None:
    started = asyncio.Event()

    class Stuck(Collector):
        async def write(self, chunk: Any) -> None:
            started.set()
            await asyncio.Event().wait()

    writer = composed(OURS, ("x",))
    task = asyncio.ensure_future(writer.write(Stuck()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await written(writer) == await writer.as_bytes()


def test_usage_error_can_be_caught_either_way() -> None:
    assert issubclass(MultipartUsageError, AssertionError)
    assert issubclass(MultipartUsageError, ValueError)


def test_public_names_are_those_of_the_oracle() -> None:
    assert set(oracle().multipart.__all__) <= set(multipart.__all__)
