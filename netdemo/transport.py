"""What our protocols ask of the transport under them."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport


class IStreamTransport(ITCPTransport, IConsumer, IPushProducer):
    """A stream that can be paused, half-closed and aborted, and told who produces for it."""
