"""The errors of the server that are no answers, against aiohttp's."""

from __future__ import annotations

import pytest

from fairlead import web

aiohttp_web = pytest.importorskip("aiohttp.web")


@pytest.mark.parametrize("name", ["RequestPayloadError", "PayloadAccessError", "NotAppKeyWarning", "GracefulExit"])
def test_parity(name: str) -> None:
    ours, theirs = getattr(web, name), getattr(aiohttp_web, name)
    assert [base.__name__ for base in ours.__mro__] == [base.__name__ for base in theirs.__mro__]
    for args in ((), ("words",)):
        # The arguments of an exception without any are (""), where a message has a default.
        assert (repr(ours(*args)), str(ours(*args))) in {
            (repr(theirs(*args)), str(theirs(*args))),
            (f"{name}('')", ""),
        }


def test_a_graceful_exit_has_the_status_one() -> None:
    with pytest.raises(SystemExit) as caught:
        raise web.GracefulExit
    assert caught.value.code == 1


def test_a_payload_error_knows_the_status_of_its_answer() -> None:
    assert web.RequestPayloadError("words").status == 400
    assert web.RequestPayloadError("words", 413).status == 413
