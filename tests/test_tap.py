"""The commands of twistd: options in, a service out."""

from __future__ import annotations

import os
import signal
import sys
from io import StringIO
from typing import TYPE_CHECKING, Any

from twisted.application.service import IService, MultiService, Service
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from netdemo.address import QueueDestination
from netdemo.bridge.routes import PullRoute, PushRoute
from netdemo.errors import StartupError
from netdemo.tap import bridge, echo, poetry
from netdemo.tap.command import command_service
from tests.folders import temporary_folder

if TYPE_CHECKING:
    from types import ModuleType

    from twisted.python import usage

HELLO = QueueDestination("hello")


class CommandTestCase(SynchronousTestCase):
    """A test of one command, with nothing in the environment."""

    command: ModuleType

    def setUp(self) -> None:
        self.patch(os, "environ", {})

    def parse(self, *arguments: str) -> dict[str, Any]:
        """Return the options after reading `arguments`."""
        options: usage.Options = self.command.Options()
        options.parseOptions(arguments)
        return options

    def refusal(self, *arguments: str) -> str:
        """Return what is printed for `arguments`, which must end the process with one line."""
        ending = self.assertRaises(SystemExit, self.parse, *arguments)
        self.assertNotIn("\n", str(ending.code))
        return str(ending.code)

    def service(self, *arguments: str) -> Any:
        """Return what is made of `arguments`, under the command's own service."""
        (service,) = self.command.makeService(self.parse(*arguments))
        return service


class EchoTests(CommandTestCase):
    """``twistd echo``"""

    command = echo

    def test_default_endpoint_is_on_the_loopback(self) -> None:
        self.assertEqual(["tcp:1234:interface=127.0.0.1"], self.parse()["listen"])

    def test_listen_takes_the_place_of_the_default(self) -> None:
        self.assertEqual(["tcp:7"], self.parse("--listen", "tcp:7")["listen"])

    def test_listen_can_be_repeated(self) -> None:
        self.assertEqual(
            ["tcp:7", "tcp:8"], self.parse("--listen=tcp:7", "--listen=tcp:8")["listen"]
        )

    def test_there_are_no_limits_by_default(self) -> None:
        options = self.parse()
        self.assertEqual((None, None), (options["idle-timeout"], options["max-connections"]))

    def test_idle_timeout_is_in_seconds(self) -> None:
        self.assertEqual(2.5, self.parse("--idle-timeout", "2.5")["idle-timeout"])

    def test_max_connections_is_a_number(self) -> None:
        self.assertEqual(3, self.parse("--max-connections", "3")["max-connections"])

    def test_malformed_endpoint_is_named(self) -> None:
        self.assertIn("echo: bad endpoint 'tcp:x': ", self.refusal("--listen", "tcp:x"))

    def test_idle_timeout_of_nothing_is_refused(self) -> None:
        text = "echo: bad --idle-timeout '0': expected a number of more than 0"
        self.assertEqual(text, self.refusal("--idle-timeout", "0"))

    def test_idle_timeout_without_end_is_refused(self) -> None:
        self.assertIn("bad --idle-timeout 'inf': ", self.refusal("--idle-timeout", "inf"))

    def test_max_connections_of_none_is_refused(self) -> None:
        text = "echo: bad --max-connections '0': expected a whole number of at least 1"
        self.assertEqual(text, self.refusal("--max-connections", "0"))

    def test_datagrams_are_not_echoed_by_default(self) -> None:
        self.assertIsNone(self.parse()["udp"])

    def test_udp_port_is_one_of_the_loopback(self) -> None:
        self.assertEqual(("127.0.0.1", 7), self.parse("--udp=7")["udp"])

    def test_udp_may_name_the_address_of_an_interface(self) -> None:
        self.assertEqual(("::1", 7), self.parse("--udp=[::1]:7")["udp"])

    def test_udp_on_what_is_no_address_is_refused(self) -> None:
        expected = "expected PORT, or HOST:PORT where HOST is an IP address"
        for text in ("localhost:7", "x", "0", "65536", "tcp:7"):
            self.assertEqual(f"echo: bad --udp {text!r}: {expected}", self.refusal(f"--udp={text}"))

    def test_grace_is_in_seconds(self) -> None:
        self.assertEqual((5, 0), (self.parse()["grace"], self.parse("--grace=0")["grace"]))

    def test_grace_before_the_stop_is_refused(self) -> None:
        text = "echo: bad --grace '-1': expected a number of at least 0"
        self.assertEqual(text, self.refusal("--grace=-1"))

    def test_unknown_option_is_refused(self) -> None:
        self.assertEqual("echo: option --color not recognized", self.refusal("--color"))

    def test_argument_is_refused(self) -> None:
        self.assertIn("echo: ", self.refusal("tcp:7"))

    def test_same_endpoint_twice_is_refused(self) -> None:
        self.assertIn("tcp:7", self.refusal("--listen=tcp:7", "--listen=tcp:7"))

    def test_service_is_made_with_a_child_for_each_endpoint(self) -> None:
        service = self.service("--listen=tcp:7", "--listen=tcp:8")
        verifyObject(IService, service)
        self.assertEqual(["tcp:7", "tcp:8"], [each.name for each in service])

    def test_service_is_made_with_its_limits(self) -> None:
        service = self.service("--idle-timeout=2", "--max-connections=3", "--grace=4")
        factory = service.factory
        self.assertEqual((2, 3, 4), (factory.idle_timeout, factory.max_connections, service.grace))

    def test_service_is_made_with_a_child_for_datagrams(self) -> None:
        _, datagrams = self.service("--listen=tcp:7", "--udp=8")
        self.assertEqual(("127.0.0.1", 8), (datagrams.host, datagrams.port))


class PoetryTests(CommandTestCase):
    """``twistd poetry``"""

    command = poetry

    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder(self)
        self.poem = self.folder / "poem.txt"
        self.poem.write_bytes(b"so much depends upon\n")

    def test_default_endpoint_is_on_the_loopback(self) -> None:
        self.assertEqual(
            ["tcp:9000:interface=127.0.0.1"], self.parse(f"--file={self.poem}")["listen"]
        )

    def test_file_is_made_absolute_since_twistd_changes_its_folder(self) -> None:
        options = self.parse("--file", os.path.relpath(self.poem))
        self.assertTrue(options["file"].is_absolute())

    def test_relative_file_is_the_same_file(self) -> None:
        options = self.parse("--file", os.path.relpath(self.poem))
        self.assertTrue(options["file"].samefile(self.poem))

    def test_no_file_is_refused(self) -> None:
        self.assertEqual(
            "poetry: no --file: expected the path of the file to stream", self.refusal()
        )

    def test_missing_file_is_refused(self) -> None:
        path = self.folder / "none.txt"
        self.assertEqual(
            f"poetry: cannot read --file '{path}': No such file or directory",
            self.refusal(f"--file={path}"),
        )

    def test_folder_is_refused(self) -> None:
        self.assertEqual(
            f"poetry: cannot read --file '{self.folder}': expected a regular file",
            self.refusal(f"--file={self.folder}"),
        )

    def test_pipe_is_refused_without_waiting_for_its_writer(self) -> None:
        os.mkfifo(self.folder / "pipe")
        self.assertIn("expected a regular file", self.refusal(f"--file={self.folder}/pipe"))

    def test_file_under_a_file_is_refused(self) -> None:
        self.assertIn("Not a directory", self.refusal(f"--file={self.poem}/more"))

    def test_rate_is_in_bytes_per_second(self) -> None:
        self.assertEqual(9600, self.parse(f"--file={self.poem}", "--rate=9600")["rate"])

    def test_rate_of_nothing_is_refused(self) -> None:
        self.assertIn("poetry: bad --rate '0': ", self.refusal("--file=x", "--rate=0"))

    def test_service_is_made_with_its_limits(self) -> None:
        options = ("--rate=10", "--max-connections=3", "--grace=4")
        service = self.service(f"--file={self.poem}", *options)
        factory = service.factory
        self.assertEqual(
            (self.poem, 10, 3, 4),
            (factory.path, factory.rate, factory.max_connections, service.grace),
        )

    def test_service_is_made_with_a_child_for_each_endpoint(self) -> None:
        service = self.service(f"--file={self.poem}", "--listen=tcp:7")
        verifyObject(IService, service)
        self.assertEqual(["tcp:7"], [each.name for each in service])


class BridgeTests(CommandTestCase):
    """``twistd amqp-bridge``"""

    command = bridge

    def test_no_broker_is_named_by_default(self) -> None:
        self.assertEqual([], self.parse()["broker"])

    def test_environment_names_the_broker(self) -> None:
        self.patch(os, "environ", {"NETDEMO_BROKER": "amqp://mq.example"})
        self.assertEqual(["amqp://mq.example"], self.parse()["broker"])

    def test_broker_takes_the_place_of_the_environment(self) -> None:
        self.patch(os, "environ", {"NETDEMO_BROKER": "amqp://mq.example"})
        self.assertEqual(["amqp://b.example"], self.parse("--broker=amqp://b.example")["broker"])

    def test_broker_can_be_repeated(self) -> None:
        options = self.parse("--broker=amqp://a.example", "--broker=amqps://b.example")
        self.assertEqual(["amqp://a.example", "amqps://b.example"], options["broker"])

    def test_default_routes_go_in_and_out_of_one_queue_on_the_loopback(self) -> None:
        options = self.parse()
        self.assertEqual(
            [(HELLO, f"tcp:{port}:interface=127.0.0.1") for port in (7001, 7002)],
            options["push"] + options["pull"],
        )

    def test_push_alone_brings_no_default_pull(self) -> None:
        options = self.parse("--push=/queue/hello@tcp:7001")
        self.assertEqual(([(HELLO, "tcp:7001")], []), (options["push"], options["pull"]))

    def test_pull_alone_brings_no_default_push(self) -> None:
        options = self.parse("--pull=/queue/hello@tcp:7002")
        self.assertEqual(([], [(HELLO, "tcp:7002")]), (options["push"], options["pull"]))

    def test_routes_can_be_repeated(self) -> None:
        options = self.parse("--push=/queue/hello@tcp:7001", "--push=/queue/hello@tcp:7003")
        self.assertEqual([(HELLO, "tcp:7001"), (HELLO, "tcp:7003")], options["push"])

    def test_malformed_broker_is_named_without_its_login(self) -> None:
        text = self.refusal("--broker=amqp://ann:s3/cr3t@mq.example")
        self.assertIn("amqp-bridge: bad broker URL 'amqp://***@mq.example': ", text)

    def test_malformed_broker_of_the_environment_is_refused(self) -> None:
        self.patch(os, "environ", {"NETDEMO_BROKER": "mq.example"})
        self.assertIn("amqp-bridge: bad broker URL 'mq.example': ", self.refusal())

    def test_malformed_destination_is_named(self) -> None:
        self.assertIn("amqp-bridge: bad destination 'hello': ", self.refusal("--push=hello@tcp:1"))

    def test_malformed_endpoint_is_named(self) -> None:
        self.assertIn("bad endpoint 'tcp:x': ", self.refusal("--pull=/queue/hello@tcp:x"))

    def test_route_without_endpoint_is_refused(self) -> None:
        self.assertIn("bad route '/queue/hello': ", self.refusal("--push=/queue/hello"))

    def test_same_route_twice_is_refused(self) -> None:
        self.assertEqual(
            "amqp-bridge: the same --push /queue/hello@tcp:1 twice",
            self.refusal("--push=/queue/hello@tcp:1", "--push=/queue/hello@tcp:1"),
        )

    def test_record_beyond_what_any_broker_takes_is_refused(self) -> None:
        self.assertIn(
            "bad --max-record '536870913': expected a whole number from 1 to 536870912",
            self.refusal("--max-record=536870913"),
        )

    def test_prefetch_of_nothing_is_refused(self) -> None:
        self.assertIn("amqp-bridge: bad --prefetch '0': ", self.refusal("--prefetch=0"))

    def test_prefetch_beyond_the_protocols_is_refused(self) -> None:
        self.assertEqual(
            "amqp-bridge: bad --prefetch '65536': expected a whole number from 1 to 65535",
            self.refusal("--prefetch=65536"),
        )


class BridgeServiceTests(CommandTestCase):
    """The service of ``twistd amqp-bridge``."""

    command = bridge
    push = "/queue/x@tcp:7001"
    pull = "/queue/x@tcp:7002"

    def service(self, *arguments: str) -> Any:
        """Return the bridge to a broker that is named."""
        return super().service("--broker=amqp://127.0.0.1/", *arguments)

    def route(self, name: str, *arguments: str) -> object:
        """Return the route of the child `name` of the service that is made of `arguments`."""
        return self.service(*arguments).getServiceNamed(name).route

    def test_it_is_a_service(self) -> None:
        self.assertTrue(verifyObject(IService, self.service()))

    def test_client_is_found_by_its_name(self) -> None:
        self.assertEqual("amqp", self.service().getServiceNamed("amqp").name)

    def test_push_route_has_its_defaults(self) -> None:
        self.assertEqual(
            PushRoute(QueueDestination("x"), "tcp:7001", ack=False, max_record=65536),
            self.route(f"push {self.push}", f"--push={self.push}"),
        )

    def test_push_route_has_what_the_options_say(self) -> None:
        self.assertEqual(
            PushRoute(QueueDestination("x"), "tcp:7001", ack=True, max_record=10),
            self.route(f"push {self.push}", f"--push={self.push}", "--ack", "--max-record=10"),
        )

    def test_pull_route_has_its_defaults(self) -> None:
        self.assertEqual(
            PullRoute(QueueDestination("x"), "tcp:7002", prefetch=100),
            self.route(f"pull {self.pull}", f"--pull={self.pull}"),
        )

    def test_pull_route_has_what_the_options_say(self) -> None:
        self.assertEqual(
            PullRoute(QueueDestination("x"), "tcp:7002", prefetch=5),
            self.route(f"pull {self.pull}", f"--pull={self.pull}", "--prefetch=5"),
        )


class Failing(Service):
    """Can't start."""

    def startService(self) -> None:
        raise StartupError("cannot listen on tcp:7")


class CommandTests(SynchronousTestCase):
    """The top service of a command whose child can't start."""

    def setUp(self) -> None:
        self.output = StringIO()
        self.patch(sys, "__stderr__", self.output)
        children = MultiService()
        Failing().setServiceParent(children)
        self.command = command_service("echo", children)

    def test_one_line_is_printed(self) -> None:
        self.assertRaises(SystemExit, self.command.startService)
        self.assertEqual("echo: cannot listen on tcp:7\n", self.output.getvalue())

    def test_second_signal_ends_the_process_at_once(self) -> None:
        actions: list[tuple[int, object]] = []
        self.patch(signal, "signal", lambda *action: actions.append(action))
        self.command.stopService()
        self.assertEqual(
            {(signal.SIGINT, signal.SIG_DFL), (signal.SIGTERM, signal.SIG_DFL)}, set(actions)
        )

    def test_process_ends_with_status_1(self) -> None:
        self.assertEqual(1, self.assertRaises(SystemExit, self.command.startService).code)
