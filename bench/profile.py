"""Where the time of one case goes: ``python -m bench.profile --case get1 --library fairlead``.

``--with cprofile`` lists Python functions by their own time; ``--with pyinstrument`` shows the call tree from samples;
``--with callgrind`` lists C functions (the interpreter's own among them) by instructions, start-up left out;
``--with lines`` counts bytecode instructions by source line, which hardly depends on how busy the machine is.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import os
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import callgrind
from .cases import BY_NAME, Case
from .client import Session, open_session
from .libraries import LIBRARIES
from .processes import REPOSITORY, ServerFacts, new_event_loop, running_server

Report = Callable[[asyncio.AbstractEventLoop, Session, int, argparse.Namespace], None]


def with_cprofile(loop: asyncio.AbstractEventLoop, session: Session, count: int, options: argparse.Namespace) -> None:
    import cProfile
    import pstats

    profiler = cProfile.Profile()
    profiler.enable()
    loop.run_until_complete(session.run(count))
    profiler.disable()
    print(f"{session.case.title}: {count} requests")
    pstats.Stats(profiler).strip_dirs().sort_stats(options.sort).print_stats(options.top)


def with_pyinstrument(
    loop: asyncio.AbstractEventLoop, session: Session, count: int, options: argparse.Namespace
) -> None:
    from pyinstrument import Profiler

    profiler = Profiler(interval=0.0002, async_mode="disabled")
    with profiler:
        loop.run_until_complete(session.run(count))
    profiler.print(show_all=options.all)


class LineCounter:
    """Counts executed bytecode instructions by source line, in this thread."""

    def __init__(self) -> None:
        self.by_line: collections.Counter[tuple[str, int]] = collections.Counter()
        self.by_function: collections.Counter[tuple[str, str]] = collections.Counter()

    def trace(self, frame: types.FrameType, event: str, argument: Any) -> Any:
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            code = frame.f_code
            self.by_line[code.co_filename, frame.f_lineno] += 1
            self.by_function[code.co_filename, code.co_qualname] += 1
        return self.trace


def with_lines(loop: asyncio.AbstractEventLoop, session: Session, count: int, options: argparse.Namespace) -> None:
    import linecache

    counter = LineCounter()
    sys.settrace(counter.trace)
    try:
        loop.run_until_complete(session.run(count))
    finally:
        sys.settrace(None)
    total = sum(counter.by_line.values())
    print(f"{session.case.title}: {total / count:,.0f} bytecode instructions a request (C functions not counted)")
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


def place(file: str) -> str:
    """Return the end of a path, enough to find the file."""
    return "/".join(Path(file).parts[-2:])


REPORTS: dict[str, Report] = {"cprofile": with_cprofile, "pyinstrument": with_pyinstrument, "lines": with_lines}


def in_process(case: Case, facts: ServerFacts, options: argparse.Namespace) -> None:
    with contextlib.closing(new_event_loop(options.loop)) as loop:
        asyncio.set_event_loop(loop)
        session = loop.run_until_complete(open_session(options.library, case, facts))
        REPORTS[options.tool](loop, session, options.count or 10 * case.lengths[0], options)
        loop.run_until_complete(session.library.close())


def under_callgrind(case: Case, facts: ServerFacts, options: argparse.Namespace) -> None:
    count = options.count or case.lengths[1]
    with tempfile.TemporaryDirectory() as directory:
        arguments = callgrind.client_arguments(options.library, options.loop, [case], facts)
        dumps, errors, stderr = callgrind.run_client(Path(directory), [*arguments, "--lengths", str(count)])
        dump = dumps.get(f"{case.name} 1")
        if dump is None:
            raise SystemExit(str(errors or stderr))
        print(f"{case.title}: {callgrind.total(dump) / count:,.0f} instructions for each of {count} requests")
        if options.keep:
            options.keep.write_bytes(dump.read_bytes())
        print(*callgrind.annotated(dump, options.all)[: options.top + 1], sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=BY_NAME, default="get1")
    parser.add_argument("--library", choices=LIBRARIES, default="fairlead")
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--with", dest="tool", choices=(*REPORTS, "callgrind"), default="cprofile")
    parser.add_argument("--count", type=int, help="number of requests")
    parser.add_argument("--top", type=int, default=40, help="lines of the report (default 40)")
    parser.add_argument("--sort", default="tottime", help="of cprofile: tottime (default), cumtime, ncalls")
    parser.add_argument("--all", action="store_true", help="pyinstrument: every frame; callgrind: with what is called")
    parser.add_argument("--keep", type=Path, help="callgrind: keep the dump in this file, for a viewer")
    options = parser.parse_args()
    os.chdir(REPOSITORY)
    sys.path.insert(0, str(REPOSITORY / "src"))
    with running_server() as facts:
        if options.tool == "callgrind":
            under_callgrind(BY_NAME[options.case], facts, options)
        else:
            in_process(BY_NAME[options.case], facts, options)


if __name__ == "__main__":
    main()
