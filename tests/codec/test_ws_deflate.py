"""permessage-deflate: negotiation by RFC 7692 §5 and §7.1, data by §7.2, sizes bounded."""

from __future__ import annotations

import random
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from tests.codec.ws_feeding import deflated

from fairlead.codec import coding
from fairlead.codec.ws_deflate import (
    MAX_STREAMS,
    DeflateParameters,
    Deflater,
    Inflater,
    accept_deflate,
    agree_deflate,
    offer_deflate,
)
from fairlead.codec.ws_handshake import HandshakeError, parse_extensions
from fairlead.errors import WebSocketError

PD = "permessage-deflate"


# ---- offers


def test_offers() -> None:
    """The forms that aiohttp sends."""
    assert offer_deflate() == offer_deflate(15) == f"{PD}; client_max_window_bits"
    assert offer_deflate(10) == f"{PD}; client_max_window_bits; server_max_window_bits=10"
    assert offer_deflate(9) == f"{PD}; client_max_window_bits; server_max_window_bits=9"
    assert offer_deflate(client_no_context_takeover=True, server_no_context_takeover=True) == (
        f"{PD}; client_max_window_bits; server_no_context_takeover; client_no_context_takeover"
    )


@pytest.mark.parametrize("bits", [8, 16, 0, 1, -15, True])
def test_windows_that_cannot_be_offered(bits: int) -> None:
    with pytest.raises(ValueError, match="compress must be the window in bits, 9 to 15, or 0, not"):
        offer_deflate(bits)


# What a client offers, what the server answers, what was agreed: (server, client) takeover off, (server, client) bits.
ACCEPTED: list[tuple[str, str, tuple[bool, bool, int, int]]] = [
    (PD, PD, (False, False, 15, 15)),
    (f"{PD}; client_max_window_bits", PD, (False, False, 15, 15)),
    (f"{PD}; client_max_window_bits=10", PD, (False, False, 15, 10)),
    (f"{PD}; server_max_window_bits=10", f"{PD}; server_max_window_bits=10", (False, False, 10, 15)),
    (f"{PD}; server_max_window_bits=15", f"{PD}; server_max_window_bits=15", (False, False, 15, 15)),
    (f"{PD}; server_max_window_bits=8", f"{PD}; server_max_window_bits=8", (False, False, 8, 15)),
    (f'{PD}; server_max_window_bits="10"', f"{PD}; server_max_window_bits=10", (False, False, 10, 15)),
    (f"{PD}; server_no_context_takeover", f"{PD}; server_no_context_takeover", (True, False, 15, 15)),
    (f"{PD}; client_no_context_takeover", f"{PD}; client_no_context_takeover", (False, True, 15, 15)),
    (
        f"{PD};server_no_context_takeover ; client_no_context_takeover;server_max_window_bits=12"
        ";client_max_window_bits=11",
        f"{PD}; server_max_window_bits=12; server_no_context_takeover; client_no_context_takeover",
        (True, True, 12, 11),
    ),
    (f"x-webkit-deflate-frame, {PD}", PD, (False, False, 15, 15)),
    (f"{PD}; foo, {PD}; server_max_window_bits=9", f"{PD}; server_max_window_bits=9", (False, False, 9, 15)),
    (f"{PD}; server_max_window_bits=7, {PD}", PD, (False, False, 15, 15)),
]

DECLINED = [
    "",
    "x-webkit-deflate-frame",
    f"{PD}; foo",
    f"{PD}; foo=1",
    f"{PD}; server_max_window_bits",
    f"{PD}; server_max_window_bits=7",
    f"{PD}; server_max_window_bits=16",
    f"{PD}; server_max_window_bits=010",
    f"{PD}; server_max_window_bits=a",
    f"{PD}; client_max_window_bits=16",
    f"{PD}; client_max_window_bits=0",
    f"{PD}; server_no_context_takeover=1",
    f"{PD}; client_no_context_takeover=true",
    f"{PD}; server_max_window_bits=10; server_max_window_bits=10",
    f"{PD}; client_no_context_takeover; client_no_context_takeover",
]


@pytest.mark.parametrize(("offer", "answer", "agreed"), ACCEPTED)
def test_offers_that_are_accepted(offer: str, answer: str, agreed: tuple[bool, bool, int, int]) -> None:
    assert accept_deflate(parse_extensions([offer])) == (answer, DeflateParameters(*agreed))
    # The answer means the same to the client, but for its own window, which it knows.
    theirs = agree_deflate(parse_extensions([answer]), offered=True)
    assert theirs is not None
    assert theirs._replace(client_max_window_bits=agreed[3]) == agreed


@pytest.mark.parametrize("offer", DECLINED)
def test_offers_that_are_declined(offer: str) -> None:
    assert accept_deflate(parse_extensions([offer])) is None


def test_a_server_may_want_less_memory() -> None:
    offers = parse_extensions([PD])
    assert accept_deflate(offers, window_bits=10) == (
        f"{PD}; server_max_window_bits=10",
        DeflateParameters(server_max_window_bits=10),
    )
    assert accept_deflate(offers, no_context_takeover=True) == (
        f"{PD}; server_no_context_takeover",
        DeflateParameters(server_no_context_takeover=True),
    )
    assert accept_deflate(parse_extensions([f"{PD}; server_max_window_bits=9"]), window_bits=10) == (
        f"{PD}; server_max_window_bits=9",
        DeflateParameters(server_max_window_bits=9),
    )


# ---- answers


@pytest.mark.parametrize(
    ("answer", "agreed"),
    [
        (PD, (False, False, 15, 15)),
        (f"{PD}; server_no_context_takeover", (True, False, 15, 15)),
        (f"{PD}; client_no_context_takeover", (False, True, 15, 15)),
        (f"{PD}; server_max_window_bits=8; client_max_window_bits=9", (False, False, 8, 9)),
        (f'{PD}; client_max_window_bits="10"', (False, False, 15, 10)),
    ],
)
def test_answers(answer: str, agreed: tuple[bool, bool, int, int]) -> None:
    assert agree_deflate(parse_extensions([answer]), offered=True) == DeflateParameters(*agreed)


@pytest.mark.parametrize(
    "answer",
    [
        f"{PD}; client_max_window_bits",
        f"{PD}; client_max_window_bits=7",
        f"{PD}; server_max_window_bits",
        f"{PD}; server_max_window_bits=16",
        f"{PD}; foo=1",
        f"{PD}; client_no_context_takeover=1",
        f"{PD}; server_no_context_takeover; server_no_context_takeover",
        f"{PD}, {PD}",
        "x-foo",
        f"{PD}, x-foo",
    ],
)
def test_answers_that_end_the_handshake(answer: str) -> None:
    with pytest.raises(HandshakeError, match="Invalid Sec-WebSocket-Extensions") as raised:
        agree_deflate(parse_extensions([answer]), offered=True)
    assert raised.value.slug == "ws.handshake.extension"
    assert raised.value.got is not None
    assert raised.value.got in answer


def test_an_answer_to_no_offer() -> None:
    assert agree_deflate([], offered=True) is None
    assert agree_deflate([], offered=False) is None
    with pytest.raises(HandshakeError, match="expected none, as none was offered, got 'permessage-deflate'"):
        agree_deflate(parse_extensions([PD]), offered=False)


def test_roles_take_their_own_parameters() -> None:
    agreed = DeflateParameters(True, False, 10, 11)
    deflater, inflater = agreed.codecs("server", level=9)
    assert (deflater.window_bits, deflater.no_context_takeover, deflater.level) == (10, True, 9)
    assert (inflater.window_bits, inflater.no_context_takeover) == (11, False)
    deflater, inflater = agreed.codecs("client")
    assert (deflater.window_bits, deflater.no_context_takeover, deflater.level) == (11, False, 1)
    assert (inflater.window_bits, inflater.no_context_takeover) == (10, True)


# ---- data


def test_the_examples_of_the_rfc() -> None:
    """RFC 7692 §7.2.3."""
    hello = bytes.fromhex("f248cdc9c90700")
    inflater = Inflater()
    assert inflater.inflate(hello) == b"Hello"  # §7.2.3.1
    assert inflater.inflate(bytes.fromhex("f200110000")) == b"Hello"  # §7.2.3.2: refers to the first
    assert inflater.inflate(bytes.fromhex("000500faff48656c6c6f00")) == b"Hello"  # §7.2.3.3: not compressed
    assert Inflater().inflate(bytes.fromhex("f348cdc9c9070000")) == b"Hello"  # §7.2.3.4: BFINAL
    assert Inflater().inflate(bytes.fromhex("f248050000 00ffff cac9c90700".replace(" ", ""))) == b"Hello"  # §7.2.3.5
    assert Inflater().inflate(b"\x00") == b""  # §7.2.3.6
    deflater = Deflater(level=6)
    assert deflater.deflate(b"Hello") == hello
    assert deflater.deflate(b"Hello") == bytes.fromhex("f200110000")
    assert deflater.deflate(b"") == b"\x00"
    deflater = Deflater(15, True, 6)
    assert [deflater.deflate(b"Hello") for _ in range(3)] == [hello] * 3


def test_messages_behind_a_final_block() -> None:
    """What follows a final block begins afresh, in the same message or in the next."""
    for takeover in (False, True):
        inflater = Inflater(15, takeover)
        final = deflated(b"Hello " * 9, final=True)
        assert inflater.inflate(final) == b"Hello " * 9
        assert inflater.inflate(final[:-1]) == b"Hello " * 9  # without the empty block behind
        assert inflater.inflate(final[:-1] + deflated(b"more")) == b"Hello " * 9 + b"more"
        assert inflater.inflate(deflated(b"Hello")) == b"Hello"
        assert inflater.inflate(final[:-1] * (MAX_STREAMS - 1) + final) == b"Hello " * 9 * MAX_STREAMS


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("limit", [0, 1, 2, 10, 54, 1000])
def test_parts_with_final_blocks(step: int, limit: int) -> None:
    inflater = Inflater()
    final = deflated(b"Hello " * 9, final=True)
    for data, expected in (
        (final, b"Hello " * 9),
        (final[:-1], b"Hello " * 9),
        (final[:-1] + deflated(b"more" * 50), b"Hello " * 9 + b"more" * 50),
        (deflated(b"plain"), b"plain"),
        (b"", b""),
    ):
        out = b""
        for at in range(0, max(1, len(data)), step):
            piece = inflater.inflate_part(data[at : at + step], limit, at + step >= len(data))
            assert not limit or len(piece) <= limit
            out += piece
            while inflater.pending:
                piece = inflater.inflate_part(b"", limit)
                assert len(piece) <= limit
                out += piece
        inflater.end()
        assert out == expected


def test_what_looks_like_the_end_of_a_message_is_data_before_its_end() -> None:
    """Behind a final block, a stored block of 65280 bytes begins like the four bytes that end every message."""
    final = deflated(b"Hello", final=True)
    inflater = Inflater()
    out = inflater.inflate_part(final[:-1] + b"\x00\x00\xff\xff")
    out += inflater.inflate_part(b"\x00" + bytes(0xFF00) + final, final=True)
    assert out == b"Hello" + bytes(0xFF00) + b"Hello"


def test_final_blocks_without_end_are_an_error() -> None:
    for data in (b"\x03\x00" * (MAX_STREAMS + 2), b"\x03\x00" * 100_000):
        with pytest.raises(WebSocketError, match=f"more than {MAX_STREAMS} final blocks") as raised:
            Inflater().inflate(data)
        assert raised.value.code == 1007
        with pytest.raises(WebSocketError, match="final blocks"):
            Inflater().inflate_part(data, 10)
    inflater = Inflater()
    for _ in range(MAX_STREAMS * 3):  # each message counts anew
        assert inflater.inflate(b"\x03\x00\x00") == b""


@pytest.mark.parametrize("limit", [1, 5, 100, 16384, 70_000])
def test_the_limit_of_a_message(limit: int) -> None:
    for data in (bytes(limit), random.Random(limit).randbytes(limit)):
        assert Inflater().inflate(deflated(data), limit) == data
        with pytest.raises(WebSocketError) as raised:
            Inflater().inflate(deflated(data + b"x"), limit)
        assert raised.value.code == 1009
        assert str(raised.value) == f"Decompressed message exceeds size limit {limit} (option max_msg_size)"
    half = deflated(bytes(limit // 2 + 1), final=True)[:-1]
    with pytest.raises(WebSocketError, match="exceeds size limit"):
        Inflater().inflate(half + half, limit)


def test_data_that_is_not_deflate() -> None:
    for data in (b"\xff\xff\xff", b"\x07", b"\x04\x00\xff\xff"):
        with pytest.raises(WebSocketError, match="Compressed message is not valid DEFLATE data: Error -") as raised:
            Inflater().inflate(data)
        assert raised.value.code == 1007
        assert isinstance(raised.value.__cause__, zlib.error)
        with pytest.raises(WebSocketError, match="not valid DEFLATE"):
            Inflater().inflate_part(data, 0, True)
    with pytest.raises(WebSocketError, match="not valid DEFLATE"):
        Inflater().inflate(deflated(b"Hello", final=True)[:-1] + b"\xff\xff")


@pytest.mark.parametrize("bits", range(8, 16))
@pytest.mark.parametrize("level", [1, 6, 9])
def test_windows_are_kept(bits: int, level: int) -> None:
    """Output never refers back further than the window; inflated byte by byte, zlib would notice."""
    chance = random.Random(bits)
    words = [chance.randbytes(chance.randrange(3, 60)) for _ in range(40)]
    deflater = Deflater(bits, False, level)
    engine = zlib.decompressobj(-bits)
    for _ in range(30):
        data = b"".join(chance.choices(words, k=60))
        waiting = deflater.deflate(data) + b"\x00\x00\xff\xff"
        out = bytearray()
        while waiting or len(out) < len(data):
            out += engine.decompress(waiting, 1)
            waiting = engine.unconsumed_tail
        assert out == data


def test_a_window_for_one_message_is_not_larger_than_the_agreed_one() -> None:
    same = Deflater(10).deflate(bytes(range(256)) * 40)
    assert Deflater(10).deflate(bytes(range(256)) * 40, window_bits=15) == same
    assert Deflater(15).deflate(bytes(range(256)) * 40, window_bits=10) == same


def test_without_takeover_nothing_is_remembered() -> None:
    text = b"the quick brown fox jumps over the lazy dog"
    kept, forgotten = Deflater(), Deflater(no_context_takeover=True)
    assert kept.deflate(text) == forgotten.deflate(text)
    assert len(kept.deflate(text)) < 12
    assert len(forgotten.deflate(text)) > 30


def test_another_module_can_do_the_work() -> None:
    """What set_zlib_backend sets, from the next connection on."""
    used: list[tuple[str, Any]] = []

    class Broken(Exception):
        pass

    def compressobj(**options: Any) -> Any:
        used.append(("compressobj", options["wbits"]))
        return zlib.compressobj(**options)

    def decompressobj(wbits: int) -> Any:
        used.append(("decompressobj", wbits))
        engine = zlib.decompressobj(wbits)

        def decompress(data: bytes, limit: int = 0) -> bytes:
            if data.startswith(b"\xff"):
                raise Broken("broken")
            return engine.decompress(data, limit)

        return SimpleNamespace(decompress=decompress, eof=False, unconsumed_tail=b"")

    backend: Any = SimpleNamespace(
        compressobj=compressobj, decompressobj=decompressobj, error=Broken, Z_SYNC_FLUSH=2, Z_FULL_FLUSH=3
    )
    before = coding.zlib_backend()
    coding.set_zlib_backend(backend)
    try:
        assert Inflater(12).inflate(Deflater(11).deflate(b"Hello")) == b"Hello"
        with pytest.raises(WebSocketError, match="not valid DEFLATE data: broken"):
            Inflater().inflate(b"\xff")
        with pytest.raises(WebSocketError, match="not valid DEFLATE data: broken"):
            Inflater().inflate_part(b"\xff")
    finally:
        coding.set_zlib_backend(before)
    assert used == [("compressobj", -11), ("decompressobj", -12), ("decompressobj", -15), ("decompressobj", -15)]


def test_memory_is_taken_when_it_is_needed() -> None:
    """A thousand connections that agreed on compression and do not send cost nothing for it."""
    made: list[str] = []
    backend: Any = SimpleNamespace(
        **{
            name: lambda *a, name=name, **k: made.append(name) or getattr(zlib, name)(*a, **k)
            for name in ("compressobj", "decompressobj")
        },
        Z_SYNC_FLUSH=2,
        Z_FULL_FLUSH=3,
    )
    before = coding.zlib_backend()
    coding.set_zlib_backend(backend)
    try:
        deflater, inflater = DeflateParameters().codecs("client")
        assert made == []
        packed = deflater.deflate(b"x")
        assert made == ["compressobj"]
        assert inflater.inflate(packed) == b"x"
        assert inflater.inflate(deflater.deflate(b"x")) == b"x"
        assert made == ["compressobj", "decompressobj"]
    finally:
        coding.set_zlib_backend(before)
