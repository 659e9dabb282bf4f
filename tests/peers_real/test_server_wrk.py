"""The server under the load of wrk: nothing fails, whatever is asked for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.peers.programs import program, run
from tests.peers.told import Told

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("path", ["told?a=1", "stream?n=20", "compressed", "files/small.txt", "files/big.bin"])
async def test_load(tmp_path: Path, path: str) -> None:
    wrk = program("wrk")
    async with Told(tmp_path) as server:
        ended = await run(wrk, "-t", "2", "-c", "64", "-d", "1s", "--timeout", "10s", f"{server.url}{path}")
        assert ended.status == 0, ended.err
        found = re.search(r"(\d+) requests in", ended.text)
        assert found is not None, ended.text
        assert int(found[1]) > 20
        assert "Socket errors" not in ended.text
        assert "Non-2xx" not in ended.text
        assert len(server.peers) <= 65  # one more than asked for: wrk probes first; all are kept
