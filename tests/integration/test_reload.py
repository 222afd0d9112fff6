"""``twistd amqp-bridge --config FILE``: SIGHUP changes routes, and loses nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests import reloading
from tests.broker_process import BrokerProcessTestCase
from tests.folders import temporary_folder
from tests.processes import PROGRAMS, Process
from tests.rabbitmq import RabbitMQTestCase


class ReloadOnBrokerTests(reloading.Reloading, BrokerProcessTestCase):
    """On our broker."""

    def setUp(self) -> None:
        super().setUp()
        self.url = self.broker.url
        self.begin()


class ReloadOnRabbitMQTests(reloading.Reloading, RabbitMQTestCase):
    """On RabbitMQ."""

    def setUp(self) -> None:
        super().setUp()
        self.url = self.node.url
        self.begin()


class DaemonTests(BrokerProcessTestCase):
    """A bridge in the background, in another directory than the one where it was started."""

    def test_it_reads_the_file_again(self) -> None:
        folder = temporary_folder(self)
        (folder / "run").mkdir()
        path = folder / "bridge.toml"
        route = '[[push]]\ndestination = "/queue/q"\nlisten = "unix:{}"\n'
        path.write_text(route.format("one"))
        starting = Process(
            *(PROGRAMS / "twistd", f"--pidfile={folder}/pid", f"--logfile={folder}/log"),
            *("--rundir=run", "amqp-bridge", "--config=bridge.toml", f"--broker={self.broker.url}"),
            cwd=folder,
        )
        self.addCleanup(starting.remove)
        self.assertEqual(starting.wait(), 0)
        pid = int((folder / "pid").read_text())
        log = Process("tail", f"--pid={pid}", "-n", "+1", "-f", f"{folder}/log", cwd=folder)
        self.addCleanup(log.remove)
        log.wait_for("starting on")
        path.write_text(route.format("one") + route.format("two"))
        os.kill(pid, signal.SIGHUP)
        log.wait_for(reloading.READ)
        self.assertEqual([Path(folder / name).is_socket() for name in ("one", "two")], [True] * 2)
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(log.wait(), 0)
        self.assertNotIn("Traceback", "".join(log.lines))
