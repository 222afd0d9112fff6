"""Store and forward: what is in the spool arrives, in order, and goes when it is confirmed."""

from __future__ import annotations

import gc
import random
import sqlite3
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from zope.interface.verify import verifyObject

from netdemo.amqp import Queue, Topology
from netdemo.bridge import spool as spool_module
from netdemo.bridge.interfaces import IOutlet
from netdemo.bridge.outlet import QUIET
from netdemo.bridge.spool import RETRY
from netdemo.bridge.spool_blocks import BLOCK_BYTES
from netdemo.bridge.spool_file import SpoolFile
from netdemo.bridge.spool_outlet import SpoolOutlet, SpoolService
from netdemo.errors import SpoolFull
from tests.memory_clients import QUEUE
from tests.spooling import SpoolTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.logger import ILogObserver


class SpoolTests(SpoolTestCase):
    """Without answers."""

    def test_provides_its_interface(self) -> None:
        verifyObject(IOutlet, self.outlets[0])

    def test_record_is_done_when_it_is_on_disk_and_goes_to_the_queue(self) -> None:
        (sent,) = self.send(b"a")
        self.assertIsNone(self.successResultOf(sent))
        self.assertEqual([b"a"], self.collect())

    def test_nothing_is_left_when_the_broker_has_it(self) -> None:
        self.send(b"a", b"b")
        self.network.advance(1)
        self.assertEqual(0, self.spool().size)
        self.halt()
        self.start()
        self.assertEqual([0], [route.records for route in self.spool().stored])
        self.assertEqual(2, self.ready())

    def test_record_is_done_while_the_broker_is_gone_and_arrives_in_order_when_it_is_back(
        self,
    ) -> None:
        self.broker.stop()
        for number in range(20):
            (sent,) = self.send(b"%d" % number)
            self.assertTrue(sent.called)
        self.broker.start()
        self.network.advance(10)
        self.assertEqual([b"%d" % number for number in range(20)], self.collect())

    def test_what_is_beyond_the_memory_is_read_back_in_order(self) -> None:
        self.broker.stop()
        drain = next(iter(self.service.drains.values()))
        drain.held.message_limit = 3
        numbers = [b"%d" % number for number in range(100)]
        for number in numbers:
            self.send(number)
        self.assertEqual(3, drain.held.messages)
        self.broker.start()
        self.network.advance(10)
        self.assertEqual(numbers, self.collect())

    def test_new_record_is_not_before_those_on_disk_when_there_is_room_again(self) -> None:
        self.broker.stop()
        drain = next(iter(self.service.drains.values()))
        drain.held.message_limit = 3
        for number in range(5):
            self.send(b"%d" % number)
        drain.held.message_limit = 5
        self.send(b"5")
        self.broker.start()
        self.network.advance(10)
        self.assertEqual([b"%d" % number for number in range(6)], self.collect())

    def test_what_is_left_of_a_route_that_is_no_more_is_published(self) -> None:
        self.broker.stop()
        self.send(b"a")
        self.halt()
        self.start("/queue/other")
        self.broker.start()
        self.network.advance(10)
        self.assertEqual([b"a"], self.collect())
        self.assertEqual(["push /queue/other@tcp:7001"], list(self.service.drains))

    def test_record_keeps_its_message_id_over_a_restart(self) -> None:
        self.broker.stop()
        self.send(b"a", b"b")
        terms = self.outlets[0]._terms
        self.halt()
        self.start()
        self.broker.start()
        self.network.advance(10)
        ids: list[str | None] = []
        self.result(self.client.consume(QUEUE, lambda each: ids.append(each.message.message_id)))
        self.assertEqual([f"{terms.message_ids}-1", f"{terms.message_ids}-2"], ids)

    def test_full_disk_holds_records_until_there_is_room(self) -> None:
        self.disk.fill()
        (sent,) = self.send(b"a")
        self.assertNoResult(sent)
        self.assertEqual(1, self.outlets[0].window.messages)
        self.disk.error = None
        self.network.advance(RETRY)
        self.successResultOf(sent)
        self.assertEqual([b"a"], self.collect())

    def test_disk_that_has_no_room_for_all_at_once_takes_one_block_after_another(self) -> None:
        self.halt()
        self.start(f"/queue/{QUEUE}", "/queue/other")
        room = 3 * BLOCK_BYTES

        def check_room(_: SpoolFile, size: int) -> None:
            if size > room:
                raise SpoolFull("no room")

        self.patch(SpoolFile, "check_room", check_room)
        sent = [outlet.send(bytes(BLOCK_BYTES)) for outlet in self.outlets]
        self.network.advance(0)
        self.assertNoResult(sent[0])
        self.network.advance(2 * RETRY)
        for each in sent:
            self.successResultOf(each)

    def test_disk_that_fails_keeps_nothing_in_memory_of_what_the_broker_has(self) -> None:
        self.broker.stop()
        for _ in range(20):
            self.send(bytes(1000))
        (drain,) = self.service.drains.values()
        *blocks, _ = [weakref.ref(block) for block in drain._in_memory.values()]
        self.assertEqual(19, len(blocks))  # the route itself has the last one
        self.disk.fill()
        self.broker.start()
        self.network.advance(10)
        self.assertEqual(20, self.ready())
        gc.collect()
        self.assertEqual([None] * 19, [block() for block in blocks])
        self.disk.error = None
        self.network.advance(RETRY)
        self.assertEqual(0, self.spool().size)

    def test_no_more_is_read_while_too_much_can_not_be_deleted(self) -> None:
        self.patch(spool_module, "MOST_DELETED", 5)
        self.broker.stop()
        (drain,) = self.service.drains.values()
        drain.held.message_limit = 2
        for _ in range(20):
            self.send(b"a")
        self.disk.fill()
        self.send(b"a")
        self.broker.start()
        self.network.advance(10)
        self.assertLess(self.ready(), 10)
        self.disk.error = None
        self.network.advance(10)
        self.assertEqual(21, self.ready())

    def test_stop_with_a_full_disk_fails_what_is_not_written(self) -> None:
        self.disk.fill()
        (sent,) = self.send(b"a")
        self.network.advance(1)
        stopping = self.service.stopService()
        self.network.advance(2)
        self.failureResultOf(sent, SpoolFull)
        self.successResultOf(stopping)

    def test_nothing_is_made_by_a_user_that_the_bridge_does_not_stay(self) -> None:
        folder = self.folder.with_name("other")
        service = SpoolService(folder, self.client, self.network.clock)
        service.privilegedStartService()
        self.assertFalse(folder.exists())


class LimitTests(SpoolTestCase):
    """With a limit."""

    limit = 1000

    def test_window_is_full_until_the_broker_has_taken_some(self) -> None:
        self.broker.stop()
        window = self.outlets[0].window
        self.send(bytes(1000))
        self.assertTrue(window.full)
        room = window.when_room()
        self.assertNoResult(room)
        self.broker.start()
        self.network.advance(10)
        self.successResultOf(room)

    def test_routes_take_turns_when_there_is_room_for_few(self) -> None:
        self.halt()
        self.start(f"/queue/{QUEUE}", "/queue/other")
        self.broker.stop()
        self.send(bytes(1000))
        sent: list[int] = []

        def waits(number: int) -> None:
            if sent.count(number) < 4:
                self.outlets[number].window.when_room().addCallback(lambda _: sends(number))

        def sends(number: int) -> None:
            sent.append(number)
            self.outlets[number].send(bytes(1000))
            waits(number)

        waits(0)
        waits(1)
        self.broker.start()
        self.network.advance(10)
        self.assertEqual(8, len(sent))
        self.assertEqual({0, 1}, set(sent[:2]))

    def test_route_that_has_just_written_leaves_others_their_turn(self) -> None:
        self.halt()
        self.start(f"/queue/{QUEUE}", "/queue/other")
        self.addCleanup(self.halt)
        self.broker.stop()
        spool = self.spool()
        for _ in range(7):
            self.send(b"")
        self.assertTrue(spool.full)
        (drain, _) = self.service.drains.values()
        sent: list[int] = []

        def waits(number: int) -> None:
            self.outlets[number].window.when_room().addCallback(lambda _: sends(number))

        def sends(number: int) -> None:
            if len(sent) < 20:
                sent.append(number)
                self.outlets[number].send(b"")
                waits(number)

        waits(0)
        waits(1)
        transactions: list[Deferred[None]] = []

        def takes_time(call: Callable[[], Any]) -> Deferred[Any]:
            transactions.append(Deferred())
            return transactions[-1].addCallback(lambda _: call())

        spool._run_in_thread = takes_time
        first, *others = drain._in_memory.values()
        spool.delete(first)
        self.network.advance()
        for block in others:
            spool.delete(block)  # together with what is written meanwhile
            transactions.pop().callback(None)
        spool._run_in_thread = self.disk
        transactions.pop().callback(None)
        self.assertEqual({0, 1}, set(sent))


class AnsweredTests(SpoolTestCase):
    """With answers."""

    ack = True

    def test_full_disk_is_told_and_the_next_record_is_taken_when_there_is_room(self) -> None:
        self.disk.fill()
        (sent,) = self.send(b"a")
        self.failureResultOf(sent, SpoolFull)
        self.disk.error = None
        (sent,) = self.send(b"b")
        self.network.advance(RETRY)
        self.successResultOf(sent)
        self.assertEqual([b"b"], self.collect())


class RefusedTests(SpoolTestCase):
    """What the broker refuses."""

    def start(self, *destinations: str) -> None:
        super().start(*(destinations or ("/amq/queue/missing",)))

    def test_it_stays_and_is_published_when_the_broker_takes_it(self) -> None:
        self.send(b"a", b"b")
        drain = next(iter(self.service.drains.values()))
        self.assertEqual(2, drain.refused_by_broker)
        self.network.advance(10)
        self.assertGreater(drain.refused_by_broker, 3)
        self.assertGreater(self.spool().size, 0)
        self.halt()
        self.start()
        self.result(self.client.declare(Topology(queues=(Queue("missing"),))))
        self.send(b"c")
        self.assertEqual(1, self.ready("missing"))
        self.network.advance(60)
        self.assertEqual(3, self.ready("missing"))
        self.network.advance(1)
        self.assertEqual(0, self.spool().size)

    def test_it_stays_on_disk_when_that_is_full_before_it_is_put_aside(self) -> None:
        self.disk.error = sqlite3.OperationalError("locked")
        (sent,) = self.send(b"a")
        self.disk.error = None
        self.patch(SpoolFile, "check_room", self.no_room_aside)
        self.network.advance(RETRY)
        self.successResultOf(sent)
        self.network.advance(5 * RETRY)
        self.halt()
        self.start()
        self.assertEqual([1], [route.records for route in self.spool().stored])
        self.halt()

    def test_many_are_few_lines(self) -> None:
        lines: list[str] = []
        observer = cast("ILogObserver", lambda event: lines.append(event["log_format"]))
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.send(*(b"a" for _ in range(20)))
        self.network.advance(QUIET - 1)
        self.assertEqual(1, sum("was not published" in line for line in lines))
        self.network.advance(20 * QUIET)
        self.assertLess(1, sum("was not published" in line for line in lines))
        self.assertGreater(20, sum("was not published" in line for line in lines))
        self.halt()

    def no_room_aside(self, _: int) -> None:
        """Have no room for what the broker has refused."""
        if next(iter(self.service.drains.values())).refused_by_broker:
            raise SpoolFull("no room")


class RandomTests(SpoolTestCase):
    """Whatever happens, what is done arrives, in order but for what comes again."""

    ack = True

    def test_nothing_that_was_done_is_lost_or_out_of_order(self) -> None:
        for seed in range(12):
            self.check(random.Random(seed), b"%d:" % seed)

    def check(self, chance: random.Random, mark: bytes) -> None:
        """Have things happen; then look for what was done."""
        accepted: list[bytes] = []
        is_up = True
        for number in range(60):
            record = mark + b"%d" % number
            sent = self.outlets[0].send(record)
            sent.addCallbacks(partial(self.note, accepted, record), lambda _: None)
            match chance.randrange(14):
                case 0 if is_up:
                    self.broker.stop()
                    is_up = False
                case 1 if not is_up:
                    self.broker.start()
                    is_up = True
                case 2:
                    self.disk.fill()
                case 3 | 4:
                    self.disk.error = None
                case 5:
                    self.disk.error = None
                    self.halt()
                    self.start()
                case 6:
                    self.disk.error = None
                    self.change(chance)
                case _:
                    self.network.advance(chance.choice((0, 0, 0.3, 2)))
        self.disk.error = None
        if not is_up:
            self.broker.start()
        self.network.advance(100)
        came = [each for each in self.emptied() if each.startswith(mark)]
        first = list(dict.fromkeys(came))
        self.assertEqual(accepted, [each for each in first if each in set(accepted)])

    def change(self, chance: random.Random) -> None:
        """Change the route, or remove it and add it again, as the bridge does."""
        (old,) = self.outlets
        self.result(old.finish(), RETRY)
        new = SpoolOutlet(old.route, self.service, self.network.clock)
        if chance.random() < 0.5:
            new.attach(self.client)
            old.withdraw()
        else:
            old.withdraw()
            self.network.advance(chance.choice((0, 0.1, 2)))
            new.attach(self.client)
        self.outlets = [new]

    def note(self, accepted: list[bytes], record: bytes, _: None) -> None:
        """Note that a record is done."""
        accepted.append(record)

    def emptied(self) -> list[bytes]:
        """Take all from the queue."""
        bodies: list[bytes] = []
        consumer = self.result(
            self.client.consume(QUEUE, lambda each: bodies.append(each.message.body))
        )
        self.network.advance(1)
        self.client.remove(consumer)
        self.network.advance(1)
        return bodies
