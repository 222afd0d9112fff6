"""Direct: who listens gets the messages of the routing keys that it chose, here severities.

python examples/direct.py receive warning error
python examples/direct.py receive info      (in another terminal)
python examples/direct.py send error "The disk is full."
"""

import sys
from uuid import uuid4

from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Binding, Delivery, Exchange, Message, Queue, Topology, run

EXCHANGE = Exchange("logs.direct", "direct")


async def send(client: AMQPClient, severity: str, text: str) -> None:
    """Send one message to those who listen to its severity."""
    await client.declare(Topology(exchanges=(EXCHANGE,)))
    message = Message(text.encode())
    # Not mandatory: that nobody listens is no mistake.
    await client.publish(message, exchange=EXCHANGE.name, routing_key=severity, mandatory=False)
    print(f"sent {severity}: {text}")


async def receive(client: AMQPClient, *severities: str) -> None:
    """Print each message with one of `severities` that is sent from now on."""
    # A queue of our own: it goes with the connection, and is declared again on the next one.
    queue = Queue(f"direct.{uuid4()}", durable=False, exclusive=True)
    bindings = tuple(Binding(EXCHANGE.name, queue.name, severity) for severity in severities)
    await client.declare(Topology((EXCHANGE,), (queue,), bindings))
    await client.consume(queue.name, show)
    print("waiting for messages; Ctrl-C ends it")
    client.add_status_listener(print)
    await Deferred[None]()  # which never fires


def show(delivery: Delivery) -> None:
    """Print a message and its severity."""
    body = delivery.message.body.decode(errors="replace")
    print(f"received {delivery.routing_key}: {body}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", severity, text]:
            run(send, severity, text)
        case ["receive", *severities] if severities:
            run(receive, *severities)
        case _:
            raise SystemExit("usage: direct.py send SEVERITY TEXT | receive SEVERITY...")
