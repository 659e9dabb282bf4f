"""``python -m bench.web``: what a request costs in ``fairlead.web``, beside other servers, in one run."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import callgrind
from ..__main__ import names, progress
from ..processes import available_cores, pin_to
from ..report import INSTRUCTIONS, Results, Row
from .cases import ALL_CASES, BY_NAME, STATIC_BODY, STATIC_NAME, Case
from .load import Load, available, per_request, run_wrk, write_script
from .report import BASE, PROCESSOR, REQUESTS, save, show
from .servers import SERVERS, ServerProcess

COUNTED_SERVERS = ("fairlead", "aiohttp", "bare")  # by default, under callgrind
COUNTED_CONNECTIONS = 8
WARM_UP_REQUESTS = 300
WARM_UP_UPLOADS = 20
ATTEMPTS = 3
LEAST_BUSY = 0.3  # of a core
DISTURBED = "no request was answered"
NO_WRK = "wrk is not installed: apt-get install wrk (Debian, Ubuntu), brew install wrk (macOS)"


@dataclass
class Rounds:
    """What the rounds of one server in one case gave."""

    server: ServerProcess
    error: str = ""
    samples: dict[int, dict[str, float]] = field(default_factory=dict)  # by number of the round

    def values(self, key: str) -> list[float]:
        return [sample[key] for sample in self.samples.values() if key in sample]


def cores() -> tuple[int | None, int | None]:
    """Return the core of the server and the core of the load; none of them when there are not two."""
    known = available_cores()
    return (known[0], known[1]) if len(known) > 1 else (None, None)


@contextmanager
def running(
    wanted: Sequence[str], loop: str, static: Path, core: int | None, results: Results
) -> Iterator[list[ServerProcess]]:
    """Run the servers that start, all at once: the idle ones cost nothing."""
    with ExitStack() as stack:
        started = []
        for name in wanted:
            server = ServerProcess(name, loop, static, core)
            stack.callback(server.stop)
            if reason := server.not_started():
                results.notes.append(f"{name} on {loop} is left out, it does not start: {reason}")
            else:
                started.append(server)
        yield started


async def warm_up(server: ServerProcess, case: Case) -> None:
    load = Load(server.port, case.request(server.port), COUNTED_CONNECTIONS)
    await load.open()
    await load.run(WARM_UP_UPLOADS if case.name == "upload" else WARM_UP_REQUESTS)
    load.close()


def ready(server: ServerProcess, case: Case) -> str:
    """Check the server's answer and warm it up; return what is wrong, or ''."""
    if case.name not in SERVERS[server.name].cases:
        return ""
    if wrong := server.wrong_with(case):
        return wrong
    try:
        asyncio.run(warm_up(server, case))
    except (OSError, ValueError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def undisturbed_round(
    server: ServerProcess, case: Case, script: Path, connections: int, seconds: int
) -> dict[str, Any]:
    """Return a round in which the server was busy; when the machine lets it have no core, the round is repeated."""
    sample: dict[str, Any] = {}
    for _ in range(ATTEMPTS):
        sample = one_round(server, case, script, connections, seconds)
        if sample.get("error", DISTURBED) != DISTURBED or sample.get("server_busy", 1) > LEAST_BUSY:
            break
    return sample


def one_round(server: ServerProcess, case: Case, script: Path, connections: int, seconds: int) -> dict[str, Any]:
    """Let wrk load the server once; return requests a second and seconds of processor time for each request."""
    before, wrk_before = server.processor_time(), os.times()
    started = time.perf_counter()
    found = run_wrk(script, case, server.port, connections, seconds)
    wall = time.perf_counter() - started
    after, wrk_after = server.processor_time(), os.times()
    if "error" in found:
        return found
    if found["bad"] or found["lost"]:
        return {"error": f"{found['bad']} answers were not of status 2xx or 3xx, {found['lost']} requests failed"}
    if not found["requests"]:
        return {"error": DISTURBED}
    sample = {
        "requests_a_second": found["requests"] / found["microseconds"] * 1e6,
        "p50": found["p50"],
        "p99": found["p99"],
        "wrk_busy": (sum(wrk_after[2:4]) - sum(wrk_before[2:4])) / wall,
    }
    if before and after:
        sample |= {key: (after[at] - before[at]) / found["requests"] * 1e6 for at, key in enumerate(("user", "system"))}
        sample["processor"] = sample["user"] + sample["system"]
        sample["server_busy"] = sample["processor"] * found["requests"] / wall / 1e6
    return sample


def measure_case(
    servers: Sequence[ServerProcess], case: Case, script: Path, options: argparse.Namespace
) -> Iterator[Row]:
    """Measure one case; the servers take turns within each round, so that a slow minute hits all of them."""
    all_rounds = []
    for server in servers:
        if case.name in SERVERS[server.name].cases:
            all_rounds.append(Rounds(server, ready(server, case)))
    connections = case.connections or options.connections
    for number in range(options.rounds):
        for rounds in all_rounds[:: -1 if number % 2 else 1]:
            if not rounds.error:
                sample = undisturbed_round(rounds.server, case, script, connections, options.seconds)
                if "error" not in sample:
                    rounds.samples[number] = sample
                elif sample["error"] != DISTURBED:
                    rounds.error = sample["error"]
    base = next((rounds for rounds in all_rounds if rounds.server.name == BASE), None)
    for rounds in all_rounds:
        yield from rows(rounds, base, case)


def rows(rounds: Rounds, base: Rounds | None, case: Case) -> Iterator[Row]:
    """Yield the best round, since what else a machine does only ever makes a server slower, and what is beside it."""
    name, loop = rounds.server.name, rounds.server.loop
    if not rounds.samples:
        yield Row(REQUESTS, case.name, loop, name, None, rounds.error or DISTURBED)
        return
    speeds, costs = rounds.values("requests_a_second"), rounds.values("processor")
    facts = {"median": statistics.median(speeds), "min": min(speeds), "rounds": len(speeds)}
    facts |= {f"{key}_median": statistics.median(rounds.values(key)) for key in ("p50", "p99")}
    if busy := rounds.values("server_busy"):
        facts["server_busy"] = statistics.median(busy)
    facts |= {"wrk_busy": max(rounds.values("wrk_busy"))} | paired_ratio(rounds, base, "requests_a_second")
    yield Row(REQUESTS, case.name, loop, name, max(speeds), rounds.error, facts)
    if costs:
        facts = {"median": statistics.median(costs), "max": max(costs)}
        facts |= {f"{key}_median": statistics.median(rounds.values(key)) for key in ("user", "system")}
        yield Row(PROCESSOR, case.name, loop, name, min(costs), facts=facts | paired_ratio(rounds, base, "processor"))


def paired_ratio(rounds: Rounds, base: Rounds | None, key: str) -> dict[str, float]:
    """Return the median of the ratios to the base within each round: the two ran within seconds of each other."""
    others = base.samples if base else {}
    ratios = [
        sample[key] / others[number][key]
        for number, sample in rounds.samples.items()
        if sample.get(key) and others.get(number, {}).get(key)
    ]
    return {"ratio": statistics.median(ratios)} if ratios else {}


def measure_load(servers: Sequence[str], cases: Sequence[Case], static: Path, options: argparse.Namespace) -> Results:
    """Measure requests a second and processor time with wrk on a core of its own."""
    results = Results()
    server_core, load_core = cores()
    if server_core is None:
        results.notes.append("server and wrk shared their cores: requests/s of different servers say little")
    pin_to(load_core)
    for loop in options.loops:
        with running(servers, loop, static, server_core, results) as started:
            for case in cases:
                progress(f"load: {case.name} on {loop}")
                results.rows += measure_case(started, case, write_script(case, static), options)
    return results


async def count_case(server: ServerProcess, case: Case, dump: Path) -> float:
    """Return the instructions of one request: the slope between two numbers of requests."""
    load = Load(server.port, case.request(server.port), COUNTED_CONNECTIONS)
    await load.open()
    try:
        # As in bench.client: the first phase after a warm-up carries one-off costs and is not used.
        await load.run(case.lengths[0] // 2)
        cost = {}
        for number, length in enumerate((case.lengths[0] // 2, *case.lengths)):
            await asyncio.to_thread(server.order, "begin")
            await load.run(length)
            if error := await asyncio.to_thread(server.order, "end"):
                raise ValueError(error)
            if number:
                cost[length] = float(callgrind.total(newest(dump)))
    finally:
        load.close()
    return per_request(cost)


def newest(dump: Path) -> Path:
    """Return the last of the numbered dumps that callgrind wrote beside ``dump``."""
    numbered = [path for path in dump.parent.glob(f"{dump.name}.*") if path.suffix[1:].isdigit()]
    return max(numbered, key=lambda path: int(path.suffix[1:]))


def count_server(name: str, loop: str, cases: Sequence[Case], static: Path, results: Results) -> None:
    """Measure instructions of all the cases of one server, in one process under callgrind."""
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        dump = Path(directory) / "callgrind"
        server = ServerProcess(name, loop, static, under=tuple(callgrind.command(dump, (), *callgrind.MARKS)))
        stack.callback(server.stop)
        if reason := server.not_started():
            results.notes.append(f"{name} on {loop} is left out, it does not start: {reason}")
            return
        for case in cases:
            if case.name not in SERVERS[name].cases:
                continue
            error, value = server.wrong_with(case), None
            if not error:
                try:
                    value = asyncio.run(count_case(server, case, dump))
                except (OSError, ValueError, TimeoutError) as failure:
                    error = f"{type(failure).__name__}: {failure}"
            results.rows.append(Row(INSTRUCTIONS, case.name, loop, name, value, error))


def measure_instructions(servers: Sequence[str], cases: Sequence[Case], static: Path, loops: Sequence[str]) -> Results:
    results = Results()
    for loop in loops:
        for name in servers:
            if SERVERS[name].own_loop:
                progress(f"instructions: {name} on {loop}")
                count_server(name, loop, cases, static, results)
            else:
                results.notes.append(f"{name} has processes of its own: its instructions are not counted")
    return results


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.web", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=names(list(BY_NAME)), help=f"of {','.join(BY_NAME)} (default: all)")
    parser.add_argument("--servers", type=names(list(SERVERS)), help=f"of {','.join(SERVERS)} (default: all)")
    parser.add_argument("--loops", type=names(["asyncio", "uvloop"]), help="of asyncio,uvloop (default: both)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds in which the servers take turns (default 5)")
    parser.add_argument("--seconds", type=int, default=1, help="of load in each round (default 1)")
    parser.add_argument("--connections", type=int, default=64, help="of wrk; upload has 8 (default 64)")
    parser.add_argument("--callgrind", action="store_true", help="count instructions instead (needs valgrind, no wrk)")
    parser.add_argument("--save", type=Path, help="JSON file for the results (default: bench/results/server-TIME.json)")
    options = parser.parse_args()
    if min(options.rounds, options.seconds, options.connections) < 1:
        parser.error("--rounds, --seconds and --connections must be at least 1")
    if not options.loops:
        options.loops = ["asyncio", "uvloop"] if importlib.util.find_spec("uvloop") else ["asyncio"]
    return options


def main() -> int:
    options = arguments()
    cases = [BY_NAME[name] for name in options.cases] if options.cases else list(ALL_CASES)
    servers = options.servers or list(COUNTED_SERVERS if options.callgrind else SERVERS)
    if options.callgrind and not callgrind.available():
        print("valgrind is not installed", file=sys.stderr)
        return 2
    if not options.callgrind and not available():
        print(NO_WRK, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as directory:
        static = Path(directory)
        (static / STATIC_NAME).write_bytes(STATIC_BODY)
        if options.callgrind:
            results = measure_instructions(servers, cases, static, options.loops)
        else:
            results = measure_load(servers, cases, static, options)
    show(results, cases, options.loops, servers)
    print(f"written to {save(results, servers, options.save)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
