"""Where a jar files its cookies: by domain, then path, then name.

A lookup asks for the suffixes of one host (``www.example.com``, ``example.com``, ``com``, and ``""``, the shared
cookies), however many other domains there are. Expiry costs nothing until it is due: a heap knows the next one. The
shelf knows neither URLs nor the time, which comes as an argument.
"""

from collections.abc import Iterable, Iterator
from heapq import heapify, heappop, heappush
from http.cookies import Morsel, SimpleCookie

from ...codec.cookies import bare_morsel, coded_for_sending, is_ip_host

__all__ = (
    "KEPT_COOKIES",
    "KEPT_COOKIES_PER_DOMAIN",
    "MAX_COOKIES",
    "MAX_COOKIES_PER_DOMAIN",
    "NO_MORSEL",
    "Answer",
    "Entry",
    "Shelf",
)

# RFC 6265bis section 5.7 asks for at least 50 a domain and 3000 in all; these are what Firefox and aiohttp allow.
MAX_COOKIES_PER_DOMAIN = 180
# Cookies that a full domain keeps, so that making room is paid for once in a while and not for each new cookie.
KEPT_COOKIES_PER_DOMAIN = 150
MAX_COOKIES = 3300
KEPT_COOKIES = 3000
# Superseded moments that the expiry heap may hold beside the live ones before it is rebuilt.
HEAP_SLACK = 256

# Stands for "none" where a Morsel is expected.
NO_MORSEL: "Morsel[str]" = bare_morsel("-", "", "")


class Places(dict[tuple[str, str], "SimpleCookie"]):
    """The cookies by (domain, path). A place without cookies reads as an empty one, and stays absent."""

    def __missing__(self, place: tuple[str, str]) -> "SimpleCookie":
        return SimpleCookie()


class Answer:
    """A finished ``Cookie`` field value and the moment until which it is true (None: until the shelf changes)."""

    __slots__ = ("field", "until")

    def __init__(self, field: str, until: float | None) -> None:
        self.field = field
        self.until = until


class Entry:
    """One cookie on the shelf, with what its Morsel can't say."""

    __slots__ = (
        "born",
        "domain",
        "expires",
        "host_only",
        "live",
        "morsel",
        "name",
        "place",
        "seen",
        "sent",
        "size",
        "used",
    )

    def __init__(self, domain: str, place: str, name: str, born: int) -> None:
        self.domain = domain
        self.place = place  # the path without trailing slashes
        self.name = name
        self.born = born
        self.morsel = NO_MORSEL
        self.host_only = False
        self.expires: float | None = None
        self.used = 0  # generation of the shelf in which it was last stored or sent
        self.live = False
        self.seen = -1  # Shelf.exposures when `sent` was made; -1: not made
        self.sent = NO_MORSEL
        self.size = 0

    def set(self, morsel: "Morsel[str]", host_only: bool, expires: float | None) -> bool:
        """Take new contents; return whether a remembered answer could differ by them."""
        old, until = self.morsel, self.expires
        same = (
            self.live
            and morsel.value == old.value
            and morsel.coded_value == old.coded_value
            and morsel.key == old.key
            and morsel["path"] == old["path"]
            and bool(morsel["secure"]) == bool(old["secure"])
            and host_only == self.host_only
            # What is remembered ends with the old moment: a later one needs no haste, an earlier one does.
            and (expires is None or (until is not None and expires >= until))
        )
        self.morsel, self.host_only, self.expires = morsel, host_only, expires
        if not same:
            self.seen = -1
        return not same

    def prepare(self, quote: bool, exposures: int) -> None:
        """Make ``sent``, the morsel without attributes whose coded value is to be sent, and its ``size`` in octets."""
        morsel = self.morsel
        coded = coded_for_sending(morsel.value, morsel.coded_value, quote)
        self.sent = bare_morsel(morsel.key, morsel.value, coded)
        text = f"{morsel.key}={coded}"
        self.size = len(text if text.isascii() else text.encode("utf-8", "surrogatepass"))
        self.seen = exposures


class Shelf:
    """All cookies of one jar.

    ``answers`` is the jar's memory of finished lookups; the shelf empties it when a cookie changes. ``generation``
    grows at the same moments. So whatever has an answer was used in the present generation, and eviction, which wants
    to know what was used last, asks for nothing on the path of a request.
    """

    def __init__(self) -> None:
        self.cookies = Places()
        self.total = 0
        self.generation = 0
        self.exposures = 0
        self.answers: dict[tuple[bool, str | None], Answer | dict[str, Answer]] = {}
        self.answer_count = 0
        self._index: dict[str, dict[str, dict[str, Entry]]] = {}
        self._counts: dict[str, int] = {}  # cookies of each domain
        self._heap: list[tuple[float, int, Entry]] = []
        self._born = 0

    def __iter__(self) -> Iterator[Entry]:
        for places in self._index.values():
            for named in places.values():
                yield from named.values()

    def exposed(self) -> None:
        """Take note that Morsels are handed out, to somebody who may change them."""
        self.exposures += 1
        self.changed()

    def changed(self) -> None:
        """Forget what was remembered."""
        self.generation += 1
        self.answers.clear()
        self.answer_count = 0

    def clear(self) -> None:
        """Remove everything, in place: views of ``cookies`` stay true."""
        self.changed()
        self.cookies.clear()
        self._index.clear()
        self._counts.clear()
        self._heap.clear()
        self.total = 0

    def domains_of(self, host: str, unsafe: bool) -> list[tuple[str, dict[str, dict[str, Entry]]]]:
        """Return the filed domains that ``host`` matches, from the shared cookies to the host itself."""
        suffixes = [""]
        if host and not is_ip_host(host):
            dot = host.rfind(".")
            while dot >= 0:
                suffixes.append(host[dot + 1 :])
                dot = host.rfind(".", 0, dot)
            suffixes.append(host)
        elif host and unsafe:
            suffixes.append(host)
        index = self._index
        return [(domain, places) for domain in suffixes if (places := index.get(domain)) is not None]

    def put(self, entry: Entry, morsel: "Morsel[str]", host_only: bool, expires: float | None) -> None:
        """Fill ``entry``, from `find` or `add`, and note when it expires (seconds since the epoch)."""
        if entry.set(morsel, host_only, expires):
            self.changed()
        entry.live = True
        entry.used = self.generation
        place = (entry.domain, entry.place)
        cookies = self.cookies.get(place)
        if cookies is None:
            cookies = self.cookies[place] = SimpleCookie()
        dict.__setitem__(cookies, entry.name, morsel)
        if expires is None:
            return
        self._born += 1  # only to keep the heap from comparing entries
        heappush(self._heap, (expires, self._born, entry))
        if len(self._heap) > 2 * self.total + HEAP_SLACK:
            live = {id(item[2]): item for item in self._heap if item[2].live and item[2].expires == item[0]}
            self._heap[:] = live.values()
            heapify(self._heap)

    def find(self, domain: str, place: str, name: str) -> Entry | None:
        """Return the entry that a new cookie of this identity replaces."""
        return self._index.get(domain, {}).get(place, {}).get(name)

    def add(self, domain: str, place: str, name: str, *, secure: bool, now: float) -> Entry | None:
        """Return a new entry, to be filled by `put`; None when the domain has no room for it."""
        if not self._make_room(domain, secure, now):
            return None
        self._born += 1
        entry = Entry(domain, place, name, self._born)
        self._index.setdefault(domain, {}).setdefault(place, {})[name] = entry
        self._counts[domain] = self._counts.get(domain, 0) + 1
        self.total += 1
        entry.live = True
        return entry

    def remove(self, entries: Iterable[Entry]) -> None:
        """Take cookies out; those that are out already are passed over."""
        for entry in entries:
            if not entry.live:
                continue
            entry.live = False
            domain, place, name = entry.domain, entry.place, entry.name
            places = self._index[domain]
            del places[place][name]
            self.cookies[domain, place].pop(name, None)
            if not places[place]:
                del places[place], self.cookies[domain, place]
            self.total -= 1
            self._counts[domain] -= 1
            if not places:
                del self._index[domain], self._counts[domain]
        self.changed()

    def expire(self, now: float) -> None:
        """Take out what ends at or before ``now``."""
        heap = self._heap
        if not heap or heap[0][0] > now:
            return
        due = []
        while heap and heap[0][0] <= now:
            when, _, entry = heappop(heap)
            if entry.live and entry.expires == when:
                due.append(entry)
        if due:
            self.remove(due)

    def _make_room(self, domain: str, secure: bool, now: float) -> bool:
        """Give up cookies for a new one where a limit is reached; False when the new one has to stay outside.

        Plain cookies go first, and a plain cookie never displaces a secure one of its domain (RFC 6265bis 5.7).
        """
        if self._counts.get(domain, 0) < MAX_COOKIES_PER_DOMAIN and self.total < MAX_COOKIES:
            return True
        self.expire(now)
        count = self._counts.get(domain, 0)
        if count >= MAX_COOKIES_PER_DOMAIN:
            ours = [entry for named in self._index[domain].values() for entry in named.values()]
            victims = sorted((entry for entry in ours if not entry.morsel["secure"]), key=last_use)
            if secure:
                victims += sorted((entry for entry in ours if entry.morsel["secure"]), key=last_use)
            if not victims:
                return False
            self.remove(victims[: count - KEPT_COOKIES_PER_DOMAIN + 1])
        if self.total >= MAX_COOKIES:
            self.remove(sorted(self, key=last_use)[: self.total - KEPT_COOKIES + 1])
        return True


def last_use(entry: Entry) -> tuple[int, int]:
    """Sort key: what was used longest ago comes first, of these the oldest."""
    return entry.used, entry.born
