"""docs/bridge.md is true: its file, its keys, its options, its limits and its program."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceCollection
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from netdemo.bridge.answers import CODES, FAULT
from netdemo.bridge.config import KEYS, SETTINGS, ConfigFile
from netdemo.bridge.service import Bridge
from netdemo.tap.bridge import Options
from tests.folders import temporary_folder

ROOT = Path(__file__).absolute().parent.parent
GUIDE = (ROOT / "docs" / "bridge.md").read_text()


def block(language: str) -> str:
    """Return the guide's block in one language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    return str(found)


class FileTests(SynchronousTestCase):
    """The file of routes."""

    def test_it_is_read_as_printed(self) -> None:
        file = temporary_folder(self) / "routes.toml"
        file.write_text(block("toml"))
        config = ConfigFile(str(file), MemoryReactorClock()).read()
        self.assertEqual(["push", "pull"], [route.kind for route in config.routes])
        self.assertEqual(("amqp://127.0.0.1/",), config.broker)

    def test_each_key_is_told_with_its_routes(self) -> None:
        rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", GUIDE.partition("| key |")[2], re.MULTILINE)
        told = {(key, kind) for key, routes in rows for kind in KEYS if _has(routes.strip(), kind)}
        self.assertEqual(told, {(key, kind) for kind, keys in KEYS.items() for key in keys})

    def test_each_setting_is_told(self) -> None:
        for key in SETTINGS:
            self.assertIn(f"`{key}`", GUIDE)


class OptionTests(SynchronousTestCase):
    """The options."""

    def test_each_is_told(self) -> None:
        usage = GUIDE.partition("```\n")[2].partition("```")[0]
        told = set(re.findall(r"--([\w-]+)", usage))
        self.assertEqual(told, _options())


class AnswerTests(SynchronousTestCase):
    """The answers."""

    def test_each_code_is_told(self) -> None:
        told = set(re.findall(r"`ERR ([\w-]+) …`", GUIDE))
        self.assertEqual(told, {*CODES.values(), "too-long", "malformed"} - {"too-many", FAULT})


class ProgramTests(SynchronousTestCase):
    """The program that embeds a bridge."""

    def test_builds_an_application(self) -> None:
        names: dict[str, Any] = {}
        exec(block("python"), names)
        (bridge,) = IServiceCollection(names["application"])
        self.assertIsInstance(bridge, Bridge)
        self.assertEqual(["push", "pull"], [route.kind for route in bridge.routes])


def _has(routes: str, kind: str) -> bool:
    """Tell whether ``all but serve``, say, has `kind` in it."""
    if routes.startswith("all"):
        return kind not in routes
    return kind in routes.split(", not ")[0].split(", ")


def _options() -> set[str]:
    """Return the names of all options, but for those of any command."""
    options = Options()
    names = {name.rstrip("=") for name in options.longOpt}
    return names - {"help", "version"}
