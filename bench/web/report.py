"""What was measured of the servers, as tables for people and one JSON file for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..processes import RESULTS, timestamp
from ..report import INSTRUCTIONS, Results, Row, machine, short
from .cases import BY_NAME, Case
from .servers import versions

REQUESTS = "requests/s"
PROCESSOR = "processor µs"
BASE = "aiohttp"  # what the others are compared with
SATURATED = 0.97  # of wrk's core: from here on, requests/s say what wrk can do
CROWDED = 0.85  # of the server's core: below, other processes had the rest, or wrk could not keep the server busy
TITLES = {
    REQUESTS: "Requests a second: best round, median round, ÷ aiohttp.web (median of the ratios in each round)",
    PROCESSOR: "User and system µs of the server for a request: best round, median round, ÷ aiohttp.web",
    INSTRUCTIONS: "Instructions for a request, and ÷ aiohttp.web on the same loop",
}


def ratio_of(results: Results, row: Row) -> float | None:
    """Return the ratio to aiohttp.web on the same loop; of the rounds in pairs, where there were rounds."""
    return row.facts.get("ratio") or results.ratio(row.measure, row.case, row.loop, row.library, BASE)


def cell(results: Results, measure: str, case: str, loop: str, server: str) -> str:
    """Return a value with its ratio to aiohttp.web."""
    row = next((row for row in results.rows if (row.measure, row.case, row.loop, row.library) ==
                (measure, case, loop, server)), None)  # fmt: skip
    if row is None or row.value is None:
        return "-"
    ratio = ratio_of(results, row)
    mark = ""
    if measure == REQUESTS:
        mark += "*" if row.facts.get("wrk_busy", 0) > SATURATED else ""
        mark += "†" if row.facts.get("server_busy", 1) < CROWDED else ""
    median = f" {short(row.facts['median']):>6}" if "median" in row.facts else ""
    return f"{mark}{short(row.value):>6}{median} {f'{ratio:5.2f}' if ratio is not None else '    -'}"


def table(
    results: Results, measure: str, cases: Sequence[Case], loops: Sequence[str], servers: Sequence[str]
) -> Table | None:
    if not any(row.measure == measure for row in results.rows):
        return None
    view = Table(title=TITLES[measure], title_justify="left")
    for heading in ("case", "loop"):
        view.add_column(heading, no_wrap=True)
    for server in servers:
        view.add_column(server, justify="right", no_wrap=True)
    for case in cases:
        for loop in loops:
            view.add_row(case.name, loop, *(cell(results, measure, case.name, loop, server) for server in servers))
    return view


def show(results: Results, cases: Sequence[Case], loops: Sequence[str], servers: Sequence[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=40 + 26 * len(servers))
    for measure in TITLES:
        if view := table(results, measure, cases, loops, servers):
            console.print(view)
    for case in cases:
        console.print(f"[dim]{case.name:8}{case.title}[/]", highlight=False)
    for server in servers:
        if made_of := versions(server):
            console.print(f"[dim]{server}: {made_of}[/]", highlight=False)
    notes = [f"{row.library}, {row.case}, {row.loop}: {row.error}" for row in results.rows if row.error]
    if any(row.facts.get("wrk_busy", 0) > SATURATED for row in results.rows):
        notes.append("* wrk had no time left: the server can do more; compare processor time")
    if any(row.facts.get("server_busy", 1) < CROWDED for row in results.rows):
        notes.append(
            "† the server did not have its core to itself in the median round, or was not kept busy: compare processor "
            "time; on a crowded core, a server of several processes gets more than its share"
        )
    for note in dict.fromkeys([*notes, *results.notes]):
        console.print(note, markup=False, highlight=False)


def save(results: Results, servers: Sequence[str], path: Path | None = None) -> Path:
    """Write the results as JSON and return the file's path."""
    path = path or RESULTS / f"server-{timestamp()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine(),
        "versions": {server: versions(server) for server in servers},
        "cases": {case.name: case.title for case in BY_NAME.values()},
        "rows": [
            asdict(row) | {"ratio_to_aiohttp": ratio_of(results, row)} for row in results.rows
        ],
        "notes": results.notes,
    }
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
