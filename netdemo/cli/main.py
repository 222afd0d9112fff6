"""``netdemo``: a client for every service."""

from __future__ import annotations

import signal


def main() -> None:
    """Run one command; exit 0 when what it was asked for has happened, else 1 with one line."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # The imports take a while, and Python would answer Ctrl-C with a traceback from there.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from netdemo.cli.command import run_command

    run_command()
