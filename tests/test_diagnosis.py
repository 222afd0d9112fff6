"""`netdemo.cli.diagnosis`: each step that fails, on the broker in memory."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail, maybeDeferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol

from netdemo.amqp.broker_url import BrokerURL
from netdemo.broker.passwords import hash_password
from netdemo.broker.permissions import Permissions
from netdemo.broker.users import User, Users
from netdemo.cli.diagnosis import HTTP_TIMEOUT, STEP_TIMEOUT, Diagnosis, Finding
from netdemo.cli.http_question import REQUEST
from netdemo.errors import StepFailed
from netdemo.testing import MemoryBroker, MemoryNetwork
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from netdemo.cli.diagnosis import LookUp

PASSWORD = "s3cret"
ALL_STEPS = [
    *("name", "tcp", "protocol", "login", "vhost"),
    *("declare", "publish", "consume", "round trip"),
]


def found(*_: object) -> Deferred[list[str]]:
    """Find the address of every host."""
    return succeed(["192.0.2.1"])


def users(configure: str = ".*", write: str = ".*", read: str = ".*") -> Users:
    """Return one user, ann, with permissions on ``/``, and a virtual host that is not hers."""
    permissions = {"/": Permissions(configure, write, read)}
    password = hash_password(PASSWORD.encode(), 1, 1)
    return Users(
        [User("ann", permissions, password), User("bob", {"other": Permissions()})], maybeDeferred
    )


class Answering(Protocol):
    """A server that answers what has begun with `asked`, or all, with `answer`."""

    transport: Any
    asked = b""
    answer = b""

    def dataReceived(self, data: bytes) -> None:
        if self.answer and data.startswith(self.asked):
            self.transport.write(self.answer)


class DiagnosisTestCase(TidyTestCase):
    """A diagnosis of a broker in memory."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.findings: dict[str, Finding] = {}
        self.broker = MemoryBroker(self.network, users=users())
        self.addCleanup(self.network.advance)
        self.addCleanup(self.broker.stop)

    def use(self, broker: MemoryBroker) -> None:
        """Take another broker."""
        self.broker = broker
        self.addCleanup(broker.stop)

    def begin(self, url: str = "", look_up: LookUp = found) -> Deferred[None]:
        """Begin a diagnosis."""
        diagnosis = Diagnosis(
            BrokerURL.parse(url or self.broker.url("ann", PASSWORD)),
            self.network.clock,
            self.findings.__setitem__,
            endpoint=self.network.endpoint,
            look_up=look_up,
        )
        done = Deferred.fromCoroutine(diagnosis.run())
        self.network.advance()
        return done

    def failure(self, running: Deferred[None]) -> StepFailed:
        """Return why a diagnosis has failed, with no step reported as held from there on."""
        failed: StepFailed = self.failureResultOf(running, StepFailed).value
        self.assertNotIn(failed.step, self.findings)
        self.assertNotIn(PASSWORD, f"{failed} {failed.advice} {self.findings}")
        return failed

    def serve(self, **answering: bytes) -> str:
        """Return the URL of a server that is no broker."""
        host = f"host{len(self.network.ports)}"
        server = type("Server", (Answering,), answering)
        self.network.listen(host).factory = Factory.forProtocol(server)
        return f"amqp://ann:{PASSWORD}@{host}/"


class HoldingTests(DiagnosisTestCase):
    """Nothing is wrong."""

    def test_each_step_is_reported_in_order(self) -> None:
        self.successResultOf(self.begin())
        self.assertEqual(ALL_STEPS, list(self.findings))
        self.assertEqual([None] * len(ALL_STEPS), [each.advice for each in self.findings.values()])

    def test_findings_name_what_was_found(self) -> None:
        self.successResultOf(self.begin())
        for step, text in (
            ("name", "memory is 192.0.2.1"),
            ("tcp", "connected to 127.0.0.1:5672 in 0.0 ms"),
            ("protocol", "AMQP 0-9-1, netdemo "),
            ("login", "ann was let in"),
            ("vhost", "'/' is open"),
            ("round trip", "0.0 ms from publish to delivery"),
        ):
            self.assertIn(text, self.findings[step].text)

    def test_nothing_is_left_on_the_broker(self) -> None:
        self.successResultOf(self.begin())
        self.assertEqual([], list(self.broker.broker.connections))
        self.assertEqual({}, self.broker.broker.vhost("/").queues)


class ReachingTests(DiagnosisTestCase):
    """The broker can't be reached."""

    def test_unknown_name_fails_with_the_systems_reason(self) -> None:
        error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        failed = self.failure(self.begin(look_up=lambda *_: fail(error)))
        self.assertEqual(("name", "memory: Name or service not known"), self.told(failed))
        self.assertIn("getent hosts memory", failed.advice)

    def test_name_servers_that_are_away_are_told_from_an_unknown_name(self) -> None:
        error = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        failed = self.failure(self.begin(look_up=lambda *_: fail(error)))
        self.assertIn("/etc/resolv.conf", failed.advice)

    def test_name_that_is_not_found_in_time_fails(self) -> None:
        running = self.begin(look_up=lambda *_: Deferred())
        self.network.advance(STEP_TIMEOUT)
        failed = self.failure(running)
        self.assertEqual(("name", "not done within 10 s"), self.told(failed))

    def test_refused_connection_fails(self) -> None:
        self.broker.refuse_connections()
        failed = self.failure(self.begin())
        self.assertEqual(
            ("tcp", "memory:5672: Connection was refused by other side"), self.told(failed)
        )
        self.assertIn("nothing listens on memory:5672", failed.advice)

    def test_host_that_does_not_answer_fails_in_time(self) -> None:
        self.broker.stall()
        running = self.begin()
        self.network.advance(STEP_TIMEOUT)
        failed = self.failure(running)
        self.assertEqual(("tcp", "not done within 10 s"), self.told(failed))
        self.assertIn("firewall", failed.advice)

    def test_network_without_a_way_there_fails(self) -> None:
        unreachable = ConnectError(errno.ENETUNREACH)
        self.patch(self.network, "endpoint", lambda *_: Unreachable(unreachable))
        failed = self.failure(self.begin())
        self.assertEqual(("tcp", "memory:5672: Network is unreachable"), self.told(failed))
        self.assertIn("a way through the network", failed.advice)

    def told(self, failed: StepFailed) -> tuple[str, str]:
        """Return which step has failed and why."""
        return failed.step, str(failed)


class Unreachable:
    """An endpoint that fails."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def connect(self, _: object) -> Deferred[Any]:
        """Fail."""
        return fail(self._error)


class ProtocolTests(DiagnosisTestCase):
    """What listens is no broker, or closes."""

    def recognised(self, url: str) -> StepFailed:
        """Return what is said of a server at once, in the step in which it must fail."""
        failed = self.failure(self.begin(url))
        self.assertEqual("protocol", failed.step)
        return failed

    def test_http_server_is_recognised(self) -> None:
        failed = self.recognised(self.serve(answer=b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        self.assertEqual("it speaks HTTP, not AMQP", str(failed))
        self.assertIn("15672", failed.advice)

    def test_http_server_that_waits_for_a_request_is_recognised(self) -> None:
        url = self.serve(asked=REQUEST, answer=b"HTTP/1.1 200 OK\r\n\r\n")
        running = self.begin(url)
        self.network.advance(STEP_TIMEOUT)
        self.assertEqual("it speaks HTTP, not AMQP", str(self.failure(running)))

    def test_tls_is_recognised(self) -> None:
        failed = self.recognised(self.serve(answer=b"\x15\x03\x01\x00\x02\x02\x0a"))
        self.assertIn("it speaks TLS", str(failed))
        self.assertIn("amqps://", failed.advice)

    def test_amqp_1_0_is_recognised(self) -> None:
        failed = self.recognised(self.serve(answer=b"AMQP\x00\x01\x00\x00"))
        self.assertEqual("it speaks AMQP 1-0-0, not 0-9-1", str(failed))

    def test_anything_else_is_shown(self) -> None:
        failed = self.recognised(self.serve(answer=b"SSH-2.0-OpenSSH_9.2\r\n"))
        self.assertIn("b'SSH-2.0-OpenSSH_9.2'", str(failed))

    def test_silence_fails_in_time(self) -> None:
        running = self.begin(self.serve())
        self.network.advance(STEP_TIMEOUT)
        self.assertNoResult(running)
        self.network.advance(HTTP_TIMEOUT)
        failed = self.failure(running)
        self.assertEqual(("protocol", "not done within 10 s"), (failed.step, str(failed)))
        self.assertIn("says nothing", failed.advice)

    def test_broker_that_closes_at_once_fails(self) -> None:
        url = self.serve()
        port = self.network.ports["host1"]
        factory = port.factory
        assert factory is not None
        build = factory.buildProtocol

        def closing(address: Any) -> Any:
            protocol: Any = build(address)
            protocol.connectionMade = lambda: protocol.transport.loseConnection()
            return protocol

        self.patch(factory, "buildProtocol", closing)
        failed = self.recognised(url)
        self.assertEqual("the broker closed the connection without a word", str(failed))
        self.assertIn("closes too", failed.advice)


class AccessTests(DiagnosisTestCase):
    """The user may not do it."""

    def test_wrong_password_fails_in_the_brokers_words(self) -> None:
        failed = self.failure(self.begin(self.broker.url("ann", "wrong")))
        self.assertEqual("login", failed.step)
        self.assertIn(
            "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN", str(failed)
        )
        self.assertIn("netdemo passwd ann", failed.advice)

    def test_guest_is_told_that_he_is_for_the_brokers_machine_alone(self) -> None:
        failed = self.failure(self.begin(self.broker.url("guest", PASSWORD)))
        self.assertIn("guest is let in from the broker's own machine alone", failed.advice)

    def test_missing_virtual_host_fails(self) -> None:
        failed = self.failure(self.begin(self.broker.url("ann", PASSWORD, "none")))
        self.assertEqual("vhost", failed.step)
        self.assertIn("NOT_ALLOWED - vhost none not found", str(failed))

    def test_virtual_host_without_access_fails(self) -> None:
        failed = self.failure(self.begin(self.broker.url("ann", PASSWORD, "other")))
        self.assertEqual("vhost", failed.step)
        self.assertIn("NOT_ALLOWED - access to vhost 'other' refused for user 'ann'", str(failed))
        self.assertIn("netdemo passwd ann --vhost other", failed.advice)

    def test_each_missing_permission_is_named_with_what_it_is_for(self) -> None:
        for step, patterns, expected in (
            (
                "declare",
                ("^$", ".*", ".*"),
                "the permission to configure queue 'netdemo-",
            ),
            (
                "publish",
                (".*", "^$", ".*"),
                "the permission to write to exchange 'amq.def",
            ),
            ("consume", (".*", ".*", "^$"), "the permission to read queue 'netdemo-"),
        ):
            self.use(MemoryBroker(self.network, step, users=users(*patterns)))
            failed = self.failure(self.begin())
            self.assertEqual(step, failed.step)
            self.assertIn("ACCESS_REFUSED - access to ", str(failed))
            self.assertIn(expected, failed.advice)
            self.findings.clear()


class FaultTests(DiagnosisTestCase):
    """The broker does not do what it is to."""

    def test_alarm_fails_with_its_reason(self) -> None:
        self.broker.block("low on disk")
        failed = self.failure(self.begin())
        self.assertEqual(("publish", "low on disk"), (failed.step, str(failed)))
        self.assertIn("an alarm stops all who publish", failed.advice)

    def test_message_that_is_refused_fails(self) -> None:
        self.broker.nack_next_publish()
        failed = self.failure(self.begin())
        self.assertEqual(("publish", "the broker refused the message"), (failed.step, str(failed)))

    def test_connection_that_is_lost_meanwhile_fails(self) -> None:
        self.broker.drop_before_next_confirm()
        failed = self.failure(self.begin())
        self.assertEqual("publish", failed.step)

    def test_broker_that_answers_no_more_fails_in_time(self) -> None:
        running = self.stalled_before("vhost")
        self.network.advance(STEP_TIMEOUT)
        self.network.advance(STEP_TIMEOUT)
        failed = self.failure(running)
        self.assertEqual(("vhost", "not done within 10 s"), (failed.step, str(failed)))

    def test_cancelled_it_leaves_nothing(self) -> None:
        running = self.stalled_before("vhost")
        running.cancel()
        self.network.advance()
        self.failureResultOf(running, CancelledError)
        self.broker.resume()
        self.network.advance()
        self.assertEqual([], list(self.broker.broker.connections))
        self.assertEqual([], self.network.clock.getDelayedCalls())

    def stalled_before(self, step: str) -> Deferred[None]:
        """Begin a diagnosis of a broker that says nothing in answer to `step`."""
        before = ALL_STEPS[ALL_STEPS.index(step) - 1]

        class Stalling(dict[str, Finding]):
            def __setitem__(stalling, name: str, finding: Finding) -> None:  # noqa: N805
                super().__setitem__(name, finding)
                if name == before:
                    self.broker.stall()

        self.findings = Stalling()
        return self.begin()
