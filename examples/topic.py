"""Topic: who listens gets the messages whose routing key matches a pattern.

    python examples/topic.py receive "kern.*" "*.critical"
    python examples/topic.py receive "#"      (in another terminal)
    python examples/topic.py send kern.critical "A kernel error"

A key is words with dots between them. In a pattern * is one word, # is any number of them, also
none. A message that matches two patterns comes once.
"""

import sys
from uuid import uuid4

from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Binding, Delivery, Exchange, Message, Queue, Topology, run

EXCHANGE = Exchange("logs.topic", "topic")


async def send(client: AMQPClient, key: str, text: str) -> None:
    """Send one message to those with a pattern that matches `key`."""
    await client.declare(Topology(exchanges=(EXCHANGE,)))
    message = Message(text.encode())
    # Not mandatory: that nobody listens is no mistake.
    await client.publish(message, exchange=EXCHANGE.name, routing_key=key, mandatory=False)
    print(f"sent {key}: {text}")


async def receive(client: AMQPClient, *patterns: str) -> None:
    """Print each message that matches one of `patterns` and is sent from now on."""
    # A queue of our own: it goes with the connection, and is declared again on the next one.
    queue = Queue(f"topic.{uuid4()}", durable=False, exclusive=True)
    bindings = tuple(Binding(EXCHANGE.name, queue.name, pattern) for pattern in patterns)
    await client.declare(Topology((EXCHANGE,), (queue,), bindings))
    await client.consume(queue.name, show)
    print("waiting for messages; Ctrl-C ends it")
    client.add_status_listener(print)
    await Deferred[None]()  # which never fires


def show(delivery: Delivery) -> None:
    """Print a message and its routing key."""
    body = delivery.message.body.decode(errors="replace")
    print(f"received {delivery.routing_key}: {body}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", key, text]:
            run(send, key, text)
        case ["receive", *patterns] if patterns:
            run(receive, *patterns)
        case _:
            raise SystemExit("usage: topic.py send KEY TEXT | receive PATTERN...")
