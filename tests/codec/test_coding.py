"""codec.coding: tables run whole, byte by byte and in odd pieces; bombs; damage; the backend; the encoders."""

from __future__ import annotations

import functools
import gzip
import os
import random
import subprocess
import sys
import tracemalloc
import types
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fairlead.codec import coding
from fairlead.codec.coding import CodingError, Decoder, decoder_for, encoder_for
from fairlead.errors import ProtocolError

brotli = pytest.importorskip("brotli")
try:
    from compression import zstd
except ImportError:
    zstd = pytest.importorskip("backports.zstd")

rng = random.Random(20)
TEXT = b"".join(b"%d bottles of %s on the wall; " % (i, rng.randbytes(3).hex().encode()) for i in range(3000))
NOISE = rng.randbytes(70_000)
SMALL = b"hello hello hello world"


def raw_deflate(data: bytes, level: int = 6) -> bytes:
    engine = zlib.compressobj(level, wbits=-15)
    return engine.compress(data) + engine.flush()


def squeeze_zlib(data: bytes) -> bytes:
    return zlib.compress(data)


SQUEEZE: dict[str, Callable[[bytes], bytes]] = {
    "gzip": functools.partial(gzip.compress, mtime=0),
    "deflate": squeeze_zlib,
    "br": functools.partial(brotli.compress, quality=5),
    "zstd": zstd.compress,
}
SKIPPABLE = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"


def drain(decoder: Decoder, data: bytes, limit: int) -> Iterator[bytes]:
    """Feed one block and yield the pieces until nothing is pending."""
    piece = decoder.decode(data, limit)
    assert len(piece) <= limit
    yield piece
    while decoder.pending:
        piece = decoder.decode(b"", limit)
        assert len(piece) <= limit
        yield piece


def decode(name: str, body: bytes, *, step: int | None = None, limit: int = 65536) -> bytes:
    decoder = decoder_for(name)
    assert decoder is not None
    step = step or max(1, len(body))
    out = [piece for at in range(0, len(body), step) for piece in drain(decoder, body[at : at + step], limit)]
    assert decoder.decode(b"", limit) == b""
    return b"".join([*out, decoder.finish()])


def gz(data: bytes) -> bytes:
    return SQUEEZE["gzip"](data)


VALID: list[tuple[str, str, bytes, bytes]] = [
    *((name, f"{name} {label}", squeeze(data), data) for name, squeeze in SQUEEZE.items()
      for label, data in (("small", SMALL), ("text", TEXT), ("noise", NOISE), ("nothing", b""))),
    *((name, f"{name} without a byte", b"", b"") for name in SQUEEZE),
    ("x-gzip", "x-gzip is gzip", gz(SMALL), SMALL),
    ("GZip", "name in any case", gz(SMALL), SMALL),
    ("zStD", "zstd in any case", zstd.compress(SMALL), SMALL),
    ("gzip", "two members", gz(SMALL) + gz(TEXT), SMALL + TEXT),
    ("gzip", "an empty member between", gz(SMALL) + gz(b"") + gz(SMALL), SMALL * 2),
    ("gzip", "more members than one call begins", gz(b"x") * 3000, b"x" * 3000),
    ("gzip", "more empty members than one call begins", gz(b"") * 3000, b""),
    ("deflate", "raw", raw_deflate(TEXT), TEXT),
    ("deflate", "raw stored", raw_deflate(NOISE, 0), NOISE),
    ("deflate", "raw nothing", raw_deflate(b""), b""),
    ("deflate", "raw twice", raw_deflate(SMALL) * 2, SMALL * 2),
    ("deflate", "zlib twice", zlib.compress(SMALL) * 2, SMALL * 2),
    ("deflate", "zlib, then raw", zlib.compress(SMALL) + raw_deflate(SMALL), SMALL * 2),
    *(("deflate", f"zlib level {level}", zlib.compress(SMALL, level), SMALL) for level in range(10)),
    ("deflate", "small window", (lambda c: c.compress(SMALL) + c.flush())(zlib.compressobj(wbits=9)), SMALL),
    ("zstd", "two frames", zstd.compress(SMALL) + zstd.compress(TEXT), SMALL + TEXT),
    ("zstd", "skippable frames", SKIPPABLE + zstd.compress(SMALL) + SKIPPABLE, SMALL),
    ("zstd", "more frames than one call begins", zstd.compress(b"y") * 1100, b"y" * 1100),
    ("gzip, br", "br over gzip", SQUEEZE["br"](gz(TEXT)), TEXT),
    ("GZIP ,\tBR", "any case and space", SQUEEZE["br"](gz(TEXT)), TEXT),
    ("zstd,deflate,gzip", "three", gz(zlib.compress(zstd.compress(TEXT))), TEXT),
    ("gzip, gzip, gzip, gzip, gzip", "five", functools.reduce(lambda d, _: gz(d), range(5), TEXT), TEXT),
    ("identity, gzip, identity", "identity is skipped", gz(SMALL), SMALL),
    (", gzip,", "empty items are skipped", gz(SMALL), SMALL),
    ("gzip, br", "a list without a byte", b"", b""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "data"), [(n, b, d) for n, _, b, d in VALID], ids=[i for _, i, _, _ in VALID])
@pytest.mark.parametrize(("step", "limit"), [(None, 1 << 20), (None, 1000), (1, 65536), (7, 13), (4096, 4096)])
def test_valid_bodies_decode_in_any_pieces(name: str, body: bytes, data: bytes, step: int | None, limit: int) -> None:
    if limit < 100 and len(data) > 5000:
        limit = 5000
    if step and step < 10 and len(body) > 20_000:
        step = 999
    assert decode(name, body, step=step, limit=limit) == data


@pytest.mark.parametrize("body", [zlib.compress(SMALL), raw_deflate(SMALL), raw_deflate(b""), zlib.compress(b"")])
def test_every_split_of_deflate_gives_the_same(body: bytes) -> None:
    expected = decode("deflate", body)
    for cut in range(len(body) + 1):
        decoder = decoder_for("deflate")
        assert decoder is not None
        got = b"".join([*drain(decoder, body[:cut], 5), *drain(decoder, body[cut:], 5)])
        assert (got, decoder.finish()) == (expected, b"")


@pytest.mark.parametrize("name", ["", "identity", "Identity", "identity, identity", "foo", "compress", "gzip, foo",
                                  "zlib", "gzip;q=1", ",", " ", "gzip\x00"])  # fmt: skip
def test_bodies_in_no_or_unknown_codings_are_left_alone(name: str) -> None:
    assert decoder_for(name) is None


def test_too_many_codings_are_refused() -> None:
    with pytest.raises(CodingError, match="at most 5 content codings are undone, and here are 6") as caught:
        decoder_for(", ".join(["gzip"] * 6))
    assert (caught.value.slug, caught.value.fault) == ("coding.chain", "peer")


TRUNCATED = [(name, cut) for name in SQUEEZE for cut in (1, 2, 5, 9)]


@pytest.mark.parametrize(("name", "cut"), TRUNCATED)
@pytest.mark.parametrize("step", [None, 1])
def test_truncated_bodies_are_told_at_the_end(name: str, cut: int, step: int | None) -> None:
    body = SQUEEZE[name](TEXT)[:-cut]
    with pytest.raises(CodingError, match=f"the {name} body ended before its end") as caught:
        decode(name, body, step=step)
    assert caught.value.slug == "coding.truncated"


@pytest.mark.parametrize(
    ("name", "body"),
    [("gzip", b"\x1f"), ("deflate", b"\x78"), ("deflate", b"\x78\x9c"), ("zstd", b"\x28"), ("br", b"\x0b"),
     ("gzip", gz(SMALL) + b"\x1f"), ("gzip", gz(SMALL) + gz(SMALL)[:12]), ("deflate", raw_deflate(TEXT)[:-1]),
     ("gzip, br", SQUEEZE["br"](gz(TEXT)[:-1])), ("gzip, br", SQUEEZE["br"](gz(TEXT))[:-1])],
)  # fmt: skip
def test_truncated_beginnings_and_later_members(name: str, body: bytes) -> None:
    with pytest.raises(CodingError) as caught:
        decode(name, body)
    assert caught.value.slug == "coding.truncated"


def flip(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 0x55]) + body[at + 1 :]


@pytest.mark.parametrize(
    ("name", "body", "slug"),
    [("gzip", SMALL, "corrupt"), ("gzip", zlib.compress(SMALL), "corrupt"), ("gzip", flip(gz(SMALL), -8), "corrupt"),
     ("gzip", gz(SMALL)[:-4] + b"\0\0\0\0", "corrupt"),
     ("deflate", gz(SMALL), "corrupt"), ("deflate", b"\xff\xff\xff", "corrupt"), ("deflate", b"\x78\x00abc", "corrupt"),
     ("deflate", zlib.compress(SMALL)[:-4] + b"\0\0\0\0", "corrupt"),
     ("br", SMALL, "corrupt"), ("br", SQUEEZE["br"](SMALL) + b"x", "corrupt"),
     ("br", SQUEEZE["br"](SMALL) * 2, "corrupt"),
     ("zstd", SMALL, "corrupt"), ("zstd", flip(zstd.compress(SMALL), 0), "corrupt"),
     ("gzip", gz(SMALL) + b"\0" * 8, "trailing"), ("gzip", gz(SMALL) + b"garbage", "trailing"),
     ("gzip", gz(SMALL) * 2 + b"\x1f\x8bxx", "trailing"),
     ("deflate", zlib.compress(SMALL) + b"garbage", "trailing"),
     ("deflate", raw_deflate(SMALL) + b"garbage", "trailing"),
     ("zstd", zstd.compress(SMALL) + b"garbage", "trailing"), ("zstd", zstd.compress(SMALL) + b"\0" * 8, "trailing"),
     ("gzip, br", SQUEEZE["br"](SMALL), "corrupt")],
)  # fmt: skip
@pytest.mark.parametrize("step", [None, 1, 3])
def test_damaged_bodies_are_refused(name: str, body: bytes, slug: str, step: int | None) -> None:
    with pytest.raises(CodingError) as caught:
        decode(name, body, step=step)
    assert caught.value.slug == f"coding.{slug}"
    assert caught.value.fault == "peer"
    assert isinstance(caught.value, ProtocolError)
    assert "auto_decompress=False" in caught.value.message


def test_a_zstd_window_over_the_limit_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.compression_level: 1}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(SMALL) + compressor.flush(compressor.FLUSH_BLOCK) + compressor.flush()
    with pytest.raises(CodingError, match="memory") as caught:
        decode("zstd", body)
    assert caught.value.slug == "coding.corrupt"


@pytest.mark.parametrize("name", [*SQUEEZE, "gzip, br"])
def test_wrong_calls_are_refused(name: str) -> None:
    body = SQUEEZE["br"](gz(TEXT)) if "," in name else SQUEEZE[name](TEXT)
    decoder = decoder_for(name)
    assert decoder is not None
    for limit in (0, -1):
        with pytest.raises(ValueError, match="max_length must be at least 1"):
            decoder.decode(body, limit)
    decoder.decode(body, 10)
    assert decoder.pending
    with pytest.raises(ValueError, match="max_length must be at least 1"):
        decoder.decode(b"", 0)
    with pytest.raises(RuntimeError, match="before finish"):
        decoder.finish()


@pytest.mark.parametrize("name", [*SQUEEZE, "gzip, br"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_input_that_comes_while_output_is_pending_is_kept(name: str, kind: Any) -> None:
    body = SQUEEZE["br"](gz(TEXT)) if "," in name else SQUEEZE[name](TEXT)
    decoder = decoder_for(name)
    assert decoder is not None
    out = []
    for at in range(0, len(body), 500):
        block = bytearray(body[at : at + 500])
        out.append(decoder.decode(kind(block), 100))
        if kind is not bytes:
            block[:] = bytes(len(block))  # the caller may use its buffer again
    out.extend(drain(decoder, b"", 1000))
    assert b"".join(out) == TEXT
    assert decoder.finish() == b""


def peak_while_decoding(name: str, body: bytes, limit: int, size: int) -> int:
    decoder = decoder_for(name)
    assert decoder is not None
    decoder.decode(body[:1], limit)  # imports and tables are not the bomb's
    tracemalloc.start()
    try:
        total = sum(len(piece) for piece in drain(decoder, body[1:], limit))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == size
    assert decoder.finish() == b""
    return peak


BOMB = 64 << 20


@functools.cache
def zeros(name: str) -> bytes:
    encoder = encoder_for(name)  # type: ignore[arg-type]
    block = bytes(1 << 20)
    return b"".join([*(encoder.encode(block) for _ in range(BOMB >> 20)), encoder.flush()])


@pytest.mark.parametrize("name", SQUEEZE)
def test_bombs_take_the_memory_of_a_piece(name: str) -> None:
    body = zeros(name)
    assert len(body) * 500 < BOMB
    assert peak_while_decoding(name, body, 1 << 16, BOMB) < (1 << 20) + 2 * len(body)


@pytest.mark.parametrize("name", ["gzip, gzip", "gzip, br", "gzip, zstd"])
def test_bombs_in_two_layers_take_the_memory_of_a_piece(name: str) -> None:
    outer = name.split(", ")[1]
    body = SQUEEZE[outer](zeros("gzip"))
    assert peak_while_decoding(name, body, 1 << 16, BOMB) < 2 << 20


def test_work_and_memory_for_many_streams_stay_in_proportion_to_the_input() -> None:
    decoder = decoder_for("gzip")
    assert decoder is not None
    body = gz(b"") * 20_000
    calls = sum(1 for _ in drain(decoder, body, 1 << 16))
    assert calls == -(-20_000 // coding.MEMBERS_PER_CALL)


class Recorder(types.ModuleType):
    """A zlib backend that notes what is asked of it, and how much it copied back."""

    def __init__(self) -> None:
        super().__init__("recorder")
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.copied = 0
        self.error = zlib.error

    def decompressobj(self, **options: Any) -> Any:
        self.calls.append(("decompressobj", options))
        return RecordedInflater(self, zlib.decompressobj(**options))

    def compressobj(self, **options: Any) -> Any:
        self.calls.append(("compressobj", options))
        return zlib.compressobj(**options)


class RecordedInflater:
    def __init__(self, recorder: Recorder, engine: Any) -> None:
        self.recorder = recorder
        self.engine = engine

    def decompress(self, data: bytes, max_length: int) -> bytes:
        out: bytes = self.engine.decompress(data, max_length)
        self.recorder.copied += len(self.engine.unconsumed_tail) + len(self.engine.unused_data)
        return out

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    backend = Recorder()
    before = coding.zlib_backend()
    coding.set_zlib_backend(backend)  # type: ignore[arg-type]
    yield backend
    coding.set_zlib_backend(before)


def test_the_backend_makes_every_zlib_object(recorder: Recorder) -> None:
    assert vars(coding)["_backend"] is recorder
    assert decode("gzip", gz(SMALL)) == SMALL
    assert decode("deflate", zlib.compress(SMALL)) == SMALL
    assert decode("deflate", raw_deflate(SMALL)) == SMALL
    for name, options in (("gzip", {}), ("deflate", {"level": 3}), ("gzip", {"level": 1, "strategy": 2})):
        encoder = encoder_for(name, **options)
        assert decode(name, encoder.encode(SMALL) + encoder.flush()) == SMALL
    assert recorder.calls == [
        ("decompressobj", {"wbits": 31}),
        ("decompressobj", {"wbits": 15}),
        ("decompressobj", {"wbits": -15}),
        ("compressobj", {"wbits": 31}),
        ("decompressobj", {"wbits": 31}),
        ("compressobj", {"wbits": 15, "level": 3}),
        ("decompressobj", {"wbits": 15}),
        ("compressobj", {"wbits": 31, "level": 1, "strategy": 2}),
        ("decompressobj", {"wbits": 31}),
    ]


@pytest.mark.parametrize(
    ("body", "limit"),
    [(gz(b"") * 10_000, 65536), (gz(b"x") * 10_000, 65536), (gz(TEXT) * 30, 65536), (gz(bytes(1 << 24)) * 4, 1 << 14)],
)
def test_copies_stay_in_proportion_to_the_input(recorder: Recorder, body: bytes, limit: int) -> None:
    decoder = decoder_for("gzip")
    assert decoder is not None
    for _ in drain(decoder, body, limit):
        pass
    assert recorder.copied < 8 * len(body)


def test_bodies_under_way_keep_their_backend(recorder: Recorder) -> None:
    decoder = decoder_for("gzip")
    assert decoder is not None
    coding.set_zlib_backend(zlib)
    assert decoder.decode(gz(SMALL), 1000) == SMALL
    assert [name for name, _ in recorder.calls] == ["decompressobj"]


def test_errors_of_another_backend_are_coding_errors(recorder: Recorder) -> None:
    class OwnError(Exception):
        pass

    class Engine:
        eof = False

        def decompress(self, data: bytes, max_length: int) -> bytes:
            raise OwnError("no")

    recorder.error = OwnError  # type: ignore[assignment]
    recorder.decompressobj = lambda **options: Engine()  # type: ignore[method-assign]
    with pytest.raises(CodingError, match="the body is not valid gzip: no") as caught:
        decode("gzip", b"x")
    assert isinstance(caught.value.__cause__, OwnError)


@pytest.mark.parametrize("backend", [None, object(), sys, "zlib"])
def test_what_is_no_backend_is_refused(backend: Any) -> None:
    before = coding.zlib_backend()
    with pytest.raises(TypeError, match=r"has no function compressobj\(\)"):
        coding.set_zlib_backend(backend)
    assert coding.zlib_backend() is before


# ------------------------------------------------------------------------------------------------------------ encoding


def undo(name: str, body: bytes) -> bytes:
    """Decode with the library itself."""
    done = {"gzip": gzip.decompress, "deflate": zlib.decompress, "br": brotli.decompress, "zstd": zstd.decompress}
    result: bytes = done[name](body)
    return result


@pytest.mark.parametrize("name", SQUEEZE)
@pytest.mark.parametrize("level", [None, 1, 9])
@pytest.mark.parametrize("blocks", [[], [b""], [TEXT], [SMALL, b"", NOISE, TEXT], [b"x"] * 100])
def test_encoders_give_what_the_libraries_read(name: Any, level: int | None, blocks: list[bytes]) -> None:
    encoder = encoder_for(name, level=level)
    body = b"".join([*map(encoder.encode, blocks), encoder.flush()])
    assert undo(name, body) == b"".join(blocks)
    assert decode(name, body) == b"".join(blocks)


def test_encoders_compress_and_levels_differ() -> None:
    sizes = {}
    for name in SQUEEZE:
        for level in (1, 9):
            encoder = encoder_for(name, level=level)  # type: ignore[arg-type]
            sizes[name, level] = len(encoder.encode(TEXT) + encoder.flush())
        assert sizes[name, 9] != sizes[name, 1]  # zstd 9 is not smaller here
        assert max(sizes[name, 9], sizes[name, 1]) < len(TEXT) / 2


def test_strategy_reaches_zlib() -> None:
    huffman = encoder_for("gzip", strategy=zlib.Z_HUFFMAN_ONLY)
    plain = encoder_for("gzip")
    assert len(huffman.encode(TEXT) + huffman.flush()) > len(plain.encode(TEXT) + plain.flush())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("foo", {}), "coded as gzip, deflate, br, zstd, not as 'foo'"), (("identity", {}), "not as 'identity'"),
     (("GZIP", {}), "not as 'GZIP'"), (("gzip", {"level": 10}), "level for gzip must be from -1 to 9, not 10"),
     (("deflate", {"level": -2}), "from -1 to 9"), (("br", {"level": 12}), "level for br must be from 0 to 11"),
     (("zstd", {"level": 23}), "to 22, not 23"),
     (("br", {"strategy": 1}), "strategy is a parameter of gzip and deflate"),
     (("zstd", {"strategy": 1}), "not of zstd")],
)  # fmt: skip
def test_wrong_encoders_are_refused(arguments: tuple[Any, dict[str, Any]], message: str) -> None:
    name, options = arguments
    with pytest.raises(ValueError, match=message):
        encoder_for(name, **options)


# ------------------------------------------------------------------------------------------------ optional libraries


@pytest.fixture
def forget() -> Iterator[None]:
    """Look for the libraries anew, in the test and after it."""
    caches = (coding._brotli_name, coding._zstd_name, coding.accept_encoding)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_accept_encoding_offers_what_is_installed(forget: None) -> None:
    assert coding.accept_encoding() == "gzip, deflate, br, zstd"


@pytest.mark.usefixtures("forget")
def test_missing_libraries_are_not_offered_and_are_named_when_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "_spec", lambda name: None)
    assert coding.accept_encoding() == "gzip, deflate"
    for name, wanted in (("br", "Brotli 1.2"), ("zstd", r"backports\.zstd")):
        makers: list[Callable[[Any], Any]] = [decoder_for, encoder_for]
        for make in makers:
            with pytest.raises(CodingError, match=f"content coding {name} needs .*{wanted}.*not installed") as caught:
                make(name)
            assert (caught.value.slug, caught.value.fault) == ("coding.unavailable", "local")
    assert decoder_for("gzip") is not None


@pytest.mark.usefixtures("forget")
def test_a_library_that_fails_to_import_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brotli", None)  # importing it now fails
    monkeypatch.setattr(coding, "_brotli_name", lambda: "brotli")
    with pytest.raises(CodingError, match="brotli, which br needs, cannot be imported") as caught:
        decoder_for("br")
    assert caught.value.fault == "local"


@pytest.mark.parametrize(
    ("entries", "current"),
    [(["brotli-1.2.0.dist-info"], True), (["Brotli-1.1.0.egg-info"], False), (["Brotli-1.1.0.dist-info"], False),
     (["brotli-2.0.dist-info"], True), (["brotli-1.10.1.dist-info"], True),
     (["brotli-asgi-0.1.dist-info"], True), ([], True)],
)  # fmt: skip
def test_an_old_brotli_is_known_by_its_metadata(tmp_path: Any, entries: list[str], current: bool) -> None:
    for entry in entries:
        (tmp_path / entry).mkdir()
    module = types.SimpleNamespace(name="brotli", origin=str(tmp_path / "brotli.py"), submodule_search_locations=None)
    package = types.SimpleNamespace(
        name="brotli", origin=str(tmp_path / "brotli" / "__init__.py"), submodule_search_locations=[str(tmp_path)]
    )
    assert coding._is_current(module) is current  # type: ignore[arg-type]
    assert coding._is_current(package) is current  # type: ignore[arg-type]


def test_an_old_brotli_does_not_decode(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        process: Any = None

    library = types.SimpleNamespace(__name__="brotli", __version__="1.0.9", Decompressor=Old, error=ValueError)
    monkeypatch.setattr(coding, "_brotli", lambda: library)
    with pytest.raises(CodingError, match=r"br needs Brotli 1\.2 or newer, not brotli 1\.0\.9") as caught:
        decoder_for("br")
    assert caught.value.slug == "coding.unavailable"


def test_importing_the_module_imports_no_library() -> None:
    script = (
        "import sys, fairlead.codec.coding as c; c.accept_encoding(); "
        "print([m for m in ('brotli', 'brotlicffi', 'backports.zstd', 'compression.zstd') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


# -------------------------------------------------------------------------------------------------------- properties

hypothesis = pytest.importorskip("hypothesis")
from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

NAMES = st.lists(st.sampled_from(sorted(SQUEEZE)), min_size=1, max_size=3)


@given(NAMES, st.binary(max_size=3000), st.lists(st.integers(1, 400), min_size=1, max_size=8), st.integers(1, 5000))
def test_decoding_undoes_encoding_in_any_pieces(names: list[str], data: bytes, steps: list[int], limit: int) -> None:
    body = data * 3
    for name in names:
        encoder = encoder_for(name)  # type: ignore[arg-type]
        body = encoder.encode(body) + encoder.flush()
    decoder = decoder_for(", ".join(names))
    assert decoder is not None
    out: list[bytes] = []
    at = turn = 0
    while at < len(body):
        step = steps[turn % len(steps)]
        out.extend(drain(decoder, body[at : at + step], limit))
        at += step
        turn += 1
    assert b"".join(out) == data * 3
    assert decoder.finish() == b""


@given(st.sampled_from([*sorted(SQUEEZE), "gzip, br", "deflate, zstd"]), st.binary(max_size=300), st.integers(1, 64))
def test_any_bytes_give_output_or_a_coding_error(name: str, body: bytes, step: int) -> None:
    try:
        decode(name, body, step=step)
    except CodingError as exc:
        assert exc.slug in ("coding.corrupt", "coding.trailing", "coding.truncated")


@given(st.sampled_from(sorted(SQUEEZE)), st.data())
def test_damage_anywhere_gives_output_or_a_coding_error(name: str, data: st.DataObject) -> None:
    body = bytearray(SQUEEZE[name](SMALL * 20) * data.draw(st.integers(1, 3)))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    whole: bytes | str
    pieces: bytes | str
    try:
        whole = decode(name, bytes(body))
    except CodingError as exc:
        whole = exc.slug
    try:
        pieces = decode(name, bytes(body), step=data.draw(st.integers(1, 50)), limit=data.draw(st.integers(1, 500)))
    except CodingError as exc:
        pieces = exc.slug
    assert whole == pieces
