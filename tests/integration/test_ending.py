"""A test run that is ended leaves no broker behind."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.examples import ROOT
from tests.folders import temporary_folder
from tests.processes import Process
from tests.rabbitmq import RabbitMQTestCase

ENDLESS = """
import signal
from tests.rabbitmq import RabbitMQTestCase

class EndlessTests(RabbitMQTestCase):
    def test_it(self):
        print("a node in", self.node.folder, flush=True)
        signal.pause()
"""


class EndingTests(RabbitMQTestCase):
    """SIGTERM, as of ``timeout`` or of a job that is cancelled."""

    def test_node_ends_and_its_folder_goes(self) -> None:
        program = temporary_folder(self) / "test_endless.py"
        program.write_text(ENDLESS)
        run = Process(
            sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", program, cwd=ROOT
        )
        self.addCleanup(run.remove)
        node = Path(run.wait_for("a node in").split()[-1])
        run.terminate()
        self.assertFalse(node.exists())
