"""A spool whose broker refuses some: what is done is on disk or confirmed, at every moment."""

from __future__ import annotations

import random
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import deferLater

from netdemo.amqp.publisher import Publisher
from netdemo.bridge.spool_file import FILE, SpoolFile, read_blocks
from netdemo.errors import NackedError, SpoolFull
from tests.spooling import SpoolTestCase

if TYPE_CHECKING:
    from netdemo.amqp import Message

LAST = (1 << 63) - 1


class RefusingTests(SpoolTestCase):
    """With answers; what was put aside comes out of order."""

    ack = True

    def setUp(self) -> None:
        super().setUp()
        self.chance = random.Random(11)
        self.refusing = 0.0
        self.has_room = True
        self.confirmed: set[bytes] = set()
        publish = Publisher.publish

        def publish_or_refuse(publisher: Publisher, message: Message, *to: Any) -> Deferred[None]:
            if not publisher.name.startswith("spool of "):
                return publish(publisher, message, *to)
            if self.chance.random() < self.refusing:
                return self.refuse(message)
            return publish(publisher, message, *to).addCallback(self.confirm, message)

        self.patch(Publisher, "publish", publish_or_refuse)
        self.patch(SpoolFile, "check_room", self.check_room)

    def refuse(self, message: Message) -> Deferred[None]:
        """Refuse a message, now or later."""
        error = NackedError("no", message)
        if self.chance.random() < 0.5:
            return fail(error)
        later: Deferred[None] = deferLater(self.network.clock, 0.01)
        return later.addCallback(lambda _: fail(error))

    def confirm(self, _: None, message: Message) -> None:
        """Note that the broker has a message."""
        self.confirmed.add(message.body)

    def check_room(self, _: int) -> None:
        """Have room or not, for what is written: what is deleted needs none."""
        if not self.has_room:
            raise SpoolFull("no room")

    def test_what_is_done_is_confirmed_or_on_disk_at_every_moment(self) -> None:
        for turn in range(8):
            self.check(b"%d:" % turn)

    def check(self, mark: bytes) -> None:
        """Have things happen, and look each time what there is of what was done."""
        done: set[bytes] = set()
        is_up = True
        for number in range(80):
            record = mark + b"%d" % number
            sent = self.outlets[0].send(record)
            sent.addCallbacks(partial(self.note, done, record), lambda _: None)
            match self.chance.randrange(14):
                case 0 | 1:
                    is_up = not is_up
                    (self.broker.start if is_up else self.broker.stop)()
                case 2:
                    self.disk.fill()
                case 3:
                    self.has_room = False
                case 4 | 5 | 6:
                    self.recover()
                case 7:
                    self.halt()
                    self.recover()
                    self.start()
                case 8 | 9:
                    self.refusing = self.chance.choice((0.0, 0.1, 0.5, 1.0))
                case _:
                    self.network.advance(self.chance.choice((0, 0, 0.3, 2)))
            self.assertEqual(set(), done - self.confirmed - self.on_disk())
        self.recover()
        self.refusing = 0.0
        if not is_up:
            self.broker.start()
        self.network.advance(150)
        self.assertEqual(set(), done - self.confirmed)
        self.assertEqual((0, 0), (self.spool().size, self.outlets[0].window.messages))
        for drain in self.service.drains.values():
            self.assertEqual((0, 0), (drain.held.messages, drain.held.size))

    def note(self, done: set[bytes], record: bytes, _: None) -> None:
        """Note that a record is done."""
        done.add(record)

    def recover(self) -> None:
        """Have a disk with room."""
        self.disk.error = None
        self.has_room = True

    def on_disk(self) -> set[bytes]:
        """Return what a crash would leave."""
        connection = sqlite3.connect(self.folder / FILE)
        found: set[bytes] = set()
        after = 0
        while blocks := read_blocks(connection, after, LAST, 1 << 30, 1 << 30):
            after = blocks[-1].id
            found.update(each.body for block in blocks for _, each, _ in block.messages())
        connection.close()
        return found
