"""What our protocols ask of the transport under them, and how they end."""

from __future__ import annotations

from twisted.internet.interfaces import IConsumer, IPushProducer, ISSLTransport, ITCPTransport


class IStreamTransport(ITCPTransport, IConsumer, IPushProducer):
    """A stream that can be paused, half-closed and aborted, and told who produces for it."""


def end_writing(transport: IStreamTransport) -> None:
    """Say that nothing more comes, and read on until the peer has seen it.

    Closing with bytes unread would reset the connection, and what was written last be lost with
    it. TLS has no half-close: it is closed, and reads on until the peer closes too.
    """
    transport.resumeProducing()
    if ISSLTransport.providedBy(transport):
        transport.loseConnection()
    else:
        transport.loseWriteConnection()
