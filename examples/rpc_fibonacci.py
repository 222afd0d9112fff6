"""RPC: ask a server for a Fibonacci number, and wait for its reply.

    python examples/rpc_fibonacci.py server
    python examples/rpc_fibonacci.py call 30

Start a second server, and the two share the calls.
"""

import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from signal import SIG_DFL, SIGINT, signal
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from netdemo.amqp import AMQPClient, Delivery, Queue, RPCClient, RPCServer, Topology
from netdemo.errors import NetdemoError, RemoteError

BROKER = os.environ.get("NETDEMO_BROKER") or "amqp://guest:guest@127.0.0.1:5672/"
TOPOLOGY = Topology(queues=(Queue("rpc_queue"),))
MAX_N: Final = 10_000


async def call(reactor: Any, n: str) -> None:
    """Print the number that the server returns; what it refuses is a `RemoteError`."""
    async with connected(reactor) as client:
        reply = await RPCClient(client).call("rpc_queue", n.encode(), timeout=5.0)
        print(f"fib({n}) = {reply.decode()}")


async def server(reactor: Any) -> None:
    """Serve one call after another."""
    async with connected(reactor) as client:
        await client.declare(TOPOLOGY)
        RPCServer(client, "rpc_queue", serve, prefetch=1)
        tell("waiting for calls; Ctrl-C ends it")
        client.add_status_listener(tell)
        await Deferred[None]()


async def serve(request: Delivery) -> bytes:
    """Return the number that `request` asks for; what is raised is told to the caller."""
    n = parse(request.message.body)
    # In a thread: the reactor has heartbeats to send meanwhile.
    return b"%d" % await deferToThread(fibonacci, n)


def parse(text: bytes) -> int:
    """Read `n`: 0 to 10000, in ASCII digits, with none too many."""
    if not re.fullmatch(rb"0|[1-9][0-9]{0,4}", text) or int(text) > MAX_N:
        shown = text[:20].decode(errors="replace")
        raise RemoteError(f"bad n {shown!r}: expected a whole number from 0 to {MAX_N}")
    return int(text)


def fibonacci(n: int) -> int:
    """Return the `n`-th Fibonacci number: 0, 1, 1, 2, 3, 5 ..."""
    this, following = 0, 1
    for _ in range(n):
        this, following = following, this + following
    return this


def tell(text: object) -> None:
    """Print a line; when nobody reads any more (``| head``), end: what is in hand goes back."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os._exit(1)


@asynccontextmanager
async def connected(reactor: Any) -> AsyncIterator[AMQPClient]:
    """Lend a client that is ready; what goes wrong ends the program with one line and status 1."""
    try:
        client = AMQPClient([BROKER], reactor)
        # At the end, also by Ctrl-C and SIGTERM: finish what is in hand, then close. Ctrl-C again
        # does not wait for that.
        reactor.addSystemEventTrigger("before", "shutdown", signal, SIGINT, SIG_DFL)
        reactor.addSystemEventTrigger("before", "shutdown", client.stopService)
        client.startService()
        await client.when_ready(fail_after_failures=1)
        yield client
    except (NetdemoError, UnicodeError) as error:
        raise SystemExit(f"{sys.argv[0]}: {error}") from None


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["call", n]:
            react(call, (n,))
        case ["server"]:
            react(server)
        case _:
            raise SystemExit("usage: rpc_fibonacci.py call N | server")
