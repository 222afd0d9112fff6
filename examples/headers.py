"""Headers: who listens gets the messages that have all, or any, of the headers that it chose.

python examples/headers.py receive all format=pdf type=report
python examples/headers.py receive any format=pdf type=report      (in another terminal)
python examples/headers.py send "The year in figures" format=pdf type=report
python examples/headers.py send "A letter" format=pdf
"""

import sys
from uuid import uuid4

from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Binding, Delivery, Exchange, Message, Queue, Topology, run

EXCHANGE = Exchange("logs.headers", "headers")


async def send(client: AMQPClient, text: str, headers: dict[str, str]) -> None:
    """Send one message to those whose headers match its own."""
    await client.declare(Topology(exchanges=(EXCHANGE,)))
    message = Message(text.encode(), headers=headers)
    # Not mandatory: that nobody listens is no mistake.
    await client.publish(message, exchange=EXCHANGE.name, mandatory=False)
    print(f"sent {text}")


async def receive(client: AMQPClient, match: str, headers: dict[str, str]) -> None:
    """Print each message that has ``all`` or ``any`` of `headers` and is sent from now on."""
    # A queue of our own: it goes with the connection, and is declared again on the next one.
    queue = Queue(f"headers.{uuid4()}", durable=False, exclusive=True)
    binding = Binding(EXCHANGE.name, queue.name, arguments={"x-match": match, **headers})
    await client.declare(Topology((EXCHANGE,), (queue,), (binding,)))
    await client.consume(queue.name, show)
    print("waiting for messages; Ctrl-C ends it")
    client.add_status_listener(print)
    await Deferred[None]()  # which never fires


def show(delivery: Delivery) -> None:
    """Print a message and its headers."""
    message = delivery.message
    print(f"received {message.body.decode(errors='replace')} {message.headers or {}}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", text, *headers] if all("=" in each for each in headers):
            run(send, text, dict(each.split("=", 1) for each in headers))
        case ["receive", "all" | "any" as match, *headers] if all("=" in each for each in headers):
            run(receive, match, dict(each.split("=", 1) for each in headers))
        case _:
            raise SystemExit(
                "usage: headers.py send TEXT [NAME=VALUE]... | receive all|any [NAME=VALUE]..."
            )
