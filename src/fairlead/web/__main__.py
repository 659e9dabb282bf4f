"""``python -m fairlead.web module:function``: serve the application that a function makes.

The function gets a list of the command line's arguments that are not options of this program, and returns an
`Application` or is a coroutine function that does.
"""

from __future__ import annotations

import importlib
import logging
import sys
from argparse import ArgumentParser
from typing import Any

from .run import run_app

HOST = "localhost"
PORT = 8080


def main(argv: list[str]) -> None:
    """Run with these arguments; exits with 2 when they are wrong, with 0 and "Stopped" when the server has ended."""
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    application = _find(parser, options.entry_func)(rest)
    host, port = options.hostname, options.port
    if options.path is None or host is not None:
        host = HOST if host is None else host
        port = PORT if port is None else port
    else:
        # A path alone means that path alone.
        port = None
    logging.basicConfig(level=logging.DEBUG)
    run_app(application, host=host, port=port, path=options.path)
    parser.exit(message="Stopped\n")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="fairlead.web", description="fairlead.web Application server")
    parser.add_argument(
        "entry_func",
        metavar="entry-func",
        help="Callable returning the `fairlead.web.Application` instance to run. Should be specified in the"
        " 'module:function' syntax.",
    )
    parser.add_argument("-H", "--hostname", help=f"TCP/IP hostname to serve on (default: {HOST})")
    parser.add_argument("-P", "--port", type=int, help=f"TCP/IP port to serve on (default: {PORT})")
    parser.add_argument(
        "-U",
        "--path",
        help="Unix file system path to serve on. Can be combined with hostname to serve on both Unix and TCP.",
    )
    return parser


def _find(parser: ArgumentParser, entry: str) -> Any:
    """Import what ``module:function`` names; exits with a message when there is no such thing."""
    module_name, _, name = entry.partition(":")
    if not module_name or not name:
        parser.error("'entry-func' not in 'module:function' syntax")
    if module_name.startswith("."):
        parser.error("relative module names not supported")
    try:
        module = importlib.import_module(module_name)
    except ImportError as exc:
        parser.error(f"unable to import {module_name}: {exc}")
    try:
        return getattr(module, name)
    except AttributeError:
        parser.error(f"module {module.__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
