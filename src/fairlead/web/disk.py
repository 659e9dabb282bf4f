"""What the disk has under a path, and what a request gets of it: `Wish` and `Look`.

In: a path, and what a request asks, in `Wish`. Out: status, validators, a span of bytes, and these bytes or an open
file.

`Look.run()` is made for a thread: it makes all the system calls of a request, blocks as long as they do, and touches no
object of the event loop. `take()` runs it in the loop's default executor.

The way there and back costs several times what the system calls do: waking a thread, handing it the interpreter,
waking the loop. So those who ask in the same turn of the loop go together, up to `MAX_RIDERS` of them; that halves the
price of a small file under load, and a disk that is slow for one keeps no more than the others of its ride waiting.

A file is looked at, judged by `codec.preconditions`, then opened and looked at again: what is announced is what was
there when it was opened. Pipes, sockets and devices are never opened, and neither is a link that took the place of a
file between the two looks, where links are not to be followed.

Limits: `SMALL_FILE` bytes are read; of anything larger the file is kept open, for whoever asked to close.
RFC 9110 sections 12.5.3 (Accept-Encoding), 13 (conditions), 14 (ranges).
"""

from __future__ import annotations

import asyncio
import errno
import functools
import io
import os
import stat
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from .. import hdrs
from ..codec.conditional import ETag
from ..codec.framing import BODILESS
from ..codec.preconditions import PROCEED, UNSATISFIABLE, Span, evaluate, range_applies, select_span
from .stream_response import accepted_codings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .request import BaseRequest

SMALL_FILE: Final = 64 * 1024
"""Bytes up to which a file is read whole, in the same trip to the executor that opens it.

Sent in one write, 32 and 64 KiB cost less than half of what they do with sendfile, 256 KiB as much, 512 KiB twice.
What a slow client leaves of it is held in memory, hence not more.
"""

MAX_ATTEMPTS: Final = 3
"""How often a file is opened anew that changes each time while it is read."""

MAX_RIDERS: Final = 16
"""Looks that are taken one after the other in one trip to the executor."""

MAX_REMEMBERED: Final = 256
"""Accept-Encoding fields whose reading is remembered."""

ENCODING_EXTENSIONS: Final = {".br": "br", ".zst": "zstd", ".gz": "gzip"}
"""Names of compressed siblings, and their content codings, the smallest result first."""

# Never wait for the writer of a pipe that took the place of a file, and never become a terminal's process.
_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOINHERIT", 0)
    | getattr(os, "O_BINARY", 0)
)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)

# What opening may say of a name that no file can have, or of a file that no longer is one.
_ABSENT: Final = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
    errno.ENXIO,
    errno.ENODEV,
    errno.EISDIR,
}
_DENIED: Final = {errno.EACCES, errno.EPERM}
_ERROR_INVALID_NAME: Final = 123  # of Windows


@functools.lru_cache(MAX_REMEMBERED)
def accepted_siblings(field: str) -> tuple[tuple[str, str], ...]:
    """Return the endings and codings of the siblings that an Accept-Encoding allows, the preferred first.

    Only codings that it names: what `*` means to a client that does not name them is anybody's guess.
    """
    weights = accepted_codings(field)
    if "x-gzip" in weights:
        weights.setdefault("gzip", weights["x-gzip"])
    found = [(ending, coding) for ending, coding in ENCODING_EXTENSIONS.items() if weights.get(coding, 0.0) > 0.0]
    return tuple(sorted(found, key=lambda sibling: -weights[sibling[1]]))


class Wish:
    """What a request asks of a file: the facts that decide, taken once so that no thread touches the request."""

    __slots__ = ("bodiless", "conditions", "if_range", "method", "range", "siblings", "status", "whole")

    def __init__(self, request: BaseRequest, status: int, *, whole: bool = False) -> None:
        headers = request.headers
        self.method = method = request.method
        self.status = status
        self.whole = whole  # no range of it, as it is going to be compressed
        self.bodiless = method == "HEAD" or status in BODILESS
        self.siblings: tuple[tuple[str, str], ...] = ()
        self.range: str | None = None
        self.if_range: str | None = None
        self.conditions: Mapping[str, Any] | None = None
        if hdrs.ACCEPT_ENCODING in headers:
            self.siblings = accepted_siblings(",".join(headers.getall(hdrs.ACCEPT_ENCODING)))
        # RFC 9110 section 13.2.1: conditions count where the answer would be a success; 14.2: ranges, of GET only.
        if not 200 <= status < 300:
            return
        if method == "GET" and not whole and not self.bodiless:
            self.range = headers.get(hdrs.RANGE)
            self.if_range = headers.get(hdrs.IF_RANGE)
        if (
            hdrs.IF_NONE_MATCH in headers
            or hdrs.IF_MODIFIED_SINCE in headers
            or hdrs.IF_MATCH in headers
            or hdrs.IF_UNMODIFIED_SINCE in headers
        ):
            self.conditions = {
                "if_match": request.if_match,
                "if_unmodified_since": request.if_unmodified_since,
                "if_none_match": request.if_none_match,
                "if_modified_since": request.if_modified_since,
            }


class Look:
    """What is found under a path, and what a wish gets of it."""

    __slots__ = (
        "body",
        "coding",
        "directory",
        "error",
        "file",
        "left",
        "lock",
        "modified",
        "path",
        "size",
        "span",
        "status",
        "tag",
        "wish",
    )

    def __init__(self, path: str, wish: Wish) -> None:
        """Say where to look."""
        self.path = path
        self.wish = wish
        self.status = 404
        self.size = 0
        self.tag = ""
        self.modified = 0
        self.coding: str | None = None
        self.span: Span | None = None
        self.body: bytes | None = None
        self.file: io.FileIO | None = None
        self.lock: threading.Lock | None = None  # of the file, which one thread reads and another may close
        self.error: OSError | None = None
        self.directory = False
        self.left = False  # nobody waits for the outcome any more

    def __del__(self) -> None:
        # A response may be dropped without being sent; nobody has forgotten anything then.
        if self.file is not None:
            self.file.close()

    def run(self) -> None:
        """Ask the disk, in whatever thread; `error` is set where neither the path nor the client is to blame."""
        try:
            self._find()
        except ValueError:  # a NUL, or letters that no file name has
            self.status = 404
        except OSError as exc:
            self._fail(exc)
        if self.left:
            self.close()

    def _fail(self, exc: OSError) -> None:
        """Turn the error of a system call into a status."""
        self.span = None
        if exc.errno in _DENIED:
            self.status = 403
        elif exc.errno in _ABSENT or getattr(exc, "winerror", None) == _ERROR_INVALID_NAME:
            self.status = 404
        else:
            self.status = 500
            self.error = exc

    def _find(self) -> None:
        if not self._serve_sibling():
            self._serve(self.path, os.stat(self.path), follow=True)

    def _serve_sibling(self) -> bool:
        """Serve a compressed sibling that the wish allows; a link is none, as it may lead anywhere."""
        for ending, coding in self.wish.siblings:
            path = self.path + ending
            try:
                found = os.lstat(path)
                if stat.S_ISREG(found.st_mode) and self._serve(path, found, follow=False):
                    self.coding = coding
                    return True
            except OSError as exc:
                if exc.errno not in _ABSENT and exc.errno not in _DENIED:
                    raise
        return False

    def _serve(self, path: str, found: os.stat_result, *, follow: bool) -> bool:
        """Decide what the wish gets of this file, and read or open it if that is any of its bytes."""
        if not stat.S_ISREG(found.st_mode):
            self.directory = stat.S_ISDIR(found.st_mode)
            self.status, self.span = 403, None
            return False
        self._decide(found)
        for _ in range(MAX_ATTEMPTS):
            if self.span is None:
                break
            fd = os.open(path, _OPEN_FLAGS if follow else _OPEN_FLAGS | _NO_LINK)
            try:
                opened = os.fstat(fd)
                if not stat.S_ISREG(opened.st_mode):
                    self.status, self.span = 403, None
                    return False
                if opened.st_mtime_ns != found.st_mtime_ns or opened.st_size != found.st_size:
                    self._decide(opened)  # it is another one by now
                found = opened
                if self._take(fd):
                    if self.file is not None:
                        fd = -1
                    break
            finally:
                if fd >= 0:
                    os.close(fd)
        return True

    def _decide(self, found: os.stat_result) -> None:
        """Set status and span by the wish's conditions."""
        wish = self.wish
        self.size = size = found.st_size
        self.tag = tag = f"{found.st_mtime_ns:x}-{size:x}"
        self.modified = modified = -(-found.st_mtime_ns // 1_000_000_000)
        self.status = wish.status
        self.span = Span(0, size)
        if wish.conditions is not None:
            status = evaluate(wish.method, ETag(tag), modified, **wish.conditions)
            if status != PROCEED:
                self.status, self.span = status, None
                return
        if wish.range is not None and range_applies(wish.if_range, ETag(tag), modified):
            span = select_span(wish.range, size)
            if span == UNSATISFIABLE:
                self.status, self.span = 416, None
            elif span is not None:
                self.status, self.span = 206, span

    def _take(self, fd: int) -> bool:
        """Read what is asked for when it is little, keep the file when it is not; False when less was there."""
        span = self.span
        if span is None or self.wish.bodiless:
            return True
        first, length = span
        if length > SMALL_FILE:
            self.lock = threading.Lock()
            self.file = io.FileIO(fd, "rb")
            return True
        if first:
            os.lseek(fd, first, os.SEEK_SET)
        body = os.read(fd, length)
        while len(body) < length and (more := os.read(fd, length - len(body))):
            body += more
        self.body = body
        return len(body) == length

    def read(self, position: int, size: int) -> bytes:
        """Return bytes of the open file; raises ValueError when it was closed meanwhile."""
        assert self.file is not None
        assert self.lock is not None
        with self.lock:
            self.file.seek(position)
            return self.file.read(size) or b""

    def close(self) -> None:
        """Close the file, if there is one; may be called from any thread, and again."""
        if self.lock is not None:
            with self.lock:
                if self.file is not None:
                    self.file.close()


class Ride:
    """The next trip to the executor of one event loop, and those who wait for it."""

    __slots__ = ("__weakref__", "_loop", "_riders")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._riders: list[tuple[Look, asyncio.Future[None]]] = []

    def join(self, look: Look) -> asyncio.Future[None]:
        """Take a look along; the future is done when it was taken."""
        future = self._loop.create_future()
        if not self._riders:
            self._loop.call_soon(self._depart)
        self._riders.append((look, future))
        return future

    def _depart(self) -> None:
        riders, self._riders = self._riders, []
        for first in range(0, len(riders), MAX_RIDERS):
            some = riders[first : first + MAX_RIDERS]
            try:
                self._loop.run_in_executor(None, self._travel, some)
            except Exception as exc:  # the executor is shut down, or can not start a thread
                self._arrive([(future, exc) for _, future in some])

    def _travel(self, riders: list[tuple[Look, asyncio.Future[None]]]) -> None:
        """Take the looks, in a thread."""
        arrivals: list[tuple[asyncio.Future[None], BaseException | None]] = []
        for look, future in riders:
            try:
                if not look.left:
                    look.run()
            except Exception as exc:
                arrivals.append((future, exc))
            else:
                arrivals.append((future, None))
        try:
            self._loop.call_soon_threadsafe(self._arrive, arrivals)
        except RuntimeError:  # the loop is closed
            for look, _ in riders:
                look.close()

    def _arrive(self, arrivals: list[tuple[asyncio.Future[None], BaseException | None]]) -> None:
        for future, exc in arrivals:
            if future.done():
                continue  # cancelled
            if exc is None:
                future.set_result(None)
            else:
                future.set_exception(exc)


# By the id of the loop, which stays taken while there is a value, for that refers to the loop.
_rides: weakref.WeakValueDictionary[int, Ride] = weakref.WeakValueDictionary()


async def take(look: Look) -> None:
    """Take a look in the loop's default executor; a cancelled wait leaves no open file behind."""
    loop = asyncio.get_running_loop()
    ride = _rides.get(id(loop))
    if ride is None:
        ride = _rides[id(loop)] = Ride(loop)
    try:
        await ride.join(look)
    except asyncio.CancelledError:
        look.left = True
        look.close()
        raise
