"""The server against a browser: a page with its style, script and image, cookies, forms, files, streams, and events.

Chromium loads one page and runs its script, which writes what it saw into the document. The browser prints the document
in the end, or the script posts it: the browser's clock is virtual, and stands still while it waits for a response, but
not while a response has no end. The server's side is asserted as well.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from tests.peers.programs import program, run
from tests.peers.told import BIG, LINE, PAGE, Told, digest
from yarl import URL

from fairlead import web

pytestmark = pytest.mark.slow

START_TIMEOUT = 50.0
"""Seconds for a run of the browser, which takes three on a machine with nothing else to do."""

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-dev-shm-usage --no-proxy-server"
    " --ignore-certificate-errors"
).split()
PRINT = ("--virtual-time-budget=20000", "--dump-dom")
STAY = ("--remote-debugging-port=0",)

DOCUMENT = """<!doctype html><html><head><meta charset="utf-8"><title>t</title>
<link rel="stylesheet" href="/page/style.css"></head>
<body><img id="image" src="/page/image.png"><pre id="outcome">nothing</pre>
<script src="/page/script.js"></script></body></html>"""

STYLE = "#outcome { color: rgb(1, 2, 3); }"

SCRIPT = """
const seen = {};
const step = async (name, what) => {
  try { seen[name] = await what(); } catch (e) { seen[name] = "failed: " + e; }
};
const json = async (url, options) => (await fetch(url, options)).json();
const run = async () => {
  const image = document.getElementById("image");
  seen.colour = getComputedStyle(document.getElementById("outcome")).color;
  seen.image = [image.naturalWidth, image.naturalHeight];
  seen.cookie = document.cookie;
%s
  const told = JSON.stringify(seen);
  document.getElementById("outcome").textContent = told;
  await fetch("/outcome", {method: "POST", body: told});
};
window.addEventListener("load", run);
"""


def image() -> bytes:
    """A PNG of three by two black points."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(4) * 2)  # each row: no filter, three points of one byte
    head = struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


class Site(Told):
    """What `Told` has, and a page at `/page/` that runs the given script."""

    def __init__(self, root: Path, script: str = "", **options: Any) -> None:
        super().__init__(root, **options)
        assets = root / "page"
        assets.mkdir()
        (assets / "style.css").write_text(STYLE)
        (assets / "script.js").write_text(SCRIPT % script)
        (assets / "image.png").write_bytes(image())
        self.cookies_seen: list[dict[str, str]] = []
        self.outcome: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.app.add_routes(
            [web.get("/page/", self.page), web.get("/events", self.events), web.post("/outcome", self.take)]
        )
        self.app.router.add_static("/page", assets)

    async def page(self, request: web.Request) -> web.Response:
        response = web.Response(text=DOCUMENT, content_type="text/html")
        response.set_cookie("seen", "by-script")
        response.set_cookie("kept", "from script", httponly=True, samesite="Strict")
        return response

    async def cookies(self, request: web.Request) -> web.Response:
        self.cookies_seen.append(dict(request.cookies))
        return await super().cookies(request)

    async def take(self, request: web.Request) -> web.Response:
        self.outcome.put_nowait(await request.json())
        return web.Response(status=204)

    async def events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        for i in range(3):
            await response.write(b"id: %d\ndata: event %d\n\n" % (i, i))
        await request.wait_for_disconnection()
        self.ends.put_nowait("left")
        return response


def browser() -> str:
    return program("chromium", "chromium-browser", "google-chrome")


async def browse(url: URL, *flags: str) -> str:
    """What the browser prints that is given `url`."""
    with tempfile.TemporaryDirectory(prefix="fairlead-chromium-", ignore_cleanup_errors=True) as home:
        ended = await run(browser(), *FLAGS, *flags, f"--user-data-dir={home}", str(url), limit=START_TIMEOUT)
    assert ended.status == 0, ended.err.decode()[-2000:]
    return ended.text


async def printed(server: Site) -> dict[str, Any]:
    """The outcome in the document that the browser prints when nothing is under way any more."""
    document = await browse(server.url / "page/", *PRINT)
    found = re.search(r'<pre id="outcome">(.*?)</pre>', document, re.DOTALL)
    assert found is not None, document
    seen: dict[str, Any] = json.loads(html.unescape(found[1]))
    return seen


async def posted(server: Site) -> dict[str, Any]:
    """The outcome that the script posts; the browser is ended then."""
    browser()  # skips the test here, not in the task
    running = asyncio.create_task(browse(server.url / "page/", *STAY))
    outcome = asyncio.create_task(server.outcome.get())
    await asyncio.wait((running, outcome), return_when=asyncio.FIRST_COMPLETED)
    running.cancel()
    ended = await asyncio.gather(running, return_exceptions=True)
    if not outcome.done():
        outcome.cancel()
        raise AssertionError(f"the browser ended without an outcome: {ended}")
    return outcome.result()


COMMON = {"colour": "rgb(1, 2, 3)", "image": [3, 2], "cookie": "seen=by-script"}


async def test_page_cookies_forms_and_files(tmp_path: Path) -> None:
    script = """
  await step("cookies", () => json("/cookies"));
  await step("again", () => json("/cookies"));
  await step("urlencoded", () => json("/form", {method: "POST", body: new URLSearchParams({a: "1 & 2", "é": "ü"})}));
  await step("multipart", () => {
    const form = new FormData();
    form.append("text", "grüße");
    const big = new Uint8Array(4194304).map((_, i) => i % 256);
    form.append("file", new File([big], 'nä"me.bin', {type: "application/x-test"}));
    form.append("empty", new File([], "e.txt", {type: "text/plain"}));
    return json("/form", {method: "POST", body: form});
  });
"""
    async with Site(tmp_path, script) as server:
        seen = await printed(server)
        page = {"seen": "by-script", "kept": "from script"}
        later = page | {"first": "one two", "second": "2"}
        assert server.cookies_seen == [page, later]
        text = {"a": "1 & 2", "é": "ü"}
        files = {
            "text": "grüße",
            "file": ["nä%22me.bin", "application/x-test", len(BIG), digest(BIG)],
            "empty": ["e.txt", "text/plain", 0, digest(b"")],
        }
        assert server.forms == [text, files]
        assert seen == COMMON | {"cookies": page, "again": later, "urlencoded": text, "multipart": files}


async def test_a_form_that_the_browser_submits(tmp_path: Path) -> None:
    script = """
  const form = document.createElement("form");
  form.method = "post"; form.action = "/form"; form.enctype = "multipart/form-data";
  form.innerHTML = '<textarea name="text"></textarea><input name="pick" type="checkbox" checked>'
    + '<input name="file" type="file">';
  document.body.append(form);
  form.elements.text.value = "two\\nlines";
  const chosen = new DataTransfer();
  chosen.items.add(new File(["content"], "c.txt", {type: "text/plain"}));
  form.elements.file.files = chosen.files;
  form.submit();
"""
    async with Site(tmp_path, script) as server:
        document = await browse(server.url / "page/", *PRINT)
        wanted = {
            "text": "two\r\nlines",
            "pick": "on",
            "file": ["c.txt", "text/plain", 7, digest(b"content")],
        }
        assert server.forms == [wanted]
        assert digest(b"content") in document  # the answer is the page now


async def test_answers_of_all_kinds(tmp_path: Path) -> None:
    script = """
  const sum = async (response) => {
    const bytes = await response.arrayBuffer();
    let total = 0;
    for (const byte of new Uint8Array(bytes)) total = (total * 31 + byte) % 1000000007;
    return [response.status, bytes.byteLength, total];
  };
  await step("big", async () => sum(await fetch("/files/big.bin")));
  await step("range", async () => sum(await fetch("/files/big.bin", {headers: {Range: "bytes=100-199"}})));
  await step("stream", async () => {
    const reader = (await fetch("/stream?n=5000&gzip=1")).body.getReader();
    let size = 0;
    for (;;) { const {done, value} = await reader.read(); if (done) return size; size += value.length; }
  });
  await step("compressed", async () => (await (await fetch("/compressed")).text()).length);
  await step("missing", async () => (await fetch("/nowhere")).status);
  await step("refused", async () => (await fetch("/refuse", {method: "POST", body: "x".repeat(3000000)})).status);
  await step("head", async () => (await fetch("/files/big.bin", {method: "HEAD"})).headers.get("Content-Length"));
  await step("many", async () => {
    const one = async (i) => (await json("/told", {method: "PUT", body: "x".repeat(i)})).length;
    return (await Promise.all([...Array(50).keys()].map(one))).every((length, i) => length === i);
  });
  await step("events", () => new Promise((resolve, reject) => {
    const source = new EventSource("/events"), got = [];
    source.onmessage = (event) => { got.push(event.data); if (got.length === 3) { source.close(); resolve(got); } };
    source.onerror = reject;
  }));
  await step("aborted", async () => {
    const control = new AbortController();
    const response = await fetch("/endless", {signal: control.signal});
    await response.body.getReader().read();
    control.abort();
    return response.status;
  });
"""

    def total(data: bytes) -> int:
        value = 0
        for byte in data:
            value = (value * 31 + byte) % 1000000007
        return value

    async with Site(tmp_path, script) as server:
        seen = await posted(server)
        assert seen == COMMON | {
            "big": [200, len(BIG), total(BIG)],
            "range": [206, 100, total(BIG[100:200])],
            "stream": len(LINE % 0) * 5000,
            "compressed": len(PAGE),
            "missing": 404,
            "refused": 413,
            "head": str(len(BIG)),
            "many": True,
            "events": ["event 0", "event 1", "event 2"],
            "aborted": 200,
        }
        assert [await server.ends.get(), await server.ends.get()] == ["left", "left"]
