"""What can be said of a file without reading it: its name, and how many bytes it will give.

In: whatever the caller handed over as a body. Out: a plain fact, or None where nothing can be said for certain.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import Any

__all__ = ("bytes_on_disk", "guess_filename")

# Files that hand out something else than what lies on disk, though fileno() leads there: (module, class).
_TRANSLATING_FILES = (
    ("gzip", "GzipFile"),
    ("bz2", "BZ2File"),
    ("lzma", "LZMAFile"),
    ("compression.zstd", "ZstdFile"),
    ("backports.zstd", "ZstdFile"),
)


def guess_filename(obj: Any, default: str | None = None) -> str | None:
    """Return the last part of ``obj.name`` when that is a path, as it is for an opened file."""
    name = getattr(obj, "name", None)
    if name and isinstance(name, str) and name[0] != "<" and name[-1] != ">":
        return os.path.basename(name)
    return default


def bytes_on_disk(file: Any) -> int | None:
    """Return how many bytes the regular file behind ``file`` has, None when reading may give another number.

    Raises ValueError when the file is closed.
    """
    for module, name in _TRANSLATING_FILES:
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(file, getattr(loaded, name)):
            return None
    if isinstance(file, (io.BufferedReader, io.BufferedRandom)) and not isinstance(file.raw, io.FileIO):
        return None  # over a decompressor, a zip member, a socket
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None
