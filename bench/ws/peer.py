"""The other end, the same for every library: frames made beforehand, and no more looked at than where each one ends.

It answers, sends and counts with so little work that what is measured is always the end that is under test.  A
compressed message stands alone, so it can be sent again and again whatever was agreed about context.

As a server it does what the path asks for, ``/CASE``; as a client it asks the measured server for the same.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import re
import struct
import sys
import zlib
from typing import cast

from ..processes import new_event_loop, pin_to
from .cases import BY_NAME, Case

HOST = "127.0.0.1"
KEY = b"\x37\xfa\x21\x3d"
NONCE = base64.b64encode(bytes(range(16))).decode()
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WINDOW_BITS = 12  # what every library can read
FIN, RSV1, TEXT, BINARY, CONTROL = 0x80, 0x40, 0x1, 0x2, 0x8
BATCH = 100
"""Messages of a flood that are written at once."""

ANSWER_SECONDS = 600.0


def deflated(data: bytes) -> bytes:
    codec = zlib.compressobj(wbits=-WINDOW_BITS)
    return (codec.compress(data) + codec.flush(zlib.Z_SYNC_FLUSH))[:-4]


def frame(data: bytes, opcode: int, compress: bool, masked: bool) -> bytes:
    """Return a message as one frame."""
    if compress:
        data, opcode = deflated(data), opcode | RSV1
    size = len(data)
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", FIN | opcode, bit | size)
    elif size < 65536:
        head = struct.pack("!BBH", FIN | opcode, bit | 126, size)
    else:
        head = struct.pack("!BBQ", FIN | opcode, bit | 127, size)
    if not masked:
        return head + data
    mask = int.from_bytes((KEY * (size // 4 + 1))[:size], "big")
    return head + KEY + (int.from_bytes(data, "big") ^ mask).to_bytes(size, "big")


class Peer(asyncio.Protocol):
    """Counts messages; ``message`` is what it sends."""

    masked = False

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.buffer = bytearray()
        self.open = False
        self.received = 0
        self.skip = 0  # bytes that are left of a frame whose end has not come
        self.ends = False  # whether a message ends with that frame
        self.case: Case
        self.message = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def prepare(self, case: Case) -> None:
        data = case.message
        raw = data.encode() if isinstance(data, str) else data
        self.case = case
        self.message = frame(raw, TEXT if case.text else BINARY, case.compress, self.masked)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.open:
            head, found, rest = bytes(self.buffer).partition(b"\r\n\r\n")
            if not found:
                return
            self.buffer = bytearray(rest)
            self.open = True
            self.opened(head.decode("latin-1"))
        if self.buffer:
            self.frames()

    def frames(self) -> None:
        """Go from frame to frame; a message counts when the last byte of its last frame is there."""
        buffer, at, size = self.buffer, 0, len(self.buffer)
        messages = 0
        while at < size:
            if self.skip:
                taken = min(self.skip, size - at)
                self.skip -= taken
                at += taken
                if not self.skip and self.ends:
                    messages += 1
                continue
            if size - at < 2:
                break
            first, second = buffer[at], buffer[at + 1]
            length, head = second & 0x7F, 2
            if length == 126:
                head = 4
            elif length == 127:
                head = 10
            if size - at < head:
                break
            if head > 2:
                length = int.from_bytes(buffer[at + 2 : at + head], "big")
            self.skip = length + (len(KEY) if second & 0x80 else 0)
            at += head
            self.ends = first >= FIN and not first & CONTROL
            if not self.skip and self.ends:
                messages += 1
        del buffer[:at]
        if messages:
            self.received += messages
            self.arrived(messages)

    def opened(self, head: str) -> None:
        raise NotImplementedError

    def arrived(self, messages: int) -> None:
        raise NotImplementedError


class ServerPeer(Peer):
    """``echo``: answers each message; ``send``: counts, and answers once the ``count`` of the query is there;
    ``receive``: answers each message with ``count`` of its own."""

    def opened(self, head: str) -> None:
        found = re.match(r"GET /([\w-]+)\?count=(\d+) ", head)
        key = re.search(r"(?im)^sec-websocket-key: *(\S+)", head)
        assert found is not None
        assert key is not None
        self.prepare(BY_NAME[found[1]])
        self.count = int(found[2])
        accept = base64.b64encode(hashlib.sha1(key[1].encode() + GUID).digest()).decode()
        extensions = ""
        if self.case.compress:
            if "permessage-deflate" not in head.lower():
                raise ValueError("the client does not offer compression")
            extensions = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        self.transport.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n{extensions}\r\n".encode()
        )

    def arrived(self, messages: int) -> None:
        if self.case.action == "echo":
            for _ in range(messages):
                self.transport.write(self.message)
        elif self.case.action == "send":
            if self.received >= self.count:
                self.received -= self.count
                self.transport.write(self.message)
        else:
            for left in range(self.count * messages, 0, -BATCH):
                self.transport.write(self.message * min(left, BATCH))


class ClientPeer(Peer):
    """Asks the measured server for ``count`` messages at a time; ``run`` ends when all of them went through."""

    masked = True

    def __init__(self, case: Case, count: int) -> None:
        super().__init__()
        self.count = count
        self.wanted = 0
        self.to_send = 0
        self.prepare(case)
        self.writable = asyncio.Event()
        self.writable.set()
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.done: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        extensions = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        self.transport.write(
            f"GET /{self.case.name}?count={self.count} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {NONCE}\r\n"
            f"{extensions if self.case.compress else ''}\r\n".encode()
        )

    def opened(self, head: str) -> None:
        agreed = "permessage-deflate" in head.lower()
        if not head.startswith("HTTP/1.1 101 "):
            self.ready.set_exception(ValueError(head[:200]))
        elif agreed != self.case.compress:
            self.ready.set_exception(ValueError("the server does not agree to compression"))
        else:
            self.ready.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        lost = ConnectionError(f"the server closed the connection: {error}")
        for future in (self.ready, self.done):
            if not future.done():
                future.set_exception(lost)
                future.exception()

    def arrived(self, messages: int) -> None:
        if self.case.action == "echo" and self.to_send:
            self.to_send -= 1
            self.transport.write(self.message)
        if self.received >= self.wanted and not self.done.done():
            self.done.set_result(None)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    async def run(self) -> None:
        """Let ``count`` messages go through."""
        self.done = asyncio.get_running_loop().create_future()
        self.received = 0
        self.wanted = self.count
        if self.case.action == "echo":
            self.to_send = self.count - 1
            self.transport.write(self.message)
        elif self.case.action == "send":  # the server sends
            self.transport.write(self.message)
        else:
            self.wanted = 1
            for left in range(self.count, 0, -BATCH):
                await self.writable.wait()
                self.transport.write(self.message * min(left, BATCH))
        async with asyncio.timeout(ANSWER_SECONDS):
            await self.done


async def open_peer(case: Case, count: int, port: int) -> ClientPeer:
    _, peer = await asyncio.get_running_loop().create_connection(lambda: ClientPeer(case, count), HOST, port)
    async with asyncio.timeout(ANSWER_SECONDS):
        await peer.ready
    return peer


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(ServerPeer, HOST, 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="The neutral server; started by python -m bench.ws.")
    parser.add_argument("--core", type=int)
    pin_to(parser.parse_args().core)
    with contextlib.closing(new_event_loop("uvloop", "asyncio")) as loop:
        loop.run_until_complete(serve())


if __name__ == "__main__":
    main()
