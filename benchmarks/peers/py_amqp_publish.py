"""``py_amqp_publish.py PORT COUNT [each]``: py-amqp, acks counted in its event ``basic_ack``.

``each``: its own way with ``confirm_publish``, which is also kombu's: one at a time.
"""

from __future__ import annotations

import sys

from amqp import Channel, Connection, Message

from benchmarks.peers.turn import IN_FLIGHT, PERSISTENT, QUEUE, Turn, bodies


def main(port: str, count: str, kind: str = "") -> None:
    """Publish."""
    one_at_a_time = kind == "each"
    with Connection(f"127.0.0.1:{port}", confirm_publish=one_at_a_time) as connection:
        channel = connection.channel()
        messages = bodies(int(count))
        turn = Turn()
        if one_at_a_time:
            for body in messages:
                message = Message(body, delivery_mode=PERSISTENT)
                channel.basic_publish(message, routing_key=QUEUE)  # raises when it is refused
            turn.end(len(messages))
        else:
            turn.end(_publish_in_flight(connection, channel, messages))


def _publish_in_flight(connection: Connection, channel: Channel, messages: list[bytes]) -> int:
    unconfirmed: dict[int, bytes] = {}

    def acked(delivery_tag: int, multiple: bool) -> None:
        if not multiple:
            del unconfirmed[delivery_tag]
            return
        while unconfirmed and (first := next(iter(unconfirmed))) <= delivery_tag:
            del unconfirmed[first]

    def nacked(delivery_tag: int, multiple: bool) -> None:
        raise ValueError(f"{delivery_tag} was refused, multiple={multiple}")

    channel.confirm_select()
    channel.events["basic_ack"].add(acked)
    channel.events["basic_nack"].add(nacked)
    for tag, body in enumerate(messages, 1):
        unconfirmed[tag] = body
        channel.basic_publish(Message(body, delivery_mode=PERSISTENT), routing_key=QUEUE)
        while len(unconfirmed) >= IN_FLIGHT:
            connection.drain_events()
    while unconfirmed:
        connection.drain_events()
    return len(messages)


main(*sys.argv[1:])
