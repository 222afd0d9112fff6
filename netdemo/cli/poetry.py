"""``netdemo poetry``"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack, closing, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from twisted.internet.defer import CancelledError, Deferred
from twisted.python import usage

from netdemo.cli.options import Options
from netdemo.cli.output import FileWriter, NamedFileWriter
from netdemo.cli.stdio import StandardOutput, check_standard_output
from netdemo.coercion import positive_number
from netdemo.connecting import client_endpoint, connection_reason
from netdemo.errors import NetdemoError
from netdemo.poetry.client import download

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twisted.internet.interfaces import IStreamClientEndpoint

    from netdemo.cli.progress import Bars

SPOOLED: Final = 1024 * 1024
"""Bytes of each poem that wait in memory for their turn on standard output; more wait on disk."""

SAFE_IN_NAMES: Final = " :[]=,"
"""What may stand in the name of a file as it does in an address, besides letters and digits."""


class PoetryOptions(Options):
    """Options of ``netdemo poetry``."""

    synopsis = "ADDRESS... [--output DIR] [--timeout S]"
    longdesc = (
        "Downloads from several servers at once and prints what they send, in the order of the "
        "addresses: PORT, HOST:PORT, [IPv6]:PORT or a Twisted client endpoint. A server that "
        "fails is reported and makes the exit status 1; the others' poems arrive all the same. "
        "Example: netdemo poetry 9000 poems.example:9000 unix:/run/poetry.sock --timeout 30"
    )
    optParameters: list[list[Any]] = [
        [
            "output",
            None,
            None,
            "Write each poem to a file in this directory, named as its address, when it is "
            "complete; create the directory if it is missing",
        ],
        [
            "timeout",
            None,
            None,
            "Seconds that each download may take, from connecting to the end [default: no limit]",
            positive_number("--timeout"),
        ],
    ]
    compData = usage.Completions(optActions={"output": usage.CompleteDirs()})

    compData = usage.Completions(optActions={"output": usage.CompleteDirs()})

    def parseArgs(self, *addresses: str) -> None:
        if not addresses:
            raise usage.UsageError("no ADDRESS: expected that of a server, 127.0.0.1:9000 perhaps")
        self["addresses"] = addresses

    def postOptions(self) -> None:
        if self["output"] is not None and len(set(self["addresses"])) < len(self["addresses"]):
            raise usage.UsageError(
                "the same ADDRESS twice: expected it once, since it names a file of --output"
            )

    async def run(self, reactor: Any) -> None:
        """Download what the options say."""
        # Rich takes its time to be imported, which other commands need not spend.
        from netdemo.cli.progress import Bars

        if self["output"] is None:
            check_standard_output()
        endpoints = [client_endpoint(address, reactor) for address in self["addresses"]]
        output = StandardOutput(reactor) if self["output"] is None else None
        complete = True
        with ExitStack() as stack:
            poems = [stack.enter_context(closing(poem)) for poem in self._poems()]
            bars = stack.enter_context(Bars(sys.stderr, reactor))
            downloads = [
                Deferred.fromCoroutine(self._download(*source, bars, reactor))
                for source in zip(self["addresses"], endpoints, poems, strict=True)
            ]
            stack.callback(_cancel, downloads)
            if output is not None:
                stack.callback(output.close)
            for poem, downloading in zip(poems, downloads, strict=True):
                if not await downloading:
                    complete = False
                elif output is not None:
                    await _print(poem, bars, output)
                poem.close()
        if not complete:
            raise SystemExit(1)

    def _poems(self) -> Iterator[FileWriter]:
        """Open a file for each address."""
        if self["output"] is None:
            for _ in self["addresses"]:
                yield FileWriter(tempfile.SpooledTemporaryFile(SPOOLED))  # noqa: SIM115
            return
        _create_directory(self["output"])
        for address in self["addresses"]:
            yield NamedFileWriter(Path(self["output"], file_name(address)))

    async def _download(
        self,
        address: str,
        endpoint: IStreamClientEndpoint,
        poem: FileWriter,
        bars: Bars,
        reactor: Any,
    ) -> bool:
        """Tell whether the whole poem has come; if not, why is said at once."""
        bar = bars.add(address, lambda: poem.written)
        try:
            downloading = download(endpoint, poem)
            if self["timeout"] is not None:
                downloading.addTimeout(self["timeout"], reactor)
            await downloading
            poem.complete()
        except CancelledError:
            raise
        except Exception as error:  # each kind of endpoint fails in its own way
            poem.close()
            bars.failed(bar)
            bars.print(f"netdemo poetry: {address}: {connection_reason(error)}")
            return False
        bars.done(bar)
        return True


def file_name(address: str) -> str:
    """Return what the file for ``address`` is called: the same, percent-quoted where it must be."""
    return quote(os.fsencode(address), safe=SAFE_IN_NAMES)


def _create_directory(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise NetdemoError(f"cannot use --output {path!r}: {error.strerror}") from None


def _cancel(downloads: list[Deferred[bool]]) -> None:
    """Cancel what still runs."""
    for downloading in downloads:
        downloading.addErrback(lambda failure: failure.trap(CancelledError))
        downloading.cancel()


async def _print(poem: FileWriter, bars: Bars, output: StandardOutput) -> None:
    """Print ``poem`` as fast as it is taken; the downloads go on meanwhile.

    If standard output is a terminal there are no bars around it.
    """
    on_terminal = sys.stdout.isatty()
    with bars.hidden() if on_terminal else nullcontext():
        piece = b"\n"
        for piece in poem.pieces():
            output.write(piece)
            await output.flush()
        if on_terminal and not piece.endswith(b"\n"):
            bars.end_line()
