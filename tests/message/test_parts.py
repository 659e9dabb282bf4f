"""Reading multipart bodies; each structure whole and cut in every way, and beside the oracle."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy
from tests.message.bodies import OURS, Collector, SteppingStream, cut, oracle, reader, stream, tree, written

from fairlead.codec.multipart import MAX_DELIMITER_LINE, MultipartError
from fairlead.errors import BadHttpMessage, InvalidHeader, LineTooLong
from fairlead.message.formdata import FormData
from fairlead.message.multipart import MultipartWriter
from fairlead.message.parts import (
    MAX_EPILOGUE,
    MAX_LINE,
    BodyPartReader,
    BodyPartReaderPayload,
    MultipartReader,
    MultipartResponseWrapper,
    MultipartUsageError,
)
from fairlead.message.payload import get_payload

MIXED = 'multipart/mixed; boundary=":"'
FORM = 'multipart/form-data; boundary=":"'


def part_of(body: bytes, head: bytes = b"", **options: Any) -> MultipartReader:
    return reader(b"--:\r\n" + head + b"\r\n" + body + b"\r\n--:--\r\n", **options)


async def only(body: bytes, head: bytes = b"", **options: Any) -> BodyPartReader:
    part = await part_of(body, head, **options).next()
    assert isinstance(part, BodyPartReader)
    return part


async def pieces_of(part: Any, size: int | None = None) -> list[bytes]:
    found = []
    while piece := await (part.read_chunk() if size is None else part.read_chunk(size)):
        found.append(bytes(piece))
    assert part.at_eof()
    return found


# ---------------------------------------------------------------------------------------------------------- structure

B = b"--:\r\nA: b\r\n\r\nbody\r\n--:--\r\n"
ONE = [([("A", "b")], b"body")]
NESTED = (
    b"--:\r\nContent-Type: multipart/related; boundary=inner\r\n\r\n"
    b"--inner\r\n\r\ntest\r\n--inner--\r\n\r\n--:\r\n\r\npassed\r\n--:--\r\n"
)
NESTED_TREE = [([("Content-Type", "multipart/related; boundary=inner")], [([], b"test")]), ([], b"passed")]

# body: what it gives, ours and the oracle's
SAME: dict[str, tuple[bytes, Any]] = {
    "plain": (B, ONE),
    "preamble": (b"pre\r\namble\r\n" + B, ONE),
    "preamble with bare LF": (b"pre\n" + B, ONE),
    "preamble that looks like a delimiter": (b"--:x\r\n--\r\n" + B, ONE),
    "empty line first": (b"\r\n" + B, ONE),
    "epilogue": (B + b"epi\r\nlogue", ONE),
    "epilogue that looks like a part": (B + b"--:\r\n\r\nx\r\n--:--\r\n", ONE),
    "no line end at the end": (B[:-2], ONE),
    "padding": (b"--: \t\r\n\r\nx\r\n--: \r\n\r\ny\r\n--:-- \r\n", [([], b"x"), ([], b"y")]),
    "LF in head and delimiter lines": (b"--:\nA: b\n\nbody\r\n--:--\n", ONE),
    "no parts": (b"--:--\r\n", []),
    "empty body": (b"--:\r\n\r\n\r\n--:--\r\n", [([], b"")]),
    "no body": (b"--:\r\nA: b\r\n\r\n--:--\r\n", [([("A", "b")], b"")]),
    "line ends in the body": (b"--:\r\n\r\n\r\nx\n\r\r\n\r\n--:--\r\n", [([], b"\r\nx\n\r\r\n")]),
    "boundary in a line": (b"--:\r\n\r\nx--:y\n--:z\r--:\r\n--:--\r\n", [([], b"x--:y\n--:z\r--:")]),
    "length": (b"--:\r\nContent-Length: 3\r\n\r\nabc\r\n--:--\r\n", [([("Content-Length", "3")], b"abc")]),
    "length zero": (b"--:\r\nContent-Length: 0\r\n\r\n\r\n--:--\r\n", [([("Content-Length", "0")], b"")]),
    "delimiter within the length": (
        b"--:\r\nContent-Length: 10\r\n\r\n\r\n--:\r\nabc\r\n--:--\r\n",
        [([("Content-Length", "10")], b"\r\n--:\r\nabc")],
    ),
    "nested": (NESTED, NESTED_TREE),
    "nested with preamble": (NESTED.replace(b"--inner\r\n\r\nt", b"pre\r\n--inner\r\n\r\nt"), NESTED_TREE),
    "nested boundary that begins like the outer": (
        NESTED.replace(b"inner", b'"::"', 1).replace(b"inner", b"::"),
        [([("Content-Type", 'multipart/related; boundary="::"')], [([], b"test")]), ([], b"passed")],
    ),
}
# What the oracle stumbles over, and what RFC 2046 says
OURS_ALONE: dict[str, tuple[bytes, Any]] = {
    "outer delimiter right after the inner end": (NESTED.replace(b"--inner--\r\n\r\n", b"--inner--\r\n"), NESTED_TREE),
    "inner epilogue": (NESTED.replace(b"--inner--\r\n", b"--inner--\r\nepi\r\nlogue\r\n"), NESTED_TREE),
    "inner end without a line": (NESTED.replace(b"--inner--\r\n\r\n--:\r\n", b"--inner--\r\n--:\r\n"), NESTED_TREE),
}
MALFORMED: dict[str, tuple[bytes, type[Exception]]] = {
    "empty": (b"", ValueError),
    "no delimiter": (b"hello\r\nworld\r\n", ValueError),
    "only LF": (b"--:\nA: b\n\nbody\n--:--\n", ValueError),
    "LF before the delimiter": (b"--:\r\n\r\nx\n--:--\r\n", ValueError),
    "no final delimiter": (b"--:\r\nA: b\r\n\r\nbody\r\n", ValueError),
    "half a final delimiter": (b"--:\r\nA: b\r\n\r\nbody\r\n--", ValueError),
    "half a final delimiter, second half": (b"--:\r\n\r\nbody\r\n--:-", ValueError),
    "end in a delimiter": (b"--:", ValueError),
    "end after a delimiter": (b"--:\r\n", ValueError),
    "end in a header line": (b"--:\r\nA: b", ValueError),
    "end after a header line": (b"--:\r\nA: b\r\n", ValueError),
    "end after a part": (b"--:\r\n\r\na\r\n--:\r\n", ValueError),
    "no empty line": (b"--:\r\nA: b\r\n--:--\r\n", ValueError),
    "line that begins with the boundary": (b"--:\r\n\r\nx\r\n--:y\r\nz\r\n--:--\r\n", ValueError),
    "text after the final delimiter": (B[:-2] + b"junk\r\n", ValueError),
    "folded header": (b"--:\r\nA: b\r\n c\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "space before the colon": (b"--:\r\nA : b\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "space before the name": (b"--:\r\n A: b\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "name that is no token": (b"--:\r\nA(: b\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "no name": (b"--:\r\n: b\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "no colon": (b"--:\r\nA b\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "NUL": (b"--:\r\nA: b\0\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "bare CR": (b"--:\r\nA: b\rB: c\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "control characters": (b"--:\r\nA: \x01\x7f\r\n\r\nx\r\n--:--\r\n", InvalidHeader),
    "two lengths": (b"--:\r\nContent-Length: 3\r\ncontent-length: 4\r\n\r\nabc\r\n--:--\r\n", BadHttpMessage),
    "two types": (b"--:\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\nabc\r\n--:--\r\n", BadHttpMessage),
    "length too small": (b"--:\r\nContent-Length: 2\r\n\r\nabc\r\n--:--\r\n", ValueError),
    "length too large": (b"--:\r\nContent-Length: 5\r\n\r\nabc\r\n--:--\r\n", ValueError),
    "length beyond the end": (b"--:\r\nContent-Length: 500\r\n\r\nabc\r\n--:--\r\n", ValueError),
    "length that is no number": (b"--:\r\nContent-Length: +3\r\n\r\nabc\r\n--:--\r\n", ValueError),
    "header line too long": (b"--:\r\nA: " + b"x" * 9000 + b"\r\n\r\nx\r\n--:--\r\n", LineTooLong),
    "too many headers": (b"--:\r\n" + b"A: b\r\n" * 129 + b"\r\nx\r\n--:--\r\n", BadHttpMessage),
    "nested without its end": (NESTED.replace(b"--inner--\r\n", b""), ValueError),
    "nested without a boundary": (NESTED.replace(b"; boundary=inner", b""), ValueError),
}


async def oracle_tree(data: bytes, content_type: str = MIXED) -> list[Any]:
    lib = oracle()
    content = stream([data], kind=lib.StreamReader)
    return await tree(lib.MultipartReader(CIMultiDict({"Content-Type": content_type}), content))


def all_cuts(data: bytes) -> list[list[bytes]]:
    cuts = [cut(data, size) for size in (None, 1, 2, 3, 5, 7)]
    if len(data) < 300:
        cuts += [[data[:at], data[at:]] for at in range(1, len(data))]
    return cuts


async def tree_of(pieces: list[bytes], content_type: str = MIXED) -> list[Any]:
    content: Any = SteppingStream(pieces)
    return await tree(MultipartReader(CIMultiDict({"Content-Type": content_type}), content))


@pytest.mark.parametrize("name", SAME)
async def test_same_as_the_oracle(name: str) -> None:
    data, expected = SAME[name]
    assert await oracle_tree(data) == expected
    for pieces in all_cuts(data):
        assert await tree_of(pieces) == expected


@pytest.mark.parametrize("name", OURS_ALONE)
async def test_what_rfc_2046_allows(name: str) -> None:
    data, expected = OURS_ALONE[name]
    for pieces in all_cuts(data):
        assert await tree_of(pieces) == expected


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed(name: str) -> None:
    data, error = MALFORMED[name]
    with pytest.raises(Exception) as theirs:
        await oracle_tree(data)
    assert error.__name__ in {base.__name__ for base in theirs.type.__mro__}
    for pieces in all_cuts(data):
        with pytest.raises(error) as ours:
            await tree_of(pieces)
        assert str(ours.value)


async def test_an_error_is_final() -> None:
    """What follows a broken part would be a guess: it is not given out as a part."""
    parts = reader(b"--:\r\nA : b\r\n\r\nx\r\n--:\r\n\r\nsmuggled\r\n--:--\r\n")
    for _ in range(3):
        with pytest.raises(InvalidHeader):
            await parts.next()
    with pytest.raises(InvalidHeader):
        await parts.release()


async def test_errors_say_what_and_whose_fault() -> None:
    with pytest.raises(MultipartError) as caught:
        await reader(b"--:\r\n\r\nabc").release()
    assert (caught.value.slug, caught.value.fault) == ("multipart.truncated", "peer")


@pytest.mark.parametrize(
    ("content_type", "error"),
    [
        ("multipart/mixed", ValueError),
        ('multipart/mixed; boundary=""', ValueError),
        ("multipart/mixed; boundary=" + "a" * 71, ValueError),
        ("text/plain; boundary=a", MultipartUsageError),
        ("", MultipartUsageError),
    ],
)
async def test_content_type_refused(content_type: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        reader(B, content_type)
    assert issubclass(MultipartUsageError, AssertionError)


async def test_no_content_type() -> None:
    with pytest.raises(KeyError):
        MultipartReader(CIMultiDict(), stream([B]))


@pytest.mark.parametrize(
    "content_type",
    ["multipart/mixed; boundary=" + "a" * 70, 'MULTIPART/x; BOUNDARY="a b"', "multipart/form-data; boundary=a'()+_"],
)
async def test_content_type_accepted(content_type: str) -> None:
    boundary = content_type.partition("=")[2].strip('"').encode()
    data = b"--" + boundary + b"\r\n\r\nx\r\n--" + boundary + b"--"
    assert await tree(reader(data, content_type)) == [([], b"x")]


async def test_stream_of_this_package() -> None:
    parts = MultipartReader(CIMultiDict({"Content-Type": MIXED}), stream(cut(NESTED, 3)))
    assert await tree(parts) == NESTED_TREE
    assert parts.at_eof()


# ------------------------------------------------------------------------------------------------ going through parts


async def test_iteration() -> None:
    parts = reader(b"--:\r\n\r\na\r\n--:\r\n\r\nb\r\n--:--\r\n")
    found = []
    async for part in parts:
        assert isinstance(part, BodyPartReader)
        found.append([chunk async for chunk in part])
    assert found == [[b"a"], [b"b"]]
    assert await parts.next() is None
    await parts.release()


async def test_unread_parts_are_skipped() -> None:
    parts = reader(b"--:\r\n\r\nabc\r\n--:\r\n\r\ndef\r\n--:\r\n\r\nghi\r\n--:--\r\n", step=2)
    first = await parts.next()
    second = await parts.next()
    assert isinstance(first, BodyPartReader)
    assert isinstance(second, BodyPartReader)
    assert first.at_eof()
    assert await first.read() == b""
    assert await second.read_chunk(1) == b"d"
    third = await parts.next()
    assert isinstance(third, BodyPartReader)
    assert await third.read() == b"ghi"
    assert await parts.next() is None


@pytest.mark.parametrize("read", [0, 1, 2])
async def test_nested_parts_are_skipped(read: int) -> None:
    body = (
        b"--:\r\nContent-Type: multipart/mixed; boundary=::\r\n\r\n"
        b"--::\r\n\r\na\r\n--::\r\n\r\nb\r\n--::--\r\n--:\r\n\r\npassed\r\n--:--\r\n"
    )
    parts = reader(body, step=3)
    inner = await parts.next()
    assert isinstance(inner, MultipartReader)
    for _ in range(read):
        assert await inner.next() is not None
    after = await parts.next()
    assert isinstance(after, BodyPartReader)
    assert await after.read() == b"passed"
    assert await parts.next() is None


async def test_release() -> None:
    parts = reader(NESTED)
    inner = await parts.next()
    assert isinstance(inner, MultipartReader)
    await inner.release()
    assert inner.at_eof()
    assert not parts.at_eof()
    await parts.release()
    assert parts.at_eof()
    assert await parts.next() is None


async def test_deep_nesting_takes_no_recursion() -> None:
    depth = 3000
    body = b"".join(
        b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (level, level + 1) for level in range(depth)
    )
    body += b"--b%d\r\n\r\nx\r\n--b%d--\r\n" % (depth, depth)
    body += b"".join(b"--b%d--\r\n" % level for level in range(depth - 1, -1, -1))
    await reader(body, "multipart/mixed; boundary=b0").release()
    parts: Any = reader(body, "multipart/mixed; boundary=b0")
    for _ in range(50):
        parts = await parts.next()
    await parts.release()


async def test_epilogue_is_dropped_up_to_a_limit() -> None:
    content = SteppingStream(cut(B + b"x" * MAX_EPILOGUE * 3, 1000))
    parts: Any = MultipartReader(CIMultiDict({"Content-Type": MIXED}), content)  # type: ignore[arg-type]
    await parts.release()
    assert 0 < len(content.rest()) < 2 * MAX_EPILOGUE


async def test_final_delimiter_alone_waits_for_the_end_of_the_content() -> None:
    """The rest of the message has to be read for its connection to be free again."""
    content = stream([B], eof=False)
    parts = MultipartReader(CIMultiDict({"Content-Type": MIXED}), content)
    await parts.next()
    task = asyncio.ensure_future(parts.next())
    await asyncio.sleep(0)
    assert not task.done()
    content.feed_eof()
    assert await task is None


async def test_first_part_comes_before_the_second_is_there() -> None:
    content = stream([b"--:\r\nContent-Length: 3\r\n\r\nabc\r\n"], eof=False)
    parts: Any = MultipartReader(CIMultiDict({"Content-Type": "multipart/x-mixed-replace; boundary=:"}), content)
    assert await (await parts.next()).read() == b"abc"


async def test_cancelled_next_can_be_called_again() -> None:
    content = stream([b"pream"], eof=False)
    parts: Any = MultipartReader(CIMultiDict({"Content-Type": MIXED}), content)
    task = asyncio.ensure_future(parts.next())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    content.feed_data(b"ble\r\n" + B)
    content.feed_eof()
    assert await tree(parts) == ONE


async def test_cancelled_read_chunk_loses_nothing() -> None:
    content = stream([b"--:\r\n\r\nabc\r\n-"], eof=False)
    parts: Any = MultipartReader(CIMultiDict({"Content-Type": MIXED}), content)
    part = await parts.next()
    assert await part.read_chunk() == b"abc"
    task = asyncio.ensure_future(part.read_chunk())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    content.feed_data(b"-;d\r\n--:--")
    content.feed_eof()
    assert await part.read() == b"\r\n--;d"


async def test_error_of_the_stream_comes_through() -> None:
    content = stream([b"--:\r\n\r\nabc"], eof=False)
    parts: Any = MultipartReader(CIMultiDict({"Content-Type": MIXED}), content)
    part = await parts.next()
    content.set_exception(ConnectionResetError("gone"))
    with pytest.raises(ConnectionResetError, match="gone"):
        await part.read()


async def test_own_reader_classes() -> None:
    class OwnPart(BodyPartReader):
        pass

    class Own(MultipartReader):
        part_reader_cls = OwnPart

    class Inner(MultipartReader):
        pass

    parts = Own(CIMultiDict({"Content-Type": MIXED}), stream([NESTED]))
    inner = await parts.next()
    assert type(inner) is Own
    assert type(await inner.next()) is OwnPart
    Own.multipart_reader_cls = Inner
    assert type(await Own(CIMultiDict({"Content-Type": MIXED}), stream([NESTED])).next()) is Inner


async def test_part_reader_that_knows_only_the_stream() -> None:
    class Lone:
        def __init__(self, boundary: bytes, headers: Any, content: Any, **options: Any) -> None:
            self.content = content

    class Own(MultipartReader):
        part_reader_cls: Any = Lone

    content: Any = SteppingStream([B])
    part: Any = await Own(CIMultiDict({"Content-Type": MIXED}), content).next()
    assert part.content.rest() == b"body\r\n--:--\r\n"


@pytest.mark.parametrize(
    ("data", "headers", "rest"),
    [(b"Hello\r\n--:", {}, b"--:"), (b"Hello\r\n--:\r\n\r\nx", {"Content-Length": "5"}, b"--:\r\n\r\nx")],
)
async def test_part_reader_of_its_own(data: bytes, headers: dict[str, str], rest: bytes) -> None:
    """One made by hand leaves the stream at the delimiter."""
    for step in (None, 1, 3):
        content: Any = SteppingStream(cut(data, step))
        part = BodyPartReader(b"--:", CIMultiDictProxy(CIMultiDict(headers)), content)
        assert await part.read() == b"Hello"
        assert part.at_eof()
        assert content.rest() == rest


async def test_unread_data_of_a_real_stream_does_not_warn() -> None:
    content = stream([b"Hello\r\n--:--"])
    part = BodyPartReader(b"--:", CIMultiDictProxy(CIMultiDict()), content)
    await part.release()
    assert await content.read() == b"--:--"


class Response:
    """As much of a response as the wrapper wants."""

    def __init__(self, data: bytes, *, awaitable: bool) -> None:
        self.headers = CIMultiDict({"Content-Type": MIXED})
        self.content = stream([data])
        self.released = 0
        self.awaitable = awaitable

    def release(self) -> Any:
        self.released += 1
        return asyncio.sleep(0) if self.awaitable else None


@pytest.mark.parametrize("awaitable", [True, False])
async def test_parts_of_a_response(awaitable: bool) -> None:
    response: Any = Response(NESTED, awaitable=awaitable)
    parts = MultipartReader.from_response(response)
    assert isinstance(parts, MultipartResponseWrapper)
    assert parts.resp is response
    assert not parts.at_eof()
    kinds = [type(part) async for part in parts]
    assert kinds == [MultipartReader, BodyPartReader]
    assert response.released == 1
    assert parts.at_eof()
    assert await parts.next() is None
    await parts.release()


# ---------------------------------------------------------------------------------------------------- reading one part


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9, 10, 100])
@pytest.mark.parametrize("head", [b"", b"Content-Length: 19\r\n"])
@pytest.mark.parametrize("step", [None, 1, 6])
async def test_read_chunk(size: int, head: bytes, step: int | None) -> None:
    body = b"hello world\r\n, this"
    pieces = await pieces_of(await only(body, head, step=step), size)
    assert b"".join(pieces) == body
    assert all(0 < len(piece) <= size for piece in pieces)
    if step is None and size >= 5:  # the oracle refuses less
        lib = oracle()
        data = b"--:\r\n" + head + b"\r\n" + body + b"\r\n--:--\r\n"
        theirs = lib.MultipartReader(CIMultiDict({"Content-Type": MIXED}), stream([data], kind=lib.StreamReader))
        assert pieces == await pieces_of(await theirs.next(), size)


@pytest.mark.parametrize("size", [0, -1])
async def test_read_chunk_of_nothing(size: int) -> None:
    with pytest.raises(MultipartUsageError, match="size must be at least 1"):
        await (await only(b"x")).read_chunk(size)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 7, 10, 1000])
@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("name", ["base64", "quoted-printable"])
async def test_chunks_of_a_coded_part_decode_one_by_one(size: int, step: int | None, name: str) -> None:
    data = "hé llo = world\r\n".encode() * 20
    writer = MultipartWriter(boundary=":")
    writer.append(data, {"Content-Transfer-Encoding": name})
    whole = await written(writer)
    part: Any = await reader(whole, step=step).next()
    assert b"".join([bytes(part.decode(chunk)) for chunk in await pieces_of(part, size)]) == data
    part = await reader(whole, step=step).next()
    assert b"".join([bytes(part.decode(chunk)) for chunk in await pieces_of(part)]) == data


async def test_base64_with_junk_between_its_letters_is_bounded() -> None:
    part = await only(b"aGVsb" + b"\r\n" * 100_000 + b"G8=", b"Content-Transfer-Encoding: base64\r\n", step=4096)
    assert b"".join([bytes(part.decode(chunk)) for chunk in await pieces_of(part, 4096)]) == b"hello"


@pytest.mark.parametrize("body", [b"", b"a", b"a\nb", b"a\r\nb\r\n", b"a\r\n\r\nb", b"\r\n", b"a\rb", b"\n\n"])
@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize("counted", [True, False])
async def test_readline(body: bytes, step: int | None, counted: bool) -> None:
    head = b"Content-Length: %d\r\n" % len(body) if counted else b""
    part = await only(body, head, step=step)
    lines = []
    while line := await part.readline():
        lines.append(line)
    expected = [line + b"\n" for line in body.split(b"\n")]
    expected[-1] = expected[-1][:-1]
    assert lines == [line for line in expected if line]
    assert part.at_eof()


async def test_readline_limit() -> None:
    part = await only(b"x" * (MAX_LINE + 10) + b"\n")
    with pytest.raises(LineTooLong):
        await part.readline()


async def test_ways_of_reading_can_be_mixed() -> None:
    parts = part_of(b"line1\r\nline2\r\nline3", step=3)
    part: Any = await parts.next()
    assert await part.readline() == b"line1\r\n"
    assert await part.read_chunk(2) + await part.readline() == b"line2\r\n"
    assert await part.read() == b"line3"
    assert await part.read_chunk() == await part.readline() == await part.read() == b""
    assert await part.next() is None
    assert await parts.next() is None


async def test_mixed_reading_of_base64() -> None:
    part = await only(b"aGVs\r\nbG8=", b"Content-Transfer-Encoding: base64\r\n", step=1)
    first = await part.read_chunk(6)
    rest = await part.readline() + await part.read()
    assert first + rest == b"aGVs\r\nbG8="


# ------------------------------------------------------------------------------------------------------------ limits


class TooLarge(Exception):
    pass


@pytest.mark.parametrize("method", ["read", "text", "json", "form"])
async def test_client_max_size(method: str) -> None:
    assert len(await (await only(b"1" * 50, client_max_size=50)).read()) == 50
    parts: Any = part_of(b"1" * 51, client_max_size=50)
    part = await parts.next()
    with pytest.raises(ValueError, match="more than 50 bytes; client_max_size"):
        await getattr(part, method)()
    assert await parts.next() is None
    with pytest.raises(TooLarge) as caught:
        await getattr(await only(b"1" * 51, client_max_size=50, max_size_error_cls=TooLarge), method)()
    assert caught.value.args == (50,)


async def test_client_max_size_after_decoding() -> None:
    body = gzip.compress(b"x" * 10_000)
    part = await only(body, b"Content-Encoding: gzip\r\n", client_max_size=5_000, max_size_error_cls=TooLarge)
    with pytest.raises(TooLarge):
        await part.read(decode=True)
    part = await only(body, b"Content-Encoding: gzip\r\n", client_max_size=5_000, max_size_error_cls=TooLarge)
    raw = await part.read()
    with pytest.raises(TooLarge):
        part.decode(raw)


async def test_bomb_stops_at_the_limit() -> None:
    body = zlib.compress(bytes(50_000_000), 9)
    part = await only(body, b"Content-Encoding: deflate\r\n", client_max_size=2**20)
    tracemalloc.start()
    with pytest.raises(ValueError, match="client_max_size"):
        await part.read(decode=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


async def test_header_limits() -> None:
    head = b"A: " + b"x" * 97 + b"\r\n"
    await only(b"", head, max_field_size=100)
    with pytest.raises(LineTooLong):
        await only(b"", head, max_field_size=99)
    await only(b"", head * 3, max_headers=3)
    with pytest.raises(BadHttpMessage):
        await only(b"", head * 4, max_headers=3)


async def test_limits_hold_in_nested_parts() -> None:
    parts: Any = reader(
        NESTED.replace(b"test", b"A" * 60), client_max_size=50, max_size_error_cls=TooLarge, max_headers=1
    )
    part = await (await parts.next()).next()
    with pytest.raises(TooLarge):
        await part.read()


@pytest.mark.parametrize(
    "data",
    [
        b"x" * 1_000_000,
        b"--:" + b" " * 1_000_000,
        b"--:x\r\n" * 40_000,
        b"\r\n" * 500_000,
        b"--:\r\n\r\n" + b"\r\n--" * 250_000,
        b"--:\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n" + b"--:x\r\n" * 40_000,
        b"--:\r\n\r\n" * 2 + b"--:\r\n\r\nx\r\n" * 6_000,
        b"--:\r\nA: " + b"b" * 1_000_000,
    ],
    ids=["preamble", "padding", "almost", "lines", "prefixes", "nested", "parts", "header"],
)
async def test_hostile_bodies_take_linear_time_and_little_memory(data: bytes) -> None:
    """In pieces of 1000 bytes: tenths of a second, most of them for measuring, when each byte is looked at once."""
    content: Any = SteppingStream(cut(data, 1000))
    parts = MultipartReader(CIMultiDict({"Content-Type": MIXED}), content)
    tracemalloc.start()
    began = time.process_time()
    with pytest.raises((ValueError, BadHttpMessage)):
        await parts.release()
    taken = time.process_time() - began
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 6  # something quadratic would take minutes
    assert peak < 2**20


async def test_overlong_delimiter_line_is_not_kept() -> None:
    data = b"--:" + b" " * (MAX_DELIMITER_LINE * 3) + b"\r\n" + B
    assert await tree_of([data]) == ONE  # preamble
    with pytest.raises(LineTooLong):
        await tree_of([b"--:\r\n\r\nx\r\n--:" + b" " * (MAX_DELIMITER_LINE * 3) + b"\r\n\r\n"])


# ---------------------------------------------------------------------------------------------------------- decoding

CODED: dict[str, tuple[bytes, bytes]] = {
    "gzip": (gzip.compress(b"Hello"), b"Content-Encoding: gzip\r\n"),
    "upper case": (gzip.compress(b"Hello"), b"Content-Encoding: GZIP\r\n"),
    "raw deflate": (zlib.compress(b"Hello")[2:-4], b"Content-Encoding: deflate\r\n"),
    "members": (gzip.compress(b"Hel") + gzip.compress(b"lo"), b"Content-Encoding: gzip\r\n"),
    "identity": (b"Hello", b"Content-Encoding: identity\r\n"),
    "base64": (b"SGVsbG8=", b"Content-Transfer-Encoding: base64\r\n"),
    "base64 in lines": (b"SGVs\r\nbG8=\r\n", b"Content-Transfer-Encoding: BASE64\r\n"),
    "quoted-printable": (b"H=65l=\r\nlo", b"Content-Transfer-Encoding: quoted-printable\r\n"),
    "7bit": (b"Hello", b"Content-Transfer-Encoding: 7bit\r\n"),
    "8bit": (b"Hello", b"Content-Transfer-Encoding: 8bit\r\n"),
    "binary": (b"Hello", b"Content-Transfer-Encoding: binary\r\n"),
    "both": (
        base64.b64encode(gzip.compress(b"Hello")),
        b"Content-Transfer-Encoding: base64\r\nContent-Encoding: gzip\r\n",
    ),
}


async def theirs_only(body: bytes, head: bytes, content_type: str) -> Any:
    lib = oracle()
    data = b"--:\r\n" + head + b"\r\n" + body + b"\r\n--:--\r\n"
    return await lib.MultipartReader(
        CIMultiDict({"Content-Type": content_type}), stream([data], kind=lib.StreamReader)
    ).next()


@pytest.mark.parametrize("content_type", [MIXED, FORM])
@pytest.mark.parametrize("name", CODED)
async def test_decoding_as_the_oracle(name: str, content_type: str) -> None:
    body, head = CODED[name]
    expected = bytes(await (await theirs_only(body, head, content_type)).read(decode=True))
    if content_type == MIXED:
        assert expected == b"Hello"
    part = await only(body, head, content_type=content_type)
    assert await part.read(decode=True) == expected
    part = await only(body, head, content_type=content_type)
    raw = await part.read()
    assert raw == body
    assert part.decode(raw) == expected
    assert b"".join([piece async for piece in part.decode_iter(raw)]) == expected


async def test_zlib_deflate() -> None:
    """RFC 9110's deflate, which the oracle's parts do not know."""
    part = await only(zlib.compress(b"Hello"), b"Content-Encoding: deflate\r\n")
    assert await part.read(decode=True) == b"Hello"


async def test_decode_gives_everything_and_decode_iter_in_pieces() -> None:
    part = await only(gzip.compress(bytes(1_000_000)), b"Content-Encoding: gzip\r\n")
    raw = await part.read()
    assert part.decode(raw) == bytes(1_000_000)
    sizes = [len(piece) async for piece in part.decode_iter(raw)]
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= 2**18


UNDECODABLE: dict[str, tuple[bytes, bytes, type[Exception]]] = {
    "not gzip": (b"Hello", b"Content-Encoding: gzip\r\n", ValueError),
    "gzip and more": (gzip.compress(b"x") + b"junk", b"Content-Encoding: gzip\r\n", ValueError),
    "half of gzip": (gzip.compress(b"x" * 100)[:-9], b"Content-Encoding: gzip\r\n", ValueError),
    "unknown coding": (b"x", b"Content-Encoding: zz\r\n", RuntimeError),
    "unknown transfer encoding": (b"x", b"Content-Transfer-Encoding: zz\r\n", RuntimeError),
    "half of base64": (b"SGVsb", b"Content-Transfer-Encoding: base64\r\n", ValueError),
}


@pytest.mark.parametrize("name", UNDECODABLE)
@pytest.mark.parametrize("method", ["read", "text", "json", "form"])
async def test_undecodable(name: str, method: str) -> None:
    body, head, error = UNDECODABLE[name]
    part = await only(body, head)
    with pytest.raises(error):
        await (part.read(decode=True) if method == "read" else getattr(part, method)())


# ---------------------------------------------------------------------------------------------- text, json, form, names

TEXTS = [
    b"h\xc3\xa9",
    b"h\xe9",
    b"",
    b"null",
    b'{"a": 1}',
    b"{bad",
    b"a=b&c=d%20e&a=",
    b"a=%C3%A9&b=%E9",
    b" ",
    b"a;b=c&",
]
HEADS: list[tuple[bytes, dict[str, str]]] = [
    (b"", {}),
    (b"Content-Type: text/plain; charset=latin1\r\n", {}),
    (b"Content-Type: text/plain; charset=zzz\r\n", {}),
    (b"Content-Type: text/plain; charset=utf-8\r\n", {"encoding": "latin1"}),
]


@pytest.mark.parametrize("method", ["text", "json", "form"])
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("body", TEXTS)
async def test_text_as_the_oracle(body: bytes, head: tuple[bytes, dict[str, str]], method: str) -> None:
    part = await only(body, head[0])
    try:
        expected = await getattr(await theirs_only(body, head[0], MIXED), method)(**head[1])
    except Exception as exc:
        with pytest.raises(type(exc)):
            await getattr(part, method)(**head[1])
    else:
        assert await getattr(part, method)(**head[1]) == expected


DISPOSITIONS = [
    None, b"form-data", b'form-data; name="a"; filename="b.txt"', b"attachment; filename=b",
    b"form-data; name*=utf-8''%C3%A9; filename*=utf-8''%E2%82%AC.txt", b'form-data; name="a\\"b"',
    b'form-data; name="\xc3\xa9"; filename="\xe9"', b'form-data; filename*0="a"; filename*1="b"',
    b'form-data; name="%20"; filename="%41.txt"',
]  # fmt: skip


@pytest.mark.parametrize("disposition", DISPOSITIONS)
async def test_names_as_the_oracle(disposition: bytes | None) -> None:
    head = b"" if disposition is None else b"Content-Disposition: " + disposition + b"\r\n"
    theirs = await theirs_only(b"", head, MIXED)
    part = await only(b"", head)
    assert (part.name, part.filename) == (theirs.name, theirs.filename)


def form_with_charset(name: bytes) -> bytes:
    return (
        b'--:\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\n' + name + b"\r\n"
        b'--:\r\nContent-Disposition: form-data; name="a"\r\n\r\nh\xe9\r\n--:--\r\n'
    )


async def test_charset_field() -> None:
    parts: Any = reader(form_with_charset(b"latin1\n"), FORM, step=1)
    part = await parts.next()
    assert part.name == "a"
    assert list(part.headers) == ["Content-Disposition"]
    assert part.get_charset("utf-8") == "latin1"
    assert await part.text() == "hé"
    assert await parts.next() is None
    parts = reader(form_with_charset(b"latin1"))
    assert (await parts.next()).name == "_charset_"  # it means something in forms only


@pytest.mark.parametrize("step", [None, 1])
async def test_charset_field_that_is_too_long(step: int | None) -> None:
    await reader(form_with_charset(b"a" * 31), FORM, step=step).next()
    with pytest.raises(RuntimeError, match="Invalid default charset"):
        await reader(form_with_charset(b"a" * 32), FORM, step=step).next()


async def test_charset_field_alone() -> None:
    data = form_with_charset(b"latin1").partition(b'--:\r\nContent-Disposition: form-data; name="a"')[0] + b"--:--\r\n"
    assert await reader(data, FORM).next() is None


async def test_length_means_nothing_in_forms() -> None:
    for value in (b"2", b"200", b"x"):
        part = await only(b"abc", b"Content-Length: " + value + b"\r\n", content_type=FORM)
        assert await part.read() == b"abc"


# ---------------------------------------------------------------------------------------------------- part as payload


async def test_part_goes_out_again() -> None:
    for lib_part, lib in (
        (await only(b"aGVsbG8=", HEAD), OURS),
        (await theirs_only(b"aGVsbG8=", HEAD, MIXED), oracle()),
    ):
        payload = lib.payload.get_payload(lib_part)
        assert type(payload).__name__ == "BodyPartReaderPayload"
        assert list(payload.headers.items()) == [
            ("Content-Type", "application/octet-stream"),
            ("Content-Disposition", 'attachment; name="q"; filename="x.y"'),
        ]
        assert payload.size is None
        with pytest.raises(TypeError):
            payload.decode()
        with pytest.raises(TypeError):
            await payload.as_bytes()
        assert await written(payload) == b"hello"


HEAD = b'Content-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name="q"; filename="x.y"\r\n'


async def test_large_coded_parts_go_out_decoded() -> None:
    data = bytes(range(256)) * 4000
    for head in (
        {"Content-Encoding": "gzip"},
        {"Content-Transfer-Encoding": "base64"},
        {"Content-Transfer-Encoding": "quoted-printable"},
        {"Content-Encoding": "deflate", "Content-Transfer-Encoding": "base64"},
    ):
        writer = MultipartWriter(boundary=":")
        writer.append(data, head)
        part = await reader(await written(writer), step=50_001).next()
        payload = get_payload(part)
        assert isinstance(payload, BodyPartReaderPayload)
        assert await written(payload) == data
        assert payload.consumed


async def test_part_in_a_form() -> None:
    form = FormData()
    form.add_field("a", await only(b"hello"))
    assert form.is_multipart
    sent = Collector()
    await form().write(sent)  # type: ignore[arg-type]
    assert b"\r\n\r\nhello\r\n" in sent.data


# ------------------------------------------------------------------------------------------------------- properties

TOKENS = [
    b"--:", b"--:--", b"--", b"-", b"\r\n", b"\r", b"\n", b" ", b":", b"x", b"A: b\r\n", b"Content-Length: 3\r\n",
    b"--:\r\n\r\n", b"\r\n--:", b"Content-Type: multipart/mixed; boundary=i\r\n\r\n", b"--i", b"\0", b"\xff",
]  # fmt: skip


async def outcome(pieces: list[bytes]) -> Any:
    try:
        return await tree_of(pieces)
    except (ValueError, BadHttpMessage) as exc:
        return type(exc), str(exc)


@given(st.lists(st.sampled_from(TOKENS), max_size=30), st.data())
def test_any_bytes_give_parts_or_documented_errors_however_cut(tokens: list[bytes], data: st.DataObject) -> None:
    body = b"".join(tokens)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=10)))
    pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b]

    async def both() -> None:
        whole = await outcome([body])
        assert await outcome(pieces) == whole
        assert await outcome(cut(body, 1)) == whole

    with asyncio.Runner() as runner:
        runner.run(both())


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=60) | st.lists(st.sampled_from([b"\r\n", b"--", b"x", b"-"])).map(b"".join),
            st.sampled_from([None, "gzip", "deflate"]),
            st.sampled_from([None, "base64", "quoted-printable", "binary"]),
        ),
        max_size=5,
    ),
    st.integers(1, 60),
    st.booleans(),
)
def test_written_and_read_again(parts: list[tuple[bytes, str | None, str | None]], step: int, nest: bool) -> None:
    async def there_and_back() -> None:
        writer = MultipartWriter(boundary="frontier")
        for data, coding, transfer in parts:
            head = {}
            if coding:
                head["Content-Encoding"] = coding
            if transfer:
                head["Content-Transfer-Encoding"] = transfer
            writer.append(data, head)
        outer = writer
        if nest:
            outer = MultipartWriter(boundary="outer")
            outer.append(writer)
        sent = await written(outer)
        assert outer.size in (None, len(sent))
        assert await outer.as_bytes() == sent
        found = await tree(reader(sent, outer.content_type, step=step), decode=True)
        if nest:
            found = found[0][1]
        assert [body for _, body in found] == [data for data, _, _ in parts]

    with asyncio.Runner() as runner:
        runner.run(there_and_back())


async def test_async_generator_of_lines_of_json() -> None:
    """The usual use of a mixed body: JSON documents, one after another."""

    async def documents(parts: MultipartReader) -> AsyncIterator[Any]:
        async for part in parts:
            assert isinstance(part, BodyPartReader)
            yield await part.json()

    writer = MultipartWriter(boundary=":")
    for number in range(3):
        writer.append_json({"number": number})
    found = [document async for document in documents(reader(await written(writer), step=5))]
    assert json.dumps(found) == '[{"number": 0}, {"number": 1}, {"number": 2}]'
