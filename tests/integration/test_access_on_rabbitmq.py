"""Who is let in and to what: a real RabbitMQ and our broker's users, side by side."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import pika
import pytest
from pika import frame, spec
from pika.exceptions import AMQPError, ChannelClosedByBroker
from twisted.internet.defer import maybeDeferred

from netdemo.amqp.message import new_message_id
from netdemo.broker.login import Peer, mechanisms
from netdemo.broker.passwords import hash_password
from netdemo.broker.permissions import EXCHANGE, QUEUE, Permissions
from netdemo.broker.users import User, Users
from netdemo.errors import AccessRefused, ConnectionRefusal, LoginRefused, NotAllowed
from tests.rabbitmq import RabbitMQTestCase

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "pw"
PATTERNS = ("^c", "w", "r$")
SILENCE = 30.0
"""Seconds within which RabbitMQ closes a connection to which it says nothing."""


@pytest.mark.rabbitmq
class AccessTestCase(RabbitMQTestCase):
    """A user with permissions on ``/``, there and with us, and a virtual host without."""

    def setUp(self) -> None:
        super().setUp()
        self.name, self.vhost = new_message_id(), new_message_id()
        self.node.control("add_user", self.name, PASSWORD)
        self.addCleanup(self.node.control, "delete_user", self.name)
        self.node.control("set_permissions", self.name, *PATTERNS)
        self.user = User(
            self.name, {"/": Permissions(*PATTERNS)}, hash_password(PASSWORD.encode(), 1, 1)
        )
        other = User("other", {self.vhost: Permissions()})
        self.users = Users([self.user, other], maybeDeferred)

    def connect(self, password: str = PASSWORD, vhost: str = "/", name: str = "") -> Any:
        """Connect to RabbitMQ, with PLAIN."""
        credentials = pika.PlainCredentials(name or self.name, password)
        return pika.BlockingConnection(
            pika.ConnectionParameters("127.0.0.1", self.node.port, vhost, credentials)
        )


class LoginTests(AccessTestCase):
    """Connections that are refused."""

    def check_same(self, refused: ConnectionRefusal, **login: str) -> None:
        """Check that RabbitMQ refuses `login` in the same words, with the same code."""
        said = str(self.assertRaises(AMQPError, self.connect, **login))
        self.assertIn(f"({refused.reply_code}) {refused.reply_text!r}", said)

    def test_login_is_refused_in_the_same_words(self) -> None:
        for name, password in ((self.name, "x"), (self.name, ""), (new_message_id(), PASSWORD)):
            ours = self.users.login("PLAIN", f"\0{name}\0{password}".encode(), Peer())
            refused: Any = self.failureResultOf(ours, LoginRefused).value
            self.check_same(refused, name=name, password=password)

    def test_virtual_host_is_refused_in_the_same_words(self) -> None:
        self.node.control("add_vhost", self.vhost)
        self.addCleanup(self.node.control, "delete_vhost", self.vhost)
        for vhost in (new_message_id(), self.vhost):
            refused = self.assertRaises(NotAllowed, self.users.enter, self.user, vhost)
            self.check_same(refused, vhost=vhost)

    def test_the_same_mechanisms_are_offered(self) -> None:
        _, start = self.dial()
        self.assertEqual(mechanisms(Peer()).encode(), start.mechanisms)

    def test_malformed_responses_and_unknown_mechanisms_are_refused_without_a_word(self) -> None:
        waiting = []
        for mechanism, response in (
            ("PLAIN", f"{self.name}\0{self.name}\0{PASSWORD}"),
            ("PLAIN", f"\0{self.name}\0{PASSWORD}\0"),
            ("AMQPLAIN", "x"),
            ("plain", f"\0{self.name}\0{PASSWORD}"),
            ("EXTERNAL", ""),
        ):
            ours = self.users.login(mechanism, response.encode(), Peer())
            refused = self.failureResultOf(ours, ConnectionRefusal).value
            self.assertNotIsInstance(refused, LoginRefused)
            connection, _ = self.dial()
            properties = {"capabilities": {"authentication_failure_close": True}}
            start_ok = spec.Connection.StartOk(properties, mechanism, response, "en_US")
            connection.sendall(frame.Method(0, start_ok).marshal())
            waiting.append(connection)
        for connection in waiting:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(b"", connection.recv(4096))

    def dial(self) -> tuple[socket.socket, Any]:
        """Return a connection of which the handshake has begun, and the first method."""
        connection = socket.create_connection(("127.0.0.1", self.node.port), SILENCE)
        self.addCleanup(connection.close)
        connection.sendall(b"AMQP\0\0\x09\x01")
        received: Any = None
        data = b""
        while received is None:
            data += connection.recv(4096)
            _, received = frame.decode_frame(data)
        return connection, received.method


class PermissionTests(AccessTestCase):
    """Names that match a pattern, or not."""

    names = ("wq", "xq", "qr", "we", "xe", "er")
    """Queues have a q, exchanges an e; the patterns to write and read match w and r."""

    def setUp(self) -> None:
        super().setUp()
        everyone = pika.BlockingConnection(pika.URLParameters(self.node.url))
        self.addCleanup(everyone.close)
        channel = everyone.channel()
        for name in self.names:
            if "q" in name:
                channel.queue_declare(name)
                self.addCleanup(channel.queue_delete, name)
            else:
                channel.exchange_declare(name)
                self.addCleanup(channel.exchange_delete, name)
        self.connection = self.connect()
        self.addCleanup(self.connection.close)
        self.access = self.users.enter(self.user, "/")

    def answer(self, method: str, *arguments: Any, **options: Any) -> tuple[int, str]:
        """Return RabbitMQ's code and words for what is asked; 0 when it agrees."""
        channel = self.connection.channel()
        channel.confirm_delivery()
        try:
            getattr(channel, method)(*arguments, **options)
        except ChannelClosedByBroker as refused:
            return refused.reply_code, refused.reply_text
        channel.close()
        return 0, ""

    def ours(self, *checks: tuple[Callable[[str, str], None], str, str]) -> tuple[int, str]:
        """Return code and words of the first of our checks that refuses."""
        for check, kind, name in checks:
            try:
                check(kind, name)
            except AccessRefused as refused:
                return refused.reply_code, refused.reply_text
        return 0, ""

    def test_configure_is_for_what_is_declared_or_deleted(self) -> None:
        for name in ("cx", "xc"):
            for method in ("declare", "delete"):
                for kind in (QUEUE, EXCHANGE):
                    ours = self.ours((self.access.check_configure, kind, name))
                    self.assertEqual(ours, self.answer(f"{kind}_{method}", name))

    def test_write_is_for_what_is_published_to(self) -> None:
        for name in ("we", "xe", ""):
            ours = self.ours((self.access.check_write, EXCHANGE, name))
            self.assertEqual(ours, self.answer("basic_publish", name, "nowhere", b""))

    def test_read_is_for_what_is_got_or_purged(self) -> None:
        for name in ("qr", "xq"):
            ours = self.ours((self.access.check_read, QUEUE, name))
            for method in ("basic_get", "queue_purge"):
                self.assertEqual(ours, self.answer(method, name))

    def test_bindings_need_write_and_read(self) -> None:
        for source in ("er", "xe"):
            for kind, name in ((QUEUE, "wq"), (QUEUE, "xq"), (EXCHANGE, "we"), (EXCHANGE, "er")):
                ours = self.ours(
                    (self.access.check_write, kind, name),
                    (self.access.check_read, EXCHANGE, source),
                )
                self.assertEqual(ours, self.answer(f"{kind}_bind", name, source, routing_key="k"))
