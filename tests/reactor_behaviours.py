"""What an application sees of its connections: one suite for the stock reactor and the eager."""

from __future__ import annotations

import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IFileDescriptorReceiver, IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python import context, log
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.folders import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

TURNS: Final = 2000
"""Turns of the reactor in which something must have happened."""
LARGE: Final = 8 * 1024 * 1024
"""Bytes that no socket takes at once."""


@implementer(IHalfCloseableProtocol, IFileDescriptorReceiver)
class Recorder(Protocol):
    """Writes down what it is told; a test replaces what it should do then."""

    transport: Any
    in_write = False

    def __init__(self) -> None:
        self.received = b""
        self.events: list[str] = []
        self.descriptors: list[int] = []
        self.reason: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.on_data(data)

    def on_data(self, data: bytes) -> None:
        """Do nothing more with `data`."""

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.descriptors.append(descriptor)

    def readConnectionLost(self) -> None:
        self.events.append("no more to read")

    def writeConnectionLost(self) -> None:
        self.events.append("no more to write")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.events.append("lost in write" if self.in_write else "lost")
        self.reason = reason.value

    def write(self, data: bytes) -> None:
        """Write, and know that while it lasts."""
        self.in_write = True
        self.transport.write(data)
        self.in_write = False


class ReactorTestCase(SynchronousTestCase):
    """A reactor of its own for each test, turned by hand."""

    reactor_class: Any

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.reactor = self.reactor_class()
        self.addCleanup(self._close)

    def _close(self) -> None:
        for selectable in self.reactor.removeAll():
            selectable.connectionLost(connectionDone)
        for reader in list(self.reactor._internalReaders):
            self.reactor.removeReader(reader)
            reader.connectionLost(None)
        self.reactor._poller.close()

    def turn_until(self, condition: Callable[[], object]) -> None:
        """Turn the reactor until `condition` is true."""
        for _ in range(TURNS):
            if condition():
                return
            self.reactor.iterate(0.01)
        self.fail("it did not happen")

    def turn(self, times: int = 5) -> None:
        """Turn the reactor so often."""
        for _ in range(times):
            self.reactor.iterate(0)

    def connected(self) -> tuple[Any, socket.socket]:
        """Return the protocol of a connection to a port, and a plain socket as its peer."""
        made: list[Any] = []

        class Listener(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> Any:  # noqa: ARG002
                made.append(Recorder())
                return made[-1]

        port = self.reactor.listenTCP(0, Listener(), interface="127.0.0.1")
        peer = socket.create_connection(("127.0.0.1", port.getHost().port))
        self.addCleanup(peer.close)
        peer.setblocking(False)
        self.turn_until(lambda: made)
        return made[0], peer

    def pair(self) -> tuple[Any, Any]:
        """Return both protocols of a connection of this reactor with itself, by a unix socket."""
        made: list[Any] = []

        class Both(ClientFactory):
            noisy = False

            def buildProtocol(self, addr: object) -> Any:  # noqa: ARG002
                made.append(Recorder())
                return made[-1]

        path = str(self.folder / "socket")
        self.reactor.listenUNIX(path, Both())
        self.reactor.connectUNIX(path, Both())
        self.turn_until(lambda: len(made) == 2 and all(each.transport for each in made))
        return made[0], made[1]

    def read(self, peer: socket.socket, size: int) -> bytes:
        """Read so many bytes, or to the end, while the reactor turns."""
        got = bytearray()
        ended = False

        def read_on() -> bool:
            nonlocal ended
            try:
                data = peer.recv(1 << 20)
            except BlockingIOError:
                return False
            got.extend(data)
            ended = not data
            return ended or len(got) >= size

        self.turn_until(read_on)
        return bytes(got)


def reset(peer: socket.socket) -> None:
    """Close with a reset."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


class WritingBehaviours(ReactorTestCase):
    """Bytes out, and how a connection ends."""

    def test_nothing_is_sent_inside_write(self) -> None:
        protocol, peer = self.connected()
        protocol.write(b"one")
        with self.assertRaises(BlockingIOError):
            peer.recv(10)
        self.assertEqual(self.read(peer, 3), b"one")

    def test_bytes_keep_their_order_whatever_a_socket_takes(self) -> None:
        protocol, peer = self.connected()
        pieces = [os.urandom(size) for size in (1, 10, LARGE, 3, 200_000, 65_536, 7)]
        for piece in pieces[:3]:
            protocol.write(piece)
        self.turn()
        protocol.transport.writeSequence(pieces[3:5])
        protocol.write(pieces[5])
        self.turn()
        protocol.write(pieces[6])
        expected = b"".join(pieces)
        self.assertEqual(self.read(peer, len(expected)), expected)

    def test_small_writes_keep_their_order_when_a_socket_takes_a_part(self) -> None:
        protocol, peer = self.connected()
        protocol.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        expected = b""
        for _ in range(20):
            piece = os.urandom(100_000)
            expected += piece
            protocol.write(piece)
            self.turn()
        self.assertEqual(self.read(peer, len(expected)), expected)

    def test_writes_that_are_no_bytes_are_refused(self) -> None:
        protocol, _ = self.connected()
        for wrong in ("text", bytearray(b"array"), None):
            with self.assertRaises(TypeError):
                protocol.transport.write(wrong)

    def test_one_that_wants_to_write_is_among_the_writers(self) -> None:
        protocol, _ = self.connected()
        self.assertNotIn(protocol.transport, self.reactor.getWriters())
        protocol.write(b"one")
        self.assertEqual(self.reactor.getWriters(), [protocol.transport])
        self.turn()
        self.assertNotIn(protocol.transport, self.reactor.getWriters())

    def test_all_that_are_removed_write_no_more(self) -> None:
        protocol, peer = self.connected()
        protocol.transport.pauseProducing()
        protocol.write(b"one")
        self.assertEqual(self.reactor.removeAll().count(protocol.transport), 1)
        self.turn()
        with self.assertRaises(BlockingIOError):
            peer.recv(10)
        protocol.transport.connectionLost(connectionDone)

    def test_a_reset_is_not_told_inside_write(self) -> None:
        protocol, peer = self.connected()
        reset(peer)
        protocol.write(b"one")
        self.assertEqual(protocol.events, [])
        self.turn_until(lambda: protocol.events)
        self.assertEqual(protocol.events, ["lost"])
        self.assertIsInstance(protocol.reason, ConnectionLost)

    def test_what_came_before_a_reset_is_read_before_it_is_told(self) -> None:
        protocol, peer = self.connected()
        peer.send(b"goodbye")
        reset(peer)
        protocol.write(b"one")
        self.turn_until(lambda: protocol.events)
        self.assertEqual(protocol.received, b"goodbye")
        self.assertIsInstance(protocol.reason, ConnectionLost)

    def events_of_an_end_and_a_reset(self, written: bytes) -> list[str]:
        """Return what is told of one that wrote `written` when its peer was gone."""
        protocol, peer = self.connected()
        protocol.write(b"never read")
        self.turn()
        peer.shutdown(socket.SHUT_WR)
        peer.close()
        protocol.write(written)
        self.turn_until(lambda: "lost" in protocol.events)
        events: list[str] = protocol.events
        return events

    def test_end_before_a_reset_is_told_before_it(self) -> None:
        events = self.events_of_an_end_and_a_reset(b"one")
        self.assertEqual(events, ["no more to read", "lost"])

    def test_end_before_a_reset_is_told_before_it_to_one_with_much_to_write(self) -> None:
        events = self.events_of_an_end_and_a_reset(bytes(LARGE))
        self.assertEqual(events, ["no more to read", "lost"])

    def test_reset_is_told_as_one_to_one_with_much_to_write(self) -> None:
        protocol, peer = self.connected()
        reset(peer)
        protocol.write(bytes(LARGE))
        self.turn_until(lambda: protocol.events)
        self.assertEqual(protocol.events, ["lost"])
        self.assertIsInstance(protocol.reason, ConnectionLost)

    def test_write_to_one_that_was_lost_is_ignored(self) -> None:
        protocol, peer = self.connected()
        transport = protocol.transport
        peer.close()
        protocol.readConnectionLost = transport.loseConnection
        self.turn_until(lambda: protocol.events)
        transport.write(b"late")
        self.turn()
        self.assertEqual(protocol.events, ["lost"])

    def test_lose_connection_sends_all_first(self) -> None:
        protocol, peer = self.connected()
        data = os.urandom(LARGE)
        protocol.write(data)
        protocol.transport.loseConnection()
        self.assertEqual(protocol.events, [])
        self.assertEqual(self.read(peer, LARGE + 1), data)
        self.assertEqual(protocol.events, ["lost"])
        self.assertIsInstance(protocol.reason, ConnectionDone)

    def test_what_is_written_after_lose_connection_in_the_same_turn_is_sent(self) -> None:
        protocol, peer = self.connected()
        protocol.transport.loseConnection()
        protocol.write(b"last")
        self.assertEqual(self.read(peer, 5), b"last")

    def test_half_close_sends_all_first_and_reads_on(self) -> None:
        protocol, peer = self.connected()
        protocol.write(b"one")
        protocol.transport.loseWriteConnection()
        protocol.write(b"two")
        self.assertEqual(self.read(peer, 7), b"onetwo")
        self.assertEqual(protocol.events, ["no more to write"])
        peer.send(b"three")
        self.turn_until(lambda: protocol.received == b"three")
        protocol.write(b"never")
        peer.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: len(protocol.events) == 2)
        self.assertEqual(protocol.events[1], "no more to read")

    def test_half_close_waits_for_the_write_after_a_producer(self) -> None:
        protocol, peer = self.connected()
        puller: Any = Puller(protocol.transport, 0)
        puller.resumeProducing = lambda: None
        protocol.transport.registerProducer(puller, False)
        puller.resumeProducing = protocol.transport.unregisterProducer
        protocol.transport.loseWriteConnection()
        self.turn()
        protocol.write(b"last")
        self.assertEqual(self.read(peer, 5), b"last")
        self.assertEqual(protocol.events, ["no more to write"])

    def test_lose_connection_that_waits_to_write_is_done_after_the_next_write(self) -> None:
        protocol, peer = self.connected()
        protocol.transport.loseConnection()
        protocol.transport.stopWriting()
        self.turn()
        protocol.write(b"last")
        self.assertEqual(self.read(peer, 5), b"last")

    def test_peer_that_half_closes_is_still_written_to(self) -> None:
        protocol, peer = self.connected()
        peer.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: protocol.events == ["no more to read"])
        protocol.write(b"one")
        self.assertEqual(self.read(peer, 3), b"one")

    def test_abort_drops_what_was_written_before_and_after_it(self) -> None:
        protocol, peer = self.connected()

        def abort() -> None:
            protocol.write(b"before")
            protocol.transport.abortConnection()
            protocol.write(b"after")
            self.assertEqual(protocol.events, [])

        self.reactor.callLater(0, abort)  # so that the reactor may write before it tells
        self.turn_until(lambda: protocol.events)
        self.assertIsInstance(protocol.reason, ConnectionAborted)
        with self.assertRaises(ConnectionResetError):
            peer.recv(10)

    def test_write_after_an_abort_is_not_sent(self) -> None:
        protocol, peer = self.connected()

        def abort() -> None:
            protocol.transport.abortConnection()
            protocol.write(b"after")

        self.reactor.callLater(0, abort)
        self.turn_until(lambda: protocol.events)
        with self.assertRaises(ConnectionResetError):
            peer.recv(10)

    def test_writes_of_the_end_are_ignored(self) -> None:
        protocol, peer = self.connected()
        transport = protocol.transport
        protocol.readConnectionLost = lambda: transport.write(b"once")
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(self.read(peer, 4), b"once")
        transport.loseConnection()
        self.turn_until(lambda: protocol.events)
        self.assertEqual(self.read(peer, 1), b"")


class Pusher:
    """A push producer that writes until it is paused, each time that it is resumed."""

    def __init__(self, transport: Any, piece: bytes, limit: int) -> None:
        self.transport, self.piece, self.left = transport, piece, limit
        self.paused = self.pauses = 0

    def resumeProducing(self) -> None:
        self.paused = 0
        while not self.paused and self.left:
            self.left -= 1
            self.transport.write(self.piece)

    def pauseProducing(self) -> None:
        self.paused = 1
        self.pauses += 1

    def stopProducing(self) -> None:
        self.paused = 1


class Puller:
    """A pull producer of numbered lines."""

    def __init__(self, transport: Any, count: int) -> None:
        self.transport, self.lines = transport, iter(range(count))

    def resumeProducing(self) -> None:
        line = next(self.lines, None)
        if line is None:
            self.transport.unregisterProducer()
            self.transport.loseConnection()
        else:
            self.transport.write(b"%d\n" % line)

    def stopProducing(self) -> None:
        pass


class ProducerBehaviours(ReactorTestCase):
    """Producers, and writes out of callbacks."""

    def test_push_producer_is_paused_while_much_waits(self) -> None:
        protocol, peer = self.connected()
        pusher = Pusher(protocol.transport, bytes(10_000), 5000)
        protocol.transport.registerProducer(pusher, True)
        pusher.resumeProducing()
        # Not one turn has passed, so nothing was sent, however much the socket could take.
        self.assertEqual((pusher.left, pusher.pauses), (5000 - 7, 1))
        self.turn(500)
        self.assertTrue(pusher.paused)
        self.assertEqual(self.read(peer, 50_000_000), bytes(50_000_000))
        self.assertEqual(pusher.left, 0)

    def test_pull_producer_is_asked_until_it_is_done(self) -> None:
        protocol, peer = self.connected()
        protocol.transport.registerProducer(Puller(protocol.transport, 300), False)
        expected = b"".join(b"%d\n" % line for line in range(300))
        self.assertEqual(self.read(peer, len(expected) + 1), expected)

    def test_producer_registered_behind_a_write_is_asked_when_that_is_sent(self) -> None:
        protocol, peer = self.connected()
        asked: list[bytes] = []

        class Late(Puller):
            def resumeProducing(self) -> None:
                asked.append(protocol.received)
                if len(asked) == 2:
                    super().resumeProducing()

        protocol.write(b"first ")
        protocol.transport.registerProducer(Late(protocol.transport, 1), False)
        self.assertEqual(self.read(peer, 8), b"first 0\n")

    def test_write_out_of_a_pause_comes_after_what_paused(self) -> None:
        protocol, peer = self.connected()
        pusher: Any = Pusher(protocol.transport, b"a" * 70_000, 1)
        protocol.transport.registerProducer(pusher, True)
        pusher.pauseProducing = lambda: (
            protocol.transport.unregisterProducer() or (protocol.write(b"b"))
        )
        protocol.write(b"a" * 70_000)
        self.assertEqual(self.read(peer, 70_001), b"a" * 70_000 + b"b")

    def test_writes_out_of_data_received_keep_their_order(self) -> None:
        protocol, peer = self.connected()
        protocol.on_data = lambda data: [protocol.write(bytes([byte])) for byte in data]
        data = os.urandom(5000)
        peer.send(data)
        self.assertEqual(self.read(peer, 5000), data)

    def test_write_out_of_the_end_of_another_is_sent(self) -> None:
        (ending, one), (other, two) = self.connected(), self.connected()
        ending.connectionLost = lambda reason=None: other.write(b"gone")  # noqa: ARG005
        ending.write(b"last")
        ending.transport.loseConnection()
        self.assertEqual(self.read(one, 5), b"last")
        self.assertEqual(self.read(two, 4), b"gone")

    def test_descriptor_travels_with_what_was_written_before_it(self) -> None:
        one, other = self.pair()
        one.write(b"x")
        with open(os.devnull) as sent:
            one.transport.sendFileDescriptor(sent.fileno())
            self.turn_until(lambda: other.received)
        self.assertEqual((other.received, len(other.descriptors), one.events), (b"x", 1, []))
        os.close(other.descriptors[0])

    def test_echo_on_unix_sockets(self) -> None:
        one, other = self.pair()
        other.on_data = other.write
        data = os.urandom(1_000_000)
        one.write(data)
        self.turn_until(lambda: len(one.received) == len(data))
        self.assertEqual(one.received, data)


class FairnessBehaviours(ReactorTestCase):
    """Nobody waits for one who is busy."""

    def others_are_served(self) -> None:
        """Look whether timers run, and another connection is answered."""
        protocol, peer = self.connected()
        protocol.on_data = protocol.write
        ticks: list[int] = []
        for number in range(3):
            self.reactor.callLater(0, ticks.append, number)
            peer.send(b"ping")
            self.assertEqual(self.read(peer, 4), b"ping")
        self.assertEqual(ticks, [0, 1, 2])

    def test_others_are_served_while_two_answer_each_other_for_ever(self) -> None:
        one, other = self.pair()
        one.on_data, other.on_data = one.write, other.write
        one.write(bytes(60_000))
        self.others_are_served()
        self.assertEqual(one.events, [])
        self.assertGreater(len(one.received), 0)

    def test_others_are_served_while_a_producer_never_ends(self) -> None:
        one, other = self.pair()
        other.dataReceived = lambda data: None  # noqa: ARG005
        pusher = Pusher(one.transport, bytes(1000), 1 << 40)
        one.transport.registerProducer(pusher, True)
        pusher.resumeProducing()
        self.others_are_served()
        self.assertGreater(pusher.pauses, 0)

    def test_a_turn_reads_no_more_of_one_than_its_buffer(self) -> None:
        protocol, peer = self.connected()
        chunks: list[int] = []
        protocol.dataReceived = lambda data: chunks.append(len(data))
        peer.send(bytes(300_000))
        while not chunks:
            self.reactor.iterate(0.01)
        self.assertLessEqual(chunks[0], protocol.transport.bufferSize)
        self.assertEqual(len(chunks), 1)


class NestingBehaviours(ReactorTestCase):
    """One connection's end, which does more than it should, beside another that wants to write."""

    def setUp(self) -> None:
        super().setUp()
        (self.ending, _), (self.other, self.peer) = self.connected(), self.connected()
        self.ending.transport.loseConnection()
        self.other.write(b"two")

    def test_turn_in_a_turn_lets_the_others_write(self) -> None:
        got: list[bytes] = []
        self.ending.connectionLost = lambda reason=None: (  # noqa: ARG005
            got.append(self.read(self.peer, 3))
        )
        self.turn()
        self.assertEqual(got, [b"two"])

    def test_interrupt_leaves_the_others_to_write(self) -> None:
        def interrupt(reason: object = None) -> None:  # noqa: ARG001
            raise KeyboardInterrupt

        self.ending.connectionLost = interrupt
        with self.assertRaises(KeyboardInterrupt):
            self.turn()
        self.assertEqual(self.read(self.peer, 3), b"two")

    def test_removing_all_finds_those_that_have_yet_to_write(self) -> None:
        writer, removed = self.other.transport, []
        writer.pauseProducing()
        self.ending.connectionLost = lambda reason=None: (  # noqa: ARG005
            removed.extend(self.reactor.removeAll())
        )
        self.turn(1)
        self.assertEqual(removed.count(writer), 1)
        writer.connectionLost(connectionDone)


class LogBehaviours(ReactorTestCase):
    """What the log says of who it was, and what becomes of exceptions."""

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[dict[str, Any]] = []
        log.addObserver(self.logged.append)
        self.addCleanup(log.removeObserver, self.logged.append)

    def system_of(self, message: str) -> str:
        """Return what the log has as the system of the one line that is `message`."""
        (found,) = [each["system"] for each in self.logged if each["message"] == (message,)]
        assert isinstance(found, str)
        return found

    def test_lines_carry_the_prefix_of_the_connection(self) -> None:
        protocol, peer = self.connected()
        prefix = protocol.transport.logPrefix()
        protocol.on_data = lambda data: log.msg(data.decode())
        protocol.readConnectionLost = lambda: log.msg("end")
        self.reactor.callLater(0, log.msg, "timer")
        peer.send(b"data")
        self.turn_until(lambda: protocol.received)
        peer.shutdown(socket.SHUT_WR)
        self.turn_until(lambda: any(each["message"] == ("end",) for each in self.logged))
        self.assertEqual(self.system_of("data"), prefix)
        self.assertEqual(self.system_of("end"), prefix)
        self.assertEqual(self.system_of("timer"), "-")
        self.assertEqual(prefix, "Recorder,0,127.0.0.1")

    def test_context_of_an_event_is_kept_for_a_thread(self) -> None:
        kept: list[dict[Any, Any]] = []
        pairs = [self.connected(), self.connected()]
        for name, (protocol, peer) in zip(("one", "other"), pairs, strict=True):
            protocol.transport.logstr = name
            # So does a pool of threads.
            protocol.on_data = lambda _: kept.append(
                context.theContextTracker.currentContext().contexts[-1]
            )
            peer.send(b"data")
        self.turn_until(lambda: len(kept) == 2)
        self.assertEqual({each[log.ILogContext]["system"] for each in kept}, {"one", "other"})

    def test_context_of_the_application_is_around_it(self) -> None:
        protocol, peer = self.connected()
        protocol.on_data = lambda _: log.msg("data")
        peer.send(b"data")
        log.callWithContext(
            {"colour": "blue", "system": "outer"}, self.turn_until, lambda: protocol.received
        )
        (event,) = [each for each in self.logged if each["message"] == ("data",)]
        self.assertEqual(event["colour"], "blue")
        self.assertEqual(event["system"], protocol.transport.logPrefix())

    def test_nested_turn_keeps_who_it_was(self) -> None:
        protocol, peer = self.connected()
        other, their_peer = self.connected()

        def nest(_: bytes) -> None:
            their_peer.send(b"inner")
            self.turn_until(lambda: other.received)
            log.msg("outer")

        protocol.on_data = nest
        other.on_data = lambda _: log.msg("inner")
        peer.send(b"outer")
        self.turn_until(lambda: protocol.received)
        self.assertEqual(self.system_of("inner"), other.transport.logPrefix())
        self.assertEqual(self.system_of("outer"), protocol.transport.logPrefix())

    def test_exception_of_data_received_is_logged_and_ends_the_connection(self) -> None:
        protocol, peer = self.connected()
        prefix = protocol.transport.logPrefix()
        protocol.on_data = lambda data: 1 / 0  # noqa: ARG005
        protocol.transport.write(b"kept back")
        peer.send(b"data")
        self.turn_until(lambda: protocol.events)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([each["system"] for each in self.logged if each["isError"]], [prefix])
        self.assertIsInstance(protocol.reason, ZeroDivisionError)

    def test_exception_of_connection_lost_is_logged(self) -> None:
        protocol, peer = self.connected()
        prefix = protocol.transport.logPrefix()
        ended = []

        def fail(reason: object = None) -> None:  # noqa: ARG001
            ended.append(1)
            raise ZeroDivisionError

        protocol.connectionLost = fail
        reset(peer)
        self.turn_until(lambda: ended)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([each["system"] for each in self.logged if each["isError"]], [prefix])

    def test_exception_of_a_producer_is_logged_and_ends_the_connection(self) -> None:
        protocol, _ = self.connected()
        puller: Any = Puller(protocol.transport, 5)
        protocol.transport.registerProducer(puller, False)
        puller.resumeProducing = lambda: 1 / 0
        self.turn_until(lambda: protocol.events)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsInstance(protocol.reason, ZeroDivisionError)
