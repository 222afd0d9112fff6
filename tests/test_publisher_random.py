"""`netdemo.amqp.publisher`: whatever happens in whatever order, each outcome is the true one."""

from __future__ import annotations

from types import NoneType

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pika import spec
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.publisher import REFUSALS, Publisher
from netdemo.amqp.window import Window
from netdemo.errors import ChannelLost, NackedError, NotSentError, UnroutableError
from tests.publishing import Publishing

NOWHERE, REFUSED = "nowhere", "k" * 256
"""A routing key of no queue, and one that the codec refuses."""

MISSING = "missing"
"""A routing key that stands for an exchange which does not exist: it costs the channel."""


@attrs.define(eq=False)
class Published:
    """A message, what has become of it for its publisher, and what the broker did last."""

    key: str
    done: Deferred[None]
    outcome: type | None = None
    truth: type = NoneType


class RandomHistory(RuleBasedStateMachine):
    """A publisher with a small window, and a broker that answers, refuses and goes away."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(messages=3, size=40)
        self.on = Publishing(Publisher(window=self.window))
        self.messages: dict[str, Published] = {}
        self.under_way: list[tuple[int, str]] = []  # delivery tags and ids
        self.next_tag = 1

    @rule(key=st.sampled_from(["q", "q", "q", NOWHERE, MISSING, REFUSED]), size=st.integers(1, 30))
    def publish(self, key: str, size: int) -> None:
        body = b"%d." % len(self.messages)
        body = body.ljust(size, b"x")
        done = self.on.publish(body, key)
        published = self.messages[body.decode()] = Published(key, done)
        if key == REFUSED:
            published.truth = NotSentError
        done.addCallbacks(
            lambda _: self._told(published, NoneType),
            lambda failure: self._told(published, type(failure.value)),
        )
        self._read()

    @rule(choice=st.integers(0, 9))
    def cancel(self, choice: int) -> None:
        if pending := [each for each in self.messages.values() if each.outcome is None]:
            each = pending[choice % len(pending)]
            each.truth = CancelledError
            each.done.cancel()

    @precondition(lambda self: self._before_missing())
    @rule(count=st.integers(1, 3), multiple=st.booleans(), acked=st.booleans())
    def answer(self, count: int, multiple: bool, acked: bool) -> None:
        some = self._before_missing()[:count]
        answered = some if multiple else some[-1:]
        for entry in answered:
            self.under_way.remove(entry)
            published = self.messages[entry[1]]
            truth: type = NoneType if acked else NackedError
            if acked and published.key == NOWHERE:
                self.on.give_back_with_id(entry[1], NOWHERE)
                truth = UnroutableError
            if published.truth is not CancelledError:
                published.truth = truth
        (self.on.ack if acked else self.on.nack)(answered[-1][0], multiple)
        self._read()

    @precondition(lambda self: len(self._before_missing()) < len(self.under_way))
    @rule()
    def refuse(self) -> None:
        """Close the channel for the first message to a missing exchange."""
        guilty = self.messages[self.under_way[len(self._before_missing())][1]]
        if guilty.truth is not CancelledError:
            guilty.truth = NotSentError
        self.on.channel.closed.addCallback(self.on.publisher.detach)
        self.on.peer.send(
            spec.Channel.Close(404, "NOT_FOUND - no exchange", 60, 40), channel=self.on.number
        )
        self._attach()

    @rule()
    def lose(self) -> None:
        """Take the channel away, as a lost connection does."""
        self.on.publisher.detach(ChannelLost("connection lost"))
        self.on.channel.close()
        self.on.peer.agree()
        self._attach()

    def teardown(self) -> None:
        """Let the broker answer all that is left: there is one outcome each, and the true one."""
        drained = self.on.publisher.drain()
        for _ in range(3 * len(self.messages)):  # a refused one is refused again when it is alone
            if self._before_missing():
                self.answer(3, multiple=True, acked=True)
            elif self.under_way:
                self.refuse()
        assert drained.called
        assert (self.window.messages, self.window.size) == (0, 0)
        for published in self.messages.values():
            assert published.outcome is published.truth, published

    def _attach(self) -> None:
        self.on.peer.received()
        self.on.attach()
        self.under_way, self.next_tag = [], 1
        self._read()

    def _read(self) -> None:
        """Take what the publisher has sent; as it counts the messages, so does the broker."""
        for each in self.on.peer.received():
            if each.NAME == "Header":
                self.under_way.append((self.next_tag, each.properties.message_id))
                self.next_tag += 1
            elif each.NAME == "METHOD" and isinstance(each.method, spec.Channel.Close):
                self._replace()
        assert len(self.under_way) <= self.window.message_limit

    def _replace(self) -> None:
        """Give the publisher another channel for that which it closes: all was refused there."""
        self.on.channel.closed.addCallback(self.on.publisher.detach)
        self.on.peer.send(spec.Channel.CloseOk(), channel=self.on.number)
        self._attach()

    def _before_missing(self) -> list[tuple[int, str]]:
        keys = [self.messages[name].key for _, name in self.under_way]
        return self.under_way[: keys.index(MISSING) if MISSING in keys else None]

    def _told(self, published: Published, outcome: type) -> None:
        assert published.outcome is None
        published.outcome = outcome


class RandomHistoryTests(SynchronousTestCase):
    """Many random histories."""

    def test_every_message_has_one_outcome_and_the_true_one(self) -> None:
        run_state_machine_as_test(
            RandomHistory,
            settings=settings(max_examples=60, stateful_step_count=30, deadline=None),
        )

    def test_channel_on_which_all_was_refused_is_replaced(self) -> None:
        history = RandomHistory()
        for _ in range(REFUSALS + 1):
            history.publish("q", 1)
            history.answer(1, multiple=False, acked=False)
        history.publish("q", 1)
        history.teardown()
