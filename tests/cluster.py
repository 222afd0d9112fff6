"""A real RabbitMQ cluster of three nodes of the tests' own, all on the loopback."""

from __future__ import annotations

import atexit
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from tests.rabbitmq import RabbitMQNode

SIZE = 3


class Cluster:
    """Three nodes, of which each may be killed and started again while the others run.

    Every method blocks: call it in a thread.
    """

    def __init__(self) -> None:
        first = RabbitMQNode()
        self.nodes = [first, *(RabbitMQNode(beside=first) for _ in range(SIZE - 1))]
        self.urls = [node.url for node in self.nodes]
        self._formed = False
        atexit.register(self.remove)

    def start(self) -> None:
        """Start the nodes that do not run, and have them form a cluster."""
        first, *others = self.nodes
        first.start()
        with ThreadPoolExecutor(SIZE) as threads:
            list(threads.map(RabbitMQNode.start, others))
        if not self._formed:
            for node in others:
                node.control("stop_app")
                node.control("join_cluster", first.name)
                node.control("start_app")
            self._formed = True

    def remove(self) -> None:
        """Stop everything and remove all folders."""
        for node in reversed(self.nodes):  # the first has what they find each other by
            node.remove()

    def leader(self, queue: str) -> RabbitMQNode:
        """Return the node that leads the quorum queue."""
        for line in self.nodes[0].control("list_queues", "name", "leader").splitlines():
            name, leader = line.split()
            if name == queue:
                return self._named(leader)
        raise LookupError(f"no queue {queue}")

    def watch_for_another_leader(self, queue: str, old: RabbitMQNode) -> RabbitMQNode:
        """Have a node note who leads the queue after `old`, and when; return that node."""
        watching = next(node for node in reversed(self.nodes) if node is not old)
        watching.control("eval", WATCH.format(queue=queue, old=old.name))
        return watching

    def watched_leader(self, watching: RabbitMQNode) -> tuple[RabbitMQNode, float]:
        """Return what `watching` has noted, once it has: the leader, and the time of the day."""
        answer = watching.control("eval", TELL)
        found = re.fullmatch(r"\{'(.+)',(\d+)\}\s*", answer)
        assert found is not None, answer
        return self._named(found[1]), int(found[2]) / 1000

    def _named(self, name: str) -> RabbitMQNode:
        return next(node for node in self.nodes if node.name == name)


@cache
def the_cluster() -> Cluster:
    """Return the cluster of this test run."""
    return Cluster()


WATCH = """
    Watch = fun Again() ->
        case ra_leaderboard:lookup_leader('%2F_{queue}') of
            {{_, Node}} when Node =/= '{old}' -> {{Node, os:system_time(millisecond)}};
            _ -> timer:sleep(10), Again()
        end
    end,
    register(leader_watch, spawn(fun() ->
        Seen = Watch(),
        receive {{tell, Asking}} -> Asking ! Seen end
    end)).
"""
"""RabbitMQ's Raft library tells it on each node; there a queue's name begins with the vhost's."""

TELL = """
    leader_watch ! {tell, self()},
    receive {Node, Time} -> {Node, Time} after 60000 -> no_leader end.
"""
