"""What holds for any bytes and any messages, and agreement with the frames of `websockets`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from fuzz import fuzz_ws
from tests.codec.ws_feeding import feed_all, frame, plain

from fairlead.codec.ws import WebSocketDecoder, WSMsgType
from fairlead.codec.ws_deflate import DeflateParameters, Deflater, Inflater
from fairlead.codec.ws_frames import FIN, RSV1, encode_frame, encode_masked, encode_unmasked

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import strategies as st  # noqa: E402

texts = st.text(max_size=40) | st.sampled_from(["", "a" * 125, "a" * 126, "\U0001f600" * 40, "x" * 70_000])
blobs = st.binary(max_size=200) | st.sampled_from([b"", b"\x00" * 126, b"\xff" * 1025, bytes(70_000)])
messages = texts | blobs
keys = st.binary(min_size=4, max_size=4)
places = st.lists(st.integers(0, 1 << 20), max_size=6)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut at the places, counted from the start again where they lie beyond the end; no piece is empty."""
    ends = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:end] for start, end in pairwise(ends)]


def raw(message: str | bytes) -> tuple[int, bytes]:
    return (1, message.encode()) if isinstance(message, str) else (2, message)


def shown(message: str | bytes) -> tuple[str, Any]:
    return ("TEXT" if isinstance(message, str) else "BINARY", message)


# ---- any bytes


@hypothesis.given(
    st.sampled_from(fuzz_ws.SEEDS),
    st.lists(st.sampled_from(fuzz_ws.TOKENS) | st.binary(max_size=4), max_size=6),
    st.integers(0, 200),
)
def test_any_bytes_give_events_or_one_error_however_they_are_cut(start: bytes, pieces: list[bytes], at: int) -> None:
    fuzz_ws.check(start[:at] + b"".join(pieces) + start[at:], at)


def test_the_fuzz_target_runs() -> None:
    fuzz_ws.run(1, 30)
    assert fuzz_ws.main(["--seed", "2", "--count", "5"]) == 0


def test_the_fuzz_target_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fuzz_ws, "CODES", {1009})
    assert fuzz_ws.main(["--seed", "1", "--count", "50"]) == 1
    assert "AssertionError('code 100" in capsys.readouterr().err


# ---- encode, then decode


@hypothesis.given(st.lists(messages, max_size=5), keys, places)
def test_what_is_encoded_is_decoded(sent: list[str | bytes], key: bytes, at: list[int]) -> None:
    expected = [shown(message) for message in sent]
    unmasked = b"".join(encode_unmasked(FIN | opcode, data) for opcode, data in map(raw, sent))
    assert plain(feed_all(WebSocketDecoder(role="client"), cut(unmasked, at))) == expected
    masked = b"".join(encode_masked(FIN | opcode, data, int.from_bytes(key)) for opcode, data in map(raw, sent))
    assert plain(feed_all(WebSocketDecoder(role="server"), cut(masked, at))) == expected


@hypothesis.given(messages, keys, places, places)
def test_fragments_are_joined(message: str | bytes, key: bytes, at: list[int], cuts: list[int]) -> None:
    opcode, data = raw(message)
    pieces = cut(data, cuts) or [b""]
    stream = b"".join(
        encode_frame(0 if n else opcode, piece, fin=n == len(pieces) - 1, mask=key) + encode_frame(9, b"?", mask=key)
        for n, piece in enumerate(pieces)
    )
    events = plain(feed_all(WebSocketDecoder(role="server"), cut(stream, at)))
    assert [event for event in events if event[0] != "PING"] == [shown(message)]
    assert len(events) == len(pieces) + 1


@hypothesis.given(messages, places, st.integers(0, 100))
def test_parts_are_the_message(message: str | bytes, at: list[int], over: int) -> None:
    opcode, data = raw(message)
    events = plain(
        feed_all(WebSocketDecoder(role="client", stream_over=over), cut(encode_unmasked(FIN | opcode, data), at))
    )
    whole = shown(message) if len(data) <= over else (*shown(message), True)
    assert events == [whole]


windows = st.integers(8, 15)
agreements = st.builds(DeflateParameters, st.booleans(), st.booleans(), windows, windows)


@hypothesis.given(
    st.lists(messages, max_size=5), agreements, st.sampled_from(["client", "server"]), places, st.integers(0, 9)
)
def test_what_is_compressed_is_inflated(
    sent: list[str | bytes], agreed: DeflateParameters, sender: Any, at: list[int], level: int
) -> None:
    receiver: Any = "client" if sender == "server" else "server"
    deflater, _ = agreed.codecs(sender, level)
    _, inflater = agreed.codecs(receiver)
    key = None if sender == "server" else b"\x01\x02\x03\xf4"
    stream = b"".join(
        encode_frame(opcode, deflater.deflate(data), rsv1=True, mask=key) for opcode, data in map(raw, sent)
    )
    events = plain(feed_all(WebSocketDecoder(role=receiver, deflate=inflater), cut(stream, at)))
    assert events == [shown(message) for message in sent]


@hypothesis.given(st.lists(blobs, max_size=6), st.booleans(), places)
def test_messages_that_are_compressed_in_parts(sent: list[bytes], no_takeover: bool, at: list[int]) -> None:
    deflater, inflater = Deflater(15, no_takeover), Inflater(15, no_takeover)
    stream = b""
    for data in sent:
        pieces = cut(data, at) or [b""]
        for n, piece in enumerate(pieces):
            final = n == len(pieces) - 1
            packed = deflater.deflate_part(piece, final)
            stream += encode_unmasked((FIN if final else 0) | (0 if n else RSV1 | 2), packed)
    events = feed_all(WebSocketDecoder(role="client", deflate=inflater), cut(stream, at))
    assert [event.data for event in events] == sent


@hypothesis.given(st.lists(st.tuples(blobs, st.none() | st.integers(9, 15)), max_size=6))
def test_windows_for_single_messages(sent: list[tuple[bytes, int | None]]) -> None:
    deflater, inflater = Deflater(12), Inflater(12)
    for data, bits in sent:
        assert inflater.inflate(deflater.deflate(data, window_bits=bits)) == data


# ---- another implementation


@hypothesis.given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 9, 10, 8]), st.text(max_size=20) | st.sampled_from(["a" * 125])), max_size=6
    ),
    st.booleans(),
)
def test_frames_of_websockets_are_understood_and_understand(sent: list[tuple[int, str]], masked: bool) -> None:
    frames = pytest.importorskip("websockets.frames")
    streams = pytest.importorskip("websockets.streams")
    stream, ours = b"", b""
    expected: list[tuple[Any, ...]] = []
    for opcode, text in sent:
        data = text.encode() if len(text.encode()) < 126 else b""
        if opcode == 8:
            data = b"\x03\xe8"
        stream += frames.Frame(frames.Opcode(opcode), data).serialize(mask=masked)
        ours += encode_frame(opcode, data, mask=b"\x00\x80\xff\x01" if masked else None)
        if not expected or expected[-1][0] != "CLOSE":
            value: Any = data.decode() if opcode == 1 else 1000 if opcode == 8 else data
            expected.append((WSMsgType(opcode).name, value))
    decoder = WebSocketDecoder(role="server" if masked else "client")
    assert plain(feed_all(decoder, [stream])) == expected
    reader = streams.StreamReader()
    reader.feed_data(ours)
    for opcode, _ in sent:
        parser = frames.Frame.parse(reader.read_exact, mask=masked, max_size=None)
        with pytest.raises(StopIteration) as done:
            next(parser)
        assert done.value.value.opcode == opcode


def test_frames_made_by_hand_and_by_the_encoder_are_the_same() -> None:
    assert encode_frame(1, b"Hello") == bytes.fromhex("810548656c6c6f") == frame(1, b"Hello")  # RFC 6455 §5.7
    assert encode_frame(1, b"Hello", mask=bytes.fromhex("37fa213d")) == bytes.fromhex("818537fa213d7f9f4d5158")
    assert encode_frame(1, b"Hel", fin=False) == bytes.fromhex("010348656c")
    assert encode_frame(0, b"lo") == bytes.fromhex("80026c6f")
    assert encode_frame(9, b"Hello") == bytes.fromhex("890548656c6c6f")
    assert encode_frame(10, b"Hello", mask=bytes.fromhex("37fa213d")) == bytes.fromhex("8a8537fa213d7f9f4d5158")
    assert encode_frame(2, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert encode_frame(2, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")
