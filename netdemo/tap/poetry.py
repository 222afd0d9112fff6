"""``twistd poetry --file F``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.python import usage

from netdemo.coercion import positive_integer
from netdemo.poetry import poetry_service
from netdemo.poetry.file import PoemFile
from netdemo.tap.command import command_service
from netdemo.tap.options import ListeningOptions

if TYPE_CHECKING:
    from twisted.application.service import IService


class Options(ListeningOptions):
    """Options of ``twistd poetry``."""

    command = "poetry"
    synopsis = (
        "--file PATH [--listen ENDPOINT]... [--rate BYTES/S] [--max-connections N] [--grace S]"
    )
    default_endpoint = "tcp:9000:interface=127.0.0.1"
    longdesc = (
        "Streams a file to everyone who connects. "
        f"Listens on {default_endpoint} unless --listen says otherwise. "
        "Example: twistd -n poetry --file poem.txt --listen tcp:9000"
    )
    optParameters: list[list[Any]] = [
        ["file", None, None, "The file to stream; read afresh for each connection"],
        [
            "rate",
            None,
            None,
            "Send no more than this many bytes per second to each [default: no limit]",
            positive_integer("--rate"),
        ],
    ]
    compData = usage.Completions(optActions={"file": usage.CompleteFiles()})

    def postOptions(self) -> None:
        super().postOptions()
        if not self["file"]:
            raise usage.UsageError("no --file: expected the path of the file to stream")
        # twistd changes its directory later, with --rundir or as a daemon.
        self["file"] = Path(self["file"]).absolute()
        try:
            PoemFile(self["file"]).close()
        except OSError as error:
            raise usage.UsageError(
                f"cannot read --file {str(self['file'])!r}: {error.strerror}"
            ) from None


def makeService(options: Options) -> IService:
    """Build the poetry service."""
    from twisted.internet import reactor

    service = poetry_service(
        options["file"],
        options["listen"],
        reactor,
        rate=options["rate"],
        max_connections=options["max-connections"],
        grace=options["grace"],
    )
    return command_service("poetry", service)
