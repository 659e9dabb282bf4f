"""What ``import fairlead`` costs beside ``import aiohttp``: ``python -m bench.import_time``.

Every import runs in a fresh process, the modules taking turns; the cost of starting Python is measured the same way and
subtracted.  Bytecode caches are warm, as they are for a user.
"""

from __future__ import annotations

import argparse
import compileall
import os
import statistics
import subprocess
import sys

from rich.console import Console
from rich.table import Table

from . import callgrind
from .processes import REPOSITORY, child_environment

BUDGET = 0.5  # of aiohttp


def user_seconds(statement: str) -> float:
    """Return the user time of a fresh Python that runs one statement."""
    process = subprocess.Popen([sys.executable, "-c", statement], env=child_environment(), cwd=REPOSITORY)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{statement!r} failed with status {process.returncode}")
    return usage.ru_utime


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.import_time", description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", default=["fairlead", "aiohttp"], help="default: fairlead aiohttp")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-callgrind", action="store_true", help="processor time only")
    options = parser.parse_args()
    statements = {"(python)": "pass", **{module: f"import {module}" for module in options.modules}}
    samples: dict[str, list[float]] = {name: [] for name in statements}
    compileall.compile_dir(REPOSITORY / "src", quiet=2)
    for statement in statements.values():
        user_seconds(statement)
    for _ in range(options.rounds):
        for name, statement in statements.items():
            samples[name].append(user_seconds(statement) * 1000)
    counted = callgrind.available() and not options.no_callgrind
    instructions: dict[str, float] = {}
    if counted:
        instructions = {name: callgrind.measure_program("-c", run) / 1e6 for name, run in statements.items()}

    medians = {name: statistics.median(values) for name, values in samples.items()}
    bare, base = "(python)", options.modules[-1]
    view = Table(title=f"Cost of an import, beyond that of starting Python; ratios to {base}", title_justify="left")
    for heading in ("module", "user ms, min", "user ms, median", "ratio", "M instructions", "ratio "):
        view.add_column(heading, justify="left" if heading == "module" else "right")
    for name in statements:
        own = 0.0 if name == bare else 1.0
        low = min(samples[name]) - own * min(samples[bare])
        middle = medians[name] - own * medians[bare]
        cells = [name, f"{low:.1f}", f"{middle:.1f}"]
        cells.append(f"{middle / (medians[base] - medians[bare]):.2f}" if own else "")
        if counted:
            count = instructions[name] - own * instructions[bare]
            cells += [f"{count:.0f}", f"{count / (instructions[base] - instructions[bare]):.2f}" if own else ""]
        view.add_row(*cells)
    Console().print(view)
    print(f"budget: import fairlead costs at most {BUDGET:.2f} of import aiohttp")


if __name__ == "__main__":
    main()
