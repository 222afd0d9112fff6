"""docs/bridge.md is true: its commands are run as they are printed."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import TestCase

from tests.folders import temporary_folder
from tests.processes import PROGRAMS, Process, require
from tests.rabbitmq import EMBEDDED_PORT, is_free

GUIDE = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text()
LOG = Path("/var/log/dpkg.log")


class CommandTests(TestCase):
    """What to try first."""

    def test_lines_go_in_and_come_out(self) -> None:
        require("nc")
        if not is_free(EMBEDDED_PORT):
            raise SkipTest(f"something listens on port {EMBEDDED_PORT} of this machine")
        if not LOG.exists():
            raise SkipTest(f"there is no {LOG}")
        (console,) = re.findall(r"^```console\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
        bridge, send, receive = re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]
        process = self.started(bridge.replace("twistd -n", "twistd -n --pidfile="))
        process.wait_for("PullFactory starting")
        self.assertEqual(0, self.started(send).wait())
        lines = LOG.read_text(errors="replace").splitlines()
        reader = self.started(receive)
        for line in lines[:1000]:
            self.assertEqual(line, reader.wait_for("").rstrip("\n"))

    def started(self, command: str) -> Process:
        """Run a command of the guide; it is ended with the test."""
        path = f"PATH={PROGRAMS}:$PATH; unset NETDEMO_BROKER; exec "
        process = Process("sh", "-c", path + command, cwd=temporary_folder(self))
        self.addCleanup(process.remove)
        return process
