"""Routing: which queues a message goes to, by each type of exchange, and where it goes else."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pika import BasicProperties, spec
from pika.compat import long

from tests.contract import Contract

if TYPE_CHECKING:
    from tests.contract_client import Channel


class Routing(Contract):
    """basic.publish to each type of exchange."""

    async def exchange(self, channel: Channel, type_: str, **options: Any) -> str:
        """Declare an exchange and return its name."""
        name = self.name("x")
        await channel.call(spec.Exchange.Declare(exchange=name, type=type_, **options))
        return name

    async def bound(self, channel: Channel, exchange: str, key: str = "", **options: Any) -> str:
        """Declare a queue, bind it and return its name."""
        queue = await self.queue(channel)
        await channel.call(spec.Queue.Bind(0, queue, exchange, key, **options))
        return queue

    async def test_the_default_exchange_knows_each_queue_by_its_name(self) -> None:
        channel = await self.channel()
        queue, other = await self.queue(channel), await self.queue(channel)
        channel.publish("", queue, b"one")
        self.assertEqual(await self.drain(queue, channel), [b"one"])
        self.assertEqual(await self.drain(other, channel), [])

    async def test_direct_takes_the_key_as_it_is(self) -> None:
        channel = await self.channel()
        exchange = await self.exchange(channel, "direct")
        queue = await self.bound(channel, exchange, "a.b")
        for key in ("a.b", "A.b", "a", "a.*", ""):
            channel.publish(exchange, key, key.encode())
        self.assertEqual(await self.drain(queue, channel), [b"a.b"])

    async def test_a_queue_bound_twice_gets_a_message_once(self) -> None:
        channel = await self.channel()
        exchange = await self.exchange(channel, "topic")
        queue = await self.bound(channel, exchange, "#")
        await channel.call(spec.Queue.Bind(0, queue, exchange, "a.#"))
        channel.publish(exchange, "a.b", b"one")
        self.assertEqual(await self.drain(queue, channel), [b"one"])

    async def test_fanout_heeds_no_key(self) -> None:
        channel = await self.channel()
        exchange = await self.exchange(channel, "fanout")
        queues = [await self.bound(channel, exchange, key) for key in ("", "a")]
        channel.publish(exchange, "b", b"one")
        for queue in queues:
            self.assertEqual(await self.drain(queue, channel), [b"one"])

    async def test_topic_matches_words(self) -> None:
        channel = await self.channel()
        exchange = await self.exchange(channel, "topic")
        keys = ("", "a", "a.b", "a.b.c", "b", ".", "a.", "..b", "a..b", "*", "a.*", "#")
        for pattern, expected in (
            ("", [""]),
            ("a", ["a"]),
            ("*", ["a", "b", "*", "#"]),
            ("#", list(keys)),
            ("a.*", ["a.b", "a.", "a.*"]),
            ("a.#", ["a", "a.b", "a.b.c", "a.", "a..b", "a.*"]),
            ("#.b", ["a.b", "b", "..b", "a..b"]),
            ("a.*.b", ["a..b"]),
            ("a.#.c", ["a.b.c"]),
            ("*.*", ["a.b", ".", "a.", "a.*"]),
            ("#.#", list(keys)),
            ("*.#", [each for each in keys if each]),
            ("a*", []),
        ):
            queue = await self.bound(channel, exchange, pattern)
            for key in keys:
                channel.publish(exchange, key, key.encode())
            found = [body.decode() for body in await self.drain(queue, channel)]
            self.assertEqual(found, expected, pattern)

    async def test_headers_match_all_or_any(self) -> None:
        channel = await self.channel()
        exchange = await self.exchange(channel, "headers")
        sent: dict[str, dict[str, Any] | None] = {
            "none": None,
            "a": {"a": 1},
            "a other": {"a": 2},
            "a text": {"a": "1"},
            "a true": {"a": True},
            "both": {"a": 1, "b": "x"},
            "both and x": {"a": 1, "b": "x", "x-c": 1},
            "more": {"a": 1, "c": 1},
        }
        has_a_1 = ["a", "both", "both and x", "more"]
        for arguments, expected in (
            ({"a": 1}, has_a_1),
            ({"x-match": "all", "a": 1}, has_a_1),
            ({"x-match": "any", "a": 1, "b": "x"}, has_a_1),
            ({"x-match": "all", "a": 1, "b": "x"}, ["both", "both and x"]),
            ({"x-match": "all", "a": 1, "x-c": 1}, has_a_1),
            ({"x-match": "all-with-x", "a": 1, "x-c": 1}, ["both and x"]),
            ({"x-match": "any-with-x", "x-c": 1}, ["both and x"]),
            ({"a": None}, [each for each in sent if each != "none"]),
            ({"x-match": "all"}, list(sent)),
            ({"x-match": "any"}, []),
        ):
            queue = await self.bound(channel, exchange, arguments=arguments)
            for name, headers in sent.items():
                properties = BasicProperties(headers=headers)
                channel.publish(exchange, "", name.encode(), properties)
            found = [body.decode() for body in await self.drain(queue, channel)]
            self.assertEqual(found, expected, arguments)
            await channel.call(spec.Queue.Delete(queue=queue))

    async def test_headers_match_numbers_of_any_size_and_nothing_like_them(self) -> None:
        channel = await self.channel()
        exchange = await self.exchange(channel, "headers")
        queue = await self.bound(channel, exchange, arguments={"a": 1})
        values: tuple[Any, ...] = (1, long(1), True, "1", Decimal(1), None)
        for value in values:
            properties = BasicProperties(headers={"a": value})
            channel.publish(exchange, "", repr(value).encode(), properties)
        self.assertEqual(await self.drain(queue, channel), [b"1", b"1L"])

    async def test_headers_match_by_words_that_are_known(self) -> None:
        channel = await self.channel()
        exchange, queue = await self.exchange(channel, "headers"), await self.queue(channel)
        for value, reason in (
            ("odd", 'value <<"odd">>; expected all, any, all-with-x, or any-with-x'),
            (1, "type signedint (value 1); expected longstr"),
        ):
            bind = spec.Queue.Bind(0, queue, exchange, arguments={"x-match": value})
            text = f"PRECONDITION_FAILED - Invalid x-match field {reason}"
            await self.closes_channel(await self.channel(), bind, 406, text)

    async def test_bindings_with_other_arguments_are_others(self) -> None:
        channel = await self.channel()
        exchange = await self.exchange(channel, "headers")
        queue = await self.bound(channel, exchange, arguments={"a": 1})
        await channel.call(spec.Queue.Unbind(0, queue, exchange, arguments={"a": 2}))
        channel.publish(exchange, "", b"one", BasicProperties(headers={"a": 1}))
        self.assertEqual(await self.drain(queue, channel), [b"one"])

    async def test_what_can_not_be_routed_goes_to_the_alternate_exchange(self) -> None:
        channel = await self.channel()
        alternate = await self.exchange(channel, "fanout")
        options = {"arguments": {"alternate-exchange": alternate}}
        exchange = await self.exchange(channel, "direct", **options)
        queue = await self.bound(channel, exchange, "known")
        rest = await self.bound(channel, alternate)
        channel.publish(exchange, "known", b"known", mandatory=True)
        channel.publish(exchange, "unknown", b"unknown", mandatory=True)
        self.assertEqual(await self.drain(queue, channel), [b"known"])
        got = await channel.get(rest)
        assert got is not None
        self.assertEqual((got.method.exchange, got.method.routing_key), (exchange, "unknown"))
        self.assertEqual(await self.drain(rest, channel), [])

    async def test_mandatory_is_returned_where_the_alternate_exchange_has_no_queue(self) -> None:
        channel = await self.channel()
        itself = self.name("x")
        for name, alternate in (
            (self.name("x"), "amq.fanout"),
            (self.name("x"), self.name("x")),
            (itself, itself),
        ):
            declare = spec.Exchange.Declare(
                exchange=name, arguments={"alternate-exchange": alternate}
            )
            await channel.call(declare)
            channel.publish(name, "unknown", b"unknown", mandatory=True)
            returned = await channel.next(spec.Basic.Return)
            self.assertEqual(returned.method.exchange, name)

    async def test_nobody_publishes_to_an_internal_exchange(self) -> None:
        channel = await self.channel()
        exchange = await self.exchange(channel, "fanout", internal=True)
        text = f"ACCESS_REFUSED - cannot publish to internal exchange '{exchange}' in vhost '/'"
        publish = spec.Basic.Publish(0, exchange, "")
        channel.send(publish)
        channel.send_content(b"")
        refused = await channel.refusal()
        self.assert_refused(refused, 403, text, publish)

    async def test_messages_come_to_an_internal_exchange_through_another(self) -> None:
        channel = await self.channel()
        internal = await self.exchange(channel, "fanout", internal=True)
        exchange = await self.exchange(channel, "fanout")
        await channel.call(spec.Exchange.Bind(0, internal, exchange))
        queue = await self.bound(channel, internal)
        channel.publish(exchange, "", b"one")
        self.assertEqual(await self.drain(queue, channel), [b"one"])
