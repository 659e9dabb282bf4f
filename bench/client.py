"""The measured process: one library, one event loop.

Two ways to run it. Without ``--phases`` it reads orders from standard input, one JSON object a line (``{"case":
"get1", "count": 2000}``; a count of 0 opens the session and warms it up), runs each, and prints what it cost in
processor time. With ``--phases`` it runs, for every case, a warm-up and two run lengths, each between two marks at
which callgrind starts counting anew and writes a dump. The labels of the dumps, in order, are printed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .cases import BY_NAME, Case
from .libraries import LIBRARIES, Library
from .processes import ServerFacts, new_event_loop, pin_to

PHASE_SECONDS = 400
Action = Callable[[str], Coroutine[Any, Any, object]]


async def in_turn(action: Action, url: str, count: int) -> None:
    for _ in range(count):
        await action(url)


class Session:
    """An open session of the library with the actions of one case."""

    def __init__(self, library: Library, case: Case, facts: ServerFacts) -> None:
        self.library = library
        self.case = case
        self.url = (facts.tls if case.tls else facts.plain) + case.path
        self.action: Action = getattr(library, case.action)

    async def run(self, count: int) -> None:
        """Make ``count`` requests, the case's number of them in flight."""
        in_flight = self.case.in_flight
        if in_flight == 1:
            await in_turn(self.action, self.url, count)
            return
        each, rest = divmod(count, in_flight)
        await asyncio.gather(*(in_turn(self.action, self.url, each + (i < rest)) for i in range(in_flight)))


async def open_session(library: str, case: Case, facts: ServerFacts) -> Session:
    client = LIBRARIES[library][1](case.in_flight, facts.ca_file if case.tls else None, facts.sizes)
    await client.open()
    session = Session(client, case, facts)
    await session.run(case.warm_up_for(library))
    return session


def cost_of(loop: asyncio.AbstractEventLoop, session: Session, count: int) -> dict[str, float]:
    """Return user, system and wall seconds of ``count`` requests."""
    import resource

    gc.collect()
    before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    loop.run_until_complete(session.run(count))
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {"user": after.ru_utime - before.ru_utime, "system": after.ru_stime - before.ru_stime, "wall": wall}


def obey(loop: asyncio.AbstractEventLoop, library: str, facts: ServerFacts) -> None:
    """Run orders from standard input until it ends."""
    session: Session | None = None
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, Any]
        try:
            case = BY_NAME[order["case"]]
            if session is None or session.case is not case:
                if session is not None:
                    loop.run_until_complete(session.library.close())
                session = None
                session = loop.run_until_complete(open_session(library, case, facts))
            answer = dict(cost_of(loop, session, order["count"])) if order["count"] else {}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    if session is not None:
        loop.run_until_complete(session.library.close())


class Phases:
    """The marks around the phases of a run under callgrind, set by calls of two C functions that nothing else calls."""

    def __init__(self) -> None:
        self.labels: list[str] = []

    def begin(self) -> None:
        """Collect garbage, then start counting anew (``--zero-before=sched_get_priority_max``)."""
        gc.collect()
        os.sched_get_priority_max(os.SCHED_OTHER)

    def end(self, label: str) -> None:
        """Write out what was counted (``--dump-before=getloadavg``)."""
        os.getloadavg()
        self.labels.append(label)


async def run_phases(library: str, case: Case, lengths: tuple[int, ...], facts: ServerFacts, phases: Phases) -> None:
    async with asyncio.timeout(PHASE_SECONDS):
        session = await open_session(library, case, facts)
        try:
            # The first phase after a warm-up carries one-off costs of its own (about 2M instructions): it is not used.
            for number, count in enumerate((max(case.in_flight, lengths[0] // 2), *lengths)):
                phases.begin()
                await session.run(count)
                phases.end(f"{case.name} {number}" if number else "")
        finally:
            await session.library.close()


def all_phases(
    loop: asyncio.AbstractEventLoop, library: str, names: list[str], facts: ServerFacts, lengths: tuple[int, ...]
) -> None:
    phases = Phases()
    errors: dict[str, str] = {}
    for name in names:
        case = BY_NAME[name]
        try:
            loop.run_until_complete(run_phases(library, case, lengths or case.lengths_for(library), facts, phases))
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {error}"
    print(json.dumps({"labels": phases.labels, "errors": errors}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Run benchmark cases with one library; started by python -m bench.")
    parser.add_argument("--library", choices=LIBRARIES, required=True)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), required=True)
    parser.add_argument("--facts", type=json.loads, required=True, help="what the server printed")
    parser.add_argument("--core", type=int, help="pin the process to this core")
    parser.add_argument("--phases", help="cases, comma separated, to run between marks for callgrind")
    parser.add_argument("--lengths", default="", help="run lengths for --phases instead of the case's")
    options = parser.parse_args()
    pin_to(options.core)
    facts = ServerFacts(**options.facts)
    with contextlib.closing(new_event_loop(options.loop)) as loop:
        asyncio.set_event_loop(loop)
        if options.phases:
            lengths = tuple(int(length) for length in options.lengths.split(",") if length)
            all_phases(loop, options.library, options.phases.split(","), facts, lengths)
        else:
            obey(loop, options.library, facts)


if __name__ == "__main__":
    main()
