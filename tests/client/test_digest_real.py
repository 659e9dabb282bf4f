"""Digest authentication over real connections: a server that checks every answer by RFC 7616 with its own code.

The original goes through the same rooms where it is installed, which shows that the server asks for the right thing.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.peers.raw import RawConnection, RawRequest, RawServer, raw_server, response

from fairlead.client.middlewares import DigestAuthMiddleware
from fairlead.client.session import ClientSession
from fairlead.client.tcp import TCPConnector

fairlead = SimpleNamespace(
    ClientSession=ClientSession, DigestAuthMiddleware=DigestAuthMiddleware, TCPConnector=TCPConnector
)
HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512": "sha512", "SHA-512-256": "sha512_256"}
PAIR = re.compile(r'(\w+)="?((?<==")[^"]*|[^",]*)"?')


def clients() -> list[Any]:
    found = [pytest.param(fairlead, id="fairlead")]
    if importlib.util.find_spec("aiohttp") is not None:
        import aiohttp

        found.append(pytest.param(aiohttp, id="aiohttp"))
    return found


every_client = pytest.mark.parametrize("client", clients())


class DigestRealm:
    """The server side: nonces with an optional number of uses, and a count that must grow with each of them."""

    def __init__(
        self, *, algorithm: str = "MD5", qop: str = "auth", uses: int = 0, next_nonce: bool = False, extra: str = ""
    ) -> None:
        self.algorithm = algorithm
        self.qop = qop
        self.uses = uses
        self.next_nonce = next_nonce
        self.extra = extra
        self.counts: dict[str, list[int]] = {}
        self.refused: list[str] = []

    def hexdigest(self, data: bytes) -> str:
        name = HASHES[self.algorithm.upper().removesuffix("-SESS")]
        return hashlib.new(name, data, usedforsecurity=False).hexdigest()

    def issue(self) -> str:
        nonce = f"nonce/{len(self.counts)}=="
        self.counts[nonce] = []
        return nonce

    def challenge(self, why: str, *, stale: bool = False) -> bytes:
        self.refused.append(why)
        qop = f', qop="{self.qop}"' if self.qop else ""
        value = f'Digest realm="r, \\"quoted\\"", nonce="{self.issue()}", algorithm={self.algorithm}{qop}{self.extra}'
        return response(
            401,
            b"who are you?",
            ("WWW-Authenticate", value + (", stale=true" if stale else "")),
            ("WWW-Authenticate", 'Basic realm="x"'),
        )

    def expected(self, request: RawRequest, sent: dict[str, str]) -> str:
        secret = self.hexdigest(b'user:r, "quoted":pass:word')
        if self.algorithm.lower().endswith("-sess"):
            secret = self.hexdigest(f"{secret}:{sent['nonce']}:{sent['cnonce']}".encode())
        about = f"{request.method}:{request.target}"
        if sent.get("qop") == "auth-int":
            about += f":{self.hexdigest(request.body)}"
        parts = [secret, sent["nonce"], self.hexdigest(about.encode())]
        if self.qop:
            parts[2:2] = [sent["nc"], sent["cnonce"], sent["qop"]]
        return self.hexdigest(":".join(parts).encode())

    def answer(self, request: RawRequest) -> bytes:
        value = request.field("Authorization")
        if value is None:
            return self.challenge("nothing")
        sent = dict(PAIR.findall(value.removeprefix("Digest ").replace('\\"', "'")))
        nonce = sent["nonce"]
        if nonce not in self.counts:
            return self.challenge("nonce", stale=True)
        if sent["uri"] != request.target or sent["response"] != self.expected(request, sent):
            return self.challenge("response")
        count = int(sent.get("nc", "0"), 16)
        if self.qop and count in self.counts[nonce]:
            return self.challenge("replay")
        self.counts[nonce].append(count)
        if self.uses and len(self.counts[nonce]) > self.uses:
            return self.challenge("stale", stale=True)
        fields = [("Authentication-Info", f'nextnonce="{self.issue()}", qop=auth')] if self.next_nonce else []
        return response(200, b"welcome " + request.body, *fields)

    async def serve(self, connection: RawConnection) -> None:
        while (request := await connection.request()) is not None:
            await connection.send(self.answer(request))

    def open(self) -> RawServer:
        return raw_server(self.serve)


def session(client: Any, password: str = "pass:word", **options: Any) -> Any:
    return client.ClientSession(middlewares=[client.DigestAuthMiddleware("user", password)], **options)


async def fetch(http: Any, url: Any, method: str = "GET", **options: Any) -> tuple[int, bytes]:
    async with http.request(method, url, **options) as answered:
        return answered.status, await answered.read()


@every_client
@pytest.mark.parametrize("qop", ["", "auth", "auth-int", "auth,auth-int"])
@pytest.mark.parametrize("algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512", "SHA-512-256"])
async def test_algorithms(client: Any, algorithm: str, qop: str) -> None:
    if client is not fairlead and (algorithm == "SHA-512-256" or (algorithm.endswith("-sess") and not qop)):
        pytest.skip("the original does not know it, or does not send what the server needs to check it")
    realm = DigestRealm(algorithm=algorithm, qop=qop)
    async with realm.open() as server, session(client) as http:
        assert await fetch(http, server.url / "a b?q=ü,1") == (200, b"welcome ")
        assert await fetch(http, server.url / "x", "POST", data=b"body") == (200, b"welcome body")
        assert await fetch(http, server.url / "x", "PUT", json={"a": 1}) == (200, b'welcome {"a": 1}')
        assert realm.refused == ["nothing"]
        assert len(server.requests) == 4


@every_client
async def test_the_body_is_sent_again_after_the_challenge(client: Any) -> None:
    realm = DigestRealm(qop="auth-int")
    async with realm.open() as server, session(client) as http:
        assert await fetch(http, server.url, "POST", data={"a": "b"}) == (200, b"welcome a=b")
        assert [request.body for request in server.requests] == [b"a=b", b"a=b"]


@every_client
async def test_an_early_answer_to_a_large_upload(client: Any) -> None:
    """The server answers the head with 401 and leaves; the body goes out whole with the second request."""
    realm = DigestRealm()
    body = bytes(4 * 2**20)

    async def serve(connection: RawConnection) -> None:
        request = await connection.head()
        if request is not None and request.field("Authorization") is None:
            await connection.send(realm.answer(request))
            await connection.wait_closed_by_peer()
        elif request is not None:
            await connection.send(realm.answer(await connection.body(request)))
            await connection.wait_closed_by_peer()

    async with raw_server(serve) as server, session(client) as http:
        assert await fetch(http, server.url, "POST", data=io.BytesIO(body)) == (200, b"welcome " + body)
        assert len(server.connections) == 2


@every_client
async def test_a_file_is_sent_again_after_the_challenge(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content" * 10_000)
    realm = DigestRealm()
    async with realm.open() as server, session(client) as http:
        with path.open("rb") as file:
            assert await fetch(http, server.url, "POST", data=file) == (200, b"welcome " + path.read_bytes())
        assert [len(request.body) for request in server.requests] == [70_000, 70_000]


@every_client
async def test_a_nonce_that_runs_out_costs_one_more_request(client: Any) -> None:
    realm = DigestRealm(uses=2)
    async with realm.open() as server, session(client) as http:
        for _ in range(5):
            assert (await fetch(http, server.url))[0] == 200
    assert realm.refused == ["nothing", "stale", "stale"]


@every_client
async def test_wrong_password_is_tried_once(client: Any) -> None:
    realm = DigestRealm()
    async with realm.open() as server, session(client, "wrong") as http:
        assert await fetch(http, server.url) == (401, b"who are you?")
        assert realm.refused == ["nothing", "response"]


async def test_next_nonce_saves_the_round_trip() -> None:
    realm = DigestRealm(uses=1, next_nonce=True)
    async with realm.open() as server, session(fairlead) as http:
        for _ in range(4):
            assert (await fetch(http, server.url))[0] == 200
        assert realm.refused == ["nothing"]


async def test_userhash() -> None:
    realm = DigestRealm(algorithm="SHA-256", extra=", userhash=true")
    async with realm.open() as server, session(fairlead) as http:
        assert (await fetch(http, server.url))[0] == 200
        assert "user:" not in str(server.requests[1].fields)
        assert realm.hexdigest(b'user:r, "quoted"') in str(server.requests[1].field("Authorization"))


async def test_the_connection_is_used_again() -> None:
    realm = DigestRealm()
    async with realm.open() as server, session(fairlead) as http:
        for _ in range(3):
            assert (await fetch(http, server.url))[0] == 200
        assert len(server.requests) == 4
        assert len(server.connections) == 1


@every_client
async def test_redirect_to_another_server_takes_no_credentials(client: Any) -> None:
    home, other = DigestRealm(), DigestRealm()
    async with other.open() as stranger:

        async def serve(connection: RawConnection) -> None:
            while (request := await connection.request()) is not None:
                if request.field("Authorization") is None:
                    await connection.send(home.answer(request))
                else:
                    await connection.send(response(307, b"", ("Location", str(stranger.url / "there"))))

        async with raw_server(serve) as server, session(client) as http:
            assert (await fetch(http, server.url / "here"))[0] == 401
            assert [request.field("Authorization") for request in stranger.requests] == [None]


@every_client
async def test_many_at_once(client: Any) -> None:
    realm = DigestRealm()
    async with realm.open() as server, session(client, connector=client.TCPConnector(limit=5)) as http:
        await fetch(http, server.url)
        results = await asyncio.gather(*(fetch(http, server.url / str(n)) for n in range(40)))
        assert {status for status, _ in results} == {200}
        assert realm.refused == ["nothing"]


async def test_cancelled_between_the_attempts() -> None:
    realm = DigestRealm()
    reached = asyncio.Event()

    async def serve(connection: RawConnection) -> None:
        while (request := await connection.request()) is not None:
            if request.field("Authorization") is not None and not reached.is_set():
                reached.set()
                await connection.wait_closed_by_peer()
                return
            await connection.send(realm.answer(request))

    async with raw_server(serve) as server, session(fairlead) as http:
        task = asyncio.create_task(fetch(http, server.url))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await fetch(http, server.url))[0] == 200
