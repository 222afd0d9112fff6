"""Echo (RFC 862): whatever a peer sends comes back to it."""

from netdemo.echo.server import EchoFactory, EchoProtocol, echo_service

__all__ = ["EchoFactory", "EchoProtocol", "echo_service"]
