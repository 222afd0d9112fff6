"""Simple queue: a message waits in a queue until somebody receives it.

python examples/hello_queue.py receive
python examples/hello_queue.py send "Hello, world!"
"""

import sys

from twisted.internet.defer import Deferred

from netdemo.amqp import AMQPClient, Delivery, Message, Queue, Topology, run

TOPOLOGY = Topology(queues=(Queue("hello"),))
"""Both sides declare it, since either may come first; it is there again on a new connection."""


async def send(client: AMQPClient, text: str) -> None:
    """Send one message; RabbitMQ has it when `publish` has returned."""
    await client.declare(TOPOLOGY)
    await client.publish(Message(text.encode()), exchange="", routing_key="hello")
    print(f"sent {text}")


async def receive(client: AMQPClient) -> None:
    """Print each message that comes; it is acknowledged when `show` has returned."""
    await client.declare(TOPOLOGY)
    await client.consume("hello", show)
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
            raise SystemExit("usage: hello_queue.py send TEXT | receive")
