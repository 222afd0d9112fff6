"""EXTERNAL on our broker: over ``mtls:`` a certificate says who a client is, and what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from netdemo.amqp import AMQPClient, Message
from netdemo.broker.server import broker_service
from netdemo.broker.users_file import read_users
from netdemo.errors import ConnectionClosed, PublishError
from tests.certificates import Authority
from tests.folders import temporary_folder
from tests.rabbitmq import free_ports
from tests.tidy import TidyTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

HOST = "localhost"


class ExternalTests(TidyTestCase):
    """A broker that knows ``device``, who may publish to ``amq.topic`` and no more."""

    timeout = 60

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.authority = Authority(self.folder / "ca.pem")
        server = self.authority.issue(self.folder / "server.pem", HOST)
        (self.folder / "users").write_text("device:*:/:^$:^amq\\.topic$:^$\n")
        (self.port,) = free_ports(1)
        service = broker_service(
            [f"mtls:{self.port}:caCerts={self.folder}/ca.pem:privateKey={server}"],
            reactor,
            users=read_users(self.folder / "users", deferToThread),
        )
        service.startService()
        self.addCleanup(service.stopService)

    def client(self, common_name: str) -> AMQPClient:
        """Return a client that shows a certificate of this name."""
        path = self.folder / f"{common_name}.pem"
        self.authority.issue(path, common_name=common_name, client=True)
        query = f"cacertfile={self.folder}/ca.pem&certfile={path}&auth_mechanism=external"
        client = AMQPClient([f"amqps://{HOST}:{self.port}/?{query}"], reactor)
        client.startService()
        self.addCleanup(client.stopService)
        return client

    def failing(self, deferred: Deferred[None], expected: type[Exception]) -> Deferred[Any]:
        """Fire with the exception that `deferred` fails with, which must be the `expected` one."""
        return self.assertFailure(deferred, expected)

    async def test_the_user_of_the_certificate_may_do_what_the_file_says(self) -> None:
        client = self.client("device")
        await client.when_ready(fail_after_failures=1)
        message = Message(b"23 C")
        await client.publish(message, exchange="amq.topic", routing_key="t", mandatory=False)
        await client.stopService()

    async def test_it_may_do_nothing_else(self) -> None:
        client = self.client("device")
        await client.when_ready(fail_after_failures=1)
        publishing = client.publish(Message(b"x"), exchange="amq.direct")
        refused = await self.failing(publishing, PublishError)
        text = "ACCESS_REFUSED - access to exchange 'amq.direct' in vhost '/' refused for user"
        self.assertIn(f"{text} 'device'", str(refused))
        await client.stopService()

    async def test_a_user_that_the_file_does_not_know_is_refused(self) -> None:
        client = self.client("nobody")
        ready = client.when_ready(fail_after_failures=1)
        refused = await self.failing(ready, ConnectionClosed)
        self.assertEqual(
            "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. "
            "For details see the broker logfile. (403)",
            str(refused),
        )
        await client.stopService()
