"""The server against curl: what a careful client of another make asks for, sends, and understands."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest
from tests.peers.programs import curl
from tests.peers.tls import authority, server_context
from tests.peers.told import BIG, LINE, PAGE, Told, digest, parsed


async def test_get_and_head(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        told = parsed((await curl(f"{server.url}told?a=1&b=%C3%A9+x")).out)
        assert (told["method"], told["version"], told["query"]) == ("GET", "1.1", [["a", "1"], ["b", "é x"]])
        assert told["headers"]["user-agent"].startswith("curl/")
        head = (await curl("-I", f"{server.url}files/big.bin")).text
        assert head.startswith("HTTP/1.1 200 OK\r\n")
        assert f"Content-Length: {len(BIG)}\r\n" in head
        missing = await curl("-o", "-", "-w", "%{http_code}", f"{server.url}nowhere")
        assert missing.out == b"404: Not Found404"


async def test_forms_and_files(tmp_path: Path) -> None:
    upload = tmp_path / "up load.bin"
    upload.write_bytes(BIG)
    async with Told(tmp_path) as server:
        url = f"{server.url}form"
        assert parsed((await curl("-d", "a=1", "--data-urlencode", "b=ü &", url)).out) == {"a": "1", "b": "ü &"}
        told = parsed((await curl("-F", "a=ü", "-F", f"f=@{upload};type=application/x-test", url)).out)
        assert told == {"a": "ü", "f": ["up load.bin", "application/x-test", len(BIG), digest(BIG)]}
        told = parsed((await curl("-F", "a=<-", "-H", "Transfer-Encoding: chunked", url, given=b"piped")).out)
        assert told == {"a": "piped"}


async def test_chunked_upload_from_standard_input(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        told = parsed((await curl("-T", "-", f"{server.url}told", given=BIG)).out)
        assert (told["method"], told["length"], told["digest"]) == ("PUT", len(BIG), digest(BIG))
        assert told["headers"]["transfer-encoding"] == "chunked"
        assert "content-length" not in told["headers"]


async def test_expect_continue(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(BIG)
    large = ("-H", "Expect: 100-continue", "--data-binary", f"@{tmp_path / 'large'}")
    async with Told(tmp_path) as server:
        ended = await curl("-v", "--expect100-timeout", "15", *large, f"{server.url}told")
        assert b"< HTTP/1.1 100 Continue" in ended.err
        told = parsed(ended.out)
        assert (told["length"], told["digest"]) == (len(BIG), digest(BIG))
        # Refused before a byte of the body is sent.
        show = ("-o", "-", "-w", " %{http_code} %{size_upload}")
        ended = await curl("--expect100-timeout", "15", *show, *large, f"{server.url}picky")
        assert ended.text.endswith(" 413 0")
        # And the route's own handler may go on.
        small = ("--expect100-timeout", "15", "-H", "Expect: 100-continue", "-d", "12345", f"{server.url}picky")
        ended = await curl("-v", *small)
        assert b"< HTTP/1.1 100 Continue" in ended.err
        assert parsed(ended.out)["length"] == 5


async def test_an_answer_before_the_body_is_read(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(BIG)
    async with Told(tmp_path) as server:
        sent = ("-H", "Expect:", "--data-binary", f"@{tmp_path / 'large'}")
        ended = await curl("-w", "%{http_code}", *sent, f"{server.url}refuse")
        assert ended.text == "too much\n413"


async def test_ranges_and_conditions(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        small = f"{server.url}files/small.txt"
        assert (await curl("-r", "10-19", small)).out == b"abcdefghij"
        assert (await curl("-r", "-5", small)).out == b"fghij"
        assert (await curl("-w", "%{http_code}", "-r", "3-3", small)).out == b"3206"
        assert (await curl("-w", "%{http_code}", "-o", "-", "-r", "50-60", small)).text.endswith("416")
        part = tmp_path / "part"
        part.write_bytes(BIG[:1_000_000])
        await curl("-C", "-", "-o", str(part), f"{server.url}files/big.bin")
        assert part.read_bytes() == BIG
        etag = tmp_path / "etag"
        await curl("--etag-save", str(etag), small)
        assert (await curl("-w", "%{http_code}", "--etag-compare", str(etag), small)).out == b"304"
        assert (await curl("-w", "%{http_code}", "-z", str(tmp_path / "small.txt"), small)).out == b"304"


async def test_compressed(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        for coding in ("gzip", "deflate"):
            ended = await curl("-i", "--compressed", "-H", f"Accept-Encoding: {coding}", f"{server.url}compressed")
            head, _, body = ended.text.partition("\r\n\r\n")
            assert f"Content-Encoding: {coding}" in head
            assert body == PAGE
        assert (await curl(f"{server.url}compressed")).text == PAGE
        lines = b"".join(LINE % i for i in range(3000))
        assert (await curl("--compressed", f"{server.url}stream?n=3000&gzip=1")).out == lines


async def test_several_urls_in_one_connection(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        urls = [f"{server.url}{path}" for path in ("told", "stream?n=10", "compressed", "files/big.bin", "nowhere")]
        outputs = [argument for _ in urls for argument in ("-o", str(tmp_path / "out"))]
        ended = await curl("-w", "%{num_connects} %{http_code}\n", *outputs, *urls)
        assert ended.text.split("\n")[:-1] == ["1 200", "0 200", "0 200", "0 200", "0 404"]
        assert len(server.peers) == 1


async def test_http_1_0(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        told = parsed((await curl("-0", "-d", "abc", f"{server.url}told")).out)
        assert (told["version"], told["length"]) == ("1.0", 3)
        ended = await curl("-0", "-i", f"{server.url}stream?n=500")
        head, _, body = ended.out.partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert body == b"".join(LINE % i for i in range(500))
        urls = [f"{server.url}told", f"{server.url}told"]
        outputs = ["-o", str(tmp_path / "out"), "-o", str(tmp_path / "out")]
        ended = await curl("-0", "-H", "Connection: keep-alive", "-w", "%{num_connects}", *outputs, *urls)
        assert ended.text == "10"


async def test_tls(tmp_path: Path) -> None:
    trusted = tmp_path / "ca.pem"
    authority().cert_pem.write_to_path(trusted)
    async with Told(tmp_path, ssl_context=server_context()) as server:
        got = await curl("--cacert", str(trusted), f"{server.url}files/big.bin")
        assert got.out == BIG
        told = await curl("--cacert", str(trusted), "-T", "-", f"{server.url}told", given=BIG)
        assert parsed(told.out)["digest"] == digest(BIG)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
async def test_unix_socket(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="fl-") as short:  # a socket's path has about a hundred bytes
        path = str(Path(short) / "s")
        async with Told(tmp_path, path=path):
            told = parsed((await curl("--unix-socket", path, "-d", "abc", "http://name.test/told")).out)
            assert (told["host"], told["length"]) == ("name.test", 3)
            assert (await curl("--unix-socket", path, "http://name.test/files/big.bin")).out == BIG


async def test_a_client_that_stops_reading_and_goes(tmp_path: Path) -> None:
    async with Told(tmp_path) as server:
        await curl("--max-time", "0.3", "-o", str(tmp_path / "out"), f"{server.url}endless", fails=True)
        assert (tmp_path / "out").read_bytes() == b"first\n"
        assert await server.ends.get() == "left"
        assert (await curl(f"{server.url}files/small.txt")).out == b"0123456789abcdefghij"


@pytest.mark.slow
async def test_parallel_downloads_and_uploads(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(BIG)
    async with Told(tmp_path) as server:
        names = [str(tmp_path / f"out{i}") for i in range(16)]
        pairs = [argument for name in names for argument in ("-o", name, f"{server.url}files/big.bin")]
        await curl("-Z", "--parallel-immediate", *pairs)
        assert all(Path(name).read_bytes() == BIG for name in names)
        pairs = [a for n in names for a in ("-o", n, "-T", str(tmp_path / "large"), f"{server.url}told")]
        await curl("-Z", "--parallel-immediate", *pairs)
        assert {parsed(Path(name).read_bytes())["digest"] for name in names} == {digest(BIG)}
