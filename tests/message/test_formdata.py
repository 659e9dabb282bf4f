"""Forms; byte for byte what the oracle sends."""

from __future__ import annotations

import io
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from multidict import MultiDict, MultiDictProxy
from tests.message.bodies import OURS, oracle, reader, written

from fairlead.message.formdata import FormData
from fairlead.message.payload import BytesPayload


async def two() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"cd"


def named(content: bytes = b"x", name: str = "some/where/a.png") -> Any:
    file = io.BytesIO(content)
    file.name = name  # type: ignore[attr-defined]
    return file


async def sent(form: Any) -> tuple[Any, ...]:
    """Type, media type, size and bytes; the random boundary is written as BOUNDARY."""
    payload = form()
    boundary = getattr(payload, "boundary", None) or "no boundary"
    assert payload.size is None or payload.size == len(await written(payload))
    data = await written(payload)
    size = payload.size
    if size is not None:
        size -= len(boundary) * data.count(boundary.encode())
    content_type = payload.content_type.replace(boundary, "BOUNDARY")
    return type(payload).__name__, content_type, size, data.replace(boundary.encode(), b"BOUNDARY")


async def same(make: Any) -> tuple[Any, ...]:
    """What ours sends, when that is what the oracle sends, with the same warnings before it."""
    seen = []
    for lib in (OURS, oracle()):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            form = make(lib)
        seen.append((form.is_multipart, [warning.category for warning in caught], await sent(form)))
    assert seen[0] == seen[1]
    return seen[0][-1]


FIELDS: dict[str, Any] = {
    "dict": lambda: {"a": "b", "c": "d"},
    "pairs": lambda: [("a", "b"), ("a", "c")],
    "tuple of pairs": lambda: (("a", "b"),),
    "lists as pairs": lambda: [["a", "b"]],
    "multidict": lambda: MultiDict([("a", "1"), ("a", "2")]),
    "proxy": lambda: MultiDictProxy(MultiDict(a="b")),
    "multidict in a list": lambda: [MultiDict([("a", "1"), ("b", "2")]), ("c", "3")],
    "numbers": lambda: {"a": 1, "b": 1.5, "c": True, "d": None},
    "several values": lambda: {"a": ["1", "2"], "b": ("3",)},
    "nothing": dict,
    "no pairs": list,
    "empty": lambda: {"": ""},
    "characters": lambda: {"a b~*": 'c d&=+é€"/'},
    "bytes": lambda: {"a": b"x"},
    "bytearray": lambda: {"a": bytearray(b"x")},
    "memoryview": lambda: {"a": memoryview(b"x")},
    "BytesIO": lambda: {"a": io.BytesIO(b"x")},
    "StringIO": lambda: {"a": io.StringIO("é")},
    "file": named,
    "file in a list": lambda: [named()],
    "file in a dict": lambda: {"a": named()},
    "nameless file": lambda: io.BytesIO(b"x"),
}


@pytest.mark.parametrize(
    "options", [{}, {"default_to_multipart": True}, {"charset": "latin1"}, {"quote_fields": False}]
)
@pytest.mark.parametrize("name", FIELDS)
async def test_fields_as_the_oracle(name: str, options: dict[str, Any]) -> None:
    def make(lib: Any) -> Any:
        return lib.FormData(FIELDS[name](), **options)

    try:
        await same(make)
    except (TypeError, UnicodeEncodeError) as exc:  # a number in a multipart form, a euro in latin1
        for lib in (OURS, oracle()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                form = make(lib)
            with pytest.raises(type(exc)):
                form()


ADDED: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": (lambda: "v", {}),
    "content type": (lambda: "v", {"content_type": "text/html"}),
    "empty content type": (lambda: "v", {"content_type": ""}),
    "charset": (lambda: "vé", {"content_type": "text/plain; charset=latin1"}),
    "file name": (lambda: "v", {"filename": "f.txt"}),
    "empty file name": (lambda: "v", {"filename": ""}),
    "bytes": (lambda: b"v", {"filename": "f.png"}),
    "quotes in the file name": (lambda: b"v", {"filename": 'é "q"\\.png'}),
    "percent in the file name": (lambda: b"v", {"filename": "100%.png"}),
    "BytesIO": (lambda: io.BytesIO(b"v"), {}),
    "BytesIO with a file name": (lambda: io.BytesIO(b"v"), {"filename": "x.jpg"}),
    "file": (named, {}),
    "file with another name": (named, {"filename": "z.txt"}),
    "file of a type": (named, {"content_type": "zz/z"}),
    "transfer encoding": (lambda: "v", {"content_transfer_encoding": "base64"}),
    "transfer encoding nobody knows": (lambda: "v", {"content_transfer_encoding": "zzz"}),
    "bytes with a transfer encoding": (lambda: b"v", {"content_transfer_encoding": "binary"}),
    "all": (lambda: "v", {"content_type": "a/b", "filename": "f", "content_transfer_encoding": "8bit"}),
    "iterable": (two, {"filename": "a.bin"}),
}


@pytest.mark.parametrize("options", [{}, {"quote_fields": False}, {"charset": "latin1"}])
@pytest.mark.parametrize("name", ADDED)
async def test_field_as_the_oracle(name: str, options: dict[str, Any]) -> None:
    value, arguments = ADDED[name]

    def make(lib: Any) -> Any:
        form = lib.FormData(**options)
        form.add_field("n", value(), **arguments)
        return form

    await same(make)


@pytest.mark.parametrize("field", ["a b", 'a"b\\c', "", "a[]", "a%20"])
@pytest.mark.parametrize("quote_fields", [True, False])
async def test_field_names_as_the_oracle(field: str, quote_fields: bool) -> None:
    await same(lambda lib: lib.FormData({field: "x"}, quote_fields, default_to_multipart=True))
    await same(lambda lib: lib.FormData({field: "x"}))


REFUSED: dict[str, Any] = {
    "str": lambda lib: lib.FormData("ab"),
    "bytes": lambda lib: lib.FormData(b"ab"),
    "number": lambda lib: lib.FormData(5),
    "None": lambda lib: lib.FormData(None),
    "names only": lambda lib: lib.FormData(("a", "b")),
    "one": lambda lib: lib.FormData([("a",)]),
    "three": lambda lib: lib.FormData([("a", "b", "c")]),
    "iterator": lambda lib: lib.FormData(iter([("a", "b")])),
    "dict in a list": lambda lib: lib.FormData([{"a": "b"}]),
    "name": lambda lib: lib.FormData({1: "a"}),
    "name in bytes": lambda lib: lib.FormData().add_field(b"n", "v"),
    "name with a line end": lambda lib: lib.FormData({"a\r\nb": "c"}),
    "name with NUL": lambda lib: lib.FormData().add_field("a\0", "v"),
    "file name": lambda lib: lib.FormData().add_field("n", "v", filename=5),
    "file name with a line end": lambda lib: lib.FormData().add_field("n", "v", filename="a\r\nb"),
    "content type": lambda lib: lib.FormData().add_field("n", "v", content_type=5),
    "content type with a line end": lambda lib: lib.FormData().add_field("n", "v", content_type="a\r\nb"),
    "transfer encoding": lambda lib: lib.FormData().add_field("n", "v", content_transfer_encoding=5),
    "number in multipart": lambda lib: lib.FormData({"a": 5}, default_to_multipart=True)(),
    "list in multipart": lambda lib: lib.FormData({"a": [1]}, default_to_multipart=True)(),
    "letter without a code": lambda lib: lib.FormData({"a": "€"}, charset="latin1")(),
    "charset": lambda lib: lib.FormData({"a": "b"}, charset="nope")(),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_by_the_oracle(name: str) -> None:
    with pytest.raises(Exception) as theirs:
        REFUSED[name](oracle())
    with pytest.raises(theirs.type) as ours:
        REFUSED[name](OURS)
    assert str(ours.value)


async def test_called_again_as_the_oracle() -> None:
    """Fields may be added after a call; a multipart form is one payload, that grows."""

    def make(lib: Any, *, multipart: bool) -> list[Any]:
        form = lib.FormData({"a": "b"}, default_to_multipart=multipart)
        payloads = [form(), form()]
        form.add_field("c", "d")
        return [*payloads, form()]

    for multipart in (True, False):
        ours, theirs = make(OURS, multipart=multipart), make(oracle(), multipart=multipart)
        assert [p is ours[0] for p in ours] == [p is theirs[0] for p in theirs]
        for our, their in zip(ours, theirs, strict=True):
            if multipart:
                assert (await written(our)).replace(our.boundary.encode(), b"") == (await written(their)).replace(
                    their.boundary.encode(), b""
                )
            else:
                assert await written(our) == await written(their)


async def test_files_are_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    with path.open("rb") as file:
        form = FormData({"a": file})
        first = await written(form())
        assert await written(form()) == first
        assert b"content" in first
        assert not form().consumed


async def test_what_can_be_sent_once_says_so() -> None:
    form = FormData()
    form.add_field("a", two(), filename="a.bin")
    assert not form().consumed
    assert b"abcd" in await written(form())
    assert form().consumed


async def test_a_field_that_cannot_be_sent_is_not_lost_on_the_way() -> None:
    form = FormData([("a", "b"), ("c", 5), ("d", "e")], default_to_multipart=True)
    for _ in range(2):
        with pytest.raises(TypeError, match="Can not serialize value type: <class 'int'>"):
            form()


# What the oracle sends as its repr(), or not at all


async def test_payloads_and_iterables_are_values() -> None:
    for value in (two(), BytesPayload(b"abcd")):
        form = FormData({"a": value})
        assert form.is_multipart
        assert b"\r\n\r\nabcd\r\n" in await written(form())


@pytest.mark.parametrize("quote_fields", [True, False])
async def test_field_names_that_are_not_ascii(quote_fields: bool) -> None:
    form = FormData(quote_fields=quote_fields, default_to_multipart=True)
    form.add_field("né", "x", filename="fé")
    data = await written(form())
    filename = "f%C3%A9" if quote_fields else "fé"
    assert f'form-data; name="né"; filename="{filename}"\r\n'.encode() in data
    part: Any = await reader(data, form().content_type).next()
    assert (part.name, part.filename) == ("né", filename)


async def test_read_by_our_reader() -> None:
    form = FormData({"a": "b", "é": "ü"}, default_to_multipart=True)
    form.add_field("f", io.BytesIO(b"content"), filename="f.bin", content_type="x/y")
    found = []
    async for part in reader(await written(form()), form().content_type, step=7):
        part_: Any = part
        found.append((part_.name, part_.filename, part_.headers["Content-Type"], await part_.text()))
    assert found == [
        ("a", None, "text/plain; charset=utf-8", "b"),
        ("é", None, "text/plain; charset=utf-8", "ü"),
        ("f", "f.bin", "x/y", "content"),
    ]


async def test_warning_points_at_the_caller() -> None:
    with pytest.warns(DeprecationWarning, match="pass filename=") as caught:
        FormData().add_field("a", b"x")
    assert caught[0].filename == __file__
