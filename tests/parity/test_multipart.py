"""Parity of multipart answers as a client reads them, and of what is written for odd forms and parts."""

from __future__ import annotations

import gzip
import io
from typing import Any

import pytest
from tests.parity.compare import Names, Observation, Shot, fire, outcome, same, table
from tests.peers.raw import chunks


def multipart(body: bytes, subtype: str = "mixed", boundary: str = "B", chunked: bool = False) -> bytes:
    head = f'HTTP/1.1 200 OK\r\nContent-Type: multipart/{subtype}; boundary="{boundary}"\r\n'.encode()
    if chunked:
        pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
        return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks(*pieces)
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def read_parts(reader: Any, names: Names, depth: int = 0) -> Any:
    found: list[Any] = []
    while (part := await reader.next()) is not None:
        if hasattr(part, "next") and not hasattr(part, "read_chunk"):
            found.append(await read_parts(part, names, depth + 1))
            continue
        found.append(
            [part.headers, part.name, part.filename, await outcome(names, part.read(decode=True)), part.at_eof()]
        )
    return found


def reading(lib_reader: str = "MultipartReader") -> Any:
    async def look(r: Any, session: Any, names: Names) -> Any:
        library = LIBRARY[0]
        reader = getattr(library, lib_reader).from_response(r)
        return await outcome(names, read_parts(reader, names))

    return look


LIBRARY: list[Any] = [None]
"""The library under observation: `from_response` is a class method of each."""

GZIP = gzip.compress(b"packed", mtime=0)
PART = b"--B\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
ANSWERS = {
    "one": multipart(PART + b"--B--\r\n"),
    "two": multipart(PART + b'--B\r\nContent-Disposition: form-data; name="n"; filename="f"\r\n\r\n\r\n--B--\r\n'),
    "no fields": multipart(b"--B\r\n\r\nplain\r\n--B--\r\n"),
    "chunked": multipart(PART * 3 + b"--B--\r\n", chunked=True),
    "preamble and epilogue": multipart(b"before\r\n" + PART + b"--B--\r\nafter"),
    "nested": multipart(
        b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\nin\r\n--C--\r\n\r\n--B--\r\n"
    ),
    "base64": multipart(b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--B--\r\n"),
    "quoted-printable": multipart(b"--B\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db\r\n--B--\r\n"),
    "gzip": multipart(b"--B\r\nContent-Encoding: gzip\r\n\r\n" + GZIP + b"\r\n--B--\r\n"),
    "length": multipart(b"--B\r\nContent-Length: 5\r\n\r\nhello\r\n--B--\r\n"),
    "boundary inside": multipart(b"--B\r\n\r\nnot --B here\r\n--B--\r\n"),
    "empty": multipart(b"--B--\r\n"),
    "never ends": multipart(PART),
    "no boundary found": multipart(b"nothing of the kind"),
    "bad field": multipart(b"--B\r\nbad field\r\n\r\nx\r\n--B--\r\n"),
    "bad base64": multipart(b"--B\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!\r\n--B--\r\n"),
    "unknown transfer encoding": multipart(b"--B\r\nContent-Transfer-Encoding: odd\r\n\r\nx\r\n--B--\r\n"),
    "unknown content encoding": multipart(b"--B\r\nContent-Encoding: odd\r\n\r\nx\r\n--B--\r\n"),
    "not multipart": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok",
    "no boundary given": b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed\r\nContent-Length: 2\r\n\r\nok",
    "long boundary": multipart(b"--" + b"b" * 80 + b"\r\n\r\nx\r\n--" + b"b" * 80 + b"--\r\n", boundary="b" * 80),
    "quoted boundary": multipart(b"--a b\r\n\r\nx\r\n--a b--\r\n", boundary="a b"),
}


@table(
    "multipart", {name: Shot(answer, look=reading(), sent=False, received=False) for name, answer in ANSWERS.items()}
)
async def test_answers(case: str, shot: Shot) -> None:
    async def scenario(lib: Any) -> Observation:
        LIBRARY[0] = lib
        return await fire(lib, shot)

    await same(case, scenario)


def written(build: Any) -> Shot:
    return Shot(method="POST", options=lambda lib: {"data": build(lib)}, sent="bodies")


def mixed(*parts: Any, subtype: str = "mixed") -> Any:
    def build(lib: Any) -> Any:
        writer = lib.MultipartWriter(subtype, boundary="BB")
        for part in parts:
            value, headers = part if isinstance(part, tuple) else (part, None)
            writer.append(value() if callable(value) else value, headers)
        return writer

    return build


def fields(*fields: tuple[Any, ...], **options: Any) -> Any:
    def build(lib: Any) -> Any:
        data = lib.FormData(**options)
        for name, value, extra in fields:
            data.add_field(name, value() if callable(value) else value, **extra)
        return data

    return build


WRITTEN = {
    "empty": written(mixed()),
    "str and bytes": written(mixed("text", b"bytes")),
    "gzip": written(mixed((b"abc" * 10, {"Content-Encoding": "gzip"}))),
    "deflate": written(mixed((b"abc" * 10, {"Content-Encoding": "deflate"}))),
    "base64": written(mixed((b"abc", {"Content-Transfer-Encoding": "base64"}))),
    "quoted-printable": written(mixed((b"a=b\xff", {"Content-Transfer-Encoding": "quoted-printable"}))),
    "own type": written(mixed((b"abc", {"Content-Type": "text/x", "X-A": "1"}))),
    "file": written(mixed(lambda: io.BytesIO(b"abc"))),
    "form": written(mixed(subtype="form-data")),
    "quoted names": written(fields(('a"b\r\n', "x", {"content_type": "text/plain"}))),
    "field types": written(fields(("a", "x", {"content_type": "text/x"}), ("b", b"y", {"filename": "f.html"}))),
    "unicode names": written(fields(("é", "ü", {"content_type": "text/plain"}), ("f", b"y", {"filename": "é.txt"}))),
    "unquoted": written(fields(("é", b"y", {"filename": 'a "b".txt'}), quote_fields=False)),
    "charset": written(fields(("a", "é", {"content_type": "text/plain"}), charset="latin-1")),
    "default to multipart": written(fields(("a", lambda: io.StringIO("x"), {}), default_to_multipart=True)),
    "bad name": written(fields((5, "x", {}))),
    "bad value": written(fields(("a", object(), {}))),
    "bad content type": written(fields(("a", "x", {"content_type": 5}))),
    "bad content type text": written(fields(("a", "x", {"content_type": "te\r\nxt"}))),
    "bad filename": written(fields(("a", b"x", {"filename": 5}))),
    "transfer encoding": written(fields(("a", b"x", {"content_transfer_encoding": "base64", "filename": "f"}))),
}


@table("multipart written", WRITTEN)
async def test_written(case: str, shot: Shot) -> None:
    await same(case, lambda lib: fire(lib, shot))


@pytest.mark.parametrize(
    "boundary", ["ok", "with space", "q(u)o,te", "é", "", "a" * 70, "a" * 71, "tail ", "a\r\nb", 'a"b']
)
async def test_boundaries(boundary: str) -> None:
    async def scenario(lib: Any) -> Observation:
        def made() -> Any:
            writer = lib.MultipartWriter("mixed", boundary=boundary)
            return [writer.boundary, writer.content_type, len(writer), bool(writer), writer.size]

        return {"made": await outcome(Names(), made)}

    await same(f"multipart boundary/{boundary!r}", scenario)
