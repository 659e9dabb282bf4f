"""A directory with everything in it that a static resource may meet, always with the same times.

In: an empty directory. Out: `build(root)` fills it; outside of it lies ``root.parent / "outside"``. Names and kinds of
files that the platform does not have are left out; `POSIX` tells where all of them are there.
"""

from __future__ import annotations

import os
from pathlib import Path

POSIX = os.name == "posix"

TIME_NS = 1_600_000_000_250_000_000
"""When every file was modified; Last-Modified is the next whole second."""

LAST_MODIFIED = "Sun, 13 Sep 2020 12:26:41 GMT"

TEN = b"0123456789"


def etag(size: int = 10) -> str:
    """The entity tag of a file of that size."""
    return f'"{TIME_NS:x}-{size:x}"'


PLAIN = [
    "a.txt",
    "b.html",
    "noext",
    "x.unknownext",
    ".hidden",
    "~t",
    "plus+.txt",
    "semi;a=b&c.txt",
    "a b.txt",
    "üñ.txt",
]
PLAIN += [
    "p%41.txt",
    "p%2e.txt",
    "x.&amp;",
    "a&copy-.txt",
    "javascript-alert(1).txt",
    "'onload='x.txt",
    "dir/inner.txt",
]
PLAIN += ["dir/deep/x.txt", "only.gz", "t.tar.gz"]
ODD = [
    'q"uote.txt',
    "<script>.txt",
    "nl\n.txt",
    "tab\t.txt",
    "q?u#e.txt",
    "back\\slash.txt",
    "C:foo",
    "c:/z.txt",
    "...",
]
ODD += ["...dots", "nul", "trailing.", "trailing "]
SIBLINGS = {"c.txt": TEN, "c.txt.gz": b"GZIPPED", "c.txt.br": b"BRBR", "c.txt.zst": b"ZSTD!", "orphan.js.br": b"one"}
LINKS = {
    "link-to-file": "a.txt", "link-to-dir": "dir", "link-out": "../outside/secret.txt", "link-dir-out": "../outside",
    "link-broken": "nowhere", "link-loop": "link-loop", "link-up": "..", "link-to-sibling": "c.txt",
    "d.txt.gz": "../outside/secret.txt",
}  # fmt: skip


def write(path: Path, data: bytes = TEN) -> Path:
    """Write a file, modified at `TIME_NS`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, ns=(TIME_NS, TIME_NS))
    return path


def build(root: Path) -> Path:
    """Fill a directory, which is made, and return it."""
    root.mkdir()
    write(root.parent / "outside" / "secret.txt", b"secret")
    for name in PLAIN + (ODD if POSIX else []):
        write(root / name)
    for name, data in SIBLINGS.items():
        write(root / name, data)
    write(root / "empty.txt", b"")
    write(root / "d.txt")
    (root / "e.txt.gz").mkdir()
    write(root / "e.txt")
    (root / "empty").mkdir()
    if POSIX:
        for name, target in LINKS.items():
            (root / name).symlink_to(target)
        os.mkfifo(root / "fifo")
    return root
