"""`netdemo.amqp` on a real RabbitMQ over TLS: whom it trusts, and who it is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from twisted.internet import reactor
from twisted.internet.threads import deferToThread

from netdemo.amqp import AMQPClient, Message, Queue, Topology
from netdemo.amqp.message import new_message_id
from netdemo.errors import ConnectionClosed
from tests.certificates import Authority
from tests.folders import temporary_folder
from tests.tls_rabbitmq import HOST, TLSRabbitMQTestCase

if TYPE_CHECKING:
    from pathlib import Path

USER = "ann"
"""Who may log in without a password, by a certificate of this common name."""


@pytest.mark.rabbitmq
class TLSOnRabbitMQTestCase(TLSRabbitMQTestCase):
    """Certificates of clients, and what becomes of clients."""

    def setUp(self) -> None:
        super().setUp()
        self.folder = temporary_folder(self)
        self.trusted = self.node.authority.path

    def certificate(self, user: str = USER, authority: Authority | None = None) -> Path:
        """Return a client's certificate, with its key."""
        authority = authority or self.node.authority
        return authority.issue(self.folder / "client.pem", common_name=user, client=True)

    def url(self, query: str, host: str = HOST) -> str:
        """Return the URL of the node with the parameters of `query`."""
        return f"amqps://guest:guest@{host}:{self.node.tls_port}/?{query}"

    def client(self, url: str) -> AMQPClient:
        """Return a client that is started."""
        client = AMQPClient([url], reactor)
        client.startService()
        self.addCleanup(client.stopService)
        return client

    async def refusal(self, query: str, host: str = HOST) -> str:
        """Return why a client can't connect."""
        client = self.client(self.url(query, host))
        await self.assertFailure(client.when_ready(fail_after_failures=1), ConnectionClosed)
        return str(client.status.reason)


class TrustTests(TLSOnRabbitMQTestCase):
    """The node is trusted if its certificate is in order, and the client if its own is."""

    async def test_own_authority_is_trusted(self) -> None:
        for query in (
            f"cacertfile={self.trusted}&certfile={self.certificate()}",
            f"ssl_options={{'cafile': '{self.trusted}', 'certfile': '{self.certificate()}'}}",
        ):
            client = self.client(self.url(query))
            await client.when_ready(fail_after_failures=1)
            queue = new_message_id()
            await client.declare(Topology(queues=(Queue(queue, auto_delete=True),)))
            await client.publish(Message(bytes(300_000)), "", queue)

    async def test_unknown_authority_is_not(self) -> None:
        other = Authority(self.folder / "other.pem", "Another")
        for query in (f"cacertfile={other.path}", ""):
            self.assertEqual(
                "the certificate's issuer is not trusted",
                await self.refusal(f"{query}&certfile={self.certificate()}".removeprefix("&")),
            )

    async def test_certificate_for_another_host_is_refused(self) -> None:
        query = f"cacertfile={self.trusted}&certfile={self.certificate()}"
        self.assertEqual(
            "the certificate is not for 127.0.0.1", await self.refusal(query, "127.0.0.1")
        )

    async def test_certificate_for_a_host_that_is_named_is_taken(self) -> None:
        query = f"cacertfile={self.trusted}&certfile={self.certificate()}"
        client = self.client(self.url(f"{query}&server_name_indication={HOST}", "127.0.0.1"))
        await client.when_ready(fail_after_failures=1)

    async def test_certificate_that_names_no_host_or_has_expired_is_refused(self) -> None:
        query = f"cacertfile={self.trusted}&certfile={self.certificate()}"
        self.addCleanup(self.node.show, HOST)
        await deferToThread(self.node.show, common_name=HOST)
        self.assertEqual("the certificate names no host", await self.refusal(query))
        await deferToThread(self.node.show, HOST, expires=timedelta(seconds=-1))
        self.assertEqual("the certificate has expired", await self.refusal(query))

    async def test_client_without_a_certificate_is_told_that_one_is_required(self) -> None:
        self.assertEqual(
            "TLS: the other side says: certificate required",
            await self.refusal(f"cacertfile={self.trusted}"),
        )

    async def test_client_of_another_authority_is_told_so(self) -> None:
        other = Authority(self.folder / "other.pem", "Another")
        query = f"cacertfile={self.trusted}&certfile={self.certificate(authority=other)}"
        self.assertEqual("TLS: the other side says: unknown ca", await self.refusal(query))

    async def test_port_without_tls_is_said_so(self) -> None:
        client = self.client(f"amqps://{HOST}:{self.node.port}/?cacertfile={self.trusted}")
        await self.assertFailure(client.when_ready(fail_after_failures=1), ConnectionClosed)
        self.assertEqual("TLS: the other side does not speak it", str(client.status.reason))


class LoginTests(TLSOnRabbitMQTestCase):
    """EXTERNAL: the certificate says who it is."""

    async def test_user_is_the_one_of_the_certificate(self) -> None:
        await deferToThread(self.node.control, "add_user", USER, "password")
        self.addCleanup(self.node.control, "delete_user", USER)
        await deferToThread(self.node.control, "set_permissions", USER, ".*", ".*", ".*")
        files = f"cacertfile={self.trusted}&certfile={self.certificate()}"
        client = self.client(self.url(f"{files}&auth_mechanism=external"))
        await client.when_ready(fail_after_failures=1)
        users = await deferToThread(
            self.node.control, "list_connections", "user", "auth_mechanism", "--no-table-headers"
        )
        self.assertEqual([[USER, "EXTERNAL"]], [line.split() for line in users.splitlines()])
        await client.stopService()

    async def test_unknown_user_is_refused_in_the_brokers_words(self) -> None:
        files = f"cacertfile={self.trusted}&certfile={self.certificate('nobody')}"
        self.assertEqual(
            "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. "
            "For details see the broker logfile. (403)",
            await self.refusal(f"{files}&auth_mechanism=external"),
        )
