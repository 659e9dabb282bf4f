"""HTTP from the shell: ``python -m fairlead get URL``, or ``fairlead get URL`` once installed.

The body goes to standard output or, with ``-o``, to a file that appears only when it is complete; everything else goes
to standard error. Scripts read the exit code (see ``EXIT_CODES``; the numbers are curl's where curl has one). Proxies
and netrc are taken from the environment. ``-o`` shows a progress bar on a terminal when rich is installed
(``pip install 'fairlead[cli]'``).

Limits: bodies are streamed in pieces of ``CHUNK`` bytes and never held whole, apart from what several ``-d`` are
joined to.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

from multidict import CIMultiDict
from yarl import URL

import fairlead

if TYPE_CHECKING:
    from typing import Self

    from .client.response import ClientResponse

# Bytes that are read from the network before they are written and shown as progress.
CHUNK = 64 * 1024

METHODS = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS TRACE".split())

OK = 0
FAILED = 1
USAGE = 2
STATUS_4XX = 4
STATUS_5XX = 5
CANNOT_WRITE = 23
CANNOT_READ = 26
TIMED_OUT = 28
INTERRUPTED = 130

# The first class that fits decides, so subclasses stand before their bases.
EXIT_CODES: tuple[tuple[str, int, str], ...] = (
    ("ClientConnectorDNSError", 6, "the host name could not be resolved"),
    ("ClientConnectorCertificateError", 60, "the server's certificate was not accepted"),
    ("ServerFingerprintMismatch", 60, "the server's certificate was not accepted"),
    ("ClientSSLError", 35, "the TLS handshake failed"),
    ("ServerTimeoutError", TIMED_OUT, "a time limit ran out"),
    ("ClientConnectorError", 7, "the server or the proxy could not be reached"),
    ("TooManyRedirects", 47, "too many redirects"),
    ("InvalidURL", 3, "the URL, or where a redirect leads, cannot be used"),
    ("NonHttpUrlClientError", 3, "the URL, or where a redirect leads, cannot be used"),
    ("ServerDisconnectedError", 52, "the server closed the connection without an answer"),
    ("ClientHttpProxyError", 56, "the response could not be received whole"),
    ("ClientPayloadError", 56, "the response could not be received whole"),
    ("ClientConnectionError", 56, "the response could not be received whole"),
    ("ClientError", FAILED, "anything else that the client reports"),
)

OTHER_CODES = (
    (OK, "the request was answered"),
    (USAGE, "the command line is wrong"),
    (STATUS_4XX, "with --fail: the status is 4xx"),
    (STATUS_5XX, "with --fail: the status is 5xx"),
    (CANNOT_WRITE, "the output could not be written"),
    (CANNOT_READ, "a file to send could not be read"),
    (TIMED_OUT, "a time limit ran out"),
    (INTERRUPTED, "interrupted from the keyboard"),
)


class CommandError(Exception):
    """Ends the command with this exit code and message."""

    def __init__(self, code: int, message: str) -> None:
        """Record both."""
        super().__init__(message)
        self.code = code


def exit_code(exc: BaseException) -> int:
    """Return the exit code that tells a script what went wrong."""
    if isinstance(exc, CommandError):
        return exc.code
    for name, code, _ in EXIT_CODES:
        if isinstance(exc, getattr(fairlead, name)):
            return code
    return TIMED_OUT if isinstance(exc, TimeoutError) else FAILED


# --- The command line -------------------------------------------------------------------------------------------------


def _exit_code_lines() -> str:
    meanings = dict(OTHER_CODES) | {code: text for _, code, text in EXIT_CODES}
    return "\n".join(f"  {code:3}  {text}" for code, text in sorted(meanings.items()))


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="fairlead",
        usage="fairlead [METHOD] URL [options]",
        description="Send one HTTP request. METHOD is get unless there is something to send, then post.",
        epilog=f"exit codes:\n{_exit_code_lines()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("words", nargs="+", metavar="[METHOD] URL", help="what to ask for; a URL without a scheme means http://")
    add("-X", "--request", metavar="METHOD", help="the method, when it is none of the usual ones")
    add("-H", "--header", action="append", default=[], metavar="'NAME: VALUE'", help="add a field to the request")
    add("-d", "--data", action="append", default=[], metavar="DATA", help="send DATA; @FILE sends a file, @- stdin")
    add("--json", metavar="DATA", help="send JSON and ask for JSON; @FILE and @- work as in -d")
    add("-o", "--output", metavar="FILE", help="save the body; FILE appears when the body is complete")
    add("-v", "--verbose", action="store_true", help="show request and response heads on standard error")
    add("-s", "--silent", action="store_true", help="no progress and no error messages")
    add("--fail", action="store_true", help="end with 4 or 5 and without output when the status is 4xx or 5xx")
    add("-L", "--location", action="store_true", help="follow redirects (this is the default)")
    add("--no-redirects", action="store_true", help="do not follow redirects")
    add("--timeout", type=_seconds, metavar="SECONDS", help="limit for the whole request (default 300, 0 is none)")
    add("-k", "--insecure", action="store_true", help="accept any certificate")
    add("-u", "--user", metavar="NAME:PASSWORD", help="authenticate with Basic")
    add("-x", "--proxy", metavar="URL", help="go through this proxy instead of that of the environment")
    add("--version", action="version", version=f"fairlead {fairlead.__version__}")
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds that is not negative, got {text!r}")
    return value


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse and check the command line; SystemExit with 2 and a message when it is wrong."""
    parser = make_parser()
    options = parser.parse_intermixed_args(argv)
    words = options.words
    if len(words) > 2 or (len(words) == 2 and words[0].upper() not in METHODS):
        parser.error(f"expected [METHOD] URL with METHOD one of {', '.join(sorted(METHODS))}, got {' '.join(words)!r}")
    if len(words) == 2 and options.request:
        parser.error("the method is given twice: as a word and with -X")
    if options.location and options.no_redirects:
        parser.error("-L and --no-redirects exclude each other")
    if options.data and options.json is not None:
        parser.error("-d and --json exclude each other")
    sends = bool(options.data) or options.json is not None
    options.method = (options.request or (words[0] if len(words) == 2 else "POST" if sends else "GET")).upper()
    try:
        options.url = URL(words[-1] if "://" in words[-1] else f"http://{words[-1]}")
    except ValueError as exc:
        parser.error(f"expected a URL, got {words[-1]!r}: {exc}")
    options.fields = CIMultiDict[str]()
    for line in options.header:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            parser.error(f"expected 'NAME: VALUE' after -H, got {line!r}")
        options.fields.add(name.strip(), value.strip())
    if options.user is not None and ":" not in options.user:
        parser.error("expected NAME:PASSWORD after -u")
    if options.output not in (None, "-") and os.path.isdir(options.output):
        parser.error(f"{options.output!r} is a directory, expected a file after -o")
    return options


# --- What is sent -----------------------------------------------------------------------------------------------------


def _open_source(argument: str) -> IO[bytes]:
    path = argument[1:]
    if path == "-":
        return sys.stdin.buffer
    try:
        return open(path, "rb")
    except OSError as exc:
        raise CommandError(CANNOT_READ, f"cannot read {path!r}: {exc.strerror}") from exc


def request_body(options: argparse.Namespace, stack: ExitStack) -> Any:
    """Return what to send, opening files in ``stack``, and add the fields that describe it."""
    parts = options.data if options.json is None else [options.json]
    if not parts:
        return None
    if options.json is None:
        options.fields.setdefault("Content-Type", "application/x-www-form-urlencoded")
    else:
        options.fields.setdefault("Content-Type", "application/json")
        options.fields.setdefault("Accept", "application/json")
    if len(parts) == 1 and parts[0].startswith("@"):
        return stack.enter_context(_open_source(parts[0]))
    pieces = []
    for part in parts:
        if part.startswith("@"):
            with _open_source(part) as source:
                pieces.append(source.read())
        else:
            pieces.append(part.encode())
    return b"&".join(pieces)


# --- What is received -------------------------------------------------------------------------------------------------


class Destination:
    """Where the body goes: standard output, or a file that appears under its name only when it is complete.

    The file is written beside its final place and renamed at the end, so an error or an interruption leaves what was
    there before. Failures raise CommandError with CANNOT_WRITE.
    """

    def __init__(self, path: str | None) -> None:
        """Write to ``path``; None and "-" are standard output."""
        self._shown = "standard output" if path in (None, "-") else repr(path)
        self._target = None if path is None or path == "-" else Path(os.path.realpath(path))
        self._partial: Path | None = None
        self._file: IO[bytes] = sys.stdout.buffer

    def __enter__(self) -> Self:
        """Open the file; something that is no regular file, like a pipe, is written to directly."""
        if self._target is not None:
            with self._blamed():
                if self._target.exists() and not self._target.is_file():
                    self._file = open(self._target, "wb")
                else:
                    descriptor, name = tempfile.mkstemp(".part", f".{self._target.name}.", self._target.parent)
                    self._partial = Path(name)
                    self._file = os.fdopen(descriptor, "wb")
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Rename on success, remove the partial file otherwise."""
        try:
            with self._blamed():
                self._file.flush()
                if self._target is not None:
                    self._file.close()
                if exc is None and self._partial is not None and self._target is not None:
                    os.chmod(self._partial, _mode_for(self._target))
                    os.replace(self._partial, self._target)
                    self._partial = None
        except CommandError:
            if exc is None:  # otherwise the first error is the one to report
                raise
        finally:
            if self._partial is not None:
                if not self._file.closed:
                    _close_quietly(self._file)
                self._partial.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Write all of ``chunk``."""
        with self._blamed():
            self._file.write(chunk)

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise CommandError(CANNOT_WRITE, f"cannot write to {self._shown}: {exc.strerror}") from exc


def _close_quietly(file: IO[bytes]) -> None:
    try:
        file.close()
    except OSError:  # the disk is full, which has been reported already
        pass


def _mode_for(target: Path) -> int:
    """Return the permissions of the file that is replaced, or those that a new file would get."""
    try:
        return stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        umask = os.umask(0)
        os.umask(umask)
        return 0o666 & ~umask


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _progress(options: argparse.Namespace, total: int | None) -> AbstractContextManager[Callable[[int], object]]:
    """Return a context manager whose value is called with the size of each chunk."""
    if options.silent or options.output in (None, "-") or not sys.stderr.isatty():
        return nullcontext(lambda size: None)
    try:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
    except ImportError:
        _say("fairlead: no progress bar without rich: pip install 'fairlead[cli]'")
        return nullcontext(lambda size: None)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))

    @contextmanager
    def shown() -> Iterator[Callable[[int], object]]:
        with bar:
            task = bar.add_task("", total=total)
            yield lambda size: bar.advance(task, size)

    return shown()


def _head(response: ClientResponse) -> list[str]:
    version = response.version
    number = f"{version.major}.{version.minor}" if version is not None else "?"
    lines = [f"HTTP/{number} {response.status} {response.reason or ''}".rstrip()]
    return lines + [f"{name}: {value}" for name, value in response.headers.items()]


def _show_heads(response: ClientResponse) -> None:
    for each in (*response.history, response):
        info = each.request_info
        _say(f"> {info.method} {info.url.raw_path_qs} HTTP/1.1")
        for name, value in info.headers.items():
            _say(f"> {name}: {value}")
        _say(">")
        for line in _head(each):
            _say(f"< {line}")
        _say("<")


async def _receive(options: argparse.Namespace, response: ClientResponse) -> None:
    """Write the body, or for HEAD the head, to where it belongs."""
    with Destination(options.output) as destination:
        if options.method == "HEAD":
            destination.write("".join(f"{line}\n" for line in _head(response)).encode("utf-8", "surrogateescape"))
            return
        total = None if "Content-Encoding" in response.headers else response.content_length
        to_terminal = options.output is None and sys.stdout.isatty()
        with _progress(options, total) as advance:
            async for chunk in response.content.iter_chunked(CHUNK):
                if to_terminal and b"\0" in chunk:
                    raise CommandError(CANNOT_WRITE, "the body is binary: save it with -o FILE, or force it with -o -")
                destination.write(chunk)
                advance(len(chunk))


async def fetch(options: argparse.Namespace) -> int:
    """Send the request, deal with the response, and return the exit code."""
    kwargs: dict[str, Any] = {"allow_redirects": not options.no_redirects}
    if options.timeout is not None:
        kwargs["timeout"] = fairlead.ClientTimeout(total=options.timeout or None)
    if options.insecure:
        kwargs["ssl"] = False
    if options.user is not None:
        name, _, password = options.user.partition(":")
        options.fields["Authorization"] = fairlead.encode_basic_auth(name, password)
    if options.proxy is not None:
        kwargs["proxy"] = options.proxy
    with ExitStack() as stack:
        data = request_body(options, stack)
        async with fairlead.ClientSession(trust_env=True) as session:
            async with session.request(
                options.method, options.url, data=data, headers=options.fields, **kwargs
            ) as response:
                if options.verbose:
                    _show_heads(response)
                if options.fail and response.status >= 400:
                    code = STATUS_5XX if response.status >= 500 else STATUS_4XX
                    raise CommandError(code, f"{response.status} {response.reason} from {response.url}")
                await _receive(options, response)
    return OK


def _message(exc: BaseException, options: argparse.Namespace) -> str:
    text = str(exc)
    if not text and isinstance(exc, TimeoutError):
        text = f"the request did not end within {options.timeout or 300:g} s; --timeout changes that"
    if not text:
        text = type(exc).__name__
    if exit_code(exc) == 60:
        text += "; --insecure accepts any certificate"
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv``, by default that of the process, and return the exit code."""
    options = parse(argv)
    try:
        return asyncio.run(fetch(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except (CommandError, fairlead.ClientError, TimeoutError, OSError, ValueError) as exc:
        if isinstance(exc.__cause__, BrokenPipeError) and isinstance(exc, CommandError):
            # The reader of the pipe has seen enough. Point stdout elsewhere, or the flush at exit complains again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif not options.silent:
            _say(f"fairlead: {_message(exc, options)}")
        return exit_code(exc)
