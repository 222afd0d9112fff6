"""What AMQP behaviour must be the same on RabbitMQ and on our broker: one suite for each area.

A suite asks for nothing but what `Contract` gives it; how to reach a broker, how to let time pass
and how to restart it is said by a class for each broker.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING, Any

from pika import spec

from tests.contract_client import Channel, ChannelRefused, Client, ConnectionRefused, Refused
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from pika.amqp_object import Method


class Contract(TidyTestCase):
    """A test of a broker, any broker.

    Names that are taken with `name` are deleted after the test, with what they name.
    """

    timeout = 30

    def dial(self, client: Client) -> Awaitable[Any]:
        """Connect a client's protocol to the broker; fire when its connection is made."""
        raise NotImplementedError

    def pause(self, seconds: float) -> Awaitable[Any]:
        """Let time pass."""
        raise NotImplementedError

    def restart(self) -> Awaitable[Any]:
        """End the broker and start it again with what it had on its disk."""
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self._names: list[str] = []
        self._clients: list[Client] = []
        self.addCleanup(self._clean)

    async def dialled(self, **options: Any) -> Client:
        """Return a new client that is connected and has sent nothing."""
        client = Client(**options)
        await self.dial(client)
        self._clients.append(client)
        return client

    async def connect(self, **options: Any) -> Client:
        """Return a new client with an open connection."""
        client = await self.dialled(**options)
        await client.shake_hands()
        return client

    async def channel(self, **options: Any) -> Channel:
        """Return an open channel on a connection of its own."""
        return await (await self.connect(**options)).open_channel()

    def name(self, kind: str = "q") -> str:
        """Return a name that nobody else has, for a queue or an exchange."""
        self._names.append(f"{kind}-{secrets.token_hex(4)}")
        return self._names[-1]

    async def queue(self, channel: Channel, **arguments: Any) -> str:
        """Declare a queue with these arguments (``x_`` is for ``x-``); return its name."""
        name = self.name()
        table = {each.replace("_", "-"): value for each, value in arguments.items()}
        await channel.call(spec.Queue.Declare(queue=name, arguments=table))
        return name

    async def settle(self, channel: Channel) -> None:
        """Return when the broker has done what was asked on a channel."""
        await channel.call(spec.Channel.Flow(active=True))

    async def drain(self, queue: str, channel: Channel | None = None) -> list[bytes]:
        """Take all that is ready in a queue; it fails with deliveries that nobody expected.

        That is how to look into a queue: RabbitMQ counts its messages for a passive declaration
        before it has put in what was published before.
        """
        channel = channel or await self.channel()
        found = []
        while (got := await channel.get(queue)) is not None:
            found.append(got.body)
        await self.settle(channel)
        self.assertEqual(channel.received, [])
        return found

    async def closes_channel(
        self, channel: Channel, method: Method, reply_code: int, reply_text: str
    ) -> None:
        """Send a method for which the broker must close the channel, in these words."""
        refused = await channel.refused(method)
        self.assertIsInstance(refused, ChannelRefused, refused)
        self.assert_refused(refused, reply_code, reply_text, method)

    async def closes_connection(
        self, channel: Channel, method: Method, reply_code: int, reply_text: str
    ) -> None:
        """Send a method for which the broker must close the connection, in these words."""
        refused = await channel.refused(method)
        self.assertIsInstance(refused, ConnectionRefused, refused)
        self.assert_refused(refused, reply_code, reply_text, method)
        await channel.client.lost

    def assert_refused(
        self, refused: Refused, reply_code: int, reply_text: str, method: Any = None
    ) -> None:
        """Check a refusal, and that it names the method, or none."""
        index = 0 if method is None else method.INDEX
        self.assertEqual(
            (refused.reply_code, refused.reply_text, refused.class_id, refused.method_id),
            (reply_code, reply_text, index >> 16, index & 0xFFFF),
        )

    async def _clean(self) -> None:
        for client in self._clients:
            await client.close()
        if self._names:
            client = Client()
            await self.dial(client)
            await client.shake_hands()
            for name in self._names:
                channel = await client.open_channel()
                await channel.call(spec.Exchange.Delete(exchange=name))
                with contextlib.suppress(ChannelRefused):  # exclusive to one that just ended
                    await channel.call(spec.Queue.Delete(queue=name))
            await client.close()


def on(broker: type[Contract]) -> dict[str, type[Contract]]:
    """Return a test case for each suite on this broker, by its name."""
    from tests.contracts import SUITES

    return {
        suite.__name__: type(suite.__name__, (suite, broker), {"__module__": broker.__module__})
        for suite in SUITES
    }
