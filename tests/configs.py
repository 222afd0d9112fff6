"""Files of settings in a folder of their own."""

from __future__ import annotations

import os
from textwrap import dedent
from typing import TYPE_CHECKING

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.bridge.config import ConfigFile
from netdemo.errors import ConfigError
from tests.folders import temporary_folder

if TYPE_CHECKING:
    from netdemo.bridge.config import Config

NAME = "bridge.toml"
LISTEN, CONNECT = "tcp:7001:interface=127.0.0.1", "tcp:127.0.0.1:7001"


class ConfigTestCase(SynchronousTestCase):
    """A test with a file in a folder of its own, which is the current directory."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        self.file = ConfigFile(NAME, MemoryReactorClock())

    def read(self, text: str) -> Config:
        """Return what is in a file with this text."""
        (self.folder / NAME).write_text(dedent(text))
        return self.file.read()

    def errors(self, text: str) -> list[str]:
        """Return what is said about a bad file, without its name."""
        error = self.assertRaises(ConfigError, self.read, text)
        for line in error.errors:
            self.assertTrue(line.startswith(f"{NAME}: "), line)
            self.assertEqual(len(line.splitlines()), 1)
        return [line.removeprefix(f"{NAME}: ") for line in error.errors]
