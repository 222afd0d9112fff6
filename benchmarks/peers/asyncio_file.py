"""``asyncio_file.py PORT FILE``: an `asyncio.Protocol` that sends a file's bytes, from memory."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import cast

POEM = Path(sys.argv[2]).read_bytes()


class Poem(asyncio.Protocol):
    """Writes the bytes and closes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        writing = cast("asyncio.Transport", transport)
        writing.write(POEM)
        writing.close()


async def main(port: int) -> None:
    """Serve for ever."""
    server = await asyncio.get_running_loop().create_server(Poem, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1])))
