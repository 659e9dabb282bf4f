"""`python -m tests.autobahn`: the Autobahn test suite against the client and the server, with compression on.

In: `--wstest`, the program of the suite in its own environment (`make autobahn` makes it: the suite needs Python 2.7).
Out: a table of the outcomes, and exit status 1 when a case failed, or was not strict where aiohttp is.  The suite's
pages with every frame of every case are kept under `--reports`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .known import AIOHTTP_NOT_STRICT, GROUPS

REPOSITORY = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0
RUN_SECONDS = 5400.0
"""For all 517 cases of a side, which take ten minutes on a quiet machine: the suite itself is slow."""

FINE = ("OK", "INFORMATIONAL")
NOT_STRICT = "NON-STRICT"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_listens(port: int, process: subprocess.Popen[Any]) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}: {process.args!r}")


@contextlib.contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that is stopped in the end; what it prints goes to `log`."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate()


def specification(directory: Path, cases: list[str], **more: Any) -> Path:
    """Write what the suite is told to do."""
    path = directory / "specification.json"
    said = {"outdir": str(directory), "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}} | more
    path.write_text(json.dumps(said))
    return path


def testee(library: str, side: str, port: int) -> list[str]:
    return [sys.executable, "-m", "tests.autobahn.echo", "--library", library, "--side", side, "--port", str(port)]


def test_client(wstest: str, library: str, cases: list[str], directory: Path) -> None:
    """Let the suite be a server; the client goes through the cases."""
    port = free_port()
    told = specification(directory, cases, url=f"ws://127.0.0.1:{port}")
    with running([wstest, "-m", "fuzzingserver", "-w", f"ws://127.0.0.1:{port}", "-u", "0", "-s", str(told)],
                 directory / "suite.log") as suite:  # fmt: skip
        wait_until_it_listens(port, suite)
        with (directory / "testee.log").open("wb") as log:
            subprocess.run(
                testee(library, "client", port), cwd=REPOSITORY, check=True, timeout=RUN_SECONDS,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip


def test_server(wstest: str, library: str, cases: list[str], directory: Path) -> None:
    """Let the suite be the client of the server."""
    port = free_port()
    url = f"ws://127.0.0.1:{port}"
    told = specification(directory, cases, servers=[{"agent": library, "url": url}])
    with running(testee(library, "server", port), directory / "testee.log") as server:
        wait_until_it_listens(port, server)
        with (directory / "suite.log").open("wb") as log:
            subprocess.run(
                [wstest, "-m", "fuzzingclient", "-s", str(told)], check=True, timeout=RUN_SECONDS,
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip


TESTS = {"client": test_client, "server": test_server}


def outcomes(report: Path, library: str) -> dict[str, str]:
    """Return the outcome of each case: the worse of what the messages and the close got."""
    found = {}
    for case, facts in json.loads(report.read_text())[library].items():
        both = (facts["behavior"], facts["behaviorClose"])
        bad = [said for said in both if said not in FINE]
        found[case] = next((said for said in bad if said != NOT_STRICT), NOT_STRICT) if bad else both[0]
    return dict(sorted(found.items(), key=lambda item: [int(part) for part in re.findall(r"\d+", item[0])]))


def group(case: str) -> str:
    return case.split(".")[0]


def show(found: dict[str, dict[str, str]]) -> None:
    """Print a line for each group of cases and a column for each testee."""
    print(f"{'group':38}" + "".join(f"{name:>34}" for name in found))
    for number, title in GROUPS.items():
        cells = []
        for of in found.values():
            counts = Counter(outcome for case, outcome in of.items() if group(case) == number)
            cells.append(", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) or "-")
        if any(cell != "-" for cell in cells):
            print(f"{number:>3} {title:34}" + "".join(f"{cell:>34}" for cell in cells))


def complaints(side: str, found: dict[str, str]) -> list[str]:
    """Return a sentence for each case that failed, or was not strict where aiohttp is."""
    sentences = []
    for case, outcome in found.items():
        if outcome in FINE or (outcome == NOT_STRICT and case in AIOHTTP_NOT_STRICT[side]):
            continue
        sentences.append(f"{side}, case {case}: {outcome}")
    return sentences or ([] if found else [f"{side}: no case was run"])


def run(side: str, options: argparse.Namespace) -> dict[str, str]:
    """Run the suite against one side; return the outcome of each case."""
    directory = (options.reports / options.library / side).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    report = directory / "index.json"
    report.unlink(missing_ok=True)
    started = time.monotonic()
    TESTS[side](options.wstest, options.library, options.cases.split(","), directory)
    found = outcomes(report, options.library)
    print(f"{side}: {len(found)} cases in {time.monotonic() - started:.0f} s, pages in {directory}", flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--wstest", default="wstest", help="the suite's program")
    parser.add_argument("--library", choices=("fairlead", "aiohttp"), default="fairlead")
    parser.add_argument("--side", choices=tuple(TESTS), action="append", help="default: both")
    parser.add_argument("--cases", default="*", help="comma separated, as 1.*,2.3 (default: all)")
    parser.add_argument("--reports", type=Path, default=REPOSITORY / "build" / "autobahn")
    options = parser.parse_args()
    sides = options.side or list(TESTS)
    with ThreadPoolExecutor(len(sides)) as pool:  # each waits for processes
        every = list(pool.map(lambda side: run(side, options), sides))
    found = {f"{options.library} {side}": of for side, of in zip(sides, every, strict=True)}
    wrong = [sentence for side, of in zip(sides, every, strict=True) for sentence in complaints(side, of)]
    show(found)
    for name, of in found.items():
        print(f"{name}, not strict: {' '.join(case for case, said in of.items() if said == NOT_STRICT) or 'none'}")
    print("\n".join(wrong) or "every case passed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
