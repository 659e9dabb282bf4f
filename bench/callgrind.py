"""Instructions per request: the slope between two run lengths under ``valgrind --tool=callgrind``.

One process runs every case of a library.  It marks the beginning and the end of each phase by calling two C functions
that nothing else calls; callgrind starts counting anew before the first and writes a dump before the second.  So
start-up, imports and warm-up never enter a number, and the slope between two phases removes what a phase itself costs.
Instruction counts do not depend on how busy the machine is; they leave out what the kernel does.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .cases import Case
from .processes import REPOSITORY, ServerFacts, child_environment

RUN_SECONDS = 1800
MARKS = ("--zero-before=sched_get_priority_max", "--dump-before=getloadavg")
TOTALS = re.compile(rb"^(?:totals|summary): (\d+)", re.MULTILINE)


@dataclass
class Counts:
    """What one process measured: instructions per request by case name, or the reason why there is no number."""

    per_request: dict[str, float] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def available() -> bool:
    return shutil.which("valgrind") is not None


def total(dump: Path) -> int:
    """Return the number of instructions in one callgrind dump."""
    with dump.open("rb") as file:
        file.seek(max(0, dump.stat().st_size - 4096))
        found = TOTALS.search(file.read())
    if found is None:
        found = TOTALS.search(dump.read_bytes())
    if found is None:
        raise ValueError(f"{dump.name} has no totals line: callgrind was stopped while it wrote the dump")
    return int(found[1])


def command(out_file: Path, python: Sequence[str], *options: str) -> list[str]:
    """Return the command line that runs a Python program under callgrind."""
    return ["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={out_file}", "--fair-sched=try", *options,
            sys.executable, *python]  # fmt: skip


def client_arguments(library: str, loop: str, cases: Sequence[Case], facts: ServerFacts) -> list[str]:
    names = ",".join(case.name for case in cases)
    return ["-m", "bench.client", "--library", library, "--loop", loop, "--facts", facts.to_json(), "--phases", names]


def run_client(directory: Path, arguments: Sequence[str], *options: str) -> tuple[dict[str, Path], dict[str, str], str]:
    """Run the client under callgrind; return the dump of each labelled phase, the errors by case, and stderr."""
    out_file = directory / "callgrind"
    try:
        done = subprocess.run(
            command(out_file, arguments, *MARKS, *options),
            env=child_environment(), cwd=REPOSITORY, capture_output=True, text=True, timeout=RUN_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {}, {}, f"not finished after {RUN_SECONDS} s"
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"labels"')]
    if not lines:
        return {}, {}, done.stderr.strip()[-500:] or f"exit status {done.returncode}"
    answer = json.loads(lines[-1])
    dumps = {label: Path(f"{out_file}.{number}") for number, label in enumerate(answer["labels"], 1) if label}
    return dumps, answer["errors"], done.stderr


def annotated(dump: Path, inclusive: bool) -> list[str]:
    """Return the lines of ``callgrind_annotate`` for a dump, one for each C function, the most expensive first."""
    lines = dump.read_text(errors="replace").splitlines()
    # A call that is still running when the dump is written stands there with a count of 0, and callgrind_annotate takes
    # what was spent inside it for the caller's own.
    running = {at for number, line in enumerate(lines) if line.startswith("calls=0 ") for at in (number, number + 1)}
    cleaned = dump.with_suffix(".cleaned")
    cleaned.write_text("\n".join(line for number, line in enumerate(lines) if number not in running) + "\n")
    done = subprocess.run(
        ["callgrind_annotate", "--show-percs=yes", f"--inclusive={'yes' if inclusive else 'no'}", str(cleaned)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line for line in done.stdout.splitlines() if "%)" in line]


def measure(library: str, loop: str, cases: Sequence[Case], facts: ServerFacts) -> Counts:
    """Return instructions per request of one library on one loop, for every case."""
    counts = Counts()
    with tempfile.TemporaryDirectory() as directory:
        dumps, counts.errors, stderr = run_client(Path(directory), client_arguments(library, loop, cases, facts))
        for case in cases:
            first, second = dumps.get(f"{case.name} 1"), dumps.get(f"{case.name} 2")
            if first is None or second is None:
                counts.errors.setdefault(case.name, stderr or "no dump")
                continue
            shorter, longer = case.lengths_for(library)
            counts.per_request[case.name] = (total(second) - total(first)) / (longer - shorter)
    return counts


def measure_program(*python: str) -> int:
    """Return all the instructions of one run of ``python`` with these arguments."""
    with tempfile.TemporaryDirectory() as directory:
        out_file = Path(directory) / "callgrind"
        subprocess.run(
            command(out_file, python), env=child_environment(), cwd=REPOSITORY, check=True, timeout=RUN_SECONDS
        )
        return total(out_file)
