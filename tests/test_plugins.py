"""The commands as twistd finds them."""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import IService, IServiceMaker
from twisted.plugin import IPlugin, getPlugins
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

COMMANDS = {
    "echo": ("netdemo.tap.echo", ()),
    "poetry": ("netdemo.tap.poetry", ("--file", __file__)),
    "amqp-bridge": ("netdemo.tap.bridge", ()),
    "amqp-broker": ("netdemo.tap.broker", ()),
}
"""The module of each command, and options that it needs."""


class PluginTests(SynchronousTestCase):
    """Every command is found, says what it is, and makes its service."""

    def setUp(self) -> None:
        self.patch(os, "environ", {})
        self.makers: dict[str, Any] = {
            maker.tapname: maker for maker in getPlugins(IServiceMaker) if maker.tapname in COMMANDS
        }

    def test_every_command_is_found(self) -> None:
        self.assertEqual(set(COMMANDS), set(self.makers))

    def test_each_is_found_once(self) -> None:
        names = [maker.tapname for maker in getPlugins(IServiceMaker)]
        self.assertEqual({1}, {names.count(command) for command in COMMANDS})

    def test_each_is_a_service_maker(self) -> None:
        for maker in self.makers.values():
            self.assertTrue(verifyObject(IServiceMaker, maker))

    def test_each_is_a_plugin(self) -> None:
        for maker in self.makers.values():
            self.assertTrue(verifyObject(IPlugin, maker))

    def test_each_has_its_module(self) -> None:
        self.assertEqual(
            {command: module for command, (module, _) in COMMANDS.items()},
            {command: maker.module for command, maker in self.makers.items()},
        )

    def test_each_is_described_in_one_line(self) -> None:
        for maker in self.makers.values():
            self.assertRegex(maker.description, r"\A[A-Z].*\.\Z")

    def test_options_of_each_are_loaded(self) -> None:
        for maker in self.makers.values():
            self.assertIsInstance(maker.options(), usage.Options)

    def test_help_of_each_ends_with_an_example_of_it(self) -> None:
        for command, maker in self.makers.items():
            self.assertIn(f"Example: twistd -n {command} ", maker.options().longdesc)

    def test_service_of_each_is_made_of_its_options(self) -> None:
        for command, maker in self.makers.items():
            options = maker.options()
            options.parseOptions(COMMANDS[command][1])
            self.assertTrue(verifyObject(IService, maker.makeService(options)))
