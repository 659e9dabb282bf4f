"""WebSocket frames in, messages out: RFC 6455 §5 to §8 and RFC 7692 §6 as tables, for both roles, cut everywhere."""

from __future__ import annotations

import itertools
import random
import sys
import tracemalloc
import unicodedata
from typing import Any

import pytest
from tests.codec.ws_feeding import KEY, decode, decoders, deflated, feed_all, frame, plain

from fairlead.codec.ws import (
    Part,
    WebSocketDecoder,
    WebSocketError,
    WSCloseCode,
    WSMessage,
    WSMessageTextBytes,
    WSMsgType,
)
from fairlead.codec.ws_decoder import INFLATED_LIMIT, PIECE
from fairlead.codec.ws_deflate import Inflater

ROLES = [("client", None), ("server", KEY)]

SMILE = "\U0001f600"
KOSME = "\u03ba\u1f79\u03c3\u03bc\u03b5"

# clause, frames as (opcode, payload, options), events
GOOD: list[tuple[str, list[tuple[Any, ...]], list[Any]]] = [
    ("5.6 text", [(1, b"Hello")], [("TEXT", "Hello")]),
    ("5.6 text, empty", [(1, b"")], [("TEXT", "")]),
    ("5.6 text, not ASCII", [(1, KOSME.encode())], [("TEXT", KOSME)]),
    ("5.6 binary", [(2, b"\x00\xff")], [("BINARY", b"\x00\xff")]),
    ("5.6 binary, empty", [(2, b"")], [("BINARY", b"")]),
    ("5.2 length of 7 bits", [(2, b"a" * 125)], [("BINARY", b"a" * 125)]),
    ("5.2 length of 16 bits", [(2, b"a" * 126)], [("BINARY", b"a" * 126)]),
    ("5.2 length of 16 bits, text", [(1, b"a" * 300)], [("TEXT", "a" * 300)]),
    ("5.2 length of 16 bits, largest", [(2, b"a" * 65535)], [("BINARY", b"a" * 65535)]),
    ("5.2 length of 64 bits", [(2, b"a" * 65536)], [("BINARY", b"a" * 65536)]),
    ("5.2 length of 64 bits, text", [(1, b"a" * 65536)], [("TEXT", "a" * 65536)]),
    (
        "several at once",
        [(1, b"a"), (2, b"b"), (1, b"c" * 200)],
        [("TEXT", "a"), ("BINARY", b"b"), ("TEXT", "c" * 200)],
    ),
    ("5.5.2 ping", [(9, b"Hello")], [("PING", b"Hello")]),
    ("5.5.2 ping, longest", [(9, b"x" * 125)], [("PING", b"x" * 125)]),
    ("5.5.3 pong nobody asked for", [(10, b"")], [("PONG", b"")]),
    ("5.4 two fragments", [(1, b"Hel", {"fin": False}), (0, b"lo")], [("TEXT", "Hello")]),
    ("5.4 empty fragments", [(2, b"", {"fin": False}), (0, b"", {"fin": False}), (0, b"")], [("BINARY", b"")]),
    (
        "5.4 many fragments",
        [(2, b"a", {"fin": False}), *[(0, b"b" * 50, {"fin": False})] * 20, (0, b"c")],
        [("BINARY", b"a" + b"b" * 1000 + b"c")],
    ),
    (
        "5.4 control frames between fragments",
        [(1, b"Hel", {"fin": False}), (9, b"?"), (0, b"l", {"fin": False}), (10, b""), (0, b"o"), (1, b"!")],
        [("PING", b"?"), ("PONG", b""), ("TEXT", "Hello"), ("TEXT", "!")],
    ),
    (
        "5.6 a character may be cut by fragments",
        [(1, SMILE.encode()[:1], {"fin": False}), (0, SMILE.encode()[1:3], {"fin": False}), (0, SMILE.encode()[3:])],
        [("TEXT", SMILE)],
    ),
    ("5.5.1 close without a body", [(8, b"")], [("CLOSE", 0)]),
    ("5.5.1 close with a code", [(8, b"\x03\xe8")], [("CLOSE", 1000)]),
    ("5.5.1 close with a reason", [(8, b"\x03\xe9" + KOSME.encode())], [("CLOSE", 1001, KOSME)]),
    ("5.5.1 close, longest reason", [(8, b"\x03\xe8" + b"x" * 123)], [("CLOSE", 1000, "x" * 123)]),
    ("5.5.1 nothing after a close frame", [(8, b"\x03\xe8"), (1, b"late"), (3, b"")], [("CLOSE", 1000)]),
    ("7.1 close between fragments", [(1, b"a", {"fin": False}), (8, b""), (0, b"b")], [("CLOSE", 0)]),
]

# clause, frames, close code, what the text must say
BAD: list[tuple[str, list[tuple[Any, ...]], int, str]] = [
    ("5.2 RSV1 without an extension", [(1, b"a", {"rsv": 4})], 1002, "reserved bits: 100"),
    ("5.2 RSV2", [(2, b"", {"rsv": 2})], 1002, "reserved bits: 010"),
    ("5.2 RSV3 on a control frame", [(9, b"", {"rsv": 1})], 1002, "reserved bits: 001"),
    *[(f"5.2 opcode {n}", [(n, b"")], 1002, f"opcode={n}") for n in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
    ("5.2 16 bits for 7", [(2, b"a" * 125, {"form": 16})], 1002, "125 bytes whose length is not in its shortest form"),
    ("5.2 16 bits for 0", [(1, b"", {"form": 16})], 1002, "shortest form"),
    ("5.2 64 bits for 7", [(1, b"a" * 125, {"form": 64})], 1002, "shortest form"),
    ("5.2 64 bits for 16", [(2, b"", {"form": 64, "length": 65535})], 1002, "65535 bytes"),
    ("5.2 64 bits, the highest set", [(2, b"", {"length": 1 << 63})], 1002, "63 bits"),
    ("5.4 continuation of nothing", [(0, b"a")], 1002, "Continuation frame for non started message"),
    ("5.4 continuation of what ended", [(1, b"a"), (0, b"b")], 1002, "non started"),
    ("5.4 a message inside another", [(1, b"a", {"fin": False}), (2, b"b")], 1002, "expected to be zero, got 2"),
    ("5.4 the same, fragmented", [(1, b"a", {"fin": False}), (1, b"", {"fin": False})], 1002, "got 1"),
    ("5.5 fragmented ping", [(9, b"", {"fin": False})], 1002, "fragmented control frame"),
    ("5.5 fragmented close", [(8, b"\x03\xe8", {"fin": False})], 1002, "fragmented control frame"),
    ("5.5 ping of 126 bytes", [(9, b"x" * 126)], 1002, "cannot be larger than 125 bytes"),
    ("5.5 close of 64 KiB", [(8, b"", {"length": 65536})], 1002, "cannot be larger than 125 bytes"),
    ("5.5.1 half a code", [(8, b"\x03")], 1002, "one byte"),
    *[
        (f"7.4 code {code}", [(8, code.to_bytes(2, "big"))], 1002, f"Invalid close code: {code}")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999)
    ],
    ("8.1 reason that is not UTF-8", [(8, b"\x03\xe8\xce\xba\xe1")], 1007, "Invalid UTF-8"),
    ("8.1 text", [(1, b"\xff")], 1007, "Invalid UTF-8 text message: invalid start byte, byte 0xff"),
    ("8.1 long text", [(1, b"a" * 300 + b"\xc0")], 1007, "byte 0xc0"),
    ("8.1 overlong", [(1, b"\xc0\xaf")], 1007, "Invalid UTF-8"),
    ("8.1 surrogate", [(1, b"\xed\xa0\x80")], 1007, "Invalid UTF-8"),
    ("8.1 beyond U+10FFFF", [(1, b"\xf4\x90\x80\x80")], 1007, "Invalid UTF-8"),
    ("8.1 text that ends inside a character", [(1, b"\xce")], 1007, "unexpected end of data"),
    ("8.1 the same in a last fragment", [(1, b"a", {"fin": False}), (0, b"\xce")], 1007, "unexpected end of data"),
]


def build(frames: list[tuple[Any, ...]], key: bytes | None) -> bytes:
    return b"".join(
        frame(opcode, payload, key=key, **(options[0] if options else {})) for opcode, payload, *options in frames
    )


@pytest.mark.parametrize(("role", "key"), ROLES)
@pytest.mark.parametrize(("clause", "frames", "events"), GOOD, ids=[case[0] for case in GOOD])
def test_messages(role: Any, key: bytes | None, clause: str, frames: list[Any], events: list[Any]) -> None:
    assert decode(decoders(role), build(frames, key)) == events


@pytest.mark.parametrize(("role", "key"), ROLES)
@pytest.mark.parametrize(("clause", "frames", "code", "text"), BAD, ids=[case[0] for case in BAD])
def test_broken_rules(role: Any, key: bytes | None, clause: str, frames: list[Any], code: int, text: str) -> None:
    events = decode(
        decoders(role), build([(1, b"before"), (9, b"")], key) + build(frames, key) + build([(1, b"x")], key)
    )
    assert events[:2] == [("TEXT", "before"), ("PING", b"")]
    assert events[-1][0] == code
    assert text in events[-1][1]
    assert len(events) <= 4
    assert decode(decoders(role), build(frames, key))[-1] == events[-1]


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000]
)
def test_close_codes_that_may_be_sent(code: int) -> None:
    assert decode(decoders(), frame(8, code.to_bytes(2, "big"))) == [("CLOSE", code)]


def test_codes_that_the_rfc_does_not_speak_of_pass() -> None:
    for code in (4999, 5000, 65535):
        assert decode(decoders(), frame(8, code.to_bytes(2, "big"))) == [("CLOSE", code)]


def test_frames_of_a_client_must_be_masked_and_those_of_a_server_must_not() -> None:
    """RFC 6455 §5.1."""
    for payload in (b"", b"abc", b"a" * 125, b"a" * 300):
        for opcode in (1, 2, 9, 8):
            if opcode > 2 and len(payload) > 125:
                continue
            [(code, text)] = decode(decoders("client"), frame(opcode, payload, key=KEY))
            assert code == 1002
            assert "a server must not mask" in text
            [(code, text)] = decode(decoders("server"), frame(opcode, payload))
            assert code == 1002
            assert "a client must mask" in text


@pytest.mark.parametrize("key", [bytes(4), b"\xff\xff\xff\xff", b"\x00\x00\x00\x01", b"\x80\x00\x00\x00"])
def test_any_key_unmasks(key: bytes) -> None:
    for size in (*range(10), 124, 125, 126, 511, 512, 513, 1023, 1024, 1025, 5000):
        payload = bytes(range(256)) * (size // 256 + 1)
        assert decoders("server")().feed(frame(2, payload[:size], key=key)) == [(WSMsgType.BINARY, payload[:size], "")]


def test_messages_are_what_aiohttp_gives() -> None:
    decoder = decoders()()
    [text] = decoder.feed(frame(1, b'{"a": 1}'))
    assert type(text) is WSMessage
    assert text.type is WSMsgType.TEXT
    assert repr(text) == """WSMessage(type=<WSMsgType.TEXT: 1>, data='{"a": 1}', extra='')"""
    assert text.json() == {"a": 1}
    assert text.json(loads=len) == 8
    kind, data, extra = text
    assert (kind, data, extra) == (1, '{"a": 1}', "")
    for raw, kind in ((frame(2), "BINARY"), (frame(9), "PING"), (frame(10), "PONG"), (frame(8), "CLOSE")):
        [message] = decoder.feed(raw)
        assert type(message) is WSMessage
        assert message.type is WSMsgType[kind]
        assert message.extra == ""


def test_text_can_be_left_as_bytes() -> None:
    """With decode_text=False what is UTF-8 is the caller's to find out, as in aiohttp."""
    for role, key in ROLES:
        make = decoders(role, decode_text=False, deflate=True)
        raw = (
            frame(1, b'{"a": 1}', key=key)
            + frame(1, b"\xff" * 200, key=key)
            + frame(1, b"\xce", fin=False, key=key)
            + frame(0, b"", key=key)
            + frame(1, deflated(b"abc"), rsv=4, key=key)
            + frame(2, b"b", key=key)
        )
        assert decode(make, raw) == [
            *[("TEXT", b'{"a": 1}'), ("TEXT", b"\xff" * 200), ("TEXT", b"\xce"), ("TEXT", b"abc"), ("BINARY", b"b")]
        ]
        messages = make().feed(raw)
        assert [type(message) for message in messages] == [WSMessageTextBytes] * 4 + [WSMessage]
        assert messages[0].json() == {"a": 1}


# ---- UTF-8 that cannot be


def fails_fast(pieces: list[bytes]) -> bool:
    """Tell whether the decoder fails before the last piece, all being one frame."""
    decoder = decoders()()
    decoder.feed(frame(1, length=1000))
    for piece in pieces:
        events = decoder.feed(piece)
        if events:
            assert [event.code for event in events] == [1007]
            return True
    return False


def test_text_fails_at_the_byte_that_cannot_be() -> None:
    """Inside a frame, as soon as it is there (Autobahn 6.4)."""
    kosme = KOSME.encode()
    for bad in (b"\xff", b"\xf4\x90", b"\xed\xa0", b"\xe0\x80", b"\xf0\x80", b"\xc0", b"\xc1", b"\xf5", b"\xce\x20"):
        assert not fails_fast([kosme, bad[:-1]])
        assert fails_fast([kosme, bad[:-1], bad[-1:]])
        assert fails_fast([kosme, bad])
        assert fails_fast([kosme[:-1], kosme[-1:] + bad])


def test_text_fails_in_a_fragment_before_the_last() -> None:
    decoder = decoders()()
    assert decoder.feed(frame(1, KOSME.encode(), fin=False)) == []
    [error] = decoder.feed(frame(0, b"\xf4\x90", fin=False))
    assert isinstance(error, WebSocketError)
    assert error.code is WSCloseCode.INVALID_TEXT
    assert isinstance(error.__cause__, UnicodeDecodeError)


def test_every_beginning_of_a_character_is_judged_as_it_can_go_on() -> None:
    """Two bytes are refused exactly when no third and fourth make them text."""
    possible = {
        bytes(pair)
        for char in map(chr, (*range(0x800), *range(0x800, sys.maxunicode, 64)))
        if not is_surrogate(char)
        for pair in pairs(char)
    }
    for first, second in itertools.product(range(256), repeat=2):
        pair = bytes((first, second))
        refused = bool(decoders()().feed(frame(1, pair, fin=False)))
        assert refused == (pair not in possible), pair


def is_surrogate(char: str) -> bool:
    return unicodedata.category(char) == "Cs"


def pairs(char: str) -> list[bytes]:
    """The two bytes that text may have when it begins with the character, or has it second."""
    raw = char.encode()
    if len(raw) > 1:
        return [raw[:2]]
    return [raw + bytes((second,)) for second in (*range(0x80), *range(0xC2, 0xF5))]


# ---- limits


@pytest.mark.parametrize(("role", "key"), ROLES)
@pytest.mark.parametrize("limit", [1, 100, 125, 126, 200, 70_000])
@pytest.mark.parametrize("opcode", [1, 2])
def test_a_message_of_the_limit_passes_and_a_larger_one_does_not(
    role: Any, key: bytes | None, limit: int, opcode: int
) -> None:
    make = decoders(role, max_msg_size=limit)
    data = b"x" * limit
    kind, value = ("TEXT", data.decode()) if opcode == 1 else ("BINARY", data)
    assert plain(make().feed(frame(opcode, data, key=key))) == [(kind, value)]
    half = limit // 2
    pieces = frame(opcode, data[:half], fin=False, key=key) + frame(0, data[half:], key=key)
    assert plain(make().feed(pieces)) == [(kind, value)]
    wrong = (1009, f"Message size {limit + 1} exceeds limit {limit} (option max_msg_size)")
    assert plain(make().feed(frame(opcode, data + b"x", key=key))) == [wrong]
    pieces = frame(opcode, data[:half], fin=False, key=key) + frame(0, data[half:] + b"x", key=key)
    assert plain(make().feed(pieces)) == [wrong]


def test_a_message_over_the_limit_fails_with_its_head() -> None:
    [error] = decoders(max_msg_size=100)().feed(frame(2, length=5000))
    assert isinstance(error, WebSocketError)
    assert error.code is WSCloseCode.MESSAGE_TOO_BIG
    assert str(error) == "Message size 5000 exceeds limit 100 (option max_msg_size)"
    decoder = decoders(max_msg_size=100)()
    assert decoder.feed(frame(2, b"a" * 60, fin=False)) == []
    assert plain(decoder.feed(frame(0, length=41, fin=False)))[0][0] == 1009


def test_the_limit_is_four_mebibytes_unless_told_otherwise() -> None:
    assert decoders()().max_msg_size == 4 * 1024 * 1024
    assert plain(decoders()().feed(frame(2, length=4 * 1024 * 1024 + 1)))[0][0] == 1009
    assert decoders(max_msg_size=0)().feed(frame(2, length=(1 << 63) - 1)) == []


def test_control_frames_are_not_limited() -> None:
    assert decode(decoders(max_msg_size=5), frame(9, b"x" * 125)) == [("PING", b"x" * 125)]


@pytest.mark.parametrize("limit", [1, 100, 3000])
@pytest.mark.parametrize("fragments", [1, 3])
def test_the_limit_counts_inflated_bytes(limit: int, fragments: int) -> None:
    def send(size: int) -> bytes:
        packed = deflated(b"x" * size)
        cuts = [len(packed) * n // fragments for n in range(fragments + 1)]
        return b"".join(
            frame(2 if n == 0 else 0, packed[cuts[n] : cuts[n + 1]], rsv=0 if n else 4, fin=n == fragments - 1)
            for n in range(fragments)
        )

    make = decoders(deflate=True, max_msg_size=limit)
    assert decode(make, send(limit)) == [("BINARY", b"x" * limit)]
    wrong = (1009, f"Decompressed message exceeds size limit {limit} (option max_msg_size)")
    assert decode(make, send(limit + 1)) == [wrong]
    assert decode(make, send(limit * 50)) == [wrong]


def test_a_message_that_does_not_compress_may_have_the_size_of_the_limit() -> None:
    data = random.Random(1).randbytes(1000)
    packed = deflated(data)
    assert len(packed) > 1000
    assert decode(decoders(deflate=True, max_msg_size=1000), frame(2, packed, rsv=4)) == [("BINARY", data)]


# ---- memory and time


def peak(work: Any) -> int:
    """Return the most bytes that were in use while `work` ran, beyond what was before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def test_a_deflate_bomb_is_cut_at_the_limit() -> None:
    bomb = deflated(bytes(64 << 20))
    limit = 1 << 20
    for pieces in ([frame(2, bomb, rsv=4)], [frame(2, bomb[:100], rsv=4, fin=False), frame(0, bomb[100:], fin=False)]):
        decoder = decoders(deflate=True, max_msg_size=limit)()
        assert peak(lambda decoder=decoder, pieces=pieces: feed_all(decoder, pieces)) < 3 * limit
        assert decoder.error is not None
        assert decoder.error.code == 1009


def test_many_small_bombs_in_one_piece_are_held_back() -> None:
    """One read of the socket may hold many messages that inflate a thousandfold: they come a few at a time."""
    raw = frame(2, deflated(bytes(1 << 20)), rsv=4) * 60
    decoder = decoders(deflate=True)()
    events = decoder.feed(raw)
    assert decoder.pending
    assert len(events) <= INFLATED_LIMIT // (1 << 20) + 1
    count = len(events)
    while decoder.pending:
        events = decoder.feed(b"")
        assert len(events) <= INFLATED_LIMIT // (1 << 20) + 1
        count += len(events)
    assert count == 60
    assert plain(decoder.feed(frame(1, b"on"))) == [("TEXT", "on")]


@pytest.mark.parametrize("opcode", [1, 2])
def test_a_peer_that_sends_single_bytes_costs_no_more_memory_than_the_message(opcode: int) -> None:
    size = 20_000
    decoder = decoders()()
    decoder.feed(frame(opcode, length=size))

    def trickle() -> None:
        for _ in range(size - 1):
            decoder.feed(b"a")

    assert peak(trickle) < 5 * size  # an object for each would be 40 * size
    [message] = decoder.feed(b"b")
    assert message.data[-2:] in ("ab", b"ab")
    assert len(message.data) == size


def test_empty_fragments_cost_no_memory() -> None:
    decoder = decoders()()
    decoder.feed(frame(2, b"a", fin=False))
    assert peak(lambda: [decoder.feed(frame(0, fin=False) * 100) for _ in range(100)]) < 20_000
    assert plain(decoder.feed(frame(0, b"b"))) == [("BINARY", b"ab")]


def steps(work: Any) -> int:
    """Count the lines that Python runs."""
    count = 0

    def trace(at: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += 1
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return count


@pytest.mark.parametrize(
    "raw",
    [frame(1, b"a"), frame(9, b""), frame(1, b"", fin=False) + frame(0, b"a"), frame(2, deflated(b"a"), rsv=4)],
    ids=["text", "ping", "fragments", "deflated"],
)
def test_the_work_grows_with_the_input(raw: bytes) -> None:
    counts = [steps(lambda times=times: decoders(deflate=True)().feed(raw * times)) for times in (100, 200, 400)]
    assert counts[2] - counts[1] <= 2.1 * (counts[1] - counts[0])


# ---- compression


@pytest.mark.parametrize(("role", "key"), ROLES)
def test_compressed_messages(role: Any, key: bytes | None) -> None:
    """RFC 7692 §6: RSV1 on the first frame of a message; others in between may go without."""
    hello = bytes.fromhex("f248cdc9c90700")
    raw = (
        frame(1, hello, rsv=4, key=key)
        + frame(1, b"plain", key=key)
        + frame(1, hello[:3], rsv=4, fin=False, key=key)
        + frame(9, b"", key=key)
        + frame(0, hello[3:], key=key)
        + frame(2, deflated(b"x" * 70_000), rsv=4, key=key)
        + frame(2, b"\x00", rsv=4, key=key)
        + frame(2, b"", rsv=4, key=key)
    )
    assert decode(decoders(role, deflate=True), raw) == [
        ("TEXT", "Hello"),
        ("TEXT", "plain"),
        ("PING", b""),
        ("TEXT", "Hello"),
        ("BINARY", b"x" * 70_000),
        ("BINARY", b""),
        ("BINARY", b""),
    ]


@pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        (frame(1, b"a", fin=False) + frame(0, b"b", rsv=4), 1002, "reserved bits: 100, opcode=0"),
        (frame(9, b"", rsv=4), 1002, "reserved bits: 100, opcode=9"),
        (frame(8, b"", rsv=4), 1002, "reserved bits"),
        (frame(1, b"a", rsv=6), 1002, "reserved bits: 110"),
        (frame(1, b"\xff\xff\xff", rsv=4), 1007, "not valid DEFLATE data"),
        (frame(2, b"\xff" * 200, rsv=4), 1007, "not valid DEFLATE data"),
        (frame(1, b"\xff", rsv=4, fin=False), 1007, "not valid DEFLATE data"),
        (frame(1, deflated(b"\xff"), rsv=4), 1007, "Invalid UTF-8"),
        (frame(1, deflated(b"\xce"), rsv=4), 1007, "unexpected end of data"),
        (frame(2, b"\x03\x00" * 100, rsv=4), 1007, "more than 16 final blocks"),
    ],
)
def test_broken_rules_of_compression(raw: bytes, code: int, text: str) -> None:
    events = decode(decoders(deflate=True), frame(1, b"a") + raw)
    assert events[0] == ("TEXT", "a")
    assert events[-1][0] == code
    assert text in events[-1][1]


# ---- parts


def test_a_message_over_the_threshold_comes_in_parts() -> None:
    for role, key in ROLES:
        make = decoders(role, stream_over=10, max_msg_size=20)
        raw = b"".join(
            [
                frame(2, b"a" * 10, key=key),
                frame(2, b"b" * 11, key=key),
                frame(1, b"c" * 500, key=key),
                frame(1, b"d" * 6, fin=False, key=key),
                frame(9, b"", key=key),
                frame(0, b"e" * 6, key=key),
                frame(1, b"f", key=key),
            ]
        )
        assert decode(make, raw) == [
            ("BINARY", b"a" * 10),
            ("BINARY", b"b" * 11, True),
            ("TEXT", "c" * 500, True),
            ("PING", b""),
            ("TEXT", "d" * 6 + "e" * 6, True),
            ("TEXT", "f"),
        ]


def test_parts_come_as_they_are_received() -> None:
    decoder = decoders(stream_over=10)()
    raw = frame(1, ("a" * 20 + SMILE + "b").encode())
    assert decoder.feed(raw[:2]) == []
    assert decoder.feed(raw[2:12]) == [Part(WSMsgType.TEXT, "a" * 10, False)]
    assert decoder.feed(raw[12:24]) == [Part(WSMsgType.TEXT, "a" * 10, False)]
    assert decoder.feed(raw[24:25]) == []
    assert decoder.feed(raw[25:]) == [Part(WSMsgType.TEXT, SMILE + "b", True)]
    assert decoder.feed(frame(2, b"x" * 11, fin=False)) == [Part(WSMsgType.BINARY, b"x" * 11, False)]
    assert decoder.feed(frame(0, b"")) == [Part(WSMsgType.BINARY, b"", True)]


def test_what_was_gathered_comes_with_the_first_part() -> None:
    decoder = decoders(stream_over=10)()
    assert decoder.feed(frame(1, b"a" * 6, fin=False)) == []
    assert decoder.feed(frame(0, b"b" * 6, fin=False)) == [Part(WSMsgType.TEXT, "aaaaaabbbbbb", False)]
    assert decoder.feed(frame(0, b"c")) == [Part(WSMsgType.TEXT, "c", True)]
    assert plain(decoder.feed(frame(1, b"d"))) == [("TEXT", "d")]


def test_streamed_text_is_checked() -> None:
    decoder = decoders(stream_over=0)()
    assert plain(decoder.feed(frame(1, b"ab\xce", fin=False))) == [("TEXT", "ab", False)]
    assert plain(decoder.feed(frame(0, b"")))[0][0] == 1007
    assert decode(decoders(stream_over=0, decode_text=False), frame(1, b"\xff")) == [("TEXT", b"\xff", True)]


def test_the_next_message_can_be_asked_for_in_parts() -> None:
    decoder = decoders(max_msg_size=5)()
    decoder.stream_next()
    assert decoder.feed(frame(9, b"")) == [(WSMsgType.PING, b"", "")]
    assert decoder.feed(frame(1, b"a") + frame(1, b"b")) == [Part(WSMsgType.TEXT, "a", True), (WSMsgType.TEXT, "b", "")]
    decoder.stream_next()
    assert plain(decoder.feed(frame(1, b"longer than five"))) == [("TEXT", "longer than five", True)]
    assert plain(decoder.feed(frame(1, b"b"))) == [("TEXT", "b")]
    decoder.stream_next()
    decoder.stream_next(False)
    assert plain(decoder.feed(frame(1, b"c"))) == [("TEXT", "c")]


def test_the_message_under_way_can_be_asked_for_in_parts() -> None:
    decoder = decoders()()
    decoder.feed(frame(2, b"abc", fin=False))
    decoder.stream_next()
    assert decoder.feed(frame(0, b"d", fin=False)) == [Part(WSMsgType.BINARY, b"abcd", False)]
    decoder.stream_next(False)
    assert decoder.feed(frame(0, b"e")) == [Part(WSMsgType.BINARY, b"e", True)]
    assert plain(decoder.feed(frame(2, b"f"))) == [("BINARY", b"f")]
    decoder.feed(frame(1, b"ab")[:1])
    decoder.stream_next()
    decoder.stream_next(False)
    assert plain(decoder.feed(frame(1, b"ab")[1:])) == [("TEXT", "ab")]


def test_a_streamed_bomb_comes_in_small_parts_a_few_at_a_time() -> None:
    size = 64 << 20
    raw = frame(2, deflated(bytes(size)), rsv=4) + frame(1, b"after")
    decoder = decoders(deflate=True, stream_over=1 << 20)()
    total = 0

    def read() -> None:
        nonlocal total
        events = decoder.feed(raw)
        while True:
            for event in events:
                if isinstance(event, Part):
                    assert len(event.data) <= (1 << 20) + 1
                    total += len(event.data)
            assert sum(len(event.data) for event in events) <= INFLATED_LIMIT + PIECE + (1 << 20)
            if not decoder.pending:
                break
            events = decoder.feed(b"")
        assert plain(events)[-1] == ("TEXT", "after")

    assert peak(read) < 3 * INFLATED_LIMIT
    assert total == size


def test_compressed_messages_are_streamed_by_their_inflated_size() -> None:
    make = decoders(deflate=True, stream_over=100, max_msg_size=50)
    raw = frame(1, deflated(b"x" * 50), rsv=4) + frame(1, deflated(b"y" * 1000), rsv=4) + frame(2, b"z")
    events = decode(make, raw[: len(frame(1, deflated(b"x" * 50), rsv=4))])
    assert events == [("TEXT", "x" * 50)]
    assert decode(make, frame(1, deflated(b"x" * 51), rsv=4))[0][0] == 1009
    make = decoders(deflate=True, stream_over=100)
    assert decode(make, raw) == [("TEXT", "x" * 50), ("TEXT", "y" * 1000, True), ("BINARY", b"z")]


def test_no_more_is_gathered_than_the_threshold() -> None:
    packed = deflated(b"a" * 60), deflated(b"b" * 50_000)
    decoder = decoders(deflate=True, stream_over=100)()
    assert decoder.feed(frame(1, packed[0] + b"\x00\x00\xff\xff", rsv=4, fin=False)) == []
    first, *others = decoder.feed(frame(0, packed[1]))
    assert first == Part(WSMsgType.TEXT, "a" * 60 + "b" * 41, False)
    assert sum(len(part.data) for part in others) == 50_000 - 41


# ---- the end of the connection


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "without a close frame"),
        (frame(1, b"abc"), "without a close frame"),
        (frame(1, b"abc")[:1], "inside the head of a frame"),
        (frame(1, b"a" * 300)[:3], "inside the head of a frame"),
        (frame(1, b"abc")[:3], "inside a frame, 2 bytes before its end"),
        (frame(9, b"abc")[:2], "inside a frame, 3 bytes before its end"),
        (frame(1, b"abc", fin=False), "inside a fragmented message"),
    ],
)
def test_the_end_without_a_close_frame_is_1006(raw: bytes, text: str) -> None:
    decoder = decoders()()
    decoder.feed(raw)
    [error] = decoder.feed_eof()
    assert isinstance(error, WebSocketError)
    assert error.code is WSCloseCode.ABNORMAL_CLOSURE
    assert str(error) == f"The connection ended {text}"
    assert decoder.error is error
    assert decoder.closed
    assert decoder.feed_eof() == []


def test_the_end_after_a_close_frame_is_nothing() -> None:
    decoder = decoders()()
    decoder.feed(frame(8))
    assert decoder.closed
    assert decoder.error is None
    assert decoder.feed_eof() == []


def test_a_role_is_needed() -> None:
    with pytest.raises(ValueError, match="role must be 'client' or 'server', not 'both'"):
        WebSocketDecoder(role="both")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        WebSocketDecoder()  # type: ignore[call-arg]


def test_the_inflater_keeps_its_window_between_messages() -> None:
    import zlib

    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    texts = [b"the same words, " * 3, b"the same words, " * 3, b"the same words"]
    raw = b"".join(frame(1, (engine.compress(text) + engine.flush(zlib.Z_SYNC_FLUSH))[:-4], rsv=4) for text in texts)
    assert decode(decoders(deflate=True), raw) == [("TEXT", text.decode()) for text in texts]
    [_, error] = WebSocketDecoder(role="client", deflate=Inflater(no_context_takeover=True)).feed(raw)
    assert isinstance(error, WebSocketError)
    assert error.code == 1007
