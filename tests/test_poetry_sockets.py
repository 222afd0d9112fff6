"""The poetry server on real sockets of the loopback."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import clientFromString, connectProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Cooperator
from twisted.logger import capturedLogs

from netdemo.poetry.server import PoetryFactory, poetry_service
from tests.sockets import TLS, UNIX, SocketTestCase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.python.failure import Failure

MIB = 1024 * 1024
LARGE = bytes(range(256)) * 16 * 1024 + b"end"


class Download(Protocol):
    """Downloads a poem; `received` fires with all that came when the server has closed.

    It half-closes at once, unless it is `talkative`: then it says something whenever something
    comes.
    """

    transport: Any

    def __init__(self, talkative: bool = False) -> None:
        self.first: Deferred[None] = Deferred()
        self.received: Deferred[bytes] = Deferred()
        self._talkative = talkative
        self._parts: list[bytes] = []

    def connectionMade(self) -> None:
        if not self._talkative:
            self.transport.loseWriteConnection()

    def dataReceived(self, data: bytes) -> None:
        self._parts.append(data)
        if self._talkative:
            self.transport.write(b"lovely\n" * 1000)
        if len(self._parts) == 1:
            self.first.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if reason.check(ConnectionDone):
            self.received.callback(b"".join(self._parts))
        else:
            self.received.errback(reason)


class PoetryTestCase(SocketTestCase):
    """A test with a server of a large poem."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        self.path = self.folder / "poem.txt"
        self.path.write_bytes(LARGE)
        self.factory: Any = PoetryFactory(self.path, self.reactor)
        self.endpoint = await self.serve(self.factory)

    async def download(self, **how: bool) -> Download:
        """Return a connection to the server."""
        download = Download(**how)
        await connectProtocol(self.endpoint, download)
        return download

    def kernel_copies(self) -> list[int]:
        """Return a list which gets the number of bytes of each copy that the kernel makes."""
        copies: list[int] = []
        sendfile = os.sendfile

        def watched(*arguments: int) -> int:
            copies.append(sendfile(*arguments))
            return copies[-1]

        self.patch(os, "sendfile", watched)
        return copies


class TCPTests(PoetryTestCase):
    """TCP."""

    async def test_half_closed_download_is_byte_identical(self) -> None:
        download = await self.download()
        self.assertTrue(await download.received == LARGE)

    async def test_download_of_a_peer_that_talks_is_byte_identical(self) -> None:
        download = await self.download(talkative=True)
        self.assertTrue(await download.received == LARGE)

    async def test_small_poem_is_byte_identical(self) -> None:
        self.path.write_bytes(b"so much depends upon\n")
        download = await self.download(talkative=True)
        self.assertEqual(await download.received, b"so much depends upon\n")

    async def test_kernel_copies_it(self) -> None:
        copies = self.kernel_copies()
        download = await self.download()
        await download.received
        self.assertEqual(sum(copies), len(LARGE))

    async def test_many_at_once_are_byte_identical(self) -> None:
        downloads = [await self.download(talkative=bool(each % 2)) for each in range(8)]
        poems = await gatherResults([each.received for each in downloads])
        self.assertEqual([True] * 8, [poem == LARGE for poem in poems])


class UnixTests(PoetryTestCase):
    """A unix socket."""

    server = UNIX

    async def test_kernel_copies_it_byte_identical(self) -> None:
        copies = self.kernel_copies()
        download = await self.download()
        self.assertTrue(await download.received == LARGE)
        self.assertEqual(sum(copies), len(LARGE))


class TLSTests(PoetryTestCase):
    """TLS."""

    server = TLS

    async def test_it_is_sent_in_pieces_byte_identical(self) -> None:
        copies = self.kernel_copies()
        download = await self.download(talkative=True)
        self.assertTrue(await download.received == LARGE)
        self.assertEqual(copies, [])

    async def test_empty_poem_ends_cleanly_too(self) -> None:
        self.path.write_bytes(b"")
        download = await self.download(talkative=True)
        self.assertEqual(await download.received, b"")

    async def test_poem_at_a_rate_is_byte_identical(self) -> None:
        self.path.write_bytes(LARGE[:1000])
        self.factory.rate = 5000
        download = await self.download(talkative=True)
        self.assertEqual(await download.received, LARGE[:1000])

    async def test_poem_that_becomes_shorter_ends_with_a_reset(self) -> None:
        os.truncate(self.path, 64 * MIB)
        download = await self.download(talkative=True)
        await download.first
        with capturedLogs() as logged:
            os.truncate(self.path, 0)
            await self.assertFailure(download.received, ConnectionLost)
        self.assertEqual(1, len([event for event in logged if "shorter" in event["reason"]]))


class FaultTests(PoetryTestCase):
    """Files and peers that do not stay."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        os.truncate(self.path, 64 * MIB)  # more than the sockets' buffers hold

    async def test_poem_that_becomes_shorter_ends_with_a_reset(self) -> None:
        download = await self.download()
        await download.first
        with capturedLogs() as logged:
            os.truncate(self.path, 0)
            await self.assertFailure(download.received, ConnectionLost)
        (event,) = (event for event in logged if "reason" in event)
        self.assertIn("it became shorter than its 67108864 bytes at ", event["reason"])

    async def test_file_that_is_replaced_is_sent_as_it_was(self) -> None:
        download = await self.download()
        await download.first
        other = self.folder / "other"
        other.write_bytes(b"a red wheel\nbarrow\n")
        other.replace(self.path)
        later = await self.download()
        self.assertEqual(await later.received, b"a red wheel\nbarrow\n")
        self.assertEqual(len(await download.received), 64 * MIB)

    async def test_stop_aborts_a_peer_that_does_not_read(self) -> None:
        service: Any = poetry_service(
            self.path, [f"unix:{self.folder}/socket"], self.reactor, grace=0
        )
        service.startService()
        endpoint = clientFromString(self.reactor, f"unix:{self.folder}/socket")
        download = await connectProtocol(endpoint, Download())
        await download.first
        download.transport.pauseProducing()
        await service.stopService()
        self.assertEqual(set(), service.factory.connections)
        download.transport.resumeProducing()
        self.assertLess(len(await download.received), 64 * MIB)

    async def test_10000_aborted_downloads_leave_no_descriptor_open(self) -> None:
        await self.aborted_download()  # what the reactor itself opens once
        await self.factory.when_empty()
        descriptors = len(os.listdir("/proc/self/fd"))
        aborting = Cooperator(scheduler=lambda call: self.reactor.callLater(0, call))
        work = self.aborted_downloads(10_000)
        with capturedLogs() as logged:
            await gatherResults([aborting.coiterate(work) for _ in range(20)])
            await self.factory.when_empty()
        self.assertEqual([], [event for event in logged if "reason" in event])
        self.assertEqual(descriptors, len(os.listdir("/proc/self/fd")))

    def aborted_downloads(self, count: int) -> Iterator[Deferred[None]]:
        """Return so many downloads, each of which is aborted when it has begun."""
        return (Deferred.fromCoroutine(self.aborted_download()) for _ in range(count))

    async def aborted_download(self) -> None:
        """Download the beginning."""
        download = await self.download()
        await download.first
        download.transport.abortConnection()
        await download.received.addErrback(lambda _: None)
