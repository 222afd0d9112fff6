"""Exchanges: declared, bound to each other, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pika import spec

from tests.contract import Contract

if TYPE_CHECKING:
    from tests.contract_client import Channel

DEFAULT_REFUSED = "ACCESS_REFUSED - operation not permitted on the default exchange"


class Declaring(Contract):
    """exchange.declare and exchange.delete."""

    async def differs(self, declared: dict[str, Any], other: dict[str, Any], reason: str) -> None:
        """Declare an exchange, and otherwise, which must be refused for this reason."""
        channel = await self.channel()
        name = self.name("x")
        await channel.call(spec.Exchange.Declare(exchange=name, **declared))
        text = f"PRECONDITION_FAILED - inequivalent arg {reason}".format(
            f"for exchange '{name}' in vhost '/': received"
        )
        other = {**declared, **other}
        await self.closes_channel(channel, spec.Exchange.Declare(exchange=name, **other), 406, text)

    async def test_what_is_declared_the_same_again_is_agreed_to(self) -> None:
        channel = await self.channel()
        for type_ in ("direct", "fanout", "topic", "headers"):
            declare = spec.Exchange.Declare(exchange=self.name("x"), type=type_, durable=True)
            await channel.call(declare)
            await channel.call(declare)

    async def test_another_type_is_refused_before_all_else(self) -> None:
        await self.differs(
            {"type": "direct"},
            {"type": "fanout", "durable": True, "internal": True},
            "'type' {} 'fanout' but current is 'direct'",
        )

    async def test_other_properties_are_refused(self) -> None:
        for name in ("durable", "auto_delete", "internal"):
            no: dict[str, Any] = {"type": "direct", name: False}
            yes: dict[str, Any] = {"type": "direct", name: True}
            await self.differs(no, yes, f"'{name}' {{}} 'true' but current is 'false'")
            await self.differs(yes, no, f"'{name}' {{}} 'false' but current is 'true'")

    async def test_another_alternate_exchange_is_refused(self) -> None:
        argument = "'alternate-exchange' {}"
        a = {"arguments": {"alternate-exchange": "a"}}
        b = {"arguments": {"alternate-exchange": "b"}}
        none: dict[str, Any] = {"arguments": {}}
        await self.differs(a, b, f"{argument} 'b' but current is 'a'")
        await self.differs(
            a, none, f"{argument} none but current is the value 'a' of type 'longstr'"
        )
        await self.differs(
            none, b, f"{argument} the value 'b' of type 'longstr' but current is none"
        )

    async def test_arguments_that_nobody_knows_are_not_compared(self) -> None:
        channel = await self.channel()
        name = self.name("x")
        await channel.call(spec.Exchange.Declare(exchange=name, arguments={"x-odd": 1}))
        await channel.call(spec.Exchange.Declare(exchange=name, arguments={"x-odd": 2}))
        await channel.call(spec.Exchange.Declare(exchange=name))

    async def test_an_alternate_exchange_must_be_a_name(self) -> None:
        for value, kind in ((1, "signedint"), (True, "bool"), (None, "void"), ({}, "table")):
            channel = await self.channel()
            name = self.name("x")
            declare = spec.Exchange.Declare(exchange=name, arguments={"alternate-exchange": value})
            text = (
                f"PRECONDITION_FAILED - invalid type '{kind}' for arg 'alternate-exchange'"
                f" in exchange '{name}' in vhost '/'"
            )
            await self.closes_channel(channel, declare, 406, text)

    async def test_an_unknown_type_ends_the_connection(self) -> None:
        channel = await self.channel()
        declare = spec.Exchange.Declare(exchange=self.name("x"), type="x-recent-odd")
        text = "COMMAND_INVALID - unknown exchange type 'x-recent-odd'"
        await self.closes_connection(channel, declare, 503, text)

    async def test_passive_compares_nothing_but_the_name(self) -> None:
        channel = await self.channel()
        name = self.name("x")
        await channel.call(spec.Exchange.Declare(exchange=name, type="direct"))
        for type_ in ("fanout", "x-recent-odd"):
            passive = spec.Exchange.Declare(exchange=name, type=type_, durable=True, passive=True)
            await channel.call(passive)

    async def test_passive_finds_no_exchange(self) -> None:
        channel = await self.channel()
        name = self.name("x")
        text = f"NOT_FOUND - no exchange '{name}' in vhost '/'"
        passive = spec.Exchange.Declare(exchange=name, passive=True)
        await self.closes_channel(channel, passive, 404, text)

    async def test_the_exchanges_of_the_standard_are_there(self) -> None:
        channel = await self.channel()
        for name, type_ in (
            ("amq.direct", "direct"),
            ("amq.fanout", "fanout"),
            ("amq.topic", "topic"),
            ("amq.headers", "headers"),
            ("amq.match", "headers"),
        ):
            await channel.call(spec.Exchange.Declare(exchange=name, type=type_, durable=True))

    async def test_the_exchanges_of_the_standard_can_not_be_declared_otherwise(self) -> None:
        channel = await self.channel()
        text = (
            "PRECONDITION_FAILED - inequivalent arg 'durable' for exchange 'amq.direct'"
            " in vhost '/': received 'false' but current is 'true'"
        )
        declare = spec.Exchange.Declare(exchange="amq.direct", type="direct")
        await self.closes_channel(channel, declare, 406, text)

    async def test_names_of_the_brokers_own_can_not_be_declared(self) -> None:
        channel = await self.channel()
        text = "ACCESS_REFUSED - exchange name 'amq.odd' contains reserved prefix 'amq.*'"
        declare = spec.Exchange.Declare(exchange="amq.odd", type="direct")
        await self.closes_channel(channel, declare, 403, text)

    async def test_names_of_the_brokers_own_can_not_be_deleted(self) -> None:
        for name in ("amq.direct", "amq.odd"):
            channel = await self.channel()
            text = f"ACCESS_REFUSED - deletion of system exchange '{name}' in vhost '/' not allowed"
            await self.closes_channel(channel, spec.Exchange.Delete(exchange=name), 403, text)

    async def test_nothing_can_be_done_to_the_default_exchange(self) -> None:
        name = self.name("x")
        await (await self.channel()).call(spec.Exchange.Declare(exchange=name))
        for method in (
            spec.Exchange.Declare(exchange="", type="direct", durable=True),
            spec.Exchange.Declare(exchange="", passive=True),
            spec.Exchange.Delete(exchange=""),
            spec.Exchange.Bind(source="", destination=name),
            spec.Exchange.Bind(source=name, destination=""),
            spec.Exchange.Unbind(source="", destination=name),
            spec.Exchange.Unbind(source=name, destination=""),
        ):
            await self.closes_channel(await self.channel(), method, 403, DEFAULT_REFUSED)

    async def test_deleting_what_is_not_there_is_agreed_to(self) -> None:
        channel = await self.channel()
        await channel.call(spec.Exchange.Delete(exchange=self.name("x")))
        await channel.call(spec.Exchange.Delete(exchange=self.name("x"), if_unused=True))

    async def test_an_exchange_with_bindings_is_in_use(self) -> None:
        channel = await self.channel()
        name, queue = self.name("x"), await self.queue(channel)
        await channel.call(spec.Exchange.Declare(exchange=name))
        await channel.call(spec.Queue.Bind(queue=queue, exchange=name))
        text = f"PRECONDITION_FAILED - exchange '{name}' in vhost '/' in use"
        delete = spec.Exchange.Delete(exchange=name, if_unused=True)
        await self.closes_channel(channel, delete, 406, text)
        channel = await self.channel()
        await channel.call(spec.Queue.Unbind(queue=queue, exchange=name))
        await channel.call(delete)

    async def test_an_auto_delete_exchange_goes_with_its_last_binding(self) -> None:
        channel = await self.channel()
        name, queue = self.name("x"), await self.queue(channel)
        await channel.call(spec.Exchange.Declare(exchange=name, auto_delete=True))
        await channel.call(spec.Queue.Bind(queue=queue, exchange=name))
        await channel.call(spec.Queue.Unbind(queue=queue, exchange=name))
        text = f"NOT_FOUND - no exchange '{name}' in vhost '/'"
        passive = spec.Exchange.Declare(exchange=name, passive=True)
        await self.closes_channel(channel, passive, 404, text)

    async def test_an_auto_delete_exchange_goes_with_the_last_queue_it_was_bound_to(self) -> None:
        channel = await self.channel()
        name, queue = self.name("x"), await self.queue(channel)
        await channel.call(spec.Exchange.Declare(exchange=name, auto_delete=True))
        await channel.call(spec.Queue.Bind(queue=queue, exchange=name))
        await channel.call(spec.Queue.Delete(queue=queue))
        text = f"NOT_FOUND - no exchange '{name}' in vhost '/'"
        passive = spec.Exchange.Declare(exchange=name, passive=True)
        await self.closes_channel(channel, passive, 404, text)

    async def test_line_ends_are_dropped_out_of_names(self) -> None:
        channel = await self.channel()
        name = self.name("x")
        await channel.call(spec.Exchange.Declare(exchange=f"{name[:3]}\r\n{name[3:]}"))
        await channel.call(spec.Exchange.Declare(exchange=name, passive=True))

    async def test_declare_without_wait_is_not_answered(self) -> None:
        channel = await self.channel()
        name = self.name("x")
        channel.send(spec.Exchange.Declare(exchange=name, nowait=True))
        await channel.call(spec.Exchange.Declare(exchange=name, passive=True))
        self.assertEqual(channel.received, [])


class BindingExchanges(Contract):
    """exchange.bind and exchange.unbind."""

    async def pair(self, channel: Channel) -> tuple[str, str]:
        """Declare two exchanges and return their names."""
        names = self.name("x"), self.name("x")
        for name in names:
            await channel.call(spec.Exchange.Declare(exchange=name, type="direct"))
        return names

    async def test_a_message_goes_on_by_the_key_it_came_with(self) -> None:
        channel = await self.channel()
        source, destination = await self.pair(channel)
        queue = await self.queue(channel)
        await channel.call(spec.Exchange.Bind(0, destination, source, "key"))
        await channel.call(spec.Queue.Bind(0, queue, destination, "key"))
        channel.publish(source, "key", b"one")
        got = await channel.get(queue)
        assert got is not None
        self.assertEqual((got.method.exchange, got.method.routing_key), (source, "key"))

    async def test_a_cycle_of_exchanges_ends(self) -> None:
        channel = await self.channel()
        source, destination = await self.pair(channel)
        queue = await self.queue(channel)
        await channel.call(spec.Exchange.Bind(0, destination, source, "key"))
        await channel.call(spec.Exchange.Bind(0, source, destination, "key"))
        await channel.call(spec.Queue.Bind(0, queue, source, "key"))
        channel.publish(destination, "key", b"one")
        self.assertEqual(await self.drain(queue, channel), [b"one"])

    async def test_what_is_unbound_gets_no_more(self) -> None:
        channel = await self.channel()
        source, destination = await self.pair(channel)
        queue = await self.queue(channel)
        await channel.call(spec.Exchange.Bind(0, destination, source, "key"))
        await channel.call(spec.Exchange.Bind(0, destination, source, "key"))
        await channel.call(spec.Queue.Bind(0, queue, destination, "key"))
        await channel.call(spec.Exchange.Unbind(0, destination, source, "key"))
        channel.publish(source, "key", b"one")
        self.assertEqual(await self.drain(queue, channel), [])

    async def test_binding_what_is_not_there_is_refused_for_the_source_first(self) -> None:
        source, destination = await self.pair(await self.channel())
        for to, from_, missing in (
            (destination, "nowhere", "nowhere"),
            ("nowhere", source, "nowhere"),
            ("nowhere", "noway", "noway"),
        ):
            channel = await self.channel()
            text = f"NOT_FOUND - no exchange '{missing}' in vhost '/'"
            await self.closes_channel(channel, spec.Exchange.Bind(0, to, from_), 404, text)

    async def test_unbinding_what_is_not_there_is_agreed_to(self) -> None:
        channel = await self.channel()
        source, destination = await self.pair(channel)
        await channel.call(spec.Exchange.Unbind(0, destination, source, "key"))
        await channel.call(spec.Exchange.Unbind(0, "nowhere", source, "key"))
        await channel.call(spec.Exchange.Unbind(0, destination, "nowhere", "key"))

    async def test_an_auto_delete_exchange_goes_as_a_source_alone(self) -> None:
        channel = await self.channel()
        source, destination = self.name("x"), self.name("x")
        for name in (source, destination):
            await channel.call(spec.Exchange.Declare(exchange=name, auto_delete=True))
        await channel.call(spec.Exchange.Bind(0, destination, source, "key"))
        await channel.call(spec.Exchange.Unbind(0, destination, source, "key"))
        await channel.call(spec.Exchange.Declare(exchange=destination, passive=True))
        text = f"NOT_FOUND - no exchange '{source}' in vhost '/'"
        passive = spec.Exchange.Declare(exchange=source, passive=True)
        await self.closes_channel(channel, passive, 404, text)

    async def test_a_deleted_exchange_takes_its_bindings_along(self) -> None:
        channel = await self.channel()
        source, destination = await self.pair(channel)
        await channel.call(spec.Exchange.Bind(0, destination, source, "key"))
        await channel.call(spec.Exchange.Delete(exchange=destination))
        await channel.call(spec.Exchange.Delete(exchange=source, if_unused=True))
