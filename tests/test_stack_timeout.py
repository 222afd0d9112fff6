"""``stack_timeout`` in a broker's URL: the time for the whole of connecting."""

from __future__ import annotations

from netdemo.amqp.session import HANDSHAKE_TIMEOUT
from tests.clients import ClientTestCase


class StackTimeoutTests(ClientTestCase):
    """A broker of which the time is limited, longer than that for a handshake."""

    urls = ("amqp://one:1/?stack_timeout=25",)

    def assert_given_up(self) -> None:
        """Check that the attempt has ended with the reason, and another will be made."""
        self.assertEqual("waiting", self.client.status.state)
        self.assertEqual("AMQP was not open within 25 s", str(self.client.status.reason))
        self.assertEqual(
            ["amqp://one:1/: AMQP was not open within 25 s; next attempt in 2.0 s"], self.logged
        )

    def test_broker_that_does_not_let_in_is_given_up(self) -> None:
        self.client.startService()
        self.reactor.advance(20)
        peer = self.connect()
        self.reactor.advance(4.9)
        self.assertTrue(peer.wire.connected)
        self.reactor.advance(0.1)
        self.assertFalse(peer.wire.connected)
        self.assert_given_up()

    def test_handshake_may_take_as_long(self) -> None:
        self.client.startService()
        peer = self.connect()
        self.reactor.advance(HANDSHAKE_TIMEOUT + 14)
        peer.let_in()
        self.assertEqual("ready", self.client.status.state)

    def test_tcp_that_is_not_connected_is_given_up(self) -> None:
        self.client.startService()
        self.reactor.advance(25)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.assert_given_up()

    def test_next_attempt_has_as_much_time(self) -> None:
        self.client.startService()
        self.reactor.advance(25)
        self.reactor.advance(2)
        self.accept()
        self.reactor.advance(30)
        self.assertEqual("ready", self.client.status.state)

    def test_stopping_meanwhile_is_no_failure(self) -> None:
        self.client.startService()
        self.successResultOf(self.client.stopService())
        self.assertIsNone(self.client.status.reason)
        self.assertEqual([], self.reactor.getDelayedCalls())
