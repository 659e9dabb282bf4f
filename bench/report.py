"""What was measured, as one table for people and one JSON file for programs."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .cases import BY_NAME, Case
from .libraries import version
from .processes import RESULTS, timestamp

INSTRUCTIONS = "instructions"
USER_TIME = "user µs"
FACE_WIDTH = 150  # columns of a table that goes to a file or a pipe
SESSION_BUDGET_MICROSECONDS = 50


@dataclass
class Row:
    """One number: a library, on one event loop, in one case."""

    measure: str
    case: str
    loop: str
    library: str
    value: float | None
    error: str = ""
    facts: dict[str, float] = field(default_factory=dict)


class Results:
    """All rows of a run, and the ratios between them."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.rows = list(rows)
        self.notes: list[str] = []

    def value(self, measure: str, case: str, loop: str, library: str) -> float | None:
        for row in self.rows:
            if (row.measure, row.case, row.loop, row.library) == (measure, case, loop, library):
                return row.value
        return None

    def ratio(self, measure: str, case: str, loop: str, library: str, to: str) -> float | None:
        value, base = self.value(measure, case, loop, library), self.value(measure, case, loop, to)
        return value / base if value is not None and base else None

    def over_budget(self) -> list[str]:
        """Return a sentence for each case in which fairlead spends more instructions than its budget."""
        sentences = []
        for row in self.rows:
            if row.library != "fairlead" or row.measure != INSTRUCTIONS:
                continue
            if row.value is None:
                sentences.append(f"{row.case} on {row.loop}: no number: {row.error}")
                continue
            ratio, budget = self.ratio(row.measure, row.case, row.loop, "fairlead", "aiohttp"), BY_NAME[row.case].budget
            if ratio is not None and ratio > budget:
                sentences.append(f"{row.case} on {row.loop}: {ratio:.2f} of aiohttp, the budget is {budget:.2f}")
        return sentences


def short(value: float) -> str:
    """Write a number in three or four digits: 56.8k, 1.36M."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.{2 if value < 10 * unit else 1}f}{name}"
    return f"{value:.1f}"


def cell(results: Results, measure: str, case: str, loop: str, library: str) -> str:
    """Return the value with its ratios to aiohttp and to fairlead."""
    value = results.value(measure, case, loop, library)
    if value is None:
        return "-"
    ratios = (results.ratio(measure, case, loop, library, to) for to in ("aiohttp", "fairlead"))
    return " ".join([f"{short(value):>6}", *(f"{ratio:5.2f}" if ratio is not None else "    -" for ratio in ratios)])


def verdict(results: Results, measure: str, case: Case, loop: str) -> str:
    ratio = results.ratio(measure, case.name, loop, "fairlead", "aiohttp")
    if measure != INSTRUCTIONS:
        return ""
    if ratio is None:
        return f"≤ {case.budget:.2f}"
    colour, sign = ("green", "≤") if ratio <= case.budget else ("red", ">")
    return f"[{colour}]{ratio:.2f} {sign} {case.budget:.2f}[/]"


def table(results: Results, cases: Sequence[Case], loops: Sequence[str], libraries: Sequence[str]) -> Table:
    """Return the table: one line for each measure, case and loop; one column for each library."""
    view = Table(title="Cost of one request", caption="each cell: value, ÷ aiohttp, ÷ fairlead", title_justify="left")
    for heading in ("", "case", "loop"):
        view.add_column(heading, no_wrap=True)
    for library in libraries:
        view.add_column(library, justify="right", no_wrap=True)
    view.add_column("budget", no_wrap=True)
    for measure in (INSTRUCTIONS, USER_TIME):
        if not any(row.measure == measure for row in results.rows):
            continue
        for case in cases:
            for loop in loops:
                cells = [cell(results, measure, case.name, loop, library) for library in libraries]
                view.add_row(measure, case.name, loop, *cells, verdict(results, measure, case, loop))
        view.add_section()
    return view


def show(results: Results, cases: Sequence[Case], loops: Sequence[str], libraries: Sequence[str]) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=FACE_WIDTH + 22 * max(0, len(libraries) - 4))
    console.print(table(results, cases, loops, libraries))
    for case in cases:
        console.print(f"[dim]{case.name:15}{case.title}[/]", highlight=False)
    for row in results.rows:
        if row.error:
            console.print(f"{row.library}, {row.case}, {row.loop}: {row.error}", markup=False, highlight=False)
    for note in (*results.notes, *session_cost(results, loops)):
        console.print(note, markup=False, highlight=False)


def session_cost(results: Results, loops: Sequence[str]) -> list[str]:
    sentences = []
    for loop in loops:
        value = results.value(USER_TIME, "session", loop, "fairlead")
        if value is not None:
            sentences.append(f"fairlead session, {loop}: {value:.1f} µs of {SESSION_BUDGET_MICROSECONDS} µs")
    return sentences


def machine() -> dict[str, Any]:
    return {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}


def save(results: Results, libraries: Sequence[str], path: Path | None = None) -> Path:
    """Write the results as JSON and return the file's path."""
    path = path or RESULTS / f"{timestamp()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    document = {
        "machine": machine(),
        "versions": {library: version(library) for library in libraries},
        "budgets": {case.name: case.budget for case in BY_NAME.values()},
        "rows": [asdict(row) for row in results.rows],
        "ratios_to_aiohttp": [
            {"measure": row.measure, "case": row.case, "loop": row.loop, "library": row.library,
             "ratio": results.ratio(row.measure, row.case, row.loop, row.library, "aiohttp")}
            for row in results.rows
        ],
        "notes": results.notes,
    }  # fmt: skip
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
