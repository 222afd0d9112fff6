"""Echo (RFC 862): whatever a peer sends comes back to it."""

from netdemo.echo.client import EchoClient, echo, echo_client
from netdemo.echo.server import EchoFactory, EchoProtocol, echo_service

__all__ = ["EchoClient", "EchoFactory", "EchoProtocol", "echo", "echo_client", "echo_service"]
