"""Connections: how one is opened, and what ends it."""

from __future__ import annotations

from typing import Any

from pika import spec

from tests.contract import Contract
from tests.contract_client import Client, ConnectionRefused, amqplain

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"

WITHOUT = {"authentication_failure_close": False}


class Opening(Contract):
    """The handshake."""

    async def dropped(self, *clients: Client) -> None:
        """Check that the broker drops these clients, or has dropped them, without a word."""
        for client in clients:
            await client.lost  # RabbitMQ takes some seconds
            self.assertNotIsInstance(client.connection.ended, ConnectionRefused)

    async def test_the_broker_begins_with_what_it_can(self) -> None:
        client = await self.dialled()
        start = await client.start()
        self.assertEqual((start.version_major, start.version_minor), (0, 9))
        # RabbitMQ names its mechanisms in an order that differs from node to node
        self.assertEqual(sorted(start.mechanisms.split(b" ")), [b"AMQPLAIN", b"PLAIN"])
        self.assertEqual(start.locales, b"en_US")
        capabilities = (
            "authentication_failure_close",
            "basic.nack",
            "connection.blocked",
            "consumer_cancel_notify",
            "consumer_priorities",
            "direct_reply_to",
            "exchange_exchange_bindings",
            "per_consumer_qos",
            "publisher_confirms",
        )
        told: dict[str, Any] = start.server_properties
        self.assertEqual(told["capabilities"], dict.fromkeys(capabilities, True))
        client.abort()

    async def test_the_broker_offers_its_limits(self) -> None:
        client = await self.dialled()
        await client.start()
        offer = await client.connection.next(spec.Connection.Tune)
        limits = (offer.channel_max, offer.frame_max, offer.heartbeat)
        self.assertEqual(limits, (2047, 131072, 60))
        client.abort()

    async def test_another_protocol_is_answered_with_the_one_there_is(self) -> None:
        for header in (
            b"AMQP\x00\x00\x09\x00",
            b"AMQP\x00\x00\x08\x00",
            b"AMQP\x00\x01\x00\x00",
            b"AMQP\x03\x01\x00\x00",
            b"GET / HT",
        ):
            client = await self.dialled()
            client.write(header)
            self.assertEqual(await client.connection.next(bytes), PROTOCOL_HEADER)
            await client.lost

    async def test_a_login_is_taken_by_either_mechanism(self) -> None:
        await self.connect(mechanism="PLAIN")
        await self.connect(mechanism="AMQPLAIN", response=amqplain("guest", "guest"))

    async def test_a_wrong_login_is_told_to_those_who_can_take_it(self) -> None:
        for options in (
            {"mechanism": "PLAIN", "password": "wrong"},
            {"mechanism": "PLAIN", "user": "nobody"},
            {"mechanism": "AMQPLAIN", "response": amqplain("guest", "wrong")},
        ):
            client = await self.dialled(**options)
            await client.start()
            text = (
                "ACCESS_REFUSED - Login was refused using authentication mechanism"
                f" {client.mechanism}. For details see the broker logfile."
            )
            self.assert_refused(await client.connection.refusal(), 403, text)
            await client.lost

    async def test_who_can_not_take_it_or_makes_no_sense_is_dropped(self) -> None:
        clients = [
            await self.dialled(**options)
            for options in (
                {"password": "wrong", "capabilities": WITHOUT},
                {"mechanism": "ODD"},
                {"response": b""},
                {"response": b"guest"},
                {"response": b"\x00guest"},
                {"response": b"somebody\x00guest\x00guest"},
                {"mechanism": "AMQPLAIN", "response": b"odd"},
            )
        ]
        for client in clients:
            await client.start()
        await self.dropped(*clients)

    async def test_limits_beyond_what_is_offered_are_not_agreed_to(self) -> None:
        clients = [
            await self.dialled(**options)
            for options in (
                {"frame_max": 131073},
                {"frame_max": 4095},
                {"frame_max": 0},
                {"channel_max": 2048},
                {"channel_max": 0},
            )
        ]
        for client in clients:
            await client.start()
            client.send(await client.tuned())
            client.send(spec.Connection.Open("/"))
        # RabbitMQ ends it without a word, and late; ours says why.
        for client in clients:
            await client.lost
            if isinstance(client.connection.ended, ConnectionRefused):
                self.assertEqual(client.connection.ended.reply_code, 530)

    async def test_lower_limits_are_agreed_to(self) -> None:
        await self.connect(frame_max=4096, channel_max=1, heartbeat=600)

    async def test_an_unknown_virtual_host_is_told(self) -> None:
        for vhost in ("nowhere", ""):
            client = await self.dialled(vhost=vhost)
            await client.start()
            client.send(await client.tuned())
            client.send(spec.Connection.Open(vhost))
            text = f"NOT_ALLOWED - vhost {vhost} not found"
            refused = await client.connection.refusal()
            self.assert_refused(refused, 530, text, spec.Connection.Open)
            await client.lost

    async def test_a_channel_before_the_connection_is_unexpected(self) -> None:
        client = await self.dialled()
        await client.start()
        client.send(await client.tuned())
        client.send(spec.Channel.Open(), 1)
        text = "UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>>"
        self.assert_refused(await client.connection.refusal(), 505, text)

    async def test_a_close_before_the_connection_is_open_is_unexpected(self) -> None:
        client = await self.dialled()
        await client.start()
        client.send(await client.tuned())
        close = spec.Connection.Close(200, "", 0, 0)
        client.send(close)
        text = "CHANNEL_ERROR - unexpected method in connection state opening"
        self.assert_refused(await client.connection.refusal(), 504, text, close)


class Ending(Contract):
    """connection.close, heartbeats, and methods that end a connection."""

    async def test_close_is_answered_and_the_connection_ends(self) -> None:
        channel = await self.channel()
        await channel.client.close()
        self.assertTrue(channel.client.lost.called)

    async def test_methods_that_do_not_belong_on_channel_0_end_the_connection(self) -> None:
        for method in (
            spec.Queue.Declare(queue="q"),
            spec.Channel.Open(),
            spec.Basic.Publish(),
            spec.Connection.OpenOk(),
            spec.Connection.Open("/"),
            spec.Connection.TuneOk(0, 0, 0),
            spec.Connection.CloseOk(),
        ):
            client = await self.connect()
            client.send(method)
            text = "CHANNEL_ERROR - unexpected method in connection state running"
            self.assert_refused(await client.connection.refusal(), 504, text, method)
            await client.lost

    async def test_a_client_that_sends_nothing_is_dropped(self) -> None:
        client = await self.connect(heartbeat=1)
        await self.pause(1.5)
        self.assertGreaterEqual(client.heartbeats, 1)
        await self.pause(3)
        await client.lost
        self.assertNotIsInstance(client.connection.ended, ConnectionRefused)

    async def test_a_client_that_sends_heartbeats_is_kept(self) -> None:
        client = await self.connect(heartbeat=1)
        for _ in range(5):
            await self.pause(0.8)
            client.heartbeat_now()
        await client.open_channel()


class Channels(Contract):
    """channel.open and channel.close."""

    async def test_numbers_may_be_any_and_used_again(self) -> None:
        client = await self.connect()
        await client.open_channel(65535)
        for _ in range(2):
            channel = await client.open_channel(7)
            await channel.close()

    async def test_more_channels_than_agreed_end_the_connection(self) -> None:
        client = await self.connect(channel_max=2)
        await client.open_channel(1)
        await client.open_channel(100)
        client.send(spec.Channel.Open(), 2)
        text = (
            "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"
        )
        self.assert_refused(await client.connection.refusal(), 530, text)

    async def test_a_channel_that_was_closed_makes_room(self) -> None:
        client = await self.connect(channel_max=1)
        await (await client.open_channel(1)).close()
        await client.open_channel(2)

    async def test_opening_a_channel_twice_ends_the_connection(self) -> None:
        channel = await self.channel()
        text = "CHANNEL_ERROR - second 'channel.open' seen"
        await self.closes_connection(channel, spec.Channel.Open(), 504, text)

    async def test_a_channel_that_is_not_open_ends_the_connection(self) -> None:
        for method in (spec.Basic.Qos(), spec.Channel.Close(200, "", 0, 0)):
            client = await self.connect()
            client.send(method, 7)
            text = "CHANNEL_ERROR - expected 'channel.open'"
            self.assert_refused(await client.connection.refusal(), 504, text, method)

    async def test_close_ok_for_a_channel_that_is_not_open_is_ignored(self) -> None:
        channel = await self.channel()
        channel.client.send(spec.Channel.CloseOk(), 7)
        await self.settle(channel)

    async def test_a_closed_channel_ignores_what_comes_until_it_is_opened_again(self) -> None:
        channel = await self.channel()
        channel.send(spec.Basic.Ack(9))
        channel.send(spec.Basic.Ack(8))
        channel.publish("nowhere", "key", b"one")
        channel.send(spec.Queue.Declare(queue=""))
        text = "PRECONDITION_FAILED - unknown delivery tag 9"
        self.assert_refused(await channel.refusal(), 406, text, spec.Basic.Ack)
        again = await channel.client.open_channel(channel.number)
        await self.settle(again)
        self.assertEqual(again.received, [])

    async def test_other_channels_go_on_when_one_is_closed(self) -> None:
        channel = await self.channel()
        other = await channel.client.open_channel()
        await channel.refused(spec.Basic.Ack(9))
        await self.settle(other)

    async def test_methods_that_the_broker_alone_may_send_end_the_connection(self) -> None:
        for method in (
            spec.Queue.DeclareOk("q", 0, 0),
            spec.Basic.CancelOk("tag"),
            spec.Channel.OpenOk(),
            spec.Channel.CloseOk(),
            spec.Connection.Open("/"),
            spec.Connection.Close(200, "", 0, 0),
        ):
            channel = await self.channel()
            text = "COMMAND_INVALID - unimplemented method"
            await self.closes_connection(channel, method, 503, text)

    async def test_flow_can_not_be_stopped(self) -> None:
        channel = await self.channel()
        flow = await channel.call(spec.Channel.Flow(active=True))
        self.assertTrue(flow.active)
        text = "NOT_IMPLEMENTED - active=false"
        await self.closes_connection(channel, spec.Channel.Flow(active=False), 540, text)

    async def test_access_is_given_to_all(self) -> None:
        channel = await self.channel()
        given = await channel.call(spec.Access.Request())
        self.assertEqual(given.ticket, 1)
