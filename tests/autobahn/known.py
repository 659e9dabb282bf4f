"""What is known of the suite: its groups of cases, and the cases in which aiohttp is not strict."""

from __future__ import annotations

from typing import Final

GROUPS: Final = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "close",
    "9": "limits and performance",
    "10": "automatic fragmentation",
    "12": "compression, sizes",
    "13": "compression, parameters",
}

AIOHTTP_NOT_STRICT: Final[dict[str, frozenset[str]]] = {
    "client": frozenset({"6.4.1", "6.4.2", "6.4.3", "6.4.4"}),
    "server": frozenset({"6.4.1", "6.4.2", "6.4.3", "6.4.4"}),
}
"""By side; from `make autobahn ARGS="--library aiohttp"` with aiohttp 3.14, which fails 7.9.5 at both ends besides."""
