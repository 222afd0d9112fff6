"""Publishing: what is refused, what comes back, and what is passed on as it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pika import BasicProperties, frame, spec

from netdemo.frames import HEADER
from tests.contract import Contract

if TYPE_CHECKING:
    from tests.contract_client import Channel

HEADERS = (
    b"\x01tt\x01"
    b"\x01bb\xff"
    b"\x01BB\xff"
    b"\x01ss\xff\xfe"
    b"\x01uu\xff\xfe"
    b"\x01II\xff\xff\xff\xfe"
    b"\x01ii\xff\xff\xff\xfe"
    b"\x01ll\xff\xff\xff\xff\xff\xff\xff\xfe"
    b"\x01ff\x3f\x80\x00\x00"
    b"\x01dd\x3f\xf0\x00\x00\x00\x00\x00\x00"
    b"\x01DD\x02\x00\x00\x00\x7f"
    b"\x01SS\x00\x00\x00\x02\xc3\xbc"
    b"\x01xx\x00\x00\x00\x02\xff\x00"
    b"\x01AA\x00\x00\x00\x03t\x01V"
    b"\x01TT\x00\x00\x00\x00\x00\x00\x00\x01"
    b"\x01FF\x00\x00\x00\x04\x01at\x00"
    b"\x01VV"
)
"""A table of a value of each type."""

EVERYTHING = b"".join(
    (
        b"\x04text\x04gzip",
        len(HEADERS).to_bytes(4, "big") + HEADERS,
        b"\x02\x09",  # delivery mode and priority
        b"\x01c\x01r\x0550000\x01m\x00\x00\x00\x00\x00\x00\x00\x07\x01t\x05guest\x01a\x01k",
    )
)
"""All the properties there are, in the order in which they stand."""


class Passing(Contract):
    """What consumers get is what was published."""

    async def test_properties_and_headers_of_every_type_stay_byte_for_byte(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        header = b"\x00\x3c\x00\x00" + (3).to_bytes(8, "big") + b"\xff\xfc" + EVERYTHING
        channel.send(spec.Basic.Publish(0, "", queue))
        head = b"\x02" + channel.number.to_bytes(2, "big") + len(header).to_bytes(4, "big")
        self.assertEqual(head[0], HEADER)
        body = frame.Body(channel.number, b"one").marshal()
        channel.client.write(head + header + b"\xce" + body)
        got = await channel.get(queue)
        assert got is not None
        self.assertEqual((got.header, got.body), (header, b"one"))

    async def test_no_properties_stay_none(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        channel.publish("", queue, b"")
        got = await channel.get(queue)
        assert got is not None
        self.assertEqual((got.header, got.body), (b"\x00\x3c" + bytes(12), b""))

    async def test_a_body_of_several_frames_comes_whole(self) -> None:
        body = bytes(range(256)) * 4096
        writer = await self.channel(frame_max=4096)
        queue = await self.queue(writer)
        writer.publish("", queue, body)
        writer.publish("", queue, body)
        await self.settle(writer)
        for frame_max in (5000, 131072):
            reader = await self.channel(frame_max=frame_max)
            got = await reader.get(queue)
            assert got is not None
            self.assertEqual(got.body, body)

    async def test_frames_of_two_channels_may_be_mixed(self) -> None:
        one = await self.channel()
        two = await one.client.open_channel()
        queue = await self.queue(one)
        for channel in (one, two):
            channel.send(spec.Basic.Publish(0, "", queue))
        for channel in (one, two):
            header = frame.Header(channel.number, 2, BasicProperties())
            channel.client.write(header.marshal())
        for channel in (one, two, two, one):
            channel.client.write(frame.Body(channel.number, b"%d" % channel.number).marshal())
        await self.settle(two)
        self.assertEqual(sorted(await self.drain(queue, one)), [b"11", b"22"])


class Refusing(Contract):
    """What can't be published."""

    async def refused(
        self, publish: spec.Basic.Publish, properties: BasicProperties, code: int, text: str
    ) -> None:
        """Publish, for which the broker must close the channel."""
        channel = await self.channel()
        channel.send(publish)
        channel.send_content(b"", properties)
        self.assert_refused(await channel.refusal(), code, text, publish)

    async def invalid(self, properties: BasicProperties, text: str) -> None:
        """Publish with properties that must be refused in these words."""
        publish = spec.Basic.Publish(0, "", "nowhere")
        await self.refused(publish, properties, 406, f"PRECONDITION_FAILED - {text}")

    async def test_an_exchange_that_is_not_there(self) -> None:
        publish = spec.Basic.Publish(0, "nowhere", "key")
        text = "NOT_FOUND - no exchange 'nowhere' in vhost '/'"
        await self.refused(publish, BasicProperties(), 404, text)

    async def test_immediate_ends_the_connection(self) -> None:
        channel = await self.channel()
        publish = spec.Basic.Publish(0, "nowhere", "key", immediate=True)
        channel.send(publish)
        channel.send_content(b"")
        refused = await channel.refusal()
        self.assert_refused(refused, 540, "NOT_IMPLEMENTED - immediate=true", publish)
        await channel.client.lost

    async def test_an_expiration_that_is_no_number(self) -> None:
        for value, reason in (
            ("abc", "no_integer"),
            ("", "no_integer"),
            (" 1", "no_integer"),
            ("-1", "{value_negative,-1}"),
            ("1.5", '{leftover_string,".5"}'),
            ("1 ", '{leftover_string," "}'),
            ("315360000001", "{value_too_large,315360000001}"),
        ):
            text = f"invalid expiration '{value}': {reason}"
            await self.invalid(BasicProperties(expiration=value), text)

    async def test_expirations_that_are_numbers_are_taken(self) -> None:
        channel = await self.channel()
        for value in ("0", "01", "+1", "315360000000"):
            channel.publish("", "nowhere", b"", BasicProperties(expiration=value))
        await self.settle(channel)

    async def test_a_user_id_of_somebody_else(self) -> None:
        text = "user_id property set to 'root' but authenticated user was 'guest'"
        await self.invalid(BasicProperties(user_id="root"), text)

    async def test_a_delivery_mode_that_is_none(self) -> None:
        for mode in (0, 3):
            text = f"invalid message: {{delivery_mode_unknown,{mode}}}"
            properties = BasicProperties()
            properties.delivery_mode = mode
            await self.invalid(properties, text)

    async def test_copies_that_are_no_list(self) -> None:
        for value, kind in (("a", "longstr"), (1, "signedint"), ({}, "table")):
            for name in ("CC", "BCC"):
                text = f'invalid message: {{unacceptable_type_in_header,"{name}",{kind}}}'
                await self.invalid(BasicProperties(headers={name: value}), text)


class Copying(Contract):
    """The headers CC and BCC."""

    async def test_more_routing_keys_are_heeded(self) -> None:
        channel = await self.channel()
        queues = [await self.queue(channel) for _ in range(3)]
        headers = {"CC": [queues[1], 7, "nowhere"], "BCC": [queues[2], queues[0]]}
        channel.publish("", queues[0], b"one", BasicProperties(headers=headers))
        for queue in queues:
            got = await channel.get(queue)
            assert got is not None
            self.assertEqual(got.method.routing_key, queues[0])
            self.assertEqual(got.properties.headers, {"CC": [queues[1], 7, "nowhere"]})
            self.assertEqual(await self.drain(queue, channel), [])

    async def test_blind_copies_are_told_to_nobody(self) -> None:
        channel = await self.channel()
        properties = BasicProperties(headers={"BCC": ["noway"], "CC": ["noway"]})
        channel.publish("", "nowhere", b"one", properties, mandatory=True)
        returned = await channel.next(spec.Basic.Return)
        self.assertEqual(returned.properties.headers, {"CC": ["noway"]})

    async def test_what_goes_to_a_copy_alone_is_not_returned(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        properties = BasicProperties(headers={"BCC": [queue]})
        channel.publish("", "nowhere", b"one", properties, mandatory=True)
        self.assertEqual(await self.drain(queue, channel), [b"one"])


class Returning(Contract):
    """mandatory."""

    async def test_what_can_not_be_routed_comes_back_whole(self) -> None:
        channel = await self.channel()
        properties = BasicProperties(content_type="text/plain", headers={"a": 1})
        channel.publish("amq.direct", "nowhere", b"one", properties, mandatory=True)
        returned = await channel.next(spec.Basic.Return)
        method = returned.method
        self.assertEqual((method.reply_code, method.reply_text), (312, "NO_ROUTE"))
        self.assertEqual((method.exchange, method.routing_key), ("amq.direct", "nowhere"))
        self.assertEqual(returned.properties, properties)
        self.assertEqual(returned.body, b"one")

    async def test_without_mandatory_it_is_dropped(self) -> None:
        channel = await self.channel()
        channel.publish("amq.direct", "nowhere", b"one")
        await self.settle(channel)
        self.assertEqual(channel.received, [])

    async def test_it_comes_back_before_it_is_confirmed(self) -> None:
        channel = await self.channel()
        await channel.call(spec.Confirm.Select())
        channel.publish("", "nowhere", b"one", mandatory=True)
        await channel.next(spec.Basic.Return)
        confirmed = await channel.next(spec.Basic.Ack)
        self.assertEqual((confirmed.delivery_tag, confirmed.multiple), (1, False))


class Confirming(Contract):
    """confirm.select."""

    async def confirming(self) -> Channel:
        """Return a channel that confirms."""
        channel = await self.channel()
        await channel.call(spec.Confirm.Select())
        return channel

    async def test_every_message_is_confirmed(self) -> None:
        channel = await self.confirming()
        queue = await self.queue(channel)
        for number in range(20):
            key = queue if number % 2 else "nowhere"
            properties = BasicProperties(delivery_mode=1 + number // 2 % 2)
            channel.publish("", key, b"one", properties)
        told = await channel.confirms(20)
        self.assertEqual(told, dict.fromkeys(range(1, 21), True))

    async def test_tags_are_counted_from_the_first_after_select(self) -> None:
        channel = await self.channel()
        channel.publish("", "nowhere", b"before")
        await channel.call(spec.Confirm.Select())
        channel.publish("", "nowhere", b"one")
        await channel.call(spec.Confirm.Select())
        channel.publish("", "nowhere", b"two")
        self.assertEqual(await channel.confirms(2), {1: True, 2: True})

    async def test_each_channel_counts_for_itself(self) -> None:
        first = await self.confirming()
        second = await first.client.open_channel()
        await second.call(spec.Confirm.Select())
        for channel in (first, second):
            channel.publish("", "nowhere", b"one")
            self.assertEqual(await channel.confirms(1), {1: True})

    async def test_select_without_wait_is_not_answered(self) -> None:
        channel = await self.channel()
        channel.send(spec.Confirm.Select(nowait=True))
        channel.publish("", "nowhere", b"one")
        self.assertEqual(await channel.confirms(1), {1: True})

    async def test_a_transaction_can_not_begin_on_it(self) -> None:
        channel = await self.confirming()
        text = "PRECONDITION_FAILED - cannot switch from confirm to tx mode"
        await self.closes_channel(channel, spec.Tx.Select(), 406, text)


class Prioritising(Contract):
    """x-max-priority."""

    async def test_higher_priorities_come_first_and_equal_ones_in_order(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_max_priority=5)
        for priority in (None, 0, 5, 2, 9, 2):
            properties = BasicProperties(priority=priority)
            channel.publish("", queue, str(priority).encode(), properties)
        found = await self.drain(queue, channel)
        self.assertEqual(found, [b"5", b"9", b"2", b"2", b"None", b"0"])

    async def test_other_queues_heed_no_priority(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        for priority in (1, 5):
            properties = BasicProperties(priority=priority)
            channel.publish("", queue, b"%d" % priority, properties)
        self.assertEqual(await self.drain(queue, channel), [b"1", b"5"])
