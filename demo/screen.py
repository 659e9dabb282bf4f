"""What the demo prints: with rich when it is installed, in plain lines when it is not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

try:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
    from rich.table import Table
except ImportError:
    RICH = False
else:
    RICH = True
    console = Console(highlight=False)


def title(text: str) -> None:
    """Begin a scene."""
    if RICH:
        console.print()
        console.rule(f"[bold cyan]{text}", align="left")
    else:
        print(f"\n--- {text} ---")


def line(text: str) -> None:
    """Print one line."""
    if RICH:
        console.print(text, markup=False, soft_wrap=True)
    else:
        print(text)


def code(text: str) -> None:
    """Print the call that the scene makes."""
    if RICH:
        console.print(f"  >>> {text}", style="dim", markup=False, soft_wrap=True)
    else:
        print(f"  >>> {text}")


def table(heads: list[str], rows: list[list[str]]) -> None:
    """Print rows under heads."""
    if RICH:
        shown: Any = Table(*heads, box=None, pad_edge=False, header_style="bold")
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
        return
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@contextmanager
def progress(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how far ``total`` bytes have come; the value is called with the size of each chunk."""
    if RICH:
        columns = (TextColumn(label), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(label, total=total)
            yield lambda size: bar.advance(task, size)
        return
    done = shown = 0

    def advance(size: int) -> None:
        nonlocal done, shown
        done += size
        percent = 100 * done // total
        if percent >= shown + 10 or done == total != 0:
            shown = percent
            print(f"\r{label} {percent:3} %", end="", flush=True, file=sys.stdout)

    yield advance
    print()
