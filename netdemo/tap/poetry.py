"""``twistd poetry --file F``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twisted.python import usage

from netdemo.poetry.server import open_regular, poetry_service
from netdemo.tap.command import command_service
from netdemo.tap.options import ListeningOptions

if TYPE_CHECKING:
    from twisted.application.service import IService


class Options(ListeningOptions):
    """Options of ``twistd poetry``."""

    command = "poetry"
    synopsis = "--file PATH [--listen ENDPOINT]... [--max-connections N]"
    default_endpoint = "tcp:9000:interface=127.0.0.1"
    longdesc = (
        "Streams a file to everyone who connects. "
        f"Listens on {default_endpoint} unless --listen says otherwise. "
        "Example: twistd -n poetry --file poem.txt --listen tcp:9000"
    )
    optParameters = [["file", None, None, "The file to stream; read afresh for each connection"]]
    compData = usage.Completions(optActions={"file": usage.CompleteFiles()})

    def postOptions(self) -> None:
        super().postOptions()
        if not self["file"]:
            raise usage.UsageError("no --file: expected the path of the file to stream")
        # twistd changes its directory later, with --rundir or as a daemon.
        self["file"] = Path(self["file"]).absolute()
        try:
            open_regular(self["file"]).close()
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
        max_connections=options["max-connections"],
    )
    return command_service("poetry", service)
