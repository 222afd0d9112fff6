"""The verbs of ``netdemo``, and how one is run."""

from __future__ import annotations

import signal
import sys
from functools import partial
from threading import Thread
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater, react
from twisted.python import usage

from netdemo.cli.options import VersionOptions
from netdemo.cli.stdio import silence, tell
from netdemo.errors import NetdemoError

# Each verb's module, and what that needs, is imported when the verb is chosen.


def _echo() -> usage.Options:
    from netdemo.cli.echo import EchoOptions

    return EchoOptions()


def _poetry() -> usage.Options:
    from netdemo.cli.poetry import PoetryOptions

    return PoetryOptions()


def _send() -> usage.Options:
    from netdemo.cli.send import SendOptions

    return SendOptions()


def _receive() -> usage.Options:
    from netdemo.cli.receive import ReceiveOptions

    return ReceiveOptions()


def _call() -> usage.Options:
    from netdemo.cli.call import CallOptions

    return CallOptions()


def _serve() -> usage.Options:
    from netdemo.cli.serve import ServeOptions

    return ServeOptions()


def _doctor() -> usage.Options:
    from netdemo.cli.doctor import DoctorOptions

    return DoctorOptions()


def _passwd() -> usage.Options:
    from netdemo.cli.passwd import PasswdOptions

    return PasswdOptions()


def _spool() -> usage.Options:
    from netdemo.cli.spool import SpoolOptions

    return SpoolOptions()


def _tour() -> usage.Options:
    from netdemo.cli.tour import TourOptions

    return TourOptions()


def _completion() -> usage.Options:
    from netdemo.cli.completion import CompletionOptions

    return CompletionOptions()


class Options(VersionOptions):
    """Options of ``netdemo``."""

    synopsis = "Usage: netdemo COMMAND [options]"
    longdesc = "Example: echo hello | netdemo send /queue/hello"
    subCommands = (
        ("echo", None, _echo, "Send a message or standard input, and have it back"),
        ("poetry", None, _poetry, "Download from several servers at once"),
        ("send", None, _send, "Publish a message, or each line of standard input"),
        ("receive", None, _receive, "Print messages, or run a command for each"),
        ("call", None, _call, "Call a server over RabbitMQ, and print its reply"),
        ("serve", None, _serve, "Serve calls over RabbitMQ with a command"),
        ("doctor", None, _doctor, "Find out why a broker can't be used"),
        ("passwd", None, _passwd, "Print a user's line for twistd amqp-broker --users"),
        ("spool", None, _spool, "Look into the spool of twistd amqp-bridge --spool"),
        ("tour", None, _tour, "See every service and every pattern at work"),
        ("completion", None, _completion, "Have a shell complete commands and options"),
    )

    def postOptions(self) -> None:
        if self.subCommand is None:
            commands = ", ".join(name for name, *_ in self.subCommands)
            raise usage.UsageError(f"no command: expected one of {commands}")


def run_command() -> None:
    """Run one command; exit 0 when what it was asked for has happened, else 1 with one line."""
    options = Options()
    _parse(options)

    async def run(reactor: Any) -> None:
        _leave_threads(reactor)
        running: Deferred[None] = deferLater(reactor, 0)  # a signal finds a reactor that runs
        running.addCallback(lambda _: stop_at_signals(reactor))  # in place of its own handlers
        running.addCallback(lambda _: Deferred.fromCoroutine(options.subOptions.run(reactor)))
        ended: Deferred[None] = Deferred()

        def interrupt() -> Deferred[None]:
            running.cancel()
            return ended

        reactor.addSystemEventTrigger("before", "shutdown", interrupt)
        try:
            await running
        except NetdemoError as error:
            tell(f"netdemo {options.subCommand}: {error}")
            raise SystemExit(1) from None
        except CancelledError:
            tell(f"netdemo {options.subCommand}: interrupted")
            raise SystemExit(1) from None
        finally:
            ended.callback(None)

    react(run)


def _parse(options: Options) -> None:
    """Read the command line, which may print help, and exit when it says so or is wrong."""
    try:
        try:
            options.parseOptions()
        finally:
            print(end="", flush=True)
    except (usage.UsageError, NetdemoError) as error:
        tell(f"netdemo: {error}")
        sys.exit(1)
    except OSError as error:
        silence(1)
        if not isinstance(error, BrokenPipeError):
            tell(f"netdemo: cannot write standard output: {error.strerror}")
        sys.exit(1)


def stop_at_signals(reactor: Any) -> None:
    """Stop ``reactor`` at a signal that asks for the end; a second one ends the process at once.

    That also ends one that waits to write to standard error, and so never gets to its reactor.
    A signal that is ignored stays so: nohup ignores SIGHUP, a shell SIGINT for what it starts
    with &.
    """
    signals = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]

    def stop(*_: object) -> None:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)
        reactor.callFromThread(reactor.stop)

    for number in signals:
        signal.signal(number, stop)


def _leave_threads(reactor: Any) -> None:
    """Let the process end while a thread looks up a name, which can't be interrupted."""
    threads = reactor.getThreadPool()
    threads.threadFactory = partial(Thread, daemon=True)
    reactor.removeSystemEventTrigger(reactor.threadpoolShutdownID)  # it would wait for them
