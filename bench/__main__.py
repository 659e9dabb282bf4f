"""``python -m bench``: what a request costs in fairlead, beside other clients, in one run."""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib.util
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import callgrind
from .cases import ALL_CASES, BY_NAME, QUICK, Case
from .libraries import LIBRARIES, installed
from .processes import ClientProcess, ServerFacts, client_and_server_cores, running_server
from .report import INSTRUCTIONS, USER_TIME, Results, Row, save, show

DEFAULT_LIBRARIES = ("fairlead", "aiohttp", "httpx2", "pyreqwest", "wreq")
ROUND_SECONDS = 0.25  # of processor time: long against the clock's resolution, short against what else the machine does
MAX_ROUND_REQUESTS = 50_000


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def usable(libraries: Sequence[str], facts: ServerFacts, results: Results) -> list[str]:
    """Return the libraries that answer one small GET; the others get a note."""
    found = []
    for library in libraries:
        client = ClientProcess(library, "asyncio", facts)
        error = client.ask(case="get1", count=1).get("error")
        client.stop()
        if error:
            results.notes.append(f"{library} is left out: one small GET failed: {error}")
        else:
            found.append(library)
    return found


def round_length(client: ClientProcess, case: Case) -> tuple[int, str]:
    """Return how many requests of a case take this client about ROUND_SECONDS of processor time."""
    ready = client.ask(case=case.name, count=0)
    if "error" in ready:
        return 0, ready["error"]
    count = max(case.in_flight, case.lengths_for(client.library)[0])
    trial = client.ask(case=case.name, count=count)
    if "error" in trial:
        return 0, trial["error"]
    each = max((trial["user"] + trial["system"]) / count, 1e-6)
    wanted = min(MAX_ROUND_REQUESTS, int(ROUND_SECONDS / each))
    return max(case.in_flight, wanted - wanted % case.in_flight, 1), ""


def measure_processor(
    libraries: Sequence[str], loop: str, cases: Sequence[Case], rounds: int, facts: ServerFacts, core: int | None
) -> list[Row]:
    """Measure user time, the libraries taking turns within each round so that a slow minute hits all of them."""
    rows: list[Row] = []
    clients = [ClientProcess(library, loop, facts, core) for library in libraries]
    try:
        for case in cases:
            progress(f"processor time: {case.name} on {loop}")
            lengths = {client: round_length(client, case) for client in clients}
            samples: dict[ClientProcess, list[dict[str, float]]] = {client: [] for client in clients}
            for _ in range(rounds):
                for client in clients:
                    if count := lengths[client][0]:
                        sample = client.ask(case=case.name, count=count)
                        if "error" not in sample:
                            samples[client].append({key: value / count * 1e6 for key, value in sample.items()})
            rows += [summary(client, case, samples[client], lengths[client][1]) for client in clients]
    finally:
        for client in clients:
            client.stop()
    return rows


def summary(client: ClientProcess, case: Case, samples: list[dict[str, float]], error: str) -> Row:
    if not samples:
        return Row(USER_TIME, case.name, client.loop, client.library, None, error or "no round was finished")
    user = [sample["user"] for sample in samples]
    facts = {
        "user_min": min(user),
        "user_max": max(user),
        "system_median": statistics.median(sample["system"] for sample in samples),
        "wall_median": statistics.median(sample["wall"] for sample in samples),
        "rounds": len(samples),
    }
    return Row(USER_TIME, case.name, client.loop, client.library, statistics.median(user), facts=facts)


def measure_instructions(
    libraries: Sequence[str], loops: Sequence[str], cases: Sequence[Case], facts: ServerFacts, jobs: int
) -> list[Row]:
    """Measure instructions per request, one process under callgrind for each library and loop."""
    rows: list[Row] = []
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        pending = {
            pool.submit(callgrind.measure, library, loop, cases, facts): (library, loop)
            for loop in loops
            for library in libraries
        }
        for done in concurrent.futures.as_completed(pending):
            library, loop = pending[done]
            counts = done.result()
            progress(f"instructions: {library} on {loop}")
            rows += [
                Row(
                    INSTRUCTIONS, case.name, loop, library,
                    counts.per_request.get(case.name), counts.errors.get(case.name, ""),
                )
                for case in cases
            ]  # fmt: skip
    return rows


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = [name for name in text.split(",") if name]
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return chosen

    return parse


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compare fairlead with other HTTP clients against a local server: what does one request cost?",
        epilog="cases: " + "; ".join(f"{case.name} ({case.title})" for case in ALL_CASES),
    )
    parser.add_argument("--cases", type=names(list(BY_NAME)), metavar="A,B", help="default: all")
    parser.add_argument(
        "--libs", type=names(list(LIBRARIES)), metavar="A,B",
        help=f"of {', '.join(LIBRARIES)}; default: {','.join(DEFAULT_LIBRARIES)}",
    )  # fmt: skip
    parser.add_argument("--loops", type=names(["asyncio", "uvloop"]), metavar="A,B", help="default: those installed")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of processor time for each case (default 7)")
    parser.add_argument("--cpu", action="store_true", help="measure processor time only")
    parser.add_argument("--callgrind", action="store_true", help="measure instructions only (needs valgrind)")
    parser.add_argument("--quick", action="store_true", help="fairlead and aiohttp, the cheap cases, three rounds")
    parser.add_argument("--jobs", type=int, default=1, help="processes under callgrind at the same time (default 1)")
    parser.add_argument("--output", type=Path, help="JSON file for the results (default: bench/results/TIME.json)")
    parser.add_argument("--check", action="store_true", help="exit with status 1 when fairlead is over a budget")
    options = parser.parse_args()
    if options.rounds < 1 or options.jobs < 1:
        parser.error("--rounds and --jobs must be at least 1")
    return options


def main() -> int:
    options = arguments()
    cases = [BY_NAME[name] for name in options.cases or (QUICK if options.quick else BY_NAME)]
    libraries = list(options.libs or (("fairlead", "aiohttp") if options.quick else DEFAULT_LIBRARIES))
    if not options.libs and not installed("httpx2"):
        libraries = ["httpx" if library == "httpx2" else library for library in libraries]
    loops = options.loops or (["asyncio", "uvloop"] if importlib.util.find_spec("uvloop") else ["asyncio"])
    rounds = min(options.rounds, 3) if options.quick else options.rounds
    both = options.cpu == options.callgrind
    results = Results()
    if options.cpu or both:
        client_core, server_core = client_and_server_cores()
        with running_server(server_core) as facts:
            libraries = usable(libraries, facts, results)
            for loop in loops:
                results.rows += measure_processor(libraries, loop, cases, rounds, facts, client_core)
    if options.callgrind or both:
        if callgrind.available():
            with running_server() as facts:
                if not both:
                    libraries = usable(libraries, facts, results)
                results.rows += measure_instructions(libraries, loops, cases, facts, options.jobs)
        else:
            results.notes.append("no instruction counts: valgrind is not installed")
    show(results, cases, loops, libraries)
    print(f"written to {save(results, libraries, options.output)}")
    if not options.check:
        return 0
    sentences = results.over_budget() if "fairlead" in libraries else ["fairlead was not measured"]
    if sentences:
        print("over budget:", *sentences, sep="\n  ")
    return 1 if sentences else 0


if __name__ == "__main__":
    sys.exit(main())
