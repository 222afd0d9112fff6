"""`netdemo.broker.dead_letters`: what a message becomes when it dies."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika import spec
from pika.compat import long
from twisted.trial.unittest import SynchronousTestCase

from netdemo.broker.dead_letters import copies, counted, dead_letter, deaths, goes_in_circles
from netdemo.broker.message import Message
from netdemo.broker.properties import START, join_header, join_table, split_header, split_table
from netdemo.broker.tables import Integer, field, read_table
from tests.test_properties import STRANGE, header

NOW = 1_000_000_000.75
DEATHS = b"x-death"


def message(
    headers: dict[str, Any] | None = None, routing_key: str = "key", **properties: Any
) -> Message:
    """Return a message that was published with these properties."""
    if headers is not None:
        properties["headers"] = headers
    return Message("from", routing_key, header(properties, 4), b"body")


def died(
    died: Message,
    queue: str = "q",
    reason: str = "expired",
    exchange: str = "dlx",
    routing_key: str | None = None,
    now: float = NOW,
) -> Message:
    """Let a message die."""
    return dead_letter(died, queue, reason, exchange, routing_key, now)


def entries(of: Message) -> dict[bytes, bytes]:
    """Return the headers of a message, encoded."""
    return split_table(split_header(of.header)["headers"])


def told(of: Message) -> list[dict[str, Any]]:
    """Return what a message tells of its deaths."""
    told: list[dict[str, Any]] = of.headers()["x-death"]
    return told


class FirstDeathTests(SynchronousTestCase):
    """A message that has not died before."""

    def test_death_tells_all_that_rabbitmq_tells_in_its_order(self) -> None:
        (death,) = told(died(message()))
        expected = {
            "count": 1,
            "reason": "expired",
            "queue": "q",
            "time": 1_000_000_000,
            "exchange": "from",
            "routing-keys": ["key"],
        }
        self.assertEqual(list(expected.items()), list(death.items()))
        self.assertEqual(("long", 1), field(death["count"]))
        self.assertEqual("timestamp", field(death["time"])[0])

    def test_first_death_has_headers_of_its_own(self) -> None:
        headers = died(message(), reason="maxlen").headers()
        del headers["x-death"]
        expected = {
            "x-first-death-reason": "maxlen",
            "x-first-death-queue": "q",
            "x-first-death-exchange": "from",
        }
        self.assertEqual(expected, headers)

    def test_body_priority_and_persistence_stay(self) -> None:
        alive = Message("from", "key", header({}, 4), b"body", True, 7)
        dead = died(alive)
        self.assertEqual((b"body", True, 7), (dead.body, dead.persistent, dead.priority))
        self.assertEqual(4, START.unpack_from(dead.header)[2])

    def test_message_that_died_is_not_changed(self) -> None:
        alive = message({"a": 1}, expiration="5")
        before = alive.header
        died(alive)
        self.assertEqual(before, alive.header)

    def test_it_goes_to_the_exchange_with_its_own_key(self) -> None:
        dead = died(message())
        self.assertEqual(("dlx", "key"), (dead.exchange, dead.routing_key))

    def test_it_goes_with_another_key_that_is_set(self) -> None:
        for routing_key in ("other", ""):
            self.assertEqual(routing_key, died(message(), routing_key=routing_key).routing_key)

    def test_copies_are_told_and_kept_with_its_own_key(self) -> None:
        dead = died(message({"CC": ["one", "two"]}))
        self.assertEqual(["key", "one", "two"], told(dead)[0]["routing-keys"])
        self.assertEqual(["one", "two"], dead.headers()["CC"])

    def test_copies_are_told_and_dropped_with_another_key(self) -> None:
        dead = died(message({"CC": ["one"]}), routing_key="other")
        self.assertEqual(["key", "one"], told(dead)[0]["routing-keys"])
        self.assertNotIn("CC", dead.headers())

    def test_expiration_moves_into_the_death(self) -> None:
        dead = died(Message("", "key", header({"expiration": "5000"}), b"", expiration=5000))
        self.assertEqual("5000", told(dead)[0]["original-expiration"])
        self.assertNotIn("expiration", split_header(dead.header))
        self.assertIsNone(dead.expiration)

    def test_names_that_are_not_utf_8_are_told_as_they_came(self) -> None:
        dead = died(message(routing_key="\udcfe"), queue="\udcff")
        self.assertEqual(["\udcfe"], told(dead)[0]["routing-keys"])
        self.assertEqual("\udcff", told(dead)[0]["queue"])
        self.assertEqual(b"S\0\0\0\x01\xff", entries(dead)[b"x-first-death-queue"])

    @given(st.dictionaries(st.binary(max_size=6), st.sampled_from(STRANGE)))
    def test_other_headers_and_properties_stay_as_they_came(
        self, others: dict[bytes, bytes]
    ) -> None:
        values = {"headers": join_table(others), "message_id": b"\x02id", "type": b"\0"}
        dead = died(Message("from", "key", join_header(values, 0), b""))
        left = entries(dead)
        self.assertEqual(list(others.items()), list(left.items())[: len(others)])
        properties = split_header(dead.header)
        del properties["headers"], values["headers"]
        self.assertEqual(values, properties)


class LaterDeathTests(SynchronousTestCase):
    """A message that has died before."""

    def test_latest_death_is_told_first(self) -> None:
        dead = died(died(message(), "one"), "two")
        self.assertEqual(["two", "one"], [each["queue"] for each in told(dead)])

    def test_headers_of_the_first_death_stay(self) -> None:
        headers = died(died(message(), "one", "maxlen"), "two", "expired").headers()
        self.assertEqual("one", headers["x-first-death-queue"])
        self.assertEqual("maxlen", headers["x-first-death-reason"])

    def test_death_of_the_same_kind_is_counted_and_comes_first(self) -> None:
        dead = message()
        for queue in ("one", "two", "one"):
            dead = died(dead, queue)
        self.assertEqual([("one", 2), ("two", 1)], [(d["queue"], d["count"]) for d in told(dead)])

    def test_death_that_is_counted_keeps_what_it_told(self) -> None:
        dead = died(died(message()), exchange="another", now=NOW + 1)
        (death,) = told(dead)
        self.assertEqual((2, 1_000_000_000, "from"), tuple(death[n] for n in WHAT))

    def test_other_reason_is_another_death(self) -> None:
        dead = died(died(message()), reason="rejected")
        self.assertEqual(["rejected", "expired"], [each["reason"] for each in told(dead)])

    def test_count_that_is_none_begins_again(self) -> None:
        alive = message({"x-death": [{"queue": "q", "reason": "expired", "count": "many"}]})
        self.assertEqual(1, told(died(alive))[0]["count"])

    def test_count_that_is_as_high_as_can_be_stays_so(self) -> None:
        most = (1 << 63) - 1
        for count in (long(most), Integer(most, "long")):
            alive = message({"x-death": [{"queue": "q", "reason": "expired", "count": count}]})
            self.assertEqual(most, told(died(alive))[0]["count"])

    def test_deaths_that_are_none_are_replaced(self) -> None:
        for value in ("text", 5, None, ["text"], {"queue": "q"}):
            dead = died(message({"x-death": value}))
            self.assertEqual(["q"], [each["queue"] for each in told(dead)])
            self.assertNotIn("x-first-death-queue", dead.headers())

    def test_what_a_client_tells_of_deaths_stays_as_it_came(self) -> None:
        for value in (each for each in STRANGE if each[:1] != b"L"):  # which is but another l
            inner = join_table({b"queue": b"S\0\0\0\x01o", b"a": value})
            past = b"A" + (1 + len(inner)).to_bytes(4) + b"F" + inner
            alive = Message("", "", join_header({"headers": join_table({DEATHS: past})}, 0), b"")
            self.assertTrue(entries(died(alive))[DEATHS].endswith(b"F" + inner), value)


WHAT = ("count", "time", "exchange")


class CirclesTests(SynchronousTestCase):
    """`goes_in_circles`."""

    def past(self, *kinds: tuple[str, str]) -> list[dict[str, Any]]:
        """Return deaths in these queues for these reasons, the latest first."""
        return [{"queue": queue, "reason": reason} for queue, reason in kinds]

    def test_message_that_was_never_there_goes_on(self) -> None:
        self.assertFalse(goes_in_circles([], "q"))
        self.assertFalse(goes_in_circles(self.past(("other", "expired")), "q"))

    def test_message_that_nobody_rejected_goes_round(self) -> None:
        self.assertTrue(goes_in_circles(self.past(("other", "maxlen"), ("q", "expired")), "q"))

    def test_message_that_was_rejected_since_goes_on(self) -> None:
        self.assertFalse(goes_in_circles(self.past(("other", "rejected"), ("q", "expired")), "q"))

    def test_message_that_was_rejected_before_goes_round(self) -> None:
        self.assertTrue(goes_in_circles(self.past(("q", "expired"), ("other", "rejected")), "q"))

    def test_death_that_tells_nothing_is_none(self) -> None:
        self.assertFalse(goes_in_circles([{}], "q"))


class HeadersTests(SynchronousTestCase):
    """What is read from headers."""

    def test_copies_are_the_texts_of_an_array(self) -> None:
        headers = entries(message({"CC": ["one", 2, None, "two"], "BCC": ["three"]}))
        self.assertEqual(["one", "two"], copies(headers))
        self.assertEqual(["three"], copies(headers, b"BCC"))

    def test_what_is_no_array_is_no_copies(self) -> None:
        for value in ("one", 1, {"one": 1}, None):
            self.assertEqual([], copies(entries(message({"CC": value}))))
        self.assertEqual([], copies({}))

    def test_deaths_are_the_tables_of_an_array(self) -> None:
        past = [{"queue": "q"}, 5, "text"]
        self.assertEqual([{"queue": "q"}], deaths(entries(message({"x-death": past}))))
        self.assertEqual([], deaths(entries(message({"x-death": {"queue": "q"}}))))
        self.assertEqual([], deaths({}))


class CountedTests(SynchronousTestCase):
    """`counted`."""

    def test_count_is_added_and_the_rest_stays(self) -> None:
        before = message({"a": "b"}, expiration="5")
        after = counted(before, 3)
        self.assertEqual(("long", 3), field(after.headers()["x-delivery-count"]))
        left = entries(after)
        del left[b"x-delivery-count"]
        self.assertEqual(entries(before), left)
        self.assertEqual(b"\x015", split_header(after.header)["expiration"])
        self.assertEqual(("from", "key", b"body"), (after.exchange, after.routing_key, after.body))

    def test_message_without_headers_has_the_count_alone(self) -> None:
        self.assertEqual({"x-delivery-count": 1}, counted(message(), 1).headers())

    def test_count_takes_the_place_of_another(self) -> None:
        table = split_header(counted(message({"x-delivery-count": 9}), 2).header)["headers"]
        self.assertEqual({"x-delivery-count": 2}, read_table(table))


class PassedOnTests(SynchronousTestCase):
    """What pika makes of a dead letter."""

    def test_pika_reads_a_dead_letter(self) -> None:
        payload = died(message({"a": 1}, content_type="text")).header
        properties = spec.BasicProperties()
        properties.decode(payload, START.size - 2)
        self.assertEqual("text", properties.content_type)
        self.assertEqual(1, properties.headers["x-death"][0]["count"])
