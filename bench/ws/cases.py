"""The table of cases, the same at either end of the connection."""

from __future__ import annotations

from dataclasses import dataclass

from ..cases import KIB, MIB

PLAIN, DEFLATED = "plain", "deflate"
SMALL = 256


@dataclass(frozen=True)
class Case:
    """One thing that is measured; ``count`` messages are timed, ``lengths`` are the two numbers under callgrind."""

    name: str
    title: str
    action: str  # "echo": one message in flight; "send": a flood from the measured end; "receive": a flood to it
    size: int
    count: int
    lengths: tuple[int, int]
    compress: bool = False
    text: bool = True

    @property
    def message(self) -> str | bytes:
        """Text that looks like what APIs send; what is said again within a message compresses as there."""
        unit = '{"id": %06d, "name": "item %d", "price": %d.5, "tags": ["new", "sale"]}, '
        number, text = 0, ""
        pieces = []
        while number * 60 < self.size:
            pieces.append(unit % (number, number * 7919 % 1000, number * 104729 % 997))
            number += 1
        text = "".join(pieces)[: self.size].ljust(self.size, ".")
        return text if self.text else text.encode()


def _cases() -> tuple[Case, ...]:
    cases = []
    for suffix, said, compress in (("", "", False), ("-z", ", compressed", True)):
        cases += [
            Case(f"echo16{suffix}", f"echo of 16 B of text{said}", "echo", 16, 2000, (100, 400), compress),
            Case(f"echo256{suffix}", f"echo of 256 B of text{said}", "echo", SMALL, 2000, (100, 400), compress),
            Case(f"echo8k{suffix}", f"echo of 8 KiB of text{said}", "echo", 8 * KIB, 800, (40, 120), compress),
            Case(f"echo1m{suffix}", f"echo of 1 MiB, binary{said}", "echo", MIB, 15, (3, 9), compress, text=False),
            Case(f"send{suffix}", f"flood of 256 B sent{said}", "send", SMALL, 10_000, (500, 2000), compress),
            Case(f"receive{suffix}", f"flood of 256 B received{said}", "receive", SMALL, 10_000, (500, 2000), compress),
        ]
    return tuple(cases)


ALL_CASES = _cases()
BY_NAME = {case.name: case for case in ALL_CASES}
LIBRARIES = ("fairlead", "aiohttp", "websockets", "picows")


def measured(library: str, case: Case) -> bool:
    """Tell whether the library can do the case at all: picows has no compression."""
    return not (library == "picows" and case.compress)
