"""The stops of the tour, in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from netdemo.tour import (
    bridge,
    direct,
    durable_queue,
    echo,
    fair_dispatch,
    fanout,
    hello_queue,
    poetry,
    rpc,
    topic,
    work_queue,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from twisted.internet.defer import Deferred

    from netdemo.tour.site import Site


@attrs.frozen
class Stop:
    """Something to see: two lines say what, and `show` does it.

    `show` returns what was seen, in one line. It raises `NotHeld` when that is not as it should
    be, and `NotShown` when it can't be shown here.
    """

    name: str
    lines: tuple[str, str]
    show: Callable[[Site], Coroutine[Deferred[Any], Any, str]]


STOPS: Final = (
    Stop(
        "echo",
        (
            "A server sends back what it receives; TCP delivers it in pieces of any size.",
            "The client compares every byte, and knows when all of them are back.",
        ),
        echo.show,
    ),
    Stop(
        "poetry",
        (
            "Three servers of different speed, and one that is down, are read at once.",
            "It takes as long as the slowest, and the one that is down stops no other.",
        ),
        poetry.show,
    ),
    Stop(
        "hello queue",
        (
            "A message waits in a queue of the broker until somebody receives it.",
            "The sender knows that it is there: the broker has confirmed it.",
        ),
        hello_queue.show,
    ),
    Stop(
        "work queue",
        (
            "Two workers consume from one queue, and each task goes to one of them.",
            "A task is acknowledged when it is done, so none is lost with its worker.",
        ),
        work_queue.show,
    ),
    Stop(
        "durable queue",
        (
            "A durable queue is there again after a restart of the broker,",
            "and so are the persistent messages in it; transient ones are not.",
        ),
        durable_queue.show,
    ),
    Stop(
        "fair dispatch",
        (
            "A round robin gives a slow worker as many tasks as a quick one.",
            "With a prefetch of 1 a worker gets its next task when the last is done.",
        ),
        fair_dispatch.show,
    ),
    Stop(
        "fanout",
        (
            "A fanout exchange copies each message to every queue that is bound to it.",
            "So everyone who listens gets all of them.",
        ),
        fanout.show,
    ),
    Stop(
        "direct",
        (
            "A direct exchange looks for bindings with the routing key of the message.",
            "So who listens chooses, here by severity.",
        ),
        direct.show,
    ),
    Stop(
        "topic",
        (
            "A topic exchange matches keys, words with dots between them, with patterns:",
            "* is one word, and # any number of them.",
        ),
        topic.show,
    ),
    Stop(
        "RPC",
        (
            "A request goes to a server's queue, and its reply to the one who asked.",
            "A correlation id tells whose reply it is, in whatever order they come.",
        ),
        rpc.show,
    ),
    Stop(
        "bridge",
        (
            "A program that knows nothing but TCP pushes lines; another one pulls them.",
            "OK says that the broker has the record, ACK that the one who pulled it has.",
        ),
        bridge.show,
    ),
)
