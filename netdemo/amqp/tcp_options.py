"""Options of TCP in a broker's URL, such as ``tcp_options={'TCP_KEEPIDLE': 60}``."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pika.tcp_socket_opts import set_sock_opts
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from netdemo.errors import BrokerURLError

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IProtocol, IProtocolFactory

NAMES: Final = ("TCP_KEEPCNT", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_USER_TIMEOUT")


def check_tcp_options(options: Any) -> None:
    """Have the system take ``options`` for a socket that is then closed.

    :raises BrokerURLError: saying what was expected.
    """
    if not isinstance(options, dict) or not set(options) <= set(NAMES):
        raise BrokerURLError(f"tcp_options: expected a dictionary with some of {', '.join(NAMES)}")
    for name, value in options.items():
        try:
            with socket.socket() as probe:
                set_sock_opts({name: value}, probe)
        except (OSError, OverflowError, TypeError):
            raise BrokerURLError(f"tcp_options: the system takes no {name} of {value!r}") from None


@implementer(IStreamClientEndpoint)
class TCPOptionsEndpoint:
    """Sets options of TCP on each connection that another endpoint makes."""

    def __init__(self, endpoint: IStreamClientEndpoint, options: dict[str, int]) -> None:
        self._endpoint = endpoint
        self._options = options

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:  # noqa: N803
        """Connect; the options are set when the protocol is connected."""
        return self._endpoint.connect(protocolFactory).addCallback(self._set)

    def _set(self, protocol: Any) -> Any:
        with suppress(OSError):  # it is closed already
            set_sock_opts(self._options, protocol.transport.getHandle())
        return protocol
