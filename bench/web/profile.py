"""Where the time of one request goes in a server: ``python -m bench.web.profile --case hello --loop uvloop``.

The server's protocol is driven in this process by a transport that is none: the bytes of the request go to
``data_received``, one request after the other, each in a turn of the loop of its own as if the selector had called;
what the protocol writes is counted and dropped. So neither the kernel nor a second process is in the numbers.

``--with lines`` counts bytecode instructions by source line, the same on every run; what this module does itself is
left out. ``--with time`` (processor time) and ``--with callgrind`` (C instructions, by the slope of two lengths, and
the C functions) have it in: ``--server bare`` shows how much that is. ``--with cprofile`` and ``--with pyinstrument``
are those of ``bench.profile``.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import gc
import importlib
import json
import linecache
import os
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import callgrind
from ..client import Phases
from ..processes import REPOSITORY, new_event_loop
from ..profile import REPORTS, LineCounter, place
from .cases import BY_NAME, STATIC_BODY, STATIC_NAME, STATIC_VARIABLE, Case
from .load import per_request, whole

MODULES = {"fairlead": "fairlead.web", "aiohttp": "aiohttp.web"}
PORT = 8080
READ_BYTES = 256 * 1024  # what asyncio reads at once
ANSWER_SECONDS = 5
WARM_UP = 100
TIMED_ROUNDS = 7
HERE = __file__


class Wire(asyncio.Transport):
    """A transport without a socket: hands out the same request again and again, counts what is written."""

    def __init__(self, loop: asyncio.AbstractEventLoop, request: bytes) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000), "sockname": ("127.0.0.1", PORT)})
        self.loop = loop
        self.pieces = [request[at : at + READ_BYTES] for at in range(0, len(request), READ_BYTES)]
        self.next_piece = 0
        self.paused = self.closed = self.feeding = False
        self.answer: list[bytes] | None = []  # the bytes of the first answer; None once its length is known
        self.answer_bytes = 0
        self.left_bytes = 0
        self.left_requests = 0
        self.finished: asyncio.Future[None] | None = None
        self.protocol: asyncio.Protocol
        self.receive: Callable[[bytes], None]

    def connect(self, protocol: asyncio.Protocol) -> None:
        self.protocol, self.receive = protocol, protocol.data_received
        protocol.connection_made(self)

    def feed_soon(self) -> None:
        if not self.feeding:
            self.feeding = True
            self.loop.call_soon(self.feed)

    def feed(self) -> None:
        """Hand the next piece of the request to the protocol."""
        self.feeding = False
        if self.paused:
            return
        piece = self.pieces[self.next_piece]
        self.next_piece += 1
        if self.next_piece < len(self.pieces):
            self.feed_soon()
        self.receive(piece)

    async def sendfile(self, transport: object, file: Any, offset: int = 0, count: int = 0, **options: Any) -> int:
        """Stand for ``loop.sendfile``, which asyncio has for sockets only."""
        file.seek(offset)
        data = file.read(count or -1)
        self.write(data)
        return len(data)

    def start(self, count: int) -> asyncio.Future[None]:
        """Make ``count`` requests; the future is done when all are answered."""
        self.finished = self.loop.create_future()
        self.left_requests = count
        self.next_request()
        return self.finished

    def next_request(self) -> None:
        self.next_piece = 0
        self.left_bytes = self.answer_bytes
        self.feed_soon()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.answer is not None:
            self.learn(bytes(data))
            return
        self.left_bytes -= len(data)
        if self.left_bytes <= 0:
            self.answered()

    def writelines(self, list_of_data: Any) -> None:
        if self.answer is not None:
            self.learn(b"".join(list_of_data))
            return
        for data in list_of_data:
            self.left_bytes -= len(data)
        if self.left_bytes <= 0:
            self.answered()

    def learn(self, data: bytes) -> None:
        assert self.answer is not None
        self.answer.append(data)
        if whole(b"".join(self.answer)):
            answer, self.answer = b"".join(self.answer), None
            self.answer_bytes = len(answer)
            if not answer.startswith(b"HTTP/1.1 200 ") and self.finished is not None:
                self.finished.set_exception(ValueError(f"a wrong answer: {answer[:200]!r}"))
                return
            self.answered()

    def answered(self) -> None:
        self.left_requests -= 1
        if self.left_requests > 0:
            self.next_request()
        elif self.finished is not None and not self.finished.done():
            self.finished.set_result(None)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        if self.paused:
            self.paused = False
            if self.next_piece < len(self.pieces):
                self.feed_soon()

    def is_reading(self) -> bool:
        return not self.paused

    def get_write_buffer_size(self) -> int:
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return 0, 2**16

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            if self.finished is not None and not self.finished.done():
                self.finished.set_exception(ConnectionError("the server closed the connection"))
            self.loop.call_soon(self.protocol.connection_lost, None)

    def abort(self) -> None:
        self.close()


class Session:
    """A server and one connection to it, in the shape that the reports of ``bench.profile`` take."""

    def __init__(self, case: Case, wire: Wire, runner: Any) -> None:
        self.case = case
        self.wire = wire
        self.runner = runner

    async def run(self, count: int) -> None:
        await self.wire.start(count)

    async def close(self) -> None:
        self.wire.close()
        await asyncio.sleep(0)
        if self.runner is not None:
            await self.runner.cleanup()


async def open_session(name: str, case: Case) -> Session:
    """Make the application and connect to it; the first answer is checked."""
    loop = asyncio.get_running_loop()
    wire = Wire(loop, case.request(PORT))
    with contextlib.suppress(AttributeError):  # uvloop's, which has no sendfile
        loop.sendfile = wire.sendfile  # type: ignore[method-assign, assignment]
    runner = None
    if name == "bare":
        from .apps.bare import Bare

        wire.connect(Bare())
    else:
        from .apps.aiohttp_style import make_app

        web = importlib.import_module(MODULES[name])
        runner = web.AppRunner(make_app(web), access_log=None)
        await runner.setup()
        wire.connect(runner.server())
    session = Session(case, wire, runner)
    async with asyncio.timeout(ANSWER_SECONDS):
        await session.run(1)
    await session.run(WARM_UP)
    return session


class ServerLineCounter(LineCounter):
    """Leaves this module out, which stands for the kernel and the peer."""

    def trace(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        return None if frame.f_code.co_filename == HERE else super().trace(frame, event, argument)


def with_lines(loop: asyncio.AbstractEventLoop, session: Session, count: int, options: argparse.Namespace) -> None:
    counter = ServerLineCounter()
    gc.collect()
    gc.disable()  # a finalizer run by the collector would be counted where it happened to run
    sys.settrace(counter.trace)
    try:
        loop.run_until_complete(session.run(count))
    finally:
        sys.settrace(None)
        gc.enable()
    total = sum(counter.by_line.values())
    print(f"{session.case.title}: {total / count:,.1f} bytecode instructions a request (C functions not counted)")
    by_file: collections.Counter[str] = collections.Counter()
    for (file, _), hits in counter.by_function.items():
        by_file[file] += hits
    for file, hits in by_file.most_common(options.top):
        print(f"{hits / count:9.1f}  {hits / total:6.1%}  {place(file)}")
    print()
    for (file, name), hits in counter.by_function.most_common(options.top):
        print(f"{hits / count:9.1f}  {place(file)}  {name}")
    print()
    for (file, line), hits in counter.by_line.most_common(options.top):
        own = Path(file).is_relative_to(REPOSITORY)
        print(f"{hits / count:9.1f}  {place(file)}:{line}  {linecache.getline(file, line).strip() if own else ''}")


def with_time(loop: asyncio.AbstractEventLoop, session: Session, count: int, options: argparse.Namespace) -> None:
    taken = []
    for _ in range(TIMED_ROUNDS):
        gc.collect()
        started = time.process_time()
        loop.run_until_complete(session.run(count))
        taken.append((time.process_time() - started) / count * 1e6)
    print(f"{session.case.title}: {min(taken):.1f} µs a request (best of {TIMED_ROUNDS}, median "
          f"{sorted(taken)[TIMED_ROUNDS // 2]:.1f})")  # fmt: skip


def with_phases(loop: asyncio.AbstractEventLoop, session: Session, count: int, options: argparse.Namespace) -> None:
    """Run two lengths between the marks for callgrind, after a first one that is not used."""
    phases = Phases()
    for number, length in enumerate((count // 2, count, 2 * count)):
        phases.begin()
        loop.run_until_complete(session.run(length))
        phases.end(str(length) if number else "")
    print(json.dumps({"labels": phases.labels, "errors": {}}), flush=True)


def under_callgrind(options: argparse.Namespace, count: int) -> None:
    arguments = ["-m", "bench.web.profile", "--case", options.case, "--server", options.server, "--loop", options.loop]
    with tempfile.TemporaryDirectory() as directory:
        dumps, _, stderr = callgrind.run_client(
            Path(directory), [*arguments, "--with", "phases", "--count", str(count)]
        )
        if len(dumps) != 2:
            raise SystemExit(stderr or "no dump")
        each = per_request({int(length): float(callgrind.total(dump)) for length, dump in dumps.items()})
        print(f"{BY_NAME[options.case].title}: {each:,.0f} instructions a request")
        longer = dumps[str(2 * count)]
        if options.keep:
            options.keep.write_bytes(longer.read_bytes())
        print(f"of {2 * count} requests:", *callgrind.annotated(longer, options.all)[: options.top + 1], sep="\n")


TOOLS: dict[str, Callable[..., None]] = {**REPORTS, "lines": with_lines, "time": with_time, "phases": with_phases}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.web.profile", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=BY_NAME, default="hello")
    parser.add_argument("--server", choices=(*MODULES, "bare"), default="fairlead")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--with", dest="tool", choices=(*TOOLS, "callgrind"), default="lines")
    parser.add_argument("--count", type=int, help="number of requests")
    parser.add_argument("--top", type=int, default=40, help="lines of the report (default 40)")
    parser.add_argument("--sort", default="tottime", help="of cprofile: tottime (default), cumtime, ncalls")
    parser.add_argument("--all", action="store_true", help="pyinstrument: every frame; callgrind: with what is called")
    parser.add_argument("--keep", type=Path, help="callgrind: keep the dump in this file, for a viewer")
    options = parser.parse_args()
    case = BY_NAME[options.case]
    count = options.count or case.lengths[0] * (10 if options.tool in ("cprofile", "time", "pyinstrument") else 1)
    os.chdir(REPOSITORY)
    sys.path.insert(0, str(REPOSITORY / "src"))
    if options.tool == "callgrind":
        under_callgrind(options, count)
        return
    with tempfile.TemporaryDirectory() as directory, contextlib.closing(new_event_loop(options.loop)) as loop:
        os.environ[STATIC_VARIABLE] = directory
        (Path(directory) / STATIC_NAME).write_bytes(STATIC_BODY)
        asyncio.set_event_loop(loop)
        session = loop.run_until_complete(open_session(options.server, case))
        TOOLS[options.tool](loop, session, count, options)
        loop.run_until_complete(session.close())


if __name__ == "__main__":
    main()
