"""What a destination in text means to a broker: what to declare, publish to and consume from."""

from __future__ import annotations

import attrs

from netdemo.address import Destination, QueueDestination
from netdemo.amqp.message import new_message_id
from netdemo.amqp.topology import Binding, Exchange, Queue, Topology


@attrs.frozen
class Target:
    """Where messages for a destination are published.

    They are mandatory for a queue; nobody listening to an exchange is no error.
    """

    topology: Topology
    exchange: str
    routing_key: str
    mandatory: bool


@attrs.frozen
class Source:
    """The queue from which a destination's messages are consumed.

    The topology must be declared while nobody consumes too, lest messages that come meanwhile
    are lost. A queue bound to an exchange is exclusive to the connection, and goes with it.
    """

    topology: Topology
    queue: str


def target(destination: Destination) -> Target:
    """Return where to publish for ``destination``."""
    if isinstance(destination, QueueDestination):
        queues = (Queue(destination.name),) if destination.declare else ()
        return Target(Topology(queues=queues), "", destination.name, mandatory=True)
    exchange = Exchange(destination.name, passive=True)
    return Target(
        Topology(exchanges=(exchange,)), exchange.name, destination.routing_key, mandatory=False
    )


def source(destination: Destination) -> Source:
    """Return where to consume for ``destination``; each call names another queue of its own."""
    if isinstance(destination, QueueDestination):
        declared = Queue(destination.name, passive=not destination.declare)
        return Source(Topology(queues=(declared,)), destination.name)
    queue = Queue(f"netdemo-{new_message_id()}", durable=False, exclusive=True)
    topology = Topology(
        exchanges=(Exchange(destination.name, passive=True),),
        queues=(queue,),
        bindings=(Binding(destination.name, queue.name, destination.routing_key),),
    )
    return Source(topology, queue.name)
