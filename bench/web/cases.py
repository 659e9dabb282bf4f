"""The table of server benchmark cases: what is asked, what a right answer is, and how often it is asked."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..cases import KIB, MIB, POST_OBJECT

STATIC_VARIABLE = "BENCH_STATIC_DIRECTORY"  # environment variable: where the served file lies
STATIC_NAME = "page.bin"
STATIC_BODY = bytes(range(256)) * (10 * KIB // 256)

HELLO = "Hello, World!"
JSON_ANSWER = {
    "id": 4211,
    "status": "ready",
    "queue": 17,
    "owner": {"name": "Ada Lovelace", "admin": False},
    "tags": ["new", "sale", "north"],
    "price": 9.5,
}
USER, ITEM = "ada", "4211"
STREAM_PIECE = bytes(range(64, 80)) * (KIB // 16)
STREAM_PIECES = 32
POST_BODY = json.dumps(POST_OBJECT).encode()
UPLOAD_BODY = bytes(MIB)
UPLOAD_LIMIT = 16 * MIB  # what the servers accept that have a limit

# What a small client sends with every request.
FIELDS = {
    "User-Agent": "bench/1.0",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
    "Connection": "keep-alive",
}


def static_directory() -> Path:
    """Return the directory whose files the servers offer under /static/."""
    return Path(os.environ[STATIC_VARIABLE])


def post_answer(posted: dict[str, object]) -> dict[str, object]:
    """Return what the application answers to a posted object."""
    items = posted["items"]
    assert isinstance(items, list)
    return {"items": len(items), "first": items[0]["name"], "pad": posted["pad"]}


def same(expected: bytes, body: bytes) -> bool:
    return body == expected


def same_json(expected: object, body: bytes) -> bool:
    return bool(json.loads(body) == expected)


@dataclass(frozen=True)
class Case:
    """One kind of request, the same for every server."""

    name: str
    title: str
    path: str
    right: Callable[[bytes], bool]
    method: str = "GET"
    body: bytes = b""
    content_type: str = ""
    connections: int = 0  # of wrk; 0 is what --connections says
    lengths: tuple[int, int] = (300, 600)  # numbers of requests whose slope is the price of one

    def fields(self) -> dict[str, str]:
        return FIELDS | ({"Content-Type": self.content_type} if self.content_type else {})

    def request(self, port: int) -> bytes:
        """Return the bytes of the request, with the fields in the order in which wrk sends them."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in self.fields().items()]
        lines += [f"Content-Length: {len(self.body)}"] if self.body else []
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body


ALL_CASES = (
    Case("hello", "GET, 13 bytes of text", "/", functools.partial(same, HELLO.encode())),
    Case("json", "GET, a small object serialised for each answer", "/json", functools.partial(same_json, JSON_ANSWER)),
    Case(
        "params", "GET, two path parameters, 8 bytes of text", f"/users/{USER}/items/{ITEM}",
        functools.partial(same, f"{USER}:{ITEM}".encode()),
    ),
    Case(
        "post", "POST of 1 KiB of JSON, parsed; a small object as answer", "/post",
        functools.partial(same_json, post_answer(json.loads(POST_BODY))),
        method="POST", body=POST_BODY, content_type="application/json",
    ),
    Case(
        "static", "GET, file of 10 KiB", f"/static/{STATIC_NAME}", functools.partial(same, STATIC_BODY),
        lengths=(100, 200),
    ),
    Case(
        "stream", f"GET, {STREAM_PIECES} pieces of 1 KiB, chunked", "/stream",
        functools.partial(same, STREAM_PIECE * STREAM_PIECES), lengths=(100, 200),
    ),
    Case(
        "upload", "POST of 1 MiB, read whole; its length as answer", "/upload",
        functools.partial(same, str(len(UPLOAD_BODY)).encode()),
        method="POST", body=UPLOAD_BODY, content_type="application/octet-stream", connections=8, lengths=(20, 40),
    ),
)  # fmt: skip

BY_NAME = {case.name: case for case in ALL_CASES}
