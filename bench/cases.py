"""The table of benchmark cases: what is asked, how often, and the budget that fairlead has in each.

``lengths`` holds the two run lengths whose slope is the price of one request.  A budget is a ratio to aiohttp in
instructions per request; without one of its own, a case may not cost more than aiohttp.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB

STREAM_BYTES = 100 * MIB
READ_BYTES = 1 * MIB
SMALL_CHUNKS = 1000
SMALL_CHUNK_BYTES = 64


def json_document(size: int) -> bytes:
    """Return a JSON object of exactly ``size`` bytes that looks like the answer of an API."""
    items: list[dict[str, object]] = []
    while True:
        n = len(items)
        items.append(
            {"id": 1000 + n, "name": f"item number {n}", "price": 9.5 + n, "tags": ["new", "sale"], "stock": n % 3 == 0}
        )
        if len(json.dumps({"items": items, "pad": ""})) > size:
            items.pop()
            break
    pad = size - len(json.dumps({"items": items, "pad": ""}))
    return json.dumps({"items": items, "pad": "x" * pad}).encode()


POST_OBJECT: object = json.loads(json_document(KIB))


@dataclass(frozen=True)
class Case:
    """One thing that is measured, the same for every library."""

    name: str
    title: str
    action: str  # the name of a method of bench.libraries.Library
    path: str
    in_flight: int = 1
    tls: bool = False
    warm_up: int = 60
    lengths: tuple[int, int] = (100, 400)
    budget: float = 1.0

    def lengths_for(self, library: str) -> tuple[int, int]:
        return HEAVY.get((library, self.name), self.lengths)

    def warm_up_for(self, library: str) -> int:
        """Return the number of requests before the first that counts; each slot in flight has had at least one."""
        return max(self.in_flight, HEAVY_WARM_UP if (library, self.name) in HEAVY else self.warm_up)


ALL_CASES: tuple[Case, ...] = (
    Case("get1", "small GET, 1 in flight", "get", "/small", 1, lengths=(100, 400), budget=0.30),
    Case(
        "get32", "small GET, 32 in flight", "get", "/small", 32,
        warm_up=128, lengths=(128, 640), budget=0.30,
    ),
    Case(
        "get256", "small GET, 256 in flight", "get", "/small", 256,
        warm_up=1024, lengths=(512, 1536), budget=0.30,
    ),
    Case("json", "JSON 10 KiB, json()", "json", "/json", lengths=(50, 200)),
    Case("read1m", "1 MiB, read()", "get", "/read", warm_up=6, lengths=(10, 30), budget=0.60),
    Case(
        "stream100m", "100 MiB stream, 64 KiB pieces", "stream", f"/stream/{STREAM_BYTES}",
        warm_up=1, lengths=(1, 3), budget=0.40,
    ),
    Case(
        "streamany100m", "100 MiB stream, as it comes", "stream_any", f"/stream/{STREAM_BYTES}",
        warm_up=1, lengths=(1, 3), budget=0.40,
    ),
    Case("post", "POST JSON 1 KiB", "post", "/post", lengths=(100, 400), budget=0.35),
    Case("chunks", "1,000 small chunks, read()", "get", "/chunks", warm_up=10, lengths=(10, 30)),
    Case("tls", "small GET over TLS, 1 in flight", "get", "/small", tls=True, lengths=(100, 400), budget=0.45),
    Case("session", "session: create and close", "session", "/small", warm_up=20, lengths=(50, 250)),
)  # fmt: skip

# What takes some libraries a hundred times as long as the others (a TLS context for each session, a pool searched from
# end to end) is measured with fewer requests, so that a run under callgrind ends within minutes.
HEAVY_WARM_UP = 2
HEAVY: dict[tuple[str, str], tuple[int, int]] = {
    ("pyreqwest", "session"): (4, 12),
    ("wreq", "session"): (4, 12),
}
for _httpx in ("httpx2", "httpx"):
    HEAVY |= {
        (_httpx, "session"): (2, 6),
        (_httpx, "get32"): (64, 192),
        (_httpx, "get256"): (256, 512),
        (_httpx, "chunks"): (3, 9),
        (_httpx, "stream100m"): (1, 2),
        (_httpx, "streamany100m"): (1, 2),
    }

BY_NAME = {case.name: case for case in ALL_CASES}
QUICK = ("get1", "get32", "post", "tls", "session")
