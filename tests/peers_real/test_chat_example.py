"""The chat server of the documentation, with its page in a browser, and with members who do not listen.

The files are taken from the page of the documentation. In the browser, a page opens the chat twice, in two frames, and
each sees what the other says; the browser prints the document in the end.
"""

from __future__ import annotations

import asyncio
import html
import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.peers_real.test_server_chromium import STAY, browse, browser
from tests.test_docs import DOCS, blocks_of

from fairlead import WSMsgType, WSServerHandshakeError, web
from fairlead.test_utils import TestClient, TestServer

TIMEOUT = 30.0
"""Seconds for anything that a test waits for."""

FRAMES = """<!doctype html><meta charset="utf-8"><pre id="outcome">nothing</pre>
<iframe id="ada" src="/?name=Ada"></iframe>
<script>
const seen = (id) => [...document.getElementById(id).contentDocument.querySelectorAll("li")].map((i) => i.textContent);
const until = async (id, line) => {
  while (!seen(id).includes(line)) await new Promise((done) => setTimeout(done, 20));
};
const say = (id, text) => {
  const page = document.getElementById(id).contentDocument;
  page.getElementById("text").value = text;
  page.querySelector("button").click();
};
addEventListener("load", async () => {
  await until("ada", "Ada came");
  const frame = document.createElement("iframe");
  frame.id = "bea";
  frame.src = "/?name=Bea";
  document.body.append(frame);
  await new Promise((done) => { frame.onload = done; });
  await until("bea", "Bea came");
  say("ada", "Which <b>knot</b>?");
  await until("bea", "Ada: Which <b>knot</b>?");
  say("bea", "Bowline. Grüße 🪢");
  await until("ada", "Bea: Bowline. Grüße 🪢");
  const bold = document.getElementById("bea").contentDocument.querySelectorAll("b").length;
  const outcome = {ada: seen("ada"), bea: seen("bea"), bold};
  frame.remove();
  await until("ada", "Bea left");
  outcome.left = seen("ada").at(-1);
  await fetch("/outcome", {method: "POST", body: JSON.stringify(outcome)});
});
</script>"""


def chat(desk: Path) -> ModuleType:
    """The module of the page, in a directory of its own with its document."""
    for block in blocks_of(DOCS / "howto" / "websocket-chat.md"):
        if block.file is not None:
            (desk / block.file).write_text(block.code, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("chat", desk / "chat.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
async def test_two_windows_of_a_browser_see_each_other(tmp_path: Path) -> None:
    browser()  # skips the test where there is none
    outcome: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def frames(request: web.Request) -> web.Response:
        return web.Response(text=FRAMES, content_type="text/html")

    async def take(request: web.Request) -> web.Response:
        outcome.put_nowait(await request.json())
        return web.Response(status=204)

    app = chat(tmp_path).make_app()
    app.add_routes([web.get("/frames", frames), web.post("/outcome", take)])
    async with TestServer(app) as server:
        running = asyncio.create_task(browse(server.make_url("/frames"), *STAY))
        waiting = asyncio.create_task(outcome.get())
        await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        ended = await asyncio.gather(running, return_exceptions=True)
        if not waiting.done():
            waiting.cancel()
            raise AssertionError(f"the browser ended without an outcome: {ended}")
    talk = ["Bea came", "Ada: Which <b>knot</b>?", "Bea: Bowline. Grüße 🪢"]
    assert waiting.result() == {"ada": ["Ada came", *talk], "bea": talk, "bold": 0, "left": "Bea left"}


@pytest.mark.slow
async def test_what_a_browser_prints_of_the_page(tmp_path: Path) -> None:
    browser()
    async with TestServer(chat(tmp_path).make_app()) as server:
        url = server.make_url("/").with_query(name="Ada & Bea")
        document = await browse(url, "--virtual-time-budget=5000", "--dump-dom")
    lines = [html.unescape(line) for line in re.findall(r"<li>(.*?)</li>", document)]
    assert lines[:1] == ["Ada & Bea came"], document


async def test_a_member_who_does_not_listen_is_sent_away_and_delays_nobody(tmp_path: Path) -> None:
    text = "x" * 4000
    count = 4000  # sixteen megabytes, more than systems keep for one connection
    async with TestClient(TestServer(chat(tmp_path).make_app())) as client, asyncio.timeout(TIMEOUT):
        deaf = await client.ws_connect("/chat?name=deaf")
        loud = await client.ws_connect("/chat?name=loud")
        assert (await loud.receive_json()) == {"event": "came", "name": "loud"}
        for _ in range(count):
            await loud.send_str(text)
            assert (await loud.receive_json())["text"] == text
        last = None
        async for message in deaf:
            last = message
        assert last is not None
        assert last.type is WSMsgType.TEXT
        assert (deaf.close_code, deaf.close_reason) == (1013, "too slow")
        assert (await loud.receive_json()) == {"event": "left", "name": "deaf"}
        await loud.close()


async def test_who_may_not_come_in_is_told_why(tmp_path: Path) -> None:
    async with TestClient(TestServer(chat(tmp_path).make_app())) as client:
        for path, origin, status in (("/chat", None, 400), ("/chat?name=a", "https://elsewhere.example", 403)):
            with pytest.raises(WSServerHandshakeError) as caught:
                await client.ws_connect(path, origin=origin)
            assert caught.value.status == status
            assert caught.value.body
        origin = str(client.make_url("/")).rstrip("/")
        async with client.ws_connect("/chat?name=a", origin=origin) as ws:
            assert json.loads(await ws.receive_str()) == {"event": "came", "name": "a"}
            await ws.send_str("x" * 4097)
            async for message in ws:
                raise AssertionError(message)
            assert ws.close_code == 1009
