"""The arguments of queues: which are known, what they may be, and how they are compared."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from pika import spec
from pika.compat import long

from tests.contract import Contract

INTEGERS = (
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-queue-version",
)

TEXTS = ("x-overflow", "x-dead-letter-routing-key", "x-queue-mode", "x-queue-type")

FOR_QUORUM = (
    "x-delivery-limit",
    "x-quorum-initial-group-size",
    "x-dead-letter-strategy",
    "x-max-in-memory-length",
)
"""What a classic queue does not take."""

NOT_FOR_QUORUM = ("x-max-priority", "x-queue-mode")

QUORUM = {"x-queue-type": "quorum"}

TEN_YEARS = 315_360_000_000


class QueueArguments(Contract):
    """queue.declare with arguments that are wrong."""

    async def refused(self, arguments: dict[str, Any], text: str, **options: Any) -> None:
        """Declare a queue with these arguments, which must be refused in these words."""
        queue = self.name()
        declare = spec.Queue.Declare(queue=queue, arguments=arguments, **options)
        text = "PRECONDITION_FAILED - " + text.format(f"queue '{queue}' in vhost '/'")
        await self.closes_channel(await self.channel(), declare, 406, text)

    async def invalid(self, name: str, value: Any, reason: str) -> None:
        """Declare a queue with this argument, which must be refused for this reason."""
        await self.refused({name: value}, f"invalid arg '{name}' for {{}}: {reason}")

    async def test_numbers_must_be_numbers(self) -> None:
        for name in INTEGERS:
            await self.invalid(name, "abc", '"expected integer, got longstr"')
        for value, kind in (
            (True, "bool"),
            (None, "void"),
            (b"1", "binary"),
            (Decimal("1.5"), "decimal"),
            ([], "array"),
        ):
            await self.invalid("x-max-length", value, f'"expected integer, got {kind}"')

    async def test_numbers_must_not_be_negative(self) -> None:
        for name in INTEGERS:
            await self.invalid(name, -1, "{{value_negative,-1}}")

    async def test_times_are_ten_years_at_most(self) -> None:
        for name in ("x-message-ttl", "x-expires"):
            await self.queue(await self.channel(), **{name: TEN_YEARS})
            reason = f"{{{{value_too_large,{TEN_YEARS + 1}}}}}"
            await self.invalid(name, TEN_YEARS + 1, reason)

    async def test_numbers_have_their_limits(self) -> None:
        await self.invalid("x-expires", 0, "{{value_zero,0}}")
        await self.invalid("x-max-priority", 256, "{{max_value_exceeded,256}}")
        await self.invalid("x-queue-version", 3, "\"unsupported queue version '3'\"")

    async def test_these_are_within_the_limits(self) -> None:
        channel = await self.channel()
        await self.queue(channel, x_message_ttl=0)
        await self.queue(channel, x_max_priority=255)
        await self.queue(channel, x_max_priority=0)
        await self.queue(channel, x_max_length=2**40, x_max_length_bytes=0)

    async def test_texts_must_be_texts(self) -> None:
        for name in TEXTS:
            await self.invalid(name, 1, "{{unacceptable_type,signedint}}")
            await self.invalid(name, True, "{{unacceptable_type,bool}}")

    async def test_texts_must_be_of_those_that_are_known(self) -> None:
        await self.invalid("x-overflow", "odd", "invalid_overflow")
        await self.invalid("x-queue-mode", "odd", "\"unsupported queue mode 'odd'\"")
        await self.invalid("x-queue-type", "odd", "\"unsupported queue type 'odd'\"")

    async def test_a_dead_letter_exchange_must_be_a_name(self) -> None:
        text = "invalid type 'signedint' for arg 'x-dead-letter-exchange' in {}"
        await self.refused({"x-dead-letter-exchange": 1}, text)

    async def test_a_dead_letter_routing_key_needs_an_exchange(self) -> None:
        reason = "routing_key_but_no_dlx_defined"
        await self.invalid("x-dead-letter-routing-key", "key", reason)

    async def test_single_active_consumer_is_true_or_false(self) -> None:
        name = "x-single-active-consumer"
        await self.invalid(name, "true", "{{unacceptable_type,longstr}}")
        await self.invalid(name, 1, "{{unacceptable_type,signedint}}")

    async def test_arguments_that_nobody_knows_are_taken_and_not_compared(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_odd=1)
        await channel.call(spec.Queue.Declare(queue=queue, arguments={"x-odd": [2]}))
        await channel.call(spec.Queue.Declare(queue=queue))

    async def test_a_classic_queue_takes_no_arguments_of_others(self) -> None:
        for name in FOR_QUORUM:
            text = f"invalid arg '{name}' for {{}} of queue type rabbit_classic_queue"
            await self.refused({name: 1}, text)

    async def test_a_quorum_queue_takes_no_arguments_of_others(self) -> None:
        for name in NOT_FOR_QUORUM:
            text = f"invalid arg '{name}' for {{}} of queue type rabbit_quorum_queue"
            await self.refused({**QUORUM, name: 1}, text, durable=True)

    async def test_a_quorum_queue_is_durable_and_for_all(self) -> None:
        for options, name in (
            ({}, "non-durable"),
            ({"durable": True, "auto_delete": True}, "auto-delete"),
            ({"durable": True, "exclusive": True}, "exclusive-owner"),
        ):
            text = f"invalid property '{name}' for {{}}"
            await self.refused(QUORUM, text, **options)

    async def test_a_quorum_queue_has_a_name(self) -> None:
        declare = spec.Queue.Declare(queue="", durable=True, arguments=QUORUM)
        text = (
            "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue"
        )
        await self.closes_channel(await self.channel(), declare, 406, text)

    async def test_a_quorum_queue_is_deleted_whatever_it_holds_or_not_at_all(self) -> None:
        channel = await self.channel()
        queue = self.name()
        await channel.call(spec.Queue.Declare(queue=queue, durable=True, arguments=QUORUM))
        for flag in ("if_empty", "if_unused"):
            text = (
                f"NOT_IMPLEMENTED - cannot delete queue '{queue}' in vhost '/'. queue.delete"
                f" operations with {flag.replace('_', '-')} flag set are not supported by"
                " quorum queues"
            )
            delete = spec.Queue.Delete(queue=queue, **{flag: True})
            await self.closes_connection(await self.channel(), delete, 540, text)

    async def test_a_quorum_queue_is_not_consumed_with_a_limit_of_the_channel(self) -> None:
        channel = await self.channel()
        queue = self.name()
        await channel.call(spec.Queue.Declare(queue=queue, durable=True, arguments=QUORUM))
        await channel.call(spec.Basic.Qos(prefetch_count=1, global_qos=True))
        text = f"NOT_IMPLEMENTED - queue '{queue}' in vhost '/' does not support global qos"
        consume = spec.Basic.Consume(queue=queue)
        await self.closes_connection(channel, consume, 540, text)


class QueueEquivalence(Contract):
    """queue.declare for a queue that is there."""

    async def differs(
        self, declared: dict[str, Any], other: dict[str, Any], name: str, reason: str
    ) -> None:
        """Declare a queue, and otherwise, which must be refused for this argument."""
        channel = await self.channel()
        queue = self.name()
        await channel.call(spec.Queue.Declare(queue=queue, **declared))
        text = (
            f"PRECONDITION_FAILED - inequivalent arg '{name}' for queue '{queue}' in vhost '/':"
            f" received {reason}"
        )
        await self.closes_channel(channel, spec.Queue.Declare(queue=queue, **other), 406, text)
        await (await self.channel()).call(spec.Queue.Delete(queue=queue))

    async def argument(
        self, name: str, first: Any, second: Any, kind: str, base: dict[str, Any] | None = None
    ) -> None:
        """Check that an argument is compared, with the texts for all that may differ."""
        others = dict(base or {})
        durable = others.get("x-queue-type") == "quorum"
        none = {"arguments": others, "durable": durable}
        one = {"arguments": {**others, name: first}, "durable": durable}
        two = {"arguments": {**others, name: second}, "durable": durable}
        told, told_second = str(first), str(second)
        if kind == "bool":
            told, told_second = told.lower(), told_second.lower()
        await self.differs(one, two, name, f"'{told_second}' but current is '{told}'")
        reason = f"none but current is the value '{told}' of type '{kind}'"
        await self.differs(one, none, name, reason)
        reason = f"the value '{told}' of type '{kind}' but current is none"
        await self.differs(none, one, name, reason)

    async def test_other_properties_are_refused(self) -> None:
        for name in ("durable", "auto_delete"):
            no, yes = {name: False}, {name: True}
            await self.differs(no, yes, name, "'true' but current is 'false'")
            await self.differs(yes, no, name, "'false' but current is 'true'")

    async def test_properties_are_compared_before_arguments(self) -> None:
        other = {"durable": True, "auto_delete": True, "arguments": {"x-max-length": 1}}
        await self.differs({}, other, "durable", "'true' but current is 'false'")

    async def test_numbers_are_compared(self) -> None:
        for name in INTEGERS[:4]:
            await self.argument(name, 50_000, 60_000, "signedint")
        await self.argument("x-max-priority", 5, 6, "signedint")
        await self.argument("x-queue-version", 2, 1, "signedint")

    async def test_large_numbers_have_a_type_of_their_own(self) -> None:
        await self.argument("x-max-length", 2**33, 5, "long")

    async def test_equal_numbers_of_other_types_are_the_same(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel, x_max_length=5)
        await channel.call(spec.Queue.Declare(queue=queue, arguments={"x-max-length": long(5)}))

    async def test_texts_are_compared(self) -> None:
        await self.argument("x-overflow", "reject-publish", "drop-head", "longstr")
        await self.argument("x-queue-mode", "lazy", "default", "longstr")
        await self.argument("x-dead-letter-exchange", "a", "b", "longstr")
        base = {"x-dead-letter-exchange": "a"}
        await self.argument("x-dead-letter-routing-key", "a", "b", "longstr", base)

    async def test_single_active_consumer_is_compared(self) -> None:
        await self.argument("x-single-active-consumer", True, False, "bool")

    async def test_a_quorum_queue_has_its_own_arguments_compared(self) -> None:
        await self.argument("x-delivery-limit", 1, 2, "signedint", QUORUM)

    async def test_the_type_is_compared(self) -> None:
        quorum = {"durable": True, "arguments": QUORUM}
        classic = {"durable": True, "arguments": {"x-queue-type": "classic"}}
        name = "x-queue-type"
        await self.differs(quorum, classic, name, "'classic' but current is 'quorum'")
        reason = "none but current is the value 'quorum' of type 'longstr'"
        await self.differs(quorum, {"durable": True}, name, reason)
        reason = "the value 'quorum' of type 'longstr' but current is none"
        await self.differs({"durable": True}, quorum, name, reason)

    async def test_a_queue_is_classic_unless_it_is_told_otherwise(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        classic = {"x-queue-type": "classic"}
        await channel.call(spec.Queue.Declare(queue=queue, arguments=classic))
        queue = await self.queue(channel, x_queue_type="classic")
        await channel.call(spec.Queue.Declare(queue=queue))
