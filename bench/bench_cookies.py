"""The cookie jar beside aiohttp's: CPU time of what a session does with it, as medians over interleaved rounds.

``python -m bench.bench_cookies`` prints one line for each case: microseconds for each library and their ratio. What a
request costs is what each session does: a ready field value here, the filtered cookies made into one there.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import aiohttp
from yarl import URL

from fairlead.client.cookiejar import CookieJar

ROUNDS = 9
# CPU seconds of one measurement: far above the resolution of the clock.
SPAN = 0.05

HOST = URL("https://www.example.com/shop/cart?item=1")
FIELDS = [
    "session=0123456789abcdef0123456789abcdef; Path=/; Secure; HttpOnly; SameSite=Lax",
    "lang=en; Domain=example.com; Path=/; Max-Age=31536000",
    "seen=42; Path=/; Expires=Wed, 01 Jan 2031 00:00:00 GMT",
]
DOMAINS = 2000


def microseconds(action: Callable[[], object]) -> float:
    """Return the CPU time of one call: the number of calls is doubled until they take `SPAN`."""
    number = 16
    while True:
        start = time.process_time()
        for _ in range(number):
            action()
        spent = time.process_time() - start
        if spent >= SPAN:
            return spent / number * 1e6
        number *= 2


def oracle() -> Any:
    # The loop is never used by the jar; asking for one only needs the argument to be there.
    loop: Any = object()
    return aiohttp.CookieJar(loop=loop)


def fill(jar: Any, domains: int) -> Any:
    for number in range(domains):
        jar.update_cookies_from_headers(["a=1; Path=/; Max-Age=1000"], URL(f"https://h{number}.example.org/"))
    jar.update_cookies_from_headers(FIELDS, HOST)
    return jar


def theirs_sends(jar: Any, url: URL) -> str:
    cookies = jar.filter_cookies(url)
    return "; ".join([f"{m.key}={m.coded_value}" for _, m in sorted(cookies.items())])


def cases() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    few, their_few = fill(CookieJar(), 0), fill(oracle(), 0)
    many, their_many = fill(CookieJar(), DOMAINS), fill(oracle(), DOMAINS)
    empty, their_empty = CookieJar(), oracle()
    values = iter(range(10**12))

    def rotate(jar: Any) -> None:
        jar.update_cookies_from_headers([f"session={next(values)}; Path=/; Secure; HttpOnly"], HOST)

    def ours_rotates() -> None:
        rotate(few)
        few.cookie_header(HOST)

    def theirs_rotates() -> None:
        rotate(their_few)
        theirs_sends(their_few, HOST)

    return {
        "send, empty jar": (lambda: empty.cookie_header(HOST), lambda: their_empty.filter_cookies(HOST)),
        "send, 3 cookies": (lambda: few.cookie_header(HOST), lambda: theirs_sends(their_few, HOST)),
        f"send, {DOMAINS} domains": (lambda: many.cookie_header(HOST), lambda: theirs_sends(their_many, HOST)),
        "filter, 3 cookies": (lambda: few.filter_cookies(HOST), lambda: their_few.filter_cookies(HOST)),
        "set the same 3": (
            lambda: few.update_cookies_from_headers(FIELDS, HOST),
            lambda: their_few.update_cookies_from_headers(FIELDS, HOST),
        ),
        "set a new value, send": (ours_rotates, theirs_rotates),
    }


def main() -> None:
    assert fill(CookieJar(), 0).cookie_header(HOST) == theirs_sends(fill(oracle(), 0), HOST)
    print(f"{'CPU, µs':24}{'fairlead':>10}{'aiohttp':>10}{'ratio':>8}")
    for name, (ours, theirs) in cases().items():
        rounds = [(microseconds(ours), microseconds(theirs)) for _ in range(ROUNDS)]
        one, two = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{name:24}{one:10.2f}{two:10.2f}{one / two:8.2f}")


if __name__ == "__main__":
    main()
