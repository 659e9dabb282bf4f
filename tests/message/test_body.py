"""The base payload, the registry, and bodies in memory; each case beside the oracle where that is installed."""

from __future__ import annotations

import array
import io
import json
import warnings
from typing import Any

import pytest
from multidict import CIMultiDict
from tests.message.bodies import OURS, Collector, oracle, written

from fairlead.message import body
from fairlead.message.body import (
    TOO_LARGE_BYTES_BODY,
    BytesPayload,
    JsonBytesPayload,
    JsonPayload,
    LookupError,
    Order,
    Payload,
    PayloadRegistry,
    StringIOPayload,
    StringPayload,
    get_payload,
)


class Own(Payload):
    """A payload of a user of the library."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return str(self._value)

    async def write(self, writer: Any) -> None:
        for character in self._value:
            await writer.write(character.encode())


# ------------------------------------------------------------------------------------------- the same as the oracle


def described(payload: Any) -> dict[str, Any]:
    return {
        "type": type(payload).__name__,
        "size": payload.size,
        "headers": list(payload.headers.items()),
        "content_type": payload.content_type,
        "encoding": payload.encoding,
        "filename": payload.filename,
        "consumed": payload.consumed,
        "autoclose": payload.autoclose,
    }


MAKERS: dict[str, Any] = {
    "bytes": lambda lib: lib.payload.get_payload(b"abc"),
    "bytearray": lambda lib: lib.payload.get_payload(bytearray(b"abc")),
    "memoryview": lambda lib: lib.payload.get_payload(memoryview(b"abc")),
    "str": lambda lib: lib.payload.get_payload("aé"),
    "StringIO": lambda lib: lib.payload.get_payload(io.StringIO("aé")),
    "charset of the type": lambda lib: lib.payload.StringPayload("é", content_type="text/x; charset=latin1"),
    "type without charset": lambda lib: lib.payload.StringPayload("é", content_type="text/x"),
    "encoding": lambda lib: lib.payload.StringPayload("é", encoding="latin1"),
    "encoding and type": lambda lib: lib.payload.StringPayload("é", encoding="latin1", content_type="text/x"),
    "StringIO, encoding": lambda lib: lib.payload.StringIOPayload(io.StringIO("é"), encoding="utf-16"),
    "text with a file name": lambda lib: lib.payload.StringPayload("é", filename="a.html"),
    "bytes with a file name": lambda lib: lib.payload.BytesPayload(b"x", filename="a.html"),
    "type of the name": lambda lib: lib.payload.BytesPayload(b"x", filename="a.html", content_type=None),
    "double suffix": lambda lib: lib.payload.BytesPayload(b"x", filename="a.html.gz", content_type=None),
    "odd suffix": lambda lib: lib.payload.BytesPayload(b"x", filename="a.zzzzz", content_type=None),
    "headers": lambda lib: lib.payload.BytesPayload(b"x", headers={"X": "1", "Y": "2"}),
    "pairs": lambda lib: lib.payload.BytesPayload(b"x", headers=[("X", "1"), ("X", "2")]),
    "multidict": lambda lib: lib.payload.BytesPayload(b"x", headers=CIMultiDict([("X", "1"), ("X", "2")])),
    "type in headers": lambda lib: lib.payload.BytesPayload(b"x", headers={"content-type": "a/b"}, content_type="c/d"),
    "more arguments": lambda lib: lib.payload.BytesPayload(b"x", encoding="q", anything=1),
    "json": lambda lib: lib.payload.JsonPayload({"a": "é"}),
    "json in UTF-16": lambda lib: lib.payload.JsonPayload({"a": "é"}, encoding="utf-16"),
    "json of a type": lambda lib: lib.payload.JsonPayload([], content_type="x/y", filename="f", headers={"a": "b"}),
    "json dumps": lambda lib: lib.payload.JsonPayload([1], dumps=lambda value: repr(value)),
    "json bytes": lambda lib: lib.payload.JsonBytesPayload([1], lambda value: b"[1]"),
}


@pytest.mark.parametrize("name", MAKERS)
async def test_same_as_the_oracle(name: str) -> None:
    make = MAKERS[name]
    ours, theirs = make(OURS), make(oracle())
    assert described(ours) == described(theirs)
    assert await ours.as_bytes() == bytes(await theirs.as_bytes())
    for length in (None, 0, 1, 2, 100):
        assert await written(ours, length) == await written(theirs, length)
    assert await written(ours) == await written(theirs)
    assert ours.consumed == theirs.consumed
    await ours.close()


REFUSED: dict[str, Any] = {
    "str as bytes": lambda lib: lib.payload.BytesPayload("x"),
    "None as bytes": lambda lib: lib.payload.BytesPayload(None),
    "bytes as str": lambda lib: lib.payload.StringPayload(b"x"),
    "charset without the letter": lambda lib: lib.payload.StringPayload("€", encoding="latin1"),
    "json of bytes": lambda lib: lib.payload.JsonPayload(b"x"),
    "json bytes of str": lambda lib: lib.payload.JsonBytesPayload([], lambda value: "[]"),
    "abstract": lambda lib: lib.payload.Payload(b"x"),
    "order": lambda lib: lib.payload.PayloadRegistry().register(lib.payload.BytesPayload, bytes, order="first"),
    "order as text": lambda lib: lib.payload.PayloadRegistry().register(
        lib.payload.BytesPayload, bytes, order="normal"
    ),
    "disposition type": lambda lib: lib.payload.BytesPayload(b"").set_content_disposition("form data"),
    "disposition parameter": lambda lib: lib.payload.BytesPayload(b"").set_content_disposition("a", **{"a b": "c"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_as_by_the_oracle(name: str) -> None:
    with pytest.raises(Exception) as theirs:
        REFUSED[name](oracle())
    with pytest.raises(theirs.type):
        REFUSED[name](OURS)


@pytest.mark.parametrize("quote_fields", [True, False])
@pytest.mark.parametrize(
    "params",
    [{}, {"name": "a"}, {"name": "a b"}, {"name": 'a"b\\c'}, {"name": "é"}, {"filename": 'é "q".txt'}, {"filename": ""},
     {"name": "a", "filename": "b.txt"}],
)  # fmt: skip
def test_content_disposition_as_the_oracle(params: dict[str, str], quote_fields: bool) -> None:
    ours, theirs = BytesPayload(b""), oracle().payload.BytesPayload(b"")
    for payload in (ours, theirs):
        payload.set_content_disposition("form-data", quote_fields, **params)
    assert ours.headers == theirs.headers


# ------------------------------------------------------------------------------------------------------- our own


async def test_memory_is_not_copied_and_slices_count_bytes() -> None:
    numbers = array.array("I", [1, 2, 3])
    payload = BytesPayload(memoryview(numbers))
    assert payload.size == 12
    assert await written(payload, 5) == numbers.tobytes()[:5]
    assert await payload.as_bytes() == numbers.tobytes()
    every_other = BytesPayload(memoryview(b"abcdef")[::2])
    assert (every_other.size, await every_other.as_bytes(), every_other.decode()) == (3, b"ace", "ace")


def test_large_bytes_body_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BytesPayload(bytes(TOO_LARGE_BYTES_BODY))
        with pytest.raises(ResourceWarning, match=r"Sending 1048577 bytes.*io\.BytesIO"):
            BytesPayload(bytes(TOO_LARGE_BYTES_BODY + 1))


async def test_decode() -> None:
    payload = BytesPayload("hé".encode())
    assert payload.decode() == "hé"
    assert payload.decode("ascii", "ignore") == "h"
    assert StringIOPayload(io.StringIO("é")).decode() == "é"
    assert json.loads(JsonPayload({"a": [1]}).decode()) == {"a": [1]}
    assert JsonBytesPayload(1, lambda value: b"1").decode() == "1"


async def test_own_payload_type() -> None:
    payload = Own("abc")
    assert (payload.size, payload.content_type, payload.consumed) == (None, "application/octet-stream", False)
    assert await payload.as_bytes() == b"abc"
    assert await written(payload) == b"abc"
    assert await payload.close() is None


async def test_no_payload_sends_more_than_the_length() -> None:
    """Also one that knows nothing of lengths: what comes after the body of a message would be read as the next one."""
    for length in range(5):
        assert await written(Own("abc"), length) == b"abc"[:length]

    class Ending(Own):
        async def write(self, writer: Any) -> None:
            await writer.drain()
            await writer.write_eof(b"abcdef")

    assert await written(Ending("x"), 2) == b"ab"


def test_default_content_type_of_a_subclass() -> None:
    class Typed(Own):
        _default_content_type = "x/y"

    assert Typed("a").content_type == "x/y"
    assert Typed("a", filename="a.txt").content_type == "text/plain"


def test_header_section() -> None:
    payload = BytesPayload(b"", headers={"X": "é"})
    assert payload.binary_headers == b"Content-Type: application/octet-stream\r\nX: \xc3\xa9\r\n\r\n"
    payload.headers["X"] = "a\r\nSet-Cookie: b"
    with pytest.raises(ValueError, match="control characters"):
        _ = payload.binary_headers


# ------------------------------------------------------------------------------------------------------- registry


class First(BytesPayload):
    pass


class Second(BytesPayload):
    pass


class SubBytes(bytes):
    pass


@pytest.mark.parametrize(
    ("registrations", "value", "expected"),
    [
        ([(First, bytes, Order.normal), (Second, bytes, Order.normal)], b"", Second),
        ([(First, bytes, Order.normal), (Second, bytes, Order.normal)], SubBytes(), First),
        ([(First, object, Order.normal), (Second, bytes, Order.normal)], b"", Second),
        ([(First, bytes, Order.normal), (Second, bytes, Order.try_first)], b"", Second),
        ([(First, bytes, Order.try_first), (Second, bytes, Order.try_first)], b"", First),
        ([(First, bytes, Order.try_last), (Second, object, Order.normal)], b"", Second),
        ([(First, (bytes, bytearray), Order.normal)], bytearray(), First),
        ([(First, bytes, Order.try_last)], SubBytes(), First),
    ],
)
def test_registry_order(registrations: list[Any], value: bytes, expected: type) -> None:
    ours, theirs = PayloadRegistry(), oracle().payload.PayloadRegistry()
    their_order = oracle().payload.Order
    for factory, kind, order in registrations:
        ours.register(factory, kind, order=order)
        theirs.register(factory, kind, order=their_order(order.value))
    assert type(ours.get(value)) is type(theirs.get(value)) is expected


def test_registry_passes_payloads_through() -> None:
    payload = Own("x")
    assert get_payload(payload) is payload
    assert PayloadRegistry().get(payload) is payload


def test_registry_passes_arguments_on() -> None:
    assert get_payload(b"x", content_type="a/b", headers={"X": "1"}).headers == {"Content-Type": "a/b", "X": "1"}


@pytest.mark.parametrize("value", [None, 1, [], {}, object(), iter([b"x"])])
def test_registry_without_a_match(value: Any) -> None:
    with pytest.raises(LookupError, match=type(value).__name__):
        get_payload(value)
    with pytest.raises(oracle().payload.LookupError):
        oracle().payload.get_payload(value)


def test_the_error_is_not_the_builtin() -> None:
    import builtins

    assert not issubclass(LookupError, builtins.LookupError)


async def test_registering_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "PAYLOAD_REGISTRY", PayloadRegistry())

    class Point:
        pass

    @body.payload_type(Point)
    class PointPayload(StringPayload):
        def __init__(self, value: Point, *args: Any, **kwargs: Any) -> None:
            super().__init__("point", *args, **kwargs)

    assert await written(body.get_payload(Point())) == b"point"
    body.register_payload(First, bytes, order=Order.try_last)
    assert type(body.get_payload(b"")) is First


def test_order_values() -> None:
    assert [(order.name, order.value) for order in Order] == [
        ("normal", "normal"),
        ("try_first", "try_first"),
        ("try_last", "try_last"),
    ]


async def test_limited_writer_passes_the_rest_on() -> None:
    writer = Collector()
    limited: Any = body.LimitedWriter(writer, 3)  # type: ignore[arg-type]
    await limited.write(b"ab")
    await limited.write(b"cd")
    await limited.write(b"ef")
    await limited.drain()
    assert writer.chunks == [b"ab", b"c"]
    assert limited.data == b"abc"
