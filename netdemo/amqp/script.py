"""`run`: what a program that is nothing but a client of RabbitMQ runs its coroutine with."""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from signal import SIG_DFL, SIGINT, signal
from typing import TYPE_CHECKING, Any, NoReturn, TypeVarTuple

from twisted.internet.task import react

from netdemo.amqp.broker_url import default_broker_url
from netdemo.amqp.client import AMQPClient
from netdemo.errors import ConnectionClosed, NetdemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from _typeshed import ReadableBuffer
    from twisted.internet.defer import Deferred

Arguments = TypeVarTuple("Arguments")


def run(
    main: Callable[[AMQPClient, *Arguments], Coroutine[Deferred[Any], Any, object]],
    *arguments: *Arguments,
) -> NoReturn:
    """Run ``main(client, *arguments)`` as the whole of a program, and exit with 0 when it is done.

    The client is ready, on the broker that the environment variable ``NETDEMO_BROKER`` names, else
    on ``amqp://guest:guest@127.0.0.1:5672/``. At the end, also by Ctrl-C or SIGTERM, it is stopped:
    what is in hand has 10 s to be finished. A second Ctrl-C does not wait for that.

    A `NetdemoError`, such as a broker that can't be reached, or a ``UnicodeError`` is one line on
    standard error and status 1; any other exception keeps its traceback. Each line that is printed
    is shown at once. When nobody reads them any more (``| head``), the program ends with status 1,
    and what it has not acknowledged goes back.
    """
    _show_lines_at_once()
    react(_run, (main, *arguments))


async def start(client: AMQPClient) -> None:
    """Start ``client``, and wait until it is ready.

    :raises NetdemoError: at the first failure to connect, with the broker's name and words.
    """
    client.startService()
    broker = client.status.broker
    try:
        await client.when_ready(fail_after_failures=1)
    except ConnectionClosed as error:
        raise NetdemoError(f"{broker}: {error}") from None


async def _run(reactor: Any, main: Any, *arguments: object) -> None:
    try:
        client = AMQPClient([default_broker_url()], reactor)
        # The first Ctrl-C lets the client finish what is in hand, the next ends the process.
        reactor.addSystemEventTrigger("before", "shutdown", signal, SIGINT, SIG_DFL)
        reactor.addSystemEventTrigger("before", "shutdown", client.stopService)
        await start(client)
        await main(client, *arguments)
    except (NetdemoError, UnicodeError) as error:
        raise SystemExit(f"{sys.argv[0]}: {error}") from None


def _show_lines_at_once() -> None:
    if isinstance(sys.stdout, TextIOWrapper):  # neither closed nor replaced by something else
        sys.stdout.flush()
        output = BufferedWriter(_Output(sys.stdout.fileno(), "w", closefd=False))
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = TextIOWrapper(output, encoding, errors, line_buffering=True)


class _Output(FileIO):
    """Standard output that ends the program when nobody reads it any more.

    ``BrokenPipeError`` would be a handler's failure, for which its message is refused. SIGPIPE's
    own action would end the program for a lost connection to the broker, too.
    """

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            os._exit(1)
