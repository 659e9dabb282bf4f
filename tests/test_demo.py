"""The demo runs to its end, with rich and without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("rich", [True, False])
def test_the_demo_runs(rich: bool, tmp_path: Path) -> None:
    paths = [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    if rich:
        pytest.importorskip("rich")
    else:
        (tmp_path / "rich.py").write_text("raise ImportError('no rich here')")
        paths.insert(0, str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "demo" / "demo.py"), "--size", "4"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "120", "PYTHONIOENCODING": "utf-8"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for expected in (
        "warm: connections are reused",
        "4 MiB came through",
        "1 MiB with the same SHA-256",
        'after:  200 {"name": "Ada"}',
        "301 /old -> /moved",
        '200 /new {"found": "here I am"}',
        'bowline  200 {"use": "a loop that does not slip"}',
        "(allowed: GET,HEAD,PUT)",
        "206 bytes 0-14/378: <!doctype html>",
        "304 Not Modified",
        "ClientTimeout.total",
        "404, message='Not Found'",
        "Cannot connect to host 127.0.0.1",
        "the server says goodbye",
        'answered: 200 {"waited": "0.3"}',
        "That was all",
    ):
        assert expected in done.stdout, done.stdout
