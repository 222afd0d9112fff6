"""Fanout: everyone who listens gets each message.

python examples/fanout.py receive      (in two terminals)
python examples/fanout.py send "Hello, all!"
"""

import sys
from uuid import uuid4

from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Binding, Delivery, Exchange, Message, Queue, Topology, run

EXCHANGE = Exchange("logs.fanout", "fanout")


async def send(client: AMQPClient, text: str) -> None:
    """Send one message to all who listen."""
    await client.declare(Topology(exchanges=(EXCHANGE,)))
    # Not mandatory: that nobody listens is no mistake.
    await client.publish(Message(text.encode()), exchange=EXCHANGE.name, mandatory=False)
    print(f"sent {text}")


async def receive(client: AMQPClient) -> None:
    """Print each message that is sent from now on."""
    # A queue of our own: it goes with the connection, and is declared again on the next one.
    queue = Queue(f"fanout.{uuid4()}", durable=False, exclusive=True)
    binding = Binding(EXCHANGE.name, queue.name)
    await client.declare(Topology((EXCHANGE,), (queue,), (binding,)))
    await client.consume(queue.name, show)
    print("waiting for messages; Ctrl-C ends it")
    client.add_status_listener(print)
    await Deferred[None]()  # which never fires


def show(delivery: Delivery) -> None:
    """Print a message."""
    print(f"received {delivery.message.body.decode(errors='replace')}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", text]:
            run(send, text)
        case ["receive"]:
            run(receive)
        case _:
            raise SystemExit("usage: fanout.py send TEXT | receive")
