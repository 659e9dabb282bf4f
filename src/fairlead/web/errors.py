"""What goes wrong in a server besides the answers that are errors themselves (those are in `exceptions`).

The tree::

    Exception
      RequestPayloadError     the body of a request could not be decoded
      PayloadAccessError      the body was read after the response had ended
    UserWarning
      NotAppKeyWarning        a plain string was used as a key of an application
    SystemExit
      GracefulExit            the process was told to stop; `run_app` ends its loop on it
"""

from __future__ import annotations


class RequestPayloadError(Exception):
    """The body of a request could not be decoded; `status` is the answer when no handler catches it."""

    def __init__(self, message: str = "", status: int = 400) -> None:
        """Say what is wrong with the body."""
        super().__init__(message)
        self.status = status


class PayloadAccessError(Exception):
    """The body of a request was accessed after the response to it was sent."""


class NotAppKeyWarning(UserWarning):
    """A key of an application is not an `AppKey`, so that a type checker knows nothing of its value."""


class GracefulExit(SystemExit):
    """The server was told to stop, by a signal as a rule; the exit status is 1."""

    code = 1
