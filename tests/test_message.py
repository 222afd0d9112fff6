"""`netdemo.amqp.message`: identifiers that no other message has."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.message import Message


class IdentifierTests(SynchronousTestCase):
    """`message_id` by default."""

    def test_each_message_has_its_own(self) -> None:
        identifiers = [Message(b"").message_id for _ in range(1000)]
        self.assertEqual(len(set(identifiers)), 1000)

    def test_a_forked_process_has_others(self) -> None:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.write(write, str(Message(b"").message_id).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        theirs = os.read(read, 100).decode().rpartition("-")[0]
        os.close(read)
        ours = str(Message(b"").message_id).rpartition("-")[0]
        self.assertEqual(len(theirs), 32)
        self.assertNotEqual(theirs, ours)
