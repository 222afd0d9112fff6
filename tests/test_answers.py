"""`netdemo.bridge.answers`: the words for errors, and what is told of those without one."""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.internet.error import ConnectionLost
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from netdemo.bridge.answers import CODES, error_answer
from netdemo.bridge.clients import LINGER
from netdemo.errors import CallError, CallTimeout, PublishError, SpoolError
from tests.pushing import PushTestCase


class CodeTests(SynchronousTestCase):
    """Errors of the world outside."""

    def test_every_outcome_of_a_message_a_call_and_a_spool_has_a_code(self) -> None:
        errors: set[type[Exception]] = {SpoolError}
        for base in (PublishError, CallError, SpoolError):
            errors |= {each for each in base.__subclasses__() if each.__module__ == base.__module__}
        self.assertEqual(errors - CODES.keys(), set())

    def test_answer_is_one_line_whatever_the_reason(self) -> None:
        self.assertEqual(error_answer(CallTimeout("no\r\nreply \udcff")), b"ERR timeout no reply ?")


class FaultTests(PushTestCase):
    """An error without a code."""

    ack = True

    def test_it_is_answered_and_logged_with_its_route(self) -> None:
        self.factory.take = lambda record: fail(KeyError(record))  # type: ignore[method-assign]
        with capturedLogs() as logged:
            self.client.dataReceived(b"a\n")
        self.assertEqual(self.wire.value(), b"ERR fault b'a'\n")
        self.assertEqual([event["route"] for event in logged], [self.factory.route])
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)


class LogTests(PushTestCase):
    """What the log says of clients."""

    idle_timeout = 10.0

    def test_each_line_names_the_route(self) -> None:
        with capturedLogs() as logged:
            self.clock.advance(10)
            self.connect()[0].dataReceived(b"longer than ten bytes\n")
            client, wire = self.connect()
            client.dataReceived(b"a")
            wire.end(ConnectionLost())
            self.clock.advance(LINGER)
        self.assertEqual(
            [event["log_format"].partition(" ")[0] for event in logged], ["{route}:"] * 3
        )
