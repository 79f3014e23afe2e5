"""Nobody writes lines of their own into the log."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from gateway.server.logs import OneLine


def logged(message: str, *parts: object, error: BaseException | None = None) -> str:
    """What one record becomes."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(OneLine("%(levelname)s %(message)s"))
    handler.handle(
        logging.LogRecord("gateway", logging.WARNING, "", 0, message, parts, sys.exc_info() if error else None)
    )
    return written.getvalue()


@pytest.mark.parametrize("sent", ["a\nINFO forged", "a\r\nINFO forged", "a\u2028INFO forged", "\x1b[31mred", "a\x85b"])
def test_what_a_client_sent_stays_on_its_line(sent: str) -> None:
    """CASES F22: what a process raises of its input is in the text of a 5xx"""
    text = logged("request 1 answered 501: %s", sent)
    assert text.startswith("WARNING request 1 answered 501: ")
    assert len(text.splitlines()) == 1
    assert text[:-1].isprintable()


def test_a_traceback_cannot_look_like_a_line_of_the_log() -> None:
    def refuse(value: str) -> None:
        raise ValueError(value)

    try:
        refuse("bad value\nINFO forged")
    except ValueError as error:
        text = logged("request 1 failed", error=error)
    first, *others = text.splitlines()
    assert first == "WARNING request 1 failed"
    assert "Traceback" in others[0]
    assert all(line.startswith("  ") for line in others)
