"""``import fairlead`` stays light: what is optional, heavy or for the shell is loaded when it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fairlead

ON_USE = (
    "aiodns backports.zstd brotli brotlicffi certifi compression.zstd email http.client http.server netrc pycares"
    " pytest rich tempfile truststore uvloop fairlead.cli fairlead.__main__"
).split()


def test_importing_the_package_loads_nothing_optional() -> None:
    source = f"import sys, fairlead; print(*(name for name in {ON_USE!r} if name in sys.modules))"
    paths = os.pathsep.join([str(Path(fairlead.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", source],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [], "")


def test_every_public_name_is_there_once() -> None:
    assert len(set(fairlead.__all__)) == len(fairlead.__all__)
    assert [name for name in fairlead.__all__ if not hasattr(fairlead, name)] == []
