"""docs/testing.md is true: its programs are run as they are printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import unittest
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.folders import temporary_folder

ROOT = Path(__file__).absolute().parent.parent
GUIDE = (ROOT / "docs" / "testing.md").read_text()
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
PLUGIN = "netdemo.pytest_plugin"
FAULTS = re.findall(r"`(\w+)\(", GUIDE.partition("## What can go wrong")[2])


class ProgramTests(SynchronousTestCase):
    """Each program of the guide."""

    def test_there_are_three(self) -> None:
        self.assertEqual(len(PROGRAMS), 3)

    def test_trial_runs_the_first(self) -> None:
        names: dict[str, Any] = {"__name__": "guide"}
        exec(PROGRAMS[0], names)
        tests = names["OrdersTests"]
        methods = [each for each in vars(tests) if each.startswith("test_")]
        self.assertEqual(len(methods), 3)
        for each in methods:
            result = unittest.TestResult()
            tests(each).run(result)
            self.assertEqual([], result.errors + result.failures)

    def test_pytest_runs_the_second(self) -> None:
        file = temporary_folder(self) / "test_guide.py"
        file.write_text(PROGRAMS[1])
        program = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        ran = subprocess.run(
            [*program, "-p", PLUGIN, file.name],
            cwd=file.parent,
            env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.assertIn("1 passed", ran.stdout)

    def test_client_fails_over_in_the_third(self) -> None:
        names: dict[str, Any] = {}
        exec(PROGRAMS[2], names)
        client, two, network = names["client"], names["two"], names["network"]
        self.assertEqual((client.status.state, client.status.broker), ("ready", "amqp://two:5672/"))
        stopping = client.stopService()
        network.advance()
        self.successResultOf(stopping)
        two.stop()

    def test_faults_are_those_that_there_are(self) -> None:
        from netdemo.testing import MemoryBroker

        self.assertGreater(len(FAULTS), 10)
        for name in FAULTS:
            self.assertTrue(callable(getattr(MemoryBroker, name)), name)


class PluginTests(SynchronousTestCase):
    """What every run of pytest imports."""

    def test_pytest_is_told_of_it(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        self.assertEqual(project["entry-points"]["pytest11"], {"netdemo": PLUGIN})

    def test_importing_it_installs_no_reactor(self) -> None:
        program = f"import sys, {PLUGIN}; print('twisted.internet.reactor' in sys.modules)"
        answer = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, timeout=60)
        self.assertEqual(b"False\n", answer)
