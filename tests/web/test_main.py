"""``python -m fairlead.web``: its arguments, its errors and what the function gets."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fairlead import web
from fairlead.web import __main__ as main_module

MODULE = """\
def make(argv):
    raise SystemExit(f"argv {argv}")

async def make_later(argv):
    raise SystemExit(f"later {argv}")

def nothing(argv):
    return None

def broken(argv):
    raise ValueError("broken")

value = 5
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"entry_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def ended(main: Any, argv: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """The exit code of a run, or the error, and what it told on stderr."""
    try:
        main(argv)
    except SystemExit as exc:
        code: Any = exc.code
    except Exception as exc:
        code = (type(exc).__name__, str(exc))
    else:
        code = "returned"
    return code, capsys.readouterr().err.replace("aiohttp.web", "fairlead.web")


ARGUMENTS = [
    [],
    ["M"],
    ["M:"],
    [":make"],
    ["no_such_module:make"],
    [".M:make"],
    ["M:none"],
    ["M:make.more"],
    ["-P", "x", "M:make"],
    ["M:make"],
    ["M:make", "a", "-b", "--c=d"],
    ["-P", "0", "M:make", "a", "-P", "5", "-H", "h", "--", "z"],
    ["M:make_later"],
    ["M:nothing"],
    ["M:broken"],
    ["M:value"],
    ["--hostname=h", "--port=1", "--path=p", "M:make"],
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_arguments_are_taken_and_refused_in_the_same_way(
    arguments: list[str], module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **kwargs: None)
    argv = [argument.replace("M", module) for argument in arguments]
    reference = pytest.importorskip("aiohttp.web")
    assert ended(main_module.main, argv, capsys) == ended(reference.main, argv, capsys)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"host": "localhost", "port": 8080, "path": None}),
        (["-H", "h"], {"host": "h", "port": 8080, "path": None}),
        (["-P", "5"], {"host": "localhost", "port": 5, "path": None}),
        (["-U", "u"], {"host": None, "port": None, "path": "u"}),
        (["-U", "u", "-P", "5"], {"host": None, "port": None, "path": "u"}),
        (["-U", "u", "-H", "h"], {"host": "h", "port": 8080, "path": "u"}),
        (["-U", "u", "-H", "h", "-P", "5"], {"host": "h", "port": 5, "path": "u"}),
    ],
)
def test_where_it_listens(
    options: list[str], expected: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = pytest.importorskip("aiohttp.web")
    seen: list[Any] = []

    def run_app(app: Any, **kwargs: Any) -> None:
        seen.append((app, kwargs))

    monkeypatch.setattr(logging, "basicConfig", lambda **kwargs: seen.append(kwargs))
    monkeypatch.setattr(main_module, "run_app", run_app)
    monkeypatch.setattr(reference, "run_app", run_app)
    monkeypatch.setitem(sys.modules, "entry", type("entry", (), {"make": staticmethod(lambda argv: ("app", argv))}))
    for main in (main_module.main, reference.main):
        assert ended(main, ["entry:make", *options, "more"], capsys) == (0, "Stopped\n")
    level = {"level": logging.DEBUG}
    assert seen == [level, (("app", ["more"]), expected)] * 2


def test_help_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main_module.main(["--help"])
    told = capsys.readouterr().out
    assert caught.value.code == 0
    assert told.startswith("usage: fairlead.web [-h] [-H HOSTNAME] [-P PORT] [-U PATH] entry-func")
    assert "default: localhost" in told
    assert "default: 8080" in told


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    (tmp_path / "entry.py").write_text(
        "import asyncio, sys\n"
        "from fairlead import web\n"
        "async def make(argv):\n"
        "    app = web.Application()\n"
        "    async def start(app):\n"
        "        def end():\n"
        "            raise web.GracefulExit\n"
        "        asyncio.get_running_loop().call_later(0.05, end)\n"
        "    app.on_startup.append(start)\n"
        "    print(argv)\n"
        "    return app\n"
    )
    source = str(Path(web.__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "fairlead.web", "entry:make", "-H", "127.0.0.1", "-P", "0", "x", "--y"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])},
    )
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (0, ["Stopped"])
    lines = done.stdout.splitlines()
    assert lines[0] == "['x', '--y']"
    assert lines[1].startswith("======== Running on http://127.0.0.1:")
