"""``twistd amqp-broker``: options in, a service out."""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import IService, MultiService
from twisted.internet import reactor
from zope.interface.verify import verifyObject

from netdemo.broker import server
from netdemo.broker.login import Peer
from netdemo.broker.memory import MAX_MEMORY
from netdemo.broker.users import Users
from netdemo.tap import broker
from tests.folders import temporary_folder
from tests.test_tap import CommandTestCase


class BrokerTests(CommandTestCase):
    """The options."""

    command = broker

    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder(self)
        self.users = self.folder / "users"
        self.users.touch(0o600)

    def test_default_endpoint_is_on_the_loopback(self) -> None:
        self.assertEqual(["tcp:5672:interface=127.0.0.1"], self.parse()["listen"])

    def test_listen_takes_the_place_of_the_default(self) -> None:
        options = self.parse("--listen=tcp:1", "--listen=tcp:2")
        self.assertEqual(["tcp:1", "tcp:2"], options["listen"])

    def test_there_is_neither_store_nor_file_of_users_by_default(self) -> None:
        self.assertEqual((None, None), (self.parse()["store"], self.parse()["users"]))

    def test_there_are_limits_for_memory_and_grace_by_default(self) -> None:
        options = self.parse()
        limits = [options[name] for name in ("max-memory", "max-connections", "grace")]
        self.assertEqual([512 * 1024 * 1024, None, 5], limits)

    def test_store_is_made_absolute_since_twistd_changes_its_folder(self) -> None:
        path = self.folder / "store"
        self.assertEqual(path, self.parse(f"--store={path}")["store"])
        self.assertTrue(self.parse("--store", os.path.relpath(path))["store"].is_absolute())

    def test_users_are_read_at_once(self) -> None:
        self.users.write_text("ann:*:/a:::")
        users = self.parse("--users", os.path.relpath(self.users))["users"]
        self.users.unlink()
        self.assertIsInstance(users, Users)
        login = users.login("EXTERNAL", b"", Peer(common_name="ann"))
        self.assertEqual("ann", self.successResultOf(login).name)

    def test_users_that_are_not_there_are_refused(self) -> None:
        self.users.unlink()
        self.assertEqual(
            f"amqp-broker: --users: cannot read '{self.users}': No such file or directory",
            self.refusal(f"--users={self.users}"),
        )

    def test_malformed_users_are_refused(self) -> None:
        self.users.write_text("ann:s3cr3t")
        text = self.refusal(f"--users={self.users}")
        self.assertIn(f"amqp-broker: --users: '{self.users}', line 1: expected ", text)
        self.assertNotIn("s3cr3t", text)

    def test_empty_path_is_refused(self) -> None:
        for name in ("store", "users"):
            text = f"amqp-broker: bad --{name} '': expected a path"
            self.assertEqual(text, self.refusal(f"--{name}="))

    def test_memory_of_nothing_is_refused(self) -> None:
        self.assertEqual(
            "amqp-broker: bad --max-memory '0': expected a whole number of at least 1",
            self.refusal("--max-memory=0"),
        )

    def test_same_endpoint_twice_is_refused(self) -> None:
        self.assertIn("amqp-broker: ", self.refusal("--listen=tcp:1", "--listen=tcp:1"))


class BrokerServiceTests(CommandTestCase):
    """What the service is made with."""

    command = broker

    def setUp(self) -> None:
        super().setUp()
        self.given: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self.patch(server, "broker_service", self.broker_service)

    def broker_service(self, *arguments: Any, **options: Any) -> MultiService:
        """Note how the broker's own function is called."""
        self.given.append((arguments, options))
        return MultiService()

    def test_it_has_its_defaults(self) -> None:
        verifyObject(IService, self.service())
        options = {
            "store": None,
            "users": None,
            "max_memory": MAX_MEMORY,
            "max_connections": None,
            "grace": 5,
        }
        self.assertEqual([((["tcp:5672:interface=127.0.0.1"], reactor), options)], self.given)

    def test_it_has_what_the_options_say(self) -> None:
        folder = temporary_folder(self)
        (folder / "users").write_text("ann:*")
        limits = ("--max-memory=7", "--max-connections=8", "--grace=9")
        self.service("--listen=tcp:1", f"--store={folder}", f"--users={folder}/users", *limits)
        ((arguments, options),) = self.given
        self.assertEqual((["tcp:1"], reactor), arguments)
        self.assertIsInstance(options.pop("users"), Users)
        self.assertEqual(
            {"store": folder, "max_memory": 7, "max_connections": 8, "grace": 9}, options
        )
