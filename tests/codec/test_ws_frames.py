"""The words of WebSocket, masking and encoding: RFC 6455 §5 and §7.4."""

from __future__ import annotations

import inspect
import pickle
import random
from typing import Any

import aiohttp
import aiohttp.http_websocket
import pytest
from tests.codec.ws_feeding import KEY, frame, xor

from fairlead.codec import ws, ws_frames
from fairlead.codec.ws_frames import (
    FIN,
    INT_LIMIT,
    JOIN_LIMIT,
    MASKED,
    RSV1,
    TABLE_LIMIT,
    WSCloseCode,
    WSMessage,
    WSMessageTextBytes,
    WSMsgType,
    close_payload,
    encode_frame,
    encode_masked,
    encode_unmasked,
    frame_head,
    frame_parts,
    mask,
    may_be_sent,
)

SIZES = [
    *range(20),
    *(123, 124, 125, 126, 127, 128, 255, 256),
    *(size + step for size in (TABLE_LIMIT, INT_LIMIT, 65536) for step in (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4)),
]
KEYS = [KEY, bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01", b"\x80\x00\x00\x00"]


def payload(size: int) -> bytes:
    return random.Random(size).randbytes(size)


# ---- words


@pytest.mark.parametrize("name", ["WSMsgType", "WSCloseCode"])
def test_enumerations_are_those_of_aiohttp(name: str) -> None:
    ours, theirs = getattr(ws, name), getattr(aiohttp, name)
    assert {key: int(value) for key, value in ours.__members__.items()} == {
        key: int(value) for key, value in theirs.__members__.items()
    }
    for value in theirs:
        assert repr(ours(int(value))) == repr(value)
        assert str(ours(int(value))) == str(value)


@pytest.mark.parametrize("name", ["WSMessage", "WSMessageTextBytes"])
def test_messages_are_named_tuples_like_those_of_aiohttp(name: str) -> None:
    ours, theirs = getattr(ws, name), getattr(aiohttp.http_websocket, name)
    arguments = (1, '{"a": 1}', "")
    assert repr(ours(*arguments)) == repr(theirs(*arguments))
    assert ours(*arguments) == theirs(*arguments) == arguments
    assert ours(*arguments).json() == theirs(*arguments).json()
    assert ours(*arguments)._replace(extra=None) == theirs(*arguments)._replace(extra=None)
    assert ours._fields == theirs._fields
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
    assert list(inspect.signature(ours.json).parameters) == list(inspect.signature(theirs.json).parameters)
    assert pickle.loads(pickle.dumps(ours(*arguments))) == arguments
    assert issubclass(ours, tuple)


def test_messages_of_events_are_those_of_aiohttp() -> None:
    assert repr(ws.WS_CLOSED_MESSAGE) == repr(aiohttp.http_websocket.WS_CLOSED_MESSAGE)
    assert repr(ws.WS_CLOSING_MESSAGE) == repr(aiohttp.http_websocket.WS_CLOSING_MESSAGE)
    assert ws.WS_KEY == aiohttp.http_websocket.WS_KEY
    assert ws.WSMessageDecodeText is WSMessage
    assert ws.WSMessageNoDecodeText == WSMessage | WSMessageTextBytes
    assert not issubclass(WSMessageTextBytes, WSMessage)
    assert WSMsgType.text is WSMsgType.TEXT
    assert WSCloseCode(1006) is WSCloseCode.ABNORMAL_CLOSURE


# ---- masking


@pytest.mark.parametrize("key", KEYS)
def test_masking(key: bytes) -> None:
    for size in SIZES:
        data = payload(size)
        masked = mask(data, key)
        assert type(masked) is bytes
        assert masked == xor(data, key), size
        assert mask(masked, key) == data
        assert mask(bytearray(data), key) == masked
        assert mask(memoryview(data), key) == masked


def test_zeros_are_masked() -> None:
    """Numbers lose the zeros in front."""
    for size in SIZES:
        assert mask(bytes(size), KEY) == xor(bytes(size), KEY)
        assert mask(xor(bytes(size), KEY), KEY) == bytes(size)


# ---- encoding


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opcode", [0, 1, 2])
@pytest.mark.parametrize("fin", [True, False])
@pytest.mark.parametrize("rsv1", [True, False])
def test_frames(size: int, opcode: int, fin: bool, rsv1: bool) -> None:
    data = payload(size)
    plain = frame(opcode, data, fin=fin, rsv=rsv1 * 4)
    masked = frame(opcode, data, fin=fin, rsv=rsv1 * 4, key=KEY)
    for given in (data, bytearray(data), memoryview(data)):
        assert encode_frame(opcode, given, fin=fin, rsv1=rsv1) == plain
        assert encode_frame(opcode, given, fin=fin, rsv1=rsv1, mask=KEY) == masked
        assert b"".join(frame_parts(opcode, given, fin=fin, rsv1=rsv1)) == plain
        assert type(encode_frame(opcode, given, fin=fin, rsv1=rsv1)) is bytes
    first = fin * FIN | rsv1 * RSV1 | opcode
    assert encode_unmasked(first, data) == plain
    assert encode_masked(first, data, int.from_bytes(KEY)) == masked
    assert plain.startswith(frame_head(first, size))
    assert masked.startswith(frame_head(first, size, MASKED))


@pytest.mark.parametrize("opcode", [8, 9, 10])
def test_control_frames(opcode: int) -> None:
    for data in (b"", b"\x03\xe8", b"x" * 125):
        assert encode_frame(opcode, data) == encode_unmasked(FIN | opcode, data) == frame(opcode, data)
        assert encode_frame(opcode, data, mask=KEY) == frame(opcode, data, key=KEY)
        assert encode_masked(FIN | opcode, data, int.from_bytes(KEY)) == frame(opcode, data, key=KEY)
    for wrong in ({"payload": b"x" * 126}, {"fin": False}, {"rsv1": True}):
        arguments: dict[str, Any] = {"payload": b"", **wrong}
        with pytest.raises(ValueError, match="a control frame has at most 125 bytes, is not fragmented"):
            encode_frame(opcode, **arguments)


def test_a_large_payload_is_not_copied() -> None:
    for data in (b"a" * (JOIN_LIMIT + 1), bytearray(JOIN_LIMIT + 1)):
        head, same = frame_parts(2, data)
        assert head == frame(2, length=JOIN_LIMIT + 1)
        assert same is data
    assert len(frame_parts(2, b"a" * JOIN_LIMIT)) == 1
    assert len(frame_parts(2, b"a" * (JOIN_LIMIT + 1), mask=KEY)) == 1
    wide = memoryview(bytes(4 * JOIN_LIMIT)).cast("I")
    assert [len(part) for part in frame_parts(2, wide)] == [10, 4 * JOIN_LIMIT]
    strided = memoryview(b"abcdef")[::2]
    assert encode_frame(2, strided) == frame(2, b"ace")


def test_a_key_has_four_bytes() -> None:
    with pytest.raises(ValueError, match="a masking key has 4 bytes, not 3"):
        encode_frame(1, b"a", mask=b"abc")


def test_frames_are_those_of_websockets() -> None:
    frames = pytest.importorskip("websockets.frames")
    for opcode in (0, 1, 2, 8, 9, 10):
        for size in (0, 1, 125, 126, 65535, 65536):
            if opcode >= 8 and size > 125:
                continue
            theirs = frames.Frame(frames.Opcode(opcode), payload(size))
            assert encode_frame(opcode, payload(size)) == theirs.serialize(mask=False)


# ---- close


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999])
def test_codes_that_may_be_sent(code: int) -> None:
    assert may_be_sent(code)
    assert close_payload(code) == code.to_bytes(2, "big")
    assert close_payload(code, "r\u00e9") == code.to_bytes(2, "big") + b"r\xc3\xa9"
    assert close_payload(code, b"raw") == code.to_bytes(2, "big") + b"raw"


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 65536])
def test_codes_that_may_not(code: int) -> None:
    with pytest.raises(ValueError, match=f"close code {code} may not be sent"):
        close_payload(code)


def test_a_close_frame_may_have_no_code_and_a_long_reason_is_cut_between_characters() -> None:
    assert close_payload(None) == b""
    assert close_payload(None, "lost") == b""
    assert close_payload(1000, "x" * 200) == b"\x03\xe8" + b"x" * 123
    assert close_payload(1000, "\u20ac" * 50) == b"\x03\xe8" + "\u20ac".encode() * 41
    assert close_payload(1000, "x" + "\u20ac" * 50) == b"\x03\xe8x" + "\u20ac".encode() * 40


def test_tables_for_masking_are_made_when_they_are_needed() -> None:
    """What a program that sends no large messages never needs costs nothing at import."""
    tables = type(ws_frames.mask.__globals__["_tables"])()
    assert len(tables) == 0
    assert tables[0x0F] == bytes(byte ^ 0x0F for byte in range(256))
    assert len(tables) == 1
