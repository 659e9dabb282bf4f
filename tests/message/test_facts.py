"""What can be said of a file without reading it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fairlead.message.facts import bytes_on_disk, guess_filename


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("a.txt", "a.txt"),
        (os.path.join("some", "where", "a.txt"), "a.txt"),
        ("<stdin>", None),
        ("<fdopen", None),
        ("odd>", None),
        ("", None),
        (3, None),
        (b"a.txt", None),
        (None, None),
    ],
)
def test_guess_filename(name: Any, guess: str | None) -> None:
    assert guess_filename(SimpleNamespace(name=name)) == guess
    assert guess_filename(SimpleNamespace(name=name), "default") == (guess or "default")


def test_no_name_at_all() -> None:
    assert guess_filename(io.BytesIO()) is None
    assert guess_filename(io.BytesIO(), "default") == "default"


def test_bytes_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    for mode, buffering in [("rb", -1), ("rb", 0), ("r+b", -1), ("r", -1)]:
        with path.open(mode, buffering=buffering) as file:
            file.read(3)
            assert bytes_on_disk(file) == 10


def test_files_that_hand_out_something_else(tmp_path: Path) -> None:
    """The size of what lies on disk says nothing about what reading a decompressing file gives."""
    path = tmp_path / "file"
    for module in (gzip, bz2, lzma):
        with module.open(path, "wb") as file:
            file.write(b"x" * 1000)
        with module.open(path, "rb") as file:
            assert file.fileno() >= 0
            assert bytes_on_disk(file) is None
        with io.BufferedReader(module.open(path, "rb")) as file:  # type: ignore[arg-type]
            assert bytes_on_disk(file) is None
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", b"x" * 1000)
    with zipfile.ZipFile(path) as archive, archive.open("member") as member:
        assert bytes_on_disk(member) is None


def test_what_is_no_regular_file() -> None:
    assert bytes_on_disk(object()) is None
    assert bytes_on_disk(io.BytesIO(b"x")) is None
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as reader, os.fdopen(write_end, "wb"):
        assert bytes_on_disk(reader) is None


def test_closed_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        pass
    with pytest.raises(ValueError, match="closed"):
        bytes_on_disk(file)


def test_decompressors_are_not_imported_for_the_question() -> None:
    import subprocess

    code = (
        "import sys; from fairlead.message.facts import bytes_on_disk; bytes_on_disk(open(sys.executable, 'rb'));"
        "sys.exit(any(name in sys.modules for name in ('gzip', 'bz2', 'lzma')))"
    )
    source = str(Path(__file__).parents[2] / "src")
    environment = {**os.environ, "PYTHONPATH": source, "PYTHONWARNINGS": "ignore"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
