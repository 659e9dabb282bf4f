"""Bodies from files: sizes, blocks, rewinding, text."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.message.bodies import OURS, Collector, oracle, written

from fairlead.message.files import READ_BLOCK, BufferedReaderPayload, BytesIOPayload, IOBasePayload, TextIOPayload
from fairlead.message.payload import get_payload


class Watched(io.BufferedIOBase):
    """A file that writes down what is asked of it."""

    def __init__(self, data: bytes, *, seekable: bool = True) -> None:
        self.inner = io.BytesIO(data)
        self.places = seekable
        self.reads: list[int | None] = []
        self.seeks: list[int] = []
        self.threads: set[int] = set()

    def readable(self) -> bool:
        return True

    def read(self, n: int | None = -1) -> bytes:
        self.reads.append(n)
        self.threads.add(threading.get_ident())
        return self.inner.read(n)

    def tell(self) -> int:
        if not self.places:
            raise io.UnsupportedOperation("tell")
        return self.inner.tell()

    def seek(self, place: int, whence: int = 0) -> int:
        if not self.places:
            raise io.UnsupportedOperation("seek")
        self.seeks.append(place)
        return self.inner.seek(place, whence)


def on_disk(folder: Path, content: bytes, name: str = "file.png") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# ------------------------------------------------------------------------------------------- the same as the oracle


def opened(mode: str, **options: Any) -> Callable[[Path], Any]:
    return lambda path: path.open(mode, **options)


OPENED: dict[str, tuple[Callable[[Path], Any], dict[str, Any]]] = {
    "buffered": (opened("rb"), {}),
    "raw": (opened("rb", buffering=0), {}),
    "random": (opened("r+b"), {}),
    "text": (opened("r", encoding="utf-8"), {}),
    "text of a type": (opened("r", encoding="utf-8"), {"content_type": "text/html"}),
    "named": (opened("rb"), {"filename": "other.txt"}),
    "typed": (opened("rb"), {"content_type": "x/y"}),
    "described": (opened("rb"), {"headers": {"Content-Disposition": "zz", "X": "1"}}),
    "form": (opened("rb"), {"disposition": "form-data"}),
    "nameless": (lambda path: io.BytesIO(path.read_bytes()), {}),
    "BytesIO with a name": (lambda path: io.BytesIO(path.read_bytes()), {"filename": "a.txt"}),
}


@pytest.mark.parametrize("start", [0, 3])
@pytest.mark.parametrize("name", OPENED)
async def test_same_as_the_oracle(name: str, start: int, tmp_path: Path) -> None:
    path = on_disk(tmp_path, b"0123456789")
    make, options = OPENED[name]
    seen = []
    for lib in (OURS, oracle()):
        with make(path) as file:
            file.seek(start)
            payload = lib.payload.get_payload(file, **options)
            seen.append(
                [
                    type(payload).__name__, payload.size, list(payload.headers.items()), payload.encoding,
                    payload.filename, payload.autoclose, await written(payload), payload.consumed,
                    await written(payload), [await written(payload, n) for n in (None, 0, 1, 5, 99)],
                    payload.decode(), payload.size,
                    await payload.as_bytes(), payload.consumed,
                ]
            )  # fmt: skip
    assert seen[0] == seen[1]


# ------------------------------------------------------------------------------------------------------- our own


async def test_reads_in_blocks_off_the_loop() -> None:
    file = Watched(bytes(2 * READ_BLOCK + 10))
    writer = Collector()
    await IOBasePayload(file).write(writer)  # type: ignore[arg-type]
    assert [len(chunk) for chunk in writer.chunks] == [READ_BLOCK, READ_BLOCK, 10]
    assert set(file.reads) == {READ_BLOCK}
    assert threading.get_ident() not in file.threads


async def test_reads_no_more_than_the_length() -> None:
    file = Watched(bytes(READ_BLOCK + 1000))
    assert len(await written(IOBasePayload(file), READ_BLOCK + 7)) == READ_BLOCK + 7  # type: ignore[arg-type]
    assert file.reads == [READ_BLOCK, 7]
    assert file.inner.tell() == READ_BLOCK + 7


async def test_no_read_beyond_the_end_of_a_file_on_disk(tmp_path: Path) -> None:
    """A file that grows while it is sent is sent as long as it was: its size was told already."""
    path = on_disk(tmp_path, bytes(READ_BLOCK))
    with path.open("rb") as file, path.open("ab") as log:
        payload = BufferedReaderPayload(file)

        class Appending(Collector):
            async def write(self, chunk: Any) -> None:
                await super().write(chunk)
                log.write(b"more")
                log.flush()

        writer = Appending()
        await payload.write(writer)  # type: ignore[arg-type]
        assert len(writer.data) == READ_BLOCK
        assert file.tell() == READ_BLOCK


async def test_replayed_from_where_it_stood() -> None:
    file = Watched(b"0123456789")
    file.inner.read(4)
    payload = IOBasePayload(file)  # type: ignore[arg-type]
    assert [await written(payload) for _ in range(3)] == [b"456789"] * 3
    assert not payload.consumed
    assert file.seeks == [4, 4]
    assert await payload.as_bytes() == b"456789"
    assert payload.decode() == "456789"


async def test_what_cannot_be_moved_back_says_so() -> None:
    payload = get_payload(Watched(b"0123456789", seekable=False))
    assert (payload.size, payload.consumed) == (None, False)
    assert await written(payload) == b"0123456789"
    assert payload.consumed
    assert await written(payload) == b""


async def test_pipe() -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as writer:
        writer.write(b"piped")
    payload = get_payload(os.fdopen(read_end, "rb"))
    assert payload.size is None
    assert await written(payload) == b"piped"
    assert payload.consumed
    await payload.close()


async def test_decompressing_file_is_sent_whole(tmp_path: Path) -> None:
    """Its size on disk is not that of what is read: telling it would cut the body short."""
    path = on_disk(tmp_path, gzip.compress(b"x" * 1000))
    payload = get_payload(gzip.open(path))
    assert payload.size is None
    assert await written(payload) == await written(payload) == b"x" * 1000
    await payload.close()


async def test_errors_of_reading_are_raised() -> None:
    class Broken(Watched):
        def read(self, n: int | None = -1) -> bytes:
            if self.reads:
                raise OSError("bad sector")
            return super().read(n)

    writer = Collector()
    with pytest.raises(OSError, match="bad sector"):
        await IOBasePayload(Broken(bytes(2 * READ_BLOCK))).write(writer)  # type: ignore[arg-type]
    assert len(writer.data) == READ_BLOCK


async def test_raw_file_that_gives_nothing() -> None:
    class Nothing(io.RawIOBase):
        def read(self, n: int = -1) -> None:  # type: ignore[override]
            return None

    assert await written(get_payload(Nothing())) == b""


async def test_close_closes_files_and_leaves_buffers(tmp_path: Path) -> None:
    file = on_disk(tmp_path, b"x").open("rb")
    payload = get_payload(file)
    await payload.close()
    await payload.close()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        await payload.write(Collector())
    with pytest.raises(ValueError, match="closed"):
        _ = payload.size
    buffer = io.BytesIO(b"x")
    await get_payload(buffer).close()
    assert not buffer.closed
    assert get_payload(buffer).autoclose


async def test_cancelled_in_the_middle_begins_anew() -> None:
    file = Watched(bytes(3 * READ_BLOCK))
    payload = IOBasePayload(file)  # type: ignore[arg-type]
    started = asyncio.Event()

    class Stuck(Collector):
        async def write(self, chunk: Any) -> None:
            started.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(payload.write(Stuck()))  # type: ignore[arg-type]
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await written(payload)) == 3 * READ_BLOCK


async def test_bytes_io_is_read_on_the_spot_in_blocks() -> None:
    buffer = io.BytesIO(bytes(READ_BLOCK + 10))
    buffer.seek(5)
    payload = BytesIOPayload(buffer)
    writer = Collector()
    await payload.write(writer)  # type: ignore[arg-type]
    assert [len(chunk) for chunk in writer.chunks] == [READ_BLOCK, 5]
    assert payload.size == READ_BLOCK + 5
    assert len(await written(payload, READ_BLOCK + 1)) == READ_BLOCK + 1
    assert buffer.tell() == READ_BLOCK + 6
    assert len(await written(payload)) == READ_BLOCK + 5
    assert await written(BytesIOPayload(io.BytesIO())) == b""


async def test_bytes_io_gives_way_between_blocks() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(count())
    await BytesIOPayload(io.BytesIO(bytes(4 * READ_BLOCK))).write(Collector())  # type: ignore[arg-type]
    task.cancel()
    assert turns >= 3


def test_no_name_no_disposition() -> None:
    named = io.BytesIO(b"x")
    named.name = "a.txt"  # type: ignore[attr-defined]
    assert "Content-Disposition" in get_payload(named).headers
    assert "Content-Disposition" not in IOBasePayload(named, None).headers  # type: ignore[arg-type]
    assert "Content-Disposition" not in get_payload(io.BytesIO(b"x")).headers


async def test_spooled_file() -> None:
    with tempfile.SpooledTemporaryFile() as file:
        file.write(b"abc")
        file.seek(1)
        payload = get_payload(file)
        assert payload.size == 2
        assert await written(payload) == await written(payload) == b"bc"


# ------------------------------------------------------------------------------------------------------- text files


@pytest.mark.parametrize("content", ["", "plain\n", "é€\n", "line\r\nend\r\n", "\r", "mixed\r\nends\n"])
@pytest.mark.parametrize("newline", [None, "", "\n", "\r\n"])
async def test_text_size_is_what_is_sent(content: str, newline: str | None, tmp_path: Path) -> None:
    """Line ends are not translated on the way: the size that was told must be the number of bytes sent."""
    raw = content.encode()
    with on_disk(tmp_path, raw).open(encoding="utf-8", newline=newline) as file:
        payload = get_payload(file)
        assert payload.size == len(raw)
        assert await written(payload) == await written(payload) == await payload.as_bytes() == raw
        assert await written(payload, 3) == raw[:3]
        assert payload.size == len(raw)


async def test_text_in_another_encoding_has_no_size(tmp_path: Path) -> None:
    text = "é€" * READ_BLOCK
    with on_disk(tmp_path, text.encode()).open(encoding="utf-8") as file:
        payload = TextIOPayload(file, encoding="utf-16")
        assert payload.size is None
        for _ in range(2):
            sent = await written(payload)
            assert sent == text.encode("utf-16")  # one byte order mark, however many blocks
        assert await written(payload, 7) == sent[:7]
        assert await payload.as_bytes() == sent
        assert payload.decode() == text
        assert payload.size is None


async def test_text_from_the_middle(tmp_path: Path) -> None:
    with on_disk(tmp_path, "ab\r\ncdé".encode()).open(encoding="utf-8") as file:
        file.readline()
        payload = get_payload(file)
        assert payload.size == 4
        assert await written(payload) == await written(payload) == "cdé".encode()
        assert payload.decode() == "cdé"


async def test_text_with_byte_order_mark(tmp_path: Path) -> None:
    raw = "abé".encode("utf-16")
    with on_disk(tmp_path, raw).open(encoding="utf-16") as file:
        payload = TextIOPayload(file, encoding="utf-16")
        assert payload.size == len(raw)
        assert await written(payload) == await written(payload) == raw
    with on_disk(tmp_path, raw).open(encoding="utf-16") as file:
        file.read(1)
        payload = TextIOPayload(file, encoding="utf-16")
        assert payload.size is None
        assert (await written(payload)).decode("utf-16") == "bé"


async def test_text_without_bytes_below() -> None:
    class Letters(io.TextIOBase):
        def __init__(self) -> None:
            self.left = ["a", "é", ""]

        def read(self, n: int | None = -1) -> str:
            return self.left.pop(0)

    payload = get_payload(Letters())
    assert payload.size is None
    assert await written(payload) == "aé".encode()
    assert payload.consumed


async def test_text_file_that_is_being_iterated(tmp_path: Path) -> None:
    """A text file tells no places while its lines are asked for: what was read ahead must not be lost."""
    with on_disk(tmp_path, b"one\ntwo\nthree\n").open(encoding="utf-8") as file:
        assert next(file) == "one\n"
        payload = get_payload(file)
        assert payload.size is None
        assert await written(payload) == b"two\nthree\n"
        assert payload.consumed


def test_unknown_encoding(tmp_path: Path) -> None:
    with on_disk(tmp_path, b"x").open(encoding="utf-8") as file, pytest.raises(LookupError, match="nope"):
        TextIOPayload(file, encoding="nope")
