"""Clients of a push route that all send at once: each gets its turn."""

from __future__ import annotations

from collections import Counter

from netdemo.bridge.intake import TURN
from tests.pushing import PushTestCase

CLIENTS = b"abcdefghij"


class FairnessTests(PushTestCase):
    """A window of three turns, with room again for two and a half."""

    window = 3 * TURN
    window_bytes = 1 << 20
    room = 5 * TURN // 2

    def setUp(self) -> None:
        super().setUp()
        self.published: Counter[bytes] = Counter()

    def confirm_until(self, count: int) -> None:
        """Confirm what was published until it is so much, and note of whom."""
        self.published.update(self.broker.sent())
        while (total := self.published.total()) < count:
            self.broker.ack(total, multiple=True)
            self.published.update(self.broker.sent())
            self.assertGreater(self.published.total(), total)

    def test_the_slowest_of_many_has_half_the_mean(self) -> None:
        clients = [self.connect()[0] for _ in CLIENTS]
        for name, client in zip(CLIENTS, clients, strict=True):
            client.dataReceived(b"%c\n" % name * 1000)
        for mean in (2 * TURN, 5 * TURN):
            self.confirm_until(mean * len(CLIENTS))
            slowest = min(self.published[b"%c" % name] for name in CLIENTS)
            self.assertGreaterEqual(slowest, mean / 2)
        self.confirm_until(1000 * len(CLIENTS))
        self.broker.ack(0, multiple=True)

    def test_a_client_alone_has_all_the_room(self) -> None:
        self.client.dataReceived(b"a\n" * self.window)
        self.assertEqual(len(self.broker.sent()), self.window)
        self.broker.ack(0, multiple=True)
