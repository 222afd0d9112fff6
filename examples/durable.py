"""Durable queue, persistent messages: what survives a restart of the broker.

    python examples/durable.py send "This one stays."
    python examples/durable.py send-transient "This one goes."
    sudo service rabbitmq-server restart
    python examples/durable.py receive

It prints the first alone. A message survives if both its queue is durable and it is persistent;
`send` returns when RabbitMQ has written it to its disk. Restart the broker once more while
`receive` runs: it comes back by itself.
"""

import sys
from typing import Final

from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Delivery, Message, Queue, Topology, run

TOPOLOGY = Topology(queues=(Queue("durable", durable=True),))

TRANSIENT: Final = 1
PERSISTENT: Final = 2
"""The delivery modes; that of a `Message` is 2 unless said otherwise, and a `Queue` is durable."""


async def send(client: AMQPClient, text: str, delivery_mode: int) -> None:
    """Send one message; RabbitMQ has it, a persistent one on its disk, when `publish` returns."""
    await client.declare(TOPOLOGY)
    message = Message(text.encode(), delivery_mode=delivery_mode)
    await client.publish(message, exchange="", routing_key="durable")
    print(f"sent {text}")


async def receive(client: AMQPClient) -> None:
    """Print each message that comes, also after the connection was lost."""
    await client.declare(TOPOLOGY)
    await client.consume("durable", show)
    print("waiting for messages; Ctrl-C ends it")
    client.add_status_listener(print)
    await Deferred[None]()  # which never fires


def show(delivery: Delivery) -> None:
    """Print a message."""
    print(f"received {delivery.message.body.decode(errors='replace')}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", text]:
            run(send, text, PERSISTENT)
        case ["send-transient", text]:
            run(send, text, TRANSIENT)
        case ["receive"]:
            run(receive)
        case _:
            raise SystemExit("usage: durable.py send TEXT | send-transient TEXT | receive")
