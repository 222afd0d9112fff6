"""The end of the echo client's connection."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from zope.interface import alsoProvides

from netdemo.echo.client import PATIENCE
from tests.test_echo_client import ClientTestCase


class EndTests(ClientTestCase):
    """The connection ends."""

    def test_server_that_closes_early_is_told_with_counts(self) -> None:
        self.client.write(b"hello")
        back, ended = self.client.when_back(), self.client.when_ended()
        self.client.dataReceived(b"he")
        self.wire.end()
        self.assertEqual("closed early: 2 of 5 bytes came back", self.failed(back))
        self.assertEqual("closed early: 2 of 5 bytes came back", self.failed(ended))

    def test_loss_is_told_with_its_reason(self) -> None:
        self.client.write(b"hello")
        back = self.client.when_back()
        self.wire.end(ConnectionLost())
        self.assertEqual(
            "closed early: 0 of 5 bytes came back (lost before its end)", self.failed(back)
        )

    def test_tls_that_was_never_made_is_told_without_counts(self) -> None:
        self.client.write(b"hello")
        back = self.client.when_back()
        self.wire.end(SSL.Error([("SSL routines", "", "certificate verify failed")]))
        self.assertEqual("TLS: certificate verify failed", self.failed(back))

    def test_server_that_closes_before_us_closed_early(self) -> None:
        ended = self.client.when_ended()
        self.wire.end()
        self.assertEqual("closed early: 0 of 0 bytes came back", self.failed(ended))

    def test_nobody_needs_to_wait_for_the_end(self) -> None:
        self.client.write(b"hello")
        self.wire.end()
        self.assertEqual([], self.flushLoggedErrors())

    def test_close_is_orderly(self) -> None:
        closed = self.client.close()
        self.assertEqual((True, True), (self.wire.disconnecting, self.wire.connected))
        self.assertNoResult(closed)
        self.wire.end()
        self.successResultOf(closed)

    def test_close_before_all_is_back_fails(self) -> None:
        self.client.write(b"hello")
        back, closed = self.client.when_back(), self.client.close()
        self.wire.end()
        self.assertEqual("closed early: 0 of 5 bytes came back", self.failed(back))
        self.failed(closed)

    def test_server_that_does_not_close_is_aborted_and_all_is_well(self) -> None:
        closed = self.client.close()
        self.clock.advance(PATIENCE)
        self.assertFalse(self.wire.connected)
        self.successResultOf(closed)

    def test_closed_client_reads_until_the_end_though_it_was_paused(self) -> None:
        self.client.pauseProducing()
        self.client.close()
        self.assertEqual("producing", self.wire.producerState)
        self.wire.end()

    def test_half_closed_connection_is_left_to_the_server_to_close(self) -> None:
        self.client.half_close()
        closed = self.client.close()
        self.assertFalse(self.wire.disconnecting)
        self.wire.end()
        self.successResultOf(closed)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_half_closed_connection_is_compared_until_its_end(self) -> None:
        self.client.write(b"hello")
        self.client.half_close()
        closed = self.client.close()
        self.client.dataReceived(b"hello")
        self.client.dataReceived(b"!")
        self.assertEqual("more came back than was sent: b'!'", self.failed(closed))

    def test_half_closed_server_has_its_time_once(self) -> None:
        self.client.write(b"hello")
        self.client.half_close()
        closed = self.client.close()
        self.clock.advance(PATIENCE - 1)
        self.client.dataReceived(b"hello")
        self.clock.advance(1)
        self.assertFalse(self.wire.connected)
        self.successResultOf(closed)

    def test_abort_ends_it_at_once(self) -> None:
        ended = self.client.when_ended()
        self.client.abort()
        self.assertFalse(self.wire.connected)
        self.assertIn("(aborted)", self.failed(ended))

    def test_abort_after_the_end_does_nothing(self) -> None:
        closed = self.client.close()
        self.wire.end()
        self.client.abort()
        self.successResultOf(closed)

    def test_no_delayed_call_is_left(self) -> None:
        self.client.write(b"hello")
        self.wire.end()
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_nothing_is_sent_after_it(self) -> None:
        self.wire.end()
        self.client.write(b"hello")
        self.client.half_close()
        self.assertEqual(
            (0, b"", False), (self.client.sent, self.wire.value(), self.wire.write_ended)
        )
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_half_close_tells_the_server(self) -> None:
        self.client.half_close()
        self.assertTrue(self.wire.write_ended)

    def test_tls_is_not_half_closed(self) -> None:
        alsoProvides(self.wire, ISSLTransport)
        self.client.half_close()
        self.assertFalse(self.wire.write_ended)
