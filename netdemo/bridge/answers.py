"""What a record is answered with."""

from __future__ import annotations

from typing import Final

from netdemo.bridge.framing import FramingError, RecordRefused
from netdemo.errors import (
    CallTimeout,
    NackedError,
    NotSentError,
    OutcomeUnknownError,
    PublishError,
    RemoteError,
    SpoolError,
    SpoolFull,
    TooManyCalls,
    UnroutableError,
)

OK: Final = b"OK"

CODES: Final[dict[type, str]] = {
    UnroutableError: "unroutable",
    NackedError: "nacked",
    NotSentError: "not-sent",
    OutcomeUnknownError: "outcome-unknown",
    CallTimeout: "timeout",
    RemoteError: "remote",
    TooManyCalls: "too-many",
    FramingError: "unfit",
    SpoolFull: "spool-full",
    SpoolError: "spool-failed",
}
"""The word that stands for an error in an answer."""

FAULT: Final = "fault"
"""The word for what is no error of the world outside: `is_fault`, and the log tells of it."""


def error_answer(error: BaseException | None) -> bytes:
    """Return ``ERR code reason`` for ``error``, in one line."""
    code = error.code if isinstance(error, RecordRefused) else CODES.get(type(error), FAULT)
    reason = error.reply_text if isinstance(error, PublishError) else str(error)
    return f"ERR {code} {' '.join(reason.split())}".encode(errors="replace")


def is_fault(error: BaseException | None) -> bool:
    """Tell whether ``error`` has no word but `FAULT`."""
    return not isinstance(error, RecordRefused) and type(error) not in CODES
