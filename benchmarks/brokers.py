"""Brokers as peers: ours beside RabbitMQ, each a process on the servers' core, at the same clients.

Both run while the rounds last: the one whose turn it is not does nothing. What a client says of
how busy things were is turned round, since it is the broker that is measured.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from benchmarks.broker import require_rabbitmq, running_broker, running_our_broker
from benchmarks.comparison import Work
from benchmarks.servers import Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from benchmarks.broker import Broker
    from benchmarks.comparison import Goal, Turn
    from benchmarks.load import Reading

OURS: Final = "netdemo"
RABBITMQ: Final = "RabbitMQ"
START: Final[Mapping[str, Callable[[], AbstractContextManager[Broker]]]] = {
    OURS: running_our_broker,
    RABBITMQ: running_broker,
}
SIDES: Final = ("broker", "client")


def brokers() -> list[Peer]:
    """Return both, by their names.

    :raises MissingError: when there is no RabbitMQ.
    """
    require_rabbitmq()
    return [broker_peer(OURS), broker_peer(RABBITMQ)]


def broker_peer(name: str) -> Peer:
    """Return a peer that is known by its name alone, as `START` starts it."""
    return Peer(name, lambda _: [])


@contextmanager
def running_both() -> Iterator[dict[str, Broker]]:
    """Run each of them while the context lasts."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(start()) for name, start in START.items()}


def side_by_side(
    name: str, title: str, measure: Callable[[Broker, str], Reading], goals: list[Goal]
) -> Work:
    """Return a work at which both do what `measure` has them do in a turn, by its rate.

    :raises MissingError: when there is no RabbitMQ.
    """

    @contextmanager
    def turns(peers: list[Peer], folder: Path) -> Iterator[Turn]:  # noqa: ARG001
        with running_both() as running:
            yield lambda peer: measure(running[peer.name], peer.name)

    return Work(
        name=name,
        title=title,
        unit="messages/s",
        reference=RABBITMQ,
        peers=brokers(),
        turns=turns,
        goals=goals,
        cost_unit="µs each",
        cost_scale=1e6,
        sides=SIDES,
    )
