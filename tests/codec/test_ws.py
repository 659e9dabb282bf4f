"""The closing handshake: RFC 6455 §7."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from fairlead.codec import ws
from fairlead.codec.ws import CloseState, Closing, WebSocketError, WSCloseCode, answer

OPEN, SENT, RECEIVED, CLOSED = Closing

ACTIONS: dict[str, Any] = {
    "send": lambda state: state.send(),
    "receive": lambda state: state.receive(3000, "bye"),
    "receive nothing": lambda state: state.receive(0, ""),
    "fail": lambda state: state.fail(WebSocketError(WSCloseCode.PROTOCOL_ERROR, "wrong")),
    "lose": lambda state: state.lose("gone"),
}

# What happens, what each step answers, then: state, code, reason, clean.
TABLE: list[tuple[str, list[Any], Closing, int | None, str, bool]] = [
    ("", [], OPEN, None, "", False),
    ("send", [True], SENT, None, "", False),
    ("receive", [True], RECEIVED, 3000, "bye", False),
    ("receive nothing", [True], RECEIVED, 1005, "", False),
    ("send, receive", [True, False], CLOSED, 3000, "bye", True),
    ("send, receive nothing", [True, False], CLOSED, 1005, "", True),
    ("receive, send", [True, True], CLOSED, 3000, "bye", True),
    ("receive, send, lose", [True, True, None], CLOSED, 3000, "bye", True),
    ("send, send", [True, False], SENT, None, "", False),
    ("receive, receive nothing", [True, False], RECEIVED, 3000, "bye", False),
    ("send, receive, send", [True, False, False], CLOSED, 3000, "bye", True),
    ("fail", [True], CLOSED, 1002, "wrong", False),
    ("fail, send", [True, False], CLOSED, 1002, "wrong", False),
    ("fail, lose", [True, None], CLOSED, 1002, "wrong", False),
    ("send, fail", [True, False], CLOSED, 1002, "wrong", False),
    ("lose", [None], CLOSED, 1006, "gone", False),
    ("send, lose", [True, None], CLOSED, 1006, "gone", False),
    ("receive, lose", [True, None], CLOSED, 3000, "bye", False),
    ("lose, send", [None, False], CLOSED, 1006, "gone", False),
    ("lose, receive", [None, False], CLOSED, 1006, "gone", False),
    ("lose, fail", [None, False], CLOSED, 1006, "gone", False),
]


@pytest.mark.parametrize(("steps", "answers", "state", "code", "reason", "clean"), TABLE, ids=[row[0] for row in TABLE])
def test_closing(steps: str, answers: list[Any], state: Closing, code: int | None, reason: str, clean: bool) -> None:
    closing = CloseState()
    assert [ACTIONS[step](closing) for step in steps.split(", ") if step] == answers
    assert (closing.state, closing.code, closing.reason, closing.clean) == (state, code, reason, clean)


def test_whatever_happens_there_is_a_code_at_the_end_and_it_stays() -> None:
    for steps in itertools.product(ACTIONS, repeat=4):
        closing = CloseState()
        sent = 0
        codes = []
        for step in steps:
            done = ACTIONS[step](closing)
            sent += step in ("send", "fail") and bool(done)
            codes.append(closing.code)
        assert sent <= 1, "two close frames"
        if closing.state in (RECEIVED, CLOSED):
            assert closing.code is not None
        known = [code for code in codes if code is not None]
        assert len(set(known)) <= 1, "a code that changed"


def test_an_error_that_is_the_end_of_the_connection_is_a_loss() -> None:
    closing = CloseState()
    assert closing.fail(WebSocketError(1006, "The connection ended without a close frame")) is False
    assert (closing.code, closing.reason) == (1006, "The connection ended without a close frame")


def test_the_answer_has_the_code_that_came() -> None:
    """RFC 6455 §5.5.1: "it SHOULD ... echo the status code it received"."""
    assert answer(3000) == 3000
    assert answer(0) is None


def test_the_face_has_what_it_says() -> None:
    assert sorted(ws.__all__) == sorted(set(ws.__all__))
    for name in ws.__all__:
        assert getattr(ws, name) is not None
