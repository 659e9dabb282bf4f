"""``python -m bench.ws``: what a WebSocket message costs, at either end, beside other libraries, in one run."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import importlib.util
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .. import callgrind
from ..__main__ import names, progress
from ..processes import (
    REPOSITORY,
    RESULTS,
    available_cores,
    child_environment,
    client_and_server_cores,
    new_event_loop,
    pin_to,
    read_answer,
    timestamp,
)
from ..report import INSTRUCTIONS, Results, Row, machine, short
from .cases import ALL_CASES, BY_NAME, LIBRARIES, Case, measured
from .peer import HOST, open_peer

SIDES = ("client", "server")
PROCESSOR = "processor µs"
BASE = "aiohttp"
COUNTED = ("echo256", "send", "receive", "echo256-z")  # under callgrind by default: all of them take half an hour
START_SECONDS = 120  # under callgrind, too
STOP_SECONDS = 60


class Measured:
    """A running measured process."""

    def __init__(self, library: str, side: str, loop: str, core: int | None, under: Sequence[str] = ()) -> None:
        self.library = library
        self.port = free_port()
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  # closed by stop()
        command = [*(under or (sys.executable,)), "-m", "bench.ws.measured", "--library", library]
        command += ["--side", side, "--loop", loop, "--port", str(self.port)]
        command += ["--core", str(core)] if core is not None else []
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env=child_environment(), cwd=REPOSITORY, text=True,
        )  # fmt: skip
        if side == "server":
            self.wait_until_it_listens()

    def wait_until_it_listens(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError), socket.create_connection((HOST, self.port), 1):
                return
            time.sleep(0.05)

    def ask(self, order: str) -> dict[str, Any]:
        """Send an order; return the answer, which has ``error`` when there is none."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            print(order, file=self.process.stdin, flush=True)
        found = read_answer(self.process.stdout)
        if "ended" in found.get("error", ""):
            self.errors.seek(0)
            found["error"] += ": " + ([line.strip() for line in self.errors if line.strip()] or [""])[-1][-200:]
        return found

    def stop(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_peer(core: int | None) -> Iterator[int]:
    """Run the neutral server; yields its port."""
    command = [sys.executable, "-m", "bench.ws.peer", *(["--core", str(core)] if core is not None else [])]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment(), cwd=REPOSITORY, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def costs_of_client(process: Measured, case: Case, counts: Sequence[int], peer: int, warm_up: bool) -> list[float]:
    """Return seconds of processor time for each of the counts."""
    order = {"case": case.name, "port": peer, "counts": list(counts), "warm_up": warm_up}
    found = process.ask(json.dumps(order))
    if "error" in found:
        raise ValueError(found["error"])
    return [cost["user"] + cost["system"] for cost in found["costs"]]


def costs_of_server(process: Measured, case: Case, counts: Sequence[int], peer: int, warm_up: bool) -> list[float]:
    """The same for a server; this process is its client."""

    async def run() -> list[float]:
        costs = []
        for count in counts:
            client = await open_peer(case, count, process.port)
            try:
                if warm_up:
                    await client.run()
                if error := (await asyncio.to_thread(process.ask, "begin")).get("error"):
                    raise ValueError(error)
                await client.run()
                found = await asyncio.to_thread(process.ask, "end")
                if "error" in found:
                    raise ValueError(found["error"])
                costs.append(found["user"] + found["system"])
            finally:
                client.transport.abort()
        return costs

    with asyncio.Runner(loop_factory=lambda: new_event_loop("uvloop", "asyncio")) as runner:
        return runner.run(run())


COSTS = {"client": costs_of_client, "server": costs_of_server}
FAILURES = (OSError, ValueError, TimeoutError)


def measure_time(
    side: str, loop: str, libraries: Sequence[str], cases: Sequence[Case], rounds: int, peer: int
) -> Iterator[Row]:
    """Measure processor time; the libraries take turns in each round, the best round counts."""
    core, _ = client_and_server_cores()
    with ExitStack() as stack:
        processes = []
        for library in libraries:
            processes.append(Measured(library, side, loop, core))
            stack.callback(processes[-1].stop)
        for case in cases:
            progress(f"time: {side}, {case.name} on {loop}")
            samples: dict[str, list[float]] = {library: [] for library in libraries}
            errors: dict[str, str] = {}
            for number in range(rounds):
                for process in processes[:: -1 if number % 2 else 1]:
                    if not measured(process.library, case) or process.library in errors:
                        continue
                    try:
                        (cost,) = COSTS[side](process, case, [case.count], peer, not number)
                    except FAILURES as error:
                        errors[process.library] = f"{type(error).__name__}: {error}"
                    else:
                        samples[process.library].append(cost / case.count * 1e6)
            for library in libraries:
                if measured(library, case):
                    found = samples[library]
                    facts = {"median": statistics.median(found), "max": max(found)} if found else {}
                    yield Row(f"{side}, {PROCESSOR}", case.name, loop, library, min(found, default=None),
                              errors.get(library, ""), facts)  # fmt: skip


def measure_instructions(side: str, loop: str, library: str, cases: Sequence[Case], peer: int) -> Iterator[Row]:
    """Count instructions of one library, in one process under callgrind."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        out = Path(directory) / "callgrind"
        process = Measured(library, side, loop, None, callgrind.command(out, (), *callgrind.MARKS))
        stack.callback(process.stop)
        number = 0
        for case in cases:
            if not measured(library, case):
                continue
            value, error = None, ""
            try:
                # The first phase carries one-off costs and is not used.
                counts = (case.lengths[0] // 2 or 1, *case.lengths)
                COSTS[side](process, case, counts, peer, False)
                totals = [callgrind.total(Path(f"{out}.{number + at}")) for at in (2, 3)]
                number += 3
                value = (totals[1] - totals[0]) / (case.lengths[1] - case.lengths[0])
            except FAILURES as failure:
                error = f"{type(failure).__name__}: {failure}"
                number = max((int(path.suffix[1:]) for path in out.parent.glob("callgrind.*[0-9]")), default=0)
            yield Row(f"{side}, {INSTRUCTIONS}", case.name, loop, library, value, error)


def table(
    results: Results, measure: str, cases: Sequence[Case], loops: Sequence[str], libraries: Sequence[str]
) -> Table:
    view = Table(title=f"{measure} for a message, and ÷ {BASE}", title_justify="left")
    for heading in ("case", "loop"):
        view.add_column(heading, no_wrap=True)
    for library in libraries:
        view.add_column(library, justify="right", no_wrap=True)
    for case in cases:
        if all(results.value(measure, case.name, loop, library) is None for loop in loops for library in libraries):
            continue
        for loop in loops:
            cells = []
            for library in libraries:
                value = results.value(measure, case.name, loop, library)
                ratio = results.ratio(measure, case.name, loop, library, BASE)
                cells.append("-" if value is None else f"{short(value):>6} {'' if ratio is None else f'{ratio:5.2f}'}")
            view.add_row(case.name, loop, *cells)
    return view


def behind(results: Results) -> list[str]:
    """Return a sentence for each number of fairlead's that is above that of aiohttp or websockets."""
    sentences = []
    for row in results.rows:
        for other in (BASE, "websockets"):
            ratio = results.ratio(row.measure, row.case, row.loop, "fairlead", other)
            if row.library == "fairlead" and ratio is not None and ratio > 1:
                sentences.append(f"behind {other}: {row.measure}, {row.case} on {row.loop}: {ratio:.2f}")
    return sentences


def show(results: Results, cases: Sequence[Case], loops: Sequence[str], libraries: Sequence[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    for measure in dict.fromkeys(row.measure for row in results.rows):
        console.print(table(results, measure, cases, loops, libraries))
    for case in cases:
        console.print(f"[dim]{case.name:12}{case.title}[/]", highlight=False)
    for row in results.rows:
        if row.error:
            console.print(f"{row.library}, {row.measure}, {row.case}, {row.loop}: {row.error}", markup=False)
    for sentence in (*behind(results), *results.notes):
        console.print(sentence, markup=False, highlight=False)


def save(results: Results, libraries: Sequence[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine(),
        "versions": {library: importlib.metadata.version(library) for library in libraries},
        "rows": [asdict(row) for row in results.rows],
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.ws", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=names(list(BY_NAME)), help=f"of {','.join(BY_NAME)} (default: all)")
    parser.add_argument("--libraries", type=names(list(LIBRARIES)), help=f"of {','.join(LIBRARIES)} (default: all)")
    parser.add_argument("--loops", type=names(["asyncio", "uvloop"]), help="of asyncio,uvloop (default: both)")
    parser.add_argument("--sides", type=names(list(SIDES)), help="of client,server (default: both)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which the libraries take turns (default 3)")
    parser.add_argument("--no-time", action="store_true", help="count instructions only")
    parser.add_argument("--count", choices=("none", "some", "all"), default="some",
                        help=f"cases whose instructions are counted (default some: {','.join(COUNTED)})")  # fmt: skip
    parser.add_argument("--save", type=Path, help="JSON file for the results (default: bench/results/ws-TIME.json)")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    cases = [BY_NAME[name] for name in options.cases] if options.cases else list(ALL_CASES)
    libraries = [name for name in options.libraries or LIBRARIES if importlib.util.find_spec(name)]
    chosen = {"none": (), "some": COUNTED, "all": tuple(BY_NAME)}[options.count]
    counted = [case for case in cases if case.name in chosen] if callgrind.available() else []
    loops = options.loops or (["asyncio", "uvloop"] if importlib.util.find_spec("uvloop") else ["asyncio"])
    results = Results()
    if len(available_cores()) < 2:
        results.notes.append("both ends shared a core")
    _, peer_core = client_and_server_cores()
    pin_to(peer_core)
    with running_peer(peer_core) as peer:
        for side in options.sides or SIDES:
            for loop in loops:
                if not options.no_time:
                    results.rows += measure_time(side, loop, libraries, cases, options.rounds, peer)
                for library in libraries if counted else ():
                    progress(f"instructions: {side}, {library} on {loop}")
                    results.rows += measure_instructions(side, loop, library, counted, peer)
    if options.count != "none" and not callgrind.available():
        results.notes.append("valgrind is not installed: no instructions were counted")
    path = options.save or RESULTS / f"ws-{timestamp()}.json"
    save(results, libraries, path)
    show(results, cases, loops, libraries)
    print(f"results: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
