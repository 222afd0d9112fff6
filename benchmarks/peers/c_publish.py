"""``c_publish.py PORT COUNT PROGRAM LIBRARIES``: ``amqp-publish -l``, persistent, unconfirmed.

Its start and its login, a few milliseconds, are in its time: it can't be asked to wait.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from benchmarks.peers.turn import QUEUE, Turn, bodies, url


def main(port: str, count: str, program: str, libraries: str) -> None:
    """Publish."""
    messages = bodies(int(count))
    with tempfile.TemporaryFile() as lines:
        lines.writelines(body + b"\n" for body in messages)
        lines.seek(0)
        turn = Turn()
        command = [program, "-l", "-p", "-u", f"{url(int(port))}%2F", "-r", QUEUE]
        environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
        subprocess.run(command, stdin=lines, env=environment, check=True)
        turn.end(len(messages))


main(*sys.argv[1:])
