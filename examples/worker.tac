"""The worker of `work_queue.py` in an application: ``twistd -ny examples/worker.tac``.

The client is a service like any other: one child of the `MultiService` that starts and stops all.
It connects when that starts, comes back when the broker was away, and is given 10 s to finish its
task when that stops.
"""

import os

from twisted.application.service import Application, MultiService
from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import Logger

from netdemo.amqp import AMQPClient, Consumer, Queue, Topology

BROKER = os.environ.get("NETDEMO_BROKER") or "amqp://guest:guest@127.0.0.1:5672/"

log = Logger("worker")


async def work(delivery):
    text = delivery.message.body.decode(errors="replace")
    log.info("working on {text}", text=text)
    await deferLater(reactor, text.count("."))
    log.info("done with {text}", text=text)


services = MultiService()

client = AMQPClient([BROKER], reactor, topology=Topology(queues=(Queue("task_queue"),)))
client.add(Consumer("task_queue", work, prefetch=1))
client.setServiceParent(services)

application = Application("worker")
services.setServiceParent(application)
