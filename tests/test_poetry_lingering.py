"""Peers that are given time to close."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.poetry.lingering import LINGER, Lingering


class Peer:
    """A connection that knows whether it was timed out."""

    timed_out = False

    def timeoutConnection(self) -> None:
        """Note it."""
        self.timed_out = True


class LingeringTests(SynchronousTestCase):
    """Some connections and a clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.lingering = Lingering(self.clock)

    def peer(self) -> Peer:
        """Return one more connection that lingers."""
        peer = Peer()
        self.lingering.add(peer)
        return peer

    def test_connection_is_timed_out_after_a_whole_turn(self) -> None:
        peer = self.peer()
        self.clock.advance(LINGER)
        self.assertFalse(peer.timed_out)
        self.clock.advance(LINGER)
        self.assertTrue(peer.timed_out)

    def test_one_that_comes_late_in_a_turn_has_a_whole_one_too(self) -> None:
        first = self.peer()
        self.clock.pump([LINGER, LINGER - 1])
        late = self.peer()
        self.clock.pump([1, LINGER - 1])
        self.assertEqual((True, False), (first.timed_out, late.timed_out))
        self.clock.advance(1)
        self.assertTrue(late.timed_out)

    def test_one_that_is_added_again_begins_anew(self) -> None:
        peer = self.peer()
        self.clock.advance(LINGER)
        self.lingering.add(peer)
        self.clock.advance(LINGER)
        self.assertFalse(peer.timed_out)

    def test_one_that_has_closed_is_not_timed_out(self) -> None:
        peer, other = self.peer(), self.peer()
        self.clock.advance(LINGER)
        self.lingering.discard(peer)
        self.clock.advance(LINGER)
        self.assertEqual((False, True), (peer.timed_out, other.timed_out))

    def test_no_timer_is_left_when_all_have_closed(self) -> None:
        peers = [self.peer(), self.peer()]
        self.clock.advance(LINGER)
        peers.append(self.peer())
        for peer in peers:
            self.lingering.discard(peer)
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_no_timer_is_left_when_all_were_timed_out(self) -> None:
        self.peer()
        self.clock.pump([LINGER, LINGER])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_one_that_closes_while_it_is_timed_out_is_forgotten(self) -> None:
        peer = self.peer()
        self.patch(peer, "timeoutConnection", lambda: self.lingering.discard(peer))
        self.clock.pump([LINGER, LINGER])
        self.assertEqual([], self.clock.getDelayedCalls())

    def test_one_that_was_never_here_can_be_forgotten(self) -> None:
        self.lingering.discard(Peer())
        self.assertEqual([], self.clock.getDelayedCalls())
