"""A real RabbitMQ node that speaks TLS, to clients that show a certificate."""

from __future__ import annotations

import atexit
import socket
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tests.certificates import DAY, Authority
from tests.rabbitmq import RabbitMQNode, RabbitMQTestCase, free_ports

if TYPE_CHECKING:
    from typing import Any

HOST = "localhost"
"""Whom the node's certificate is for, unless a test issues another."""


class TLSNode(RabbitMQNode):
    """A node of which the port `tls_port` demands certificates that its `authority` has signed.

    With the mechanism EXTERNAL the common name of a client's certificate is the user.
    """

    plugins = "rabbitmq_auth_mechanism_ssl"

    def __init__(self) -> None:
        super().__init__()
        (self.tls_port,) = free_ports(1)
        self.authority = Authority(self.folder / "ca.pem", expires=365 * DAY)
        self._certificate = self.folder / "server.pem"
        (self.folder / "rabbitmq.conf").write_text(
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.cacertfile = {self.authority.path}\n"
            f"ssl_options.certfile = {self._certificate}\n"
            f"ssl_options.keyfile = {self._certificate}\n"
            "ssl_options.verify = verify_peer\n"
            "ssl_options.fail_if_no_peer_cert = true\n"
            "ssl_cert_login_from = common_name\n"
            "auth_mechanisms.1 = EXTERNAL\n"
            "auth_mechanisms.2 = PLAIN\n"
        )
        self.authority.issue(self._certificate, HOST)

    def show(self, *names: str, **options: Any) -> None:
        """Have the node show another certificate, for other hosts."""
        self.authority.issue(self._certificate, *names, **options)
        self.control("eval", "ssl:clear_pem_cache().")

    def _accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.tls_port), 1):
            return super()._accepts()
        return False


@cache
def the_tls_node() -> TLSNode:
    """Return the node of this test run, running."""
    node = TLSNode()
    atexit.register(node.remove)
    node.start()
    return node


@pytest.mark.rabbitmq
class TLSRabbitMQTestCase(RabbitMQTestCase):
    """A test that needs a RabbitMQ which speaks TLS; `node` is running when it begins."""

    node: TLSNode
    the_node = staticmethod(the_tls_node)
