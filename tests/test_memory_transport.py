"""Two ends of a connection in memory (`netdemo.testing.memory_transport`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from zope.interface.verify import verifyObject

from netdemo.testing import MemoryTransport
from netdemo.testing.memory_transport import HIGH_WATER, PIECE, MemoryConnection
from tests.producer import Producer
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from twisted.python.failure import Failure

HERE = IPv4Address("TCP", "127.0.0.1", 49152)
THERE = IPv4Address("TCP", "127.0.0.1", 5672)


class Notes(Protocol):
    """Notes what it gets, and why its connection ends."""

    transport: MemoryTransport

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ended: type[BaseException] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = reason.type


class Broken(Notes):
    """Can't deal with what it gets."""

    def dataReceived(self, data: bytes) -> None:
        raise ValueError(data)


class MemoryTransportTests(TidyTestCase):
    """What protocols see of it."""

    def setUp(self) -> None:
        self.client, self.server = Notes(), Notes()
        self.join()

    def join(self) -> None:
        ends = MemoryTransport(HERE, THERE), MemoryTransport(THERE, HERE)
        self.connection = MemoryConnection(*ends)
        for end, protocol in zip(ends, (self.client, self.server), strict=True):
            end.protocol = protocol
            protocol.makeConnection(end)

    def settle(self) -> None:
        """Let everything move."""
        while self.connection.move():
            pass

    def test_it_is_what_it_says(self) -> None:
        for interface in (ITransport, IConsumer, IPushProducer):
            verifyObject(interface, self.client.transport)

    def test_ends_know_each_others_addresses(self) -> None:
        self.assertEqual(self.client.transport.getHost(), HERE)
        self.assertEqual(self.client.transport.getPeer(), THERE)

    def test_what_is_written_is_there_when_it_has_moved(self) -> None:
        self.client.transport.write(b"one ")
        self.client.transport.writeSequence([b"two ", b"three"])
        self.assertEqual(self.server.pieces, [])
        self.settle()
        self.assertEqual(self.server.pieces, [b"one two three"])

    def test_much_comes_in_pieces(self) -> None:
        self.client.transport.write(bytes(PIECE + 1))
        self.settle()
        self.assertEqual([len(each) for each in self.server.pieces], [PIECE, 1])

    def test_who_pauses_gets_nothing_until_it_resumes(self) -> None:
        self.server.transport.pauseProducing()
        self.client.transport.write(b"one")
        self.settle()
        self.assertEqual(self.server.pieces, [])
        self.server.transport.resumeProducing()
        self.settle()
        self.assertEqual(self.server.pieces, [b"one"])

    def test_a_producer_is_paused_while_more_than_the_limit_waits(self) -> None:
        producer = Producer()
        self.client.transport.registerProducer(producer, True)
        self.client.transport.write(bytes(HIGH_WATER))
        self.assertEqual(producer.told, [])
        self.client.transport.write(b"x")
        self.assertEqual(producer.told, ["pause"])
        self.connection.move()
        self.assertEqual(producer.told, ["pause"])
        self.settle()
        self.assertEqual(producer.told, ["pause", "resume"])

    def test_a_producer_that_is_pulled_is_asked_when_nothing_waits(self) -> None:
        producer = Producer()
        self.client.transport.registerProducer(producer, False)
        self.assertEqual(producer.told, [])
        self.connection.move()
        self.connection.move()
        self.assertEqual(producer.told, ["resume", "resume"])

    def test_a_second_producer_is_refused(self) -> None:
        self.client.transport.registerProducer(Producer(), True)
        with self.assertRaises(RuntimeError):
            self.client.transport.registerProducer(Producer(), True)

    def test_a_producer_is_stopped_when_the_connection_ends(self) -> None:
        producer, late = Producer(), Producer()
        self.client.transport.registerProducer(producer, True)
        self.server.transport.loseConnection()
        self.settle()
        self.client.transport.registerProducer(late, True)
        self.assertEqual((producer.told, late.told), (["stop"], ["stop"]))

    def test_closing_delivers_what_was_written(self) -> None:
        self.client.transport.write(bytes(PIECE + 1))
        self.client.transport.loseConnection()
        self.settle()
        self.assertEqual(sum(map(len, self.server.pieces)), PIECE + 1)
        self.assertEqual((self.client.ended, self.server.ended), (ConnectionDone, ConnectionDone))
        self.assertTrue(self.connection.ended)

    def test_closing_waits_for_who_does_not_read(self) -> None:
        self.server.transport.pauseProducing()
        self.client.transport.write(b"one")
        self.client.transport.loseConnection()
        self.settle()
        self.assertIsNone(self.client.ended)

    def test_aborting_drops_what_was_written(self) -> None:
        self.client.transport.write(b"one")
        self.server.transport.write(b"two")
        self.client.transport.abortConnection()
        self.assertIsNone(self.client.ended)
        self.settle()
        self.assertEqual((self.client.pieces, self.server.pieces), ([], []))
        self.assertEqual(
            (self.client.ended, self.server.ended), (ConnectionAborted, ConnectionLost)
        )

    def test_cut_connection_is_lost_on_both_sides(self) -> None:
        self.client.transport.write(b"one")
        self.connection.cut()
        self.settle()
        self.assertEqual(self.server.pieces, [])
        self.assertEqual((self.client.ended, self.server.ended), (ConnectionLost, ConnectionLost))

    def test_failing_connection_is_lost_when_all_is_delivered(self) -> None:
        self.server.transport.write(b"one")
        self.server.transport.fail()
        self.settle()
        self.assertEqual(self.client.pieces, [b"one"])
        self.assertEqual((self.client.ended, self.server.ended), (ConnectionLost, ConnectionLost))

    def test_nothing_moves_while_it_is_stalled(self) -> None:
        self.connection.stalled = True
        self.client.transport.write(b"one")
        self.settle()
        self.assertEqual(self.server.pieces, [])
        self.connection.stalled = False
        self.settle()
        self.assertEqual(self.server.pieces, [b"one"])

    def test_other_end_learns_of_an_abort_when_it_is_stalled_no_more(self) -> None:
        self.connection.stalled = True
        self.client.transport.abortConnection()
        self.settle()
        self.assertEqual((self.client.ended, self.server.ended), (ConnectionAborted, None))
        self.connection.stalled = False
        self.settle()
        self.assertIs(self.server.ended, ConnectionLost)

    def test_killed_server_is_gone_at_once(self) -> None:
        self.connection.kill_server()
        self.assertEqual((self.server.ended, self.client.ended), (ConnectionLost, None))
        self.settle()
        self.assertIs(self.client.ended, ConnectionLost)

    def test_protocol_that_raises_is_logged_and_its_connection_ends(self) -> None:
        self.server = Broken()
        self.join()
        self.client.transport.write(b"one")
        self.settle()
        (failure,) = self.flushLoggedErrors(ValueError)
        self.assertEqual(cast("ValueError", failure.value).args, (b"one",))
        self.assertEqual(
            (self.client.ended, self.server.ended), (ConnectionLost, ConnectionAborted)
        )
