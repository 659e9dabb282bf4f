"""The measured process: a client that runs cases when told to, or a server; orders come one a line, as JSON.

Each order is answered with the processor time that this process spent on it, ``begin`` and ``end`` alike.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
from typing import Any

from ..client import Phases
from ..processes import new_event_loop, pin_to
from .cases import BY_NAME
from .ends import CLIENTS, SERVERS

CASE_SECONDS = 600.0


def times() -> tuple[float, float]:
    """Return user and system seconds of this process."""
    try:
        import resource
    except ImportError:  # Windows
        return os.times()[:2]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


def spent(before: tuple[float, float]) -> dict[str, float]:
    after = times()
    return {"user": after[0] - before[0], "system": after[1] - before[1]}


def answer(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


async def run_case(library: str, order: dict[str, Any], phases: Phases) -> dict[str, Any]:
    """Run a case with as many messages as the order has counts, on one connection; the first is not measured."""
    case, port = BY_NAME[order["case"]], order["port"]
    costs = []
    async with asyncio.timeout(CASE_SECONDS):
        for count in order["counts"]:
            client = CLIENTS[library](case)
            await client.open(f"ws://127.0.0.1:{port}/{case.name}?count={count}")
            try:
                if order["warm_up"]:
                    await client.run(count)
                before = times()
                phases.begin()
                await client.run(count)
                phases.end("")
                costs.append(spent(before))
            finally:
                await client.close()
    return {"costs": costs}


def obey_as_client(loop: asyncio.AbstractEventLoop, library: str) -> None:
    phases = Phases()
    for line in sys.stdin:
        try:
            answer(loop.run_until_complete(run_case(library, json.loads(line), phases)))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


async def obey_as_server(library: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    phases = Phases()
    before = times()

    def read() -> None:
        nonlocal before
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            loop.remove_reader(sys.stdin.fileno())
            ended.set_result(None)
        for word in data.split():
            if word == b"begin":
                before = times()
                phases.begin()
                answer({})
            else:
                phases.end("")
                answer(spent(before))

    loop.add_reader(sys.stdin.fileno(), read)
    await SERVERS[library](port, ended)


def main() -> None:
    parser = argparse.ArgumentParser(description="One measured process; started by python -m bench.ws.")
    parser.add_argument("--library", choices=tuple(CLIENTS), required=True)
    parser.add_argument("--side", choices=("client", "server"), required=True)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--core", type=int)
    options = parser.parse_args()
    pin_to(options.core)
    with contextlib.closing(new_event_loop(options.loop)) as loop:
        asyncio.set_event_loop(loop)
        if options.side == "client":
            obey_as_client(loop, options.library)
        else:
            loop.run_until_complete(obey_as_server(options.library, options.port))


if __name__ == "__main__":
    main()
