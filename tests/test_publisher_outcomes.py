"""`netdemo.amqp.publisher`: any mix of outcomes comes out right."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties, spec
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp.message import Message
from netdemo.amqp.publisher import REFUSALS
from netdemo.errors import ChannelLost, NackedError, OutcomeUnknownError, UnroutableError
from tests.peer import PeerTestCase
from tests.publishing import Publishing


class AttributionTests(SynchronousTestCase):
    """Any mix of outcomes, answered in any legal way, comes out right."""

    @given(
        outcomes=st.lists(st.sampled_from(["ack", "return", "nack"]), max_size=40),
        order=st.randoms(use_true_random=False),
    )
    def test_any_mix_of_outcomes(self, outcomes: list[str], order: object) -> None:
        on = Publishing()
        results: list[str] = [""] * len(outcomes)
        for number in range(len(outcomes)):
            done = on.publish(b"%d" % number)
            done.addCallbacks(
                lambda _, n=number: results.__setitem__(n, "ack"),
                lambda failure, n=number: results.__setitem__(
                    n, "return" if failure.check(UnroutableError) else "nack"
                ),
            )
        for number, outcome in enumerate(outcomes):
            if outcome == "return":
                on.give_back(b"%d" % number)
        for first, last, acked in _runs(outcomes, order):
            answer = on.ack if acked else on.nack
            if first == last:
                answer(first + 1)
            else:
                answer(last + 1, multiple=True)
        self.assertEqual(results, outcomes)


class AllTests(PeerTestCase):
    """One answer for all that is under way: multiple, with tag 0."""

    def test_they_are_settled(self) -> None:
        on = Publishing()
        done = [on.publish(b"a"), on.publish(b"b")]
        on.give_back(b"b")
        on.ack(0, multiple=True)
        self.successResultOf(done[0])
        self.failureResultOf(done[1], UnroutableError)


class NamesTests(PeerTestCase):
    """What comes back is known again, whatever its names are."""

    def setUp(self) -> None:
        self.on = Publishing()

    def test_names_that_are_not_utf_8(self) -> None:
        message = Message(b"", message_id="\udcfe")
        done = self.on.publisher.publish(message, "\udcfd", "\udcff")
        self.on.peer.send_content(
            spec.Basic.Return(312, "NO_ROUTE", b"\xfd", b"\xff"),
            BasicProperties(message_id=b"\xfe"),
            b"",
        )
        self.on.ack(1)
        self.failureResultOf(done, UnroutableError)


class ConnectionErrorTests(PeerTestCase):
    """A message for which the broker ends the connection is not published for ever."""

    def setUp(self) -> None:
        self.on = Publishing()

    def end_the_connection(self) -> None:
        """End it for an error, and give the publisher the next one."""
        self.on.sent()
        self.on.publisher.detach(ChannelLost("INTERNAL_ERROR", 541))
        self.on.attach()

    def test_alone_it_has_a_second_chance_and_no_third(self) -> None:
        done = self.on.publish(b"poison")
        self.end_the_connection()
        self.assertEqual(self.on.sent(), [b"poison"])
        self.end_the_connection()
        self.assertEqual(self.on.sent(), [])
        error = self.failureResultOf(done, OutcomeUnknownError).value
        self.assertEqual((error.reply_code, error.message.body), (541, b"poison"))

    def test_among_several_it_is_found_and_the_others_are_published(self) -> None:
        good, poison, more = (self.on.publish(body) for body in (b"a", b"poison", b"b"))
        self.end_the_connection()
        self.assertEqual(self.on.sent(), [b"a"])
        self.on.ack(1)
        self.assertEqual(self.on.sent(), [b"poison"])
        self.end_the_connection()
        self.failureResultOf(poison, OutcomeUnknownError)
        self.assertEqual(self.on.sent(), [b"b"])
        self.on.ack(1)
        self.successResultOf(good)
        self.successResultOf(more)

    def test_broker_that_shuts_down_blames_none(self) -> None:
        done = [self.on.publish(b"a"), self.on.publish(b"b")]
        for _ in range(3):
            self.on.sent()
            self.on.publisher.detach(ChannelLost("CONNECTION_FORCED - shutdown", 320))
            self.on.attach()
            self.assertEqual(self.on.sent(), [b"a", b"b"])
        self.on.ack(2, multiple=True)
        for each in done:
            self.successResultOf(each)


class RefusingChannelTests(PeerTestCase):
    """A channel on which the broker refuses everything is replaced."""

    def setUp(self) -> None:
        self.on = Publishing()

    def refuse(self, first: int, last: int) -> None:
        """Refuse these of the messages that were published on the channel."""
        for tag in range(first, last + 1):
            self.on.nack(tag)

    def publish(self, count: int) -> None:
        """Publish messages which are going to be refused."""
        for _ in range(count):
            self.on.publish().addErrback(lambda failure: failure.trap(NackedError))

    def test_what_comes_then_goes_to_the_next_channel(self) -> None:
        self.publish(REFUSALS)
        self.refuse(1, REFUSALS)
        self.on.peer.received()
        done = self.on.publish(b"x")
        self.assertEqual(self.on.sent(), [])
        self.on.peer.send(spec.Channel.CloseOk(), channel=self.on.number)
        self.on.publisher.detach(self.successResultOf(self.on.channel.closed))
        self.on.attach()
        self.assertEqual(self.on.sent(), [b"x"])
        self.on.ack(1)
        self.successResultOf(done)

    def test_it_is_closed_when_every_message_has_its_outcome(self) -> None:
        self.publish(REFUSALS + 1)
        self.refuse(1, REFUSALS)
        self.assertNotIn(spec.Channel.Close, self.asked())
        self.refuse(REFUSALS + 1, REFUSALS + 1)
        self.assertEqual(self.asked(), [spec.Channel.Close])

    def test_channel_on_which_a_message_was_taken_stays(self) -> None:
        self.publish(2 * REFUSALS + 1)
        self.refuse(1, REFUSALS)
        self.on.ack(REFUSALS + 1)
        self.refuse(REFUSALS + 2, 2 * REFUSALS + 1)
        self.assertNotIn(spec.Channel.Close, self.asked())
        self.on.publish(b"x")
        self.assertEqual(self.on.sent(), [b"x"])

    def asked(self) -> list[type]:
        """Return the kinds of methods that were sent since this was asked last."""
        received = self.on.peer.received()
        return [type(each.method) for each in received if each.NAME == "METHOD"]


def _runs(outcomes: list[str], order: object) -> list[tuple[int, int, bool]]:
    """Split into runs of one kind of answer, some of them cut in two."""
    runs: list[tuple[int, int, bool]] = []
    for number, outcome in enumerate(outcomes):
        acked = outcome != "nack"
        if runs and runs[-1][2] is acked and order.random() < 0.7:  # type: ignore[attr-defined]
            runs[-1] = (runs[-1][0], number, acked)
        else:
            runs.append((number, number, acked))
    return runs
