"""``twistd amqp-bridge --config FILE``, and reading it again."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from netdemo.address import QueueDestination
from netdemo.bridge.config import Config, ConfigFile
from netdemo.bridge.routes import PullRoute, PushRoute
from netdemo.tap import bridge
from netdemo.tap.reload import Reload
from tests.folders import temporary_folder
from tests.test_tap import CommandTestCase

if TYPE_CHECKING:
    from twisted.logger import ILogObserver

PUSH = '[[push]]\ndestination = "/queue/x"\nlisten = "tcp:7001"\n'
PULL = '[[pull]]\ndestination = "/queue/x"\nlisten = "tcp:7002"\n'
PUSH_ROUTE = PushRoute(QueueDestination("x"), "tcp:7001")
PULL_ROUTE = PullRoute(QueueDestination("x"), "tcp:7002")
BROKER = 'broker = "amqp://of.file"\n'


class OptionsTests(CommandTestCase):
    """``--config`` beside other options."""

    command = bridge

    def setUp(self) -> None:
        super().setUp()
        self.file = temporary_folder(self) / "bridge.toml"
        self.write(PUSH)

    def write(self, text: str) -> None:
        """Write the file."""
        self.file.write_text(text)

    def bridge(self, *arguments: str) -> Any:
        """Return the bridge with this file, and the broker of an option."""
        return self.service(f"--config={self.file}", "--broker=amqp://of.option", *arguments)

    def test_its_routes_are_carried(self) -> None:
        self.write(PUSH + PULL)
        self.assertEqual(self.bridge().routes, (PUSH_ROUTE, PULL_ROUTE))

    def test_routes_of_options_are_carried_too(self) -> None:
        self.assertEqual(self.bridge("--pull=/queue/x@tcp:7002").routes, (PULL_ROUTE, PUSH_ROUTE))

    def test_options_for_routes_are_for_those_of_options(self) -> None:
        routes = self.bridge("--ack", "--push=/queue/y@tcp:1").routes
        self.assertEqual([route.ack for route in routes], [True, False])

    def test_there_are_no_default_routes(self) -> None:
        self.assertFalse(any(isinstance(each, bridge.Hint) for each in self.bridge()))

    def test_broker_is_that_of_an_option_the_file_and_the_environment_in_this_order(self) -> None:
        self.patch(os, "environ", {"NETDEMO_BROKER": "amqp://of.environment"})
        option = "--broker=amqp://of.option"
        for text, options, expected in (
            (BROKER, [option], "amqp://of.option"),
            (BROKER, [], "amqp://of.file"),
            ("", [], "amqp://of.environment"),
        ):
            self.write(text + PUSH)
            parsed = self.parse(f"--config={self.file}", *options)
            self.assertEqual(parsed["broker"], [expected])

    def test_each_mistake_is_a_line(self) -> None:
        self.write(PUSH + "ack = 1\ncolour = 1")
        ending = self.assertRaises(SystemExit, self.parse, f"--config={self.file}")
        lines = str(ending.code).splitlines()
        self.assertEqual(
            [line.partition(": unknown key")[0] for line in lines],
            [
                f"amqp-bridge: {self.file}: push[1].ack: 1: expected true or false",
                f"amqp-bridge: {self.file}: push[1].colour",
            ],
        )

    def test_route_that_an_option_has_is_refused(self) -> None:
        self.assertEqual(
            f"amqp-bridge: {self.file}: push[1]: push /queue/x@tcp:7001: "
            "it is there before, as --push /queue/x@tcp:7001",
            self.refusal(f"--config={self.file}", "--push=/queue/x@tcp:7001"),
        )

    def test_without_any_route_it_is_refused(self) -> None:
        self.write(BROKER)
        self.assertIn(f"{self.file}: no route; expected", self.refusal(f"--config={self.file}"))

    def test_without_it_a_hangup_is_not_heeded(self) -> None:
        service = self.service("--broker=amqp://of.option")
        self.assertFalse(any(isinstance(each, Reload) for each in service))
        self.assertTrue(any(isinstance(each, Reload) for each in self.bridge()))


class Changes:
    """A bridge that notes what it is to carry."""

    routes = (PUSH_ROUTE,)

    def __init__(self) -> None:
        self.changes: list[list[Any]] = []

    def change(self, routes: list[Any]) -> Deferred[None]:
        """Note it."""
        self.changes.append(routes)
        return succeed(None)


class ReloadTestCase(SynchronousTestCase):
    """A file with one push route, beside which there is a pull route."""

    def setUp(self) -> None:
        self.path = temporary_folder(self) / "bridge.toml"
        self.write(BROKER + PUSH)
        self.calls: list[Any] = []
        reactor: Any = MemoryReactorClock()
        reactor.callFromThread = self.calls.append
        file = ConfigFile(str(self.path), reactor)
        self.bridge = Changes()
        self.service = Reload(file, file.read(), [PULL_ROUTE], cast("Any", self.bridge), reactor)
        self.logged: list[str] = []
        observer = cast("ILogObserver", self._log)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def _log(self, event: Any) -> None:
        if event["log_namespace"].startswith("netdemo"):
            self.logged.append(event["log_format"].format(**event))

    def write(self, text: str) -> None:
        """Write the file."""
        self.path.write_text(text)

    def reload(self) -> None:
        """Read the file again."""
        self.successResultOf(self.service.reload())


class ReloadTests(ReloadTestCase):
    """A file that is read again."""

    def test_routes_of_the_file_and_of_options_are_carried(self) -> None:
        self.write(BROKER + PUSH + "ack = true")
        self.reload()
        changed = PushRoute(QueueDestination("x"), "tcp:7001", ack=True)
        self.assertEqual(self.bridge.changes, [[PULL_ROUTE, changed]])
        self.assertEqual(self.logged, [f"{self.path} was read again; routes: 1"])

    def test_bad_file_changes_nothing_and_is_told_in_one_line(self) -> None:
        self.write("broker = 5\n" + PUSH + "ack = 1")
        self.reload()
        self.assertEqual(self.bridge.changes, [])
        self.assertEqual(
            self.logged,
            [
                f"nothing is changed: {self.path}: broker: expected a URL or a list of URLs; "
                f"{self.path}: push[1].ack: 1: expected true or false"
            ],
        )

    def test_file_that_is_gone_changes_nothing(self) -> None:
        self.path.unlink()
        self.reload()
        self.assertEqual(self.bridge.changes, [])
        self.assertEqual(
            self.logged, [f"nothing is changed: {self.path}: No such file or directory"]
        )

    def test_another_broker_changes_nothing_and_needs_a_restart(self) -> None:
        for text in ('broker = "amqp://ann:s3cret@another"\n' + PULL, PULL):
            self.logged.clear()
            self.write(text)
            self.reload()
            self.assertEqual(self.bridge.changes, [])
            self.assertEqual(
                self.logged,
                [f"nothing is changed: {self.path}: broker: another value needs a restart"],
            )

    def test_brokers_files_may_be_out_of_reach(self) -> None:
        url = "amqps://of.file/?cafile=/nowhere/ca.pem"
        self.service._config = Config((url,), (PUSH_ROUTE,))
        self.write(f'broker = "{url}"\n{PUSH}')
        self.reload()
        self.assertEqual(self.bridge.changes, [[PULL_ROUTE, PUSH_ROUTE]])


class SignalTests(ReloadTestCase):
    """SIGHUP, sent to the tests themselves."""

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        self.service.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Stop the service, if it runs."""
        if self.service.running:
            self.service.stopService()

    def test_reads_the_file_in_the_reactors_turn(self) -> None:
        signal.raise_signal(signal.SIGHUP)
        self.assertEqual(self.bridge.changes, [])
        (call,) = self.calls
        call()
        self.assertEqual(self.bridge.changes, [[PULL_ROUTE, PUSH_ROUTE]])

    def test_ends_nothing_that_is_being_finished(self) -> None:
        self.service.stopService()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)

    def test_comes_to_nothing_when_it_has_stopped_meanwhile(self) -> None:
        signal.raise_signal(signal.SIGHUP)
        self.service.stopService()
        self.calls[0]()
        self.assertEqual(self.bridge.changes, [])
