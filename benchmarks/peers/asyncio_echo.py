"""``asyncio_echo.py PORT [asyncio|uvloop]``: an echo of `asyncio.Protocol`, on either loop."""

from __future__ import annotations

import asyncio
import sys
from importlib import import_module
from typing import cast


class Echo(asyncio.Protocol):
    """Writes back what it reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def main(port: int) -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


import_module((*sys.argv, "asyncio")[2]).run(main(int(sys.argv[1])))
