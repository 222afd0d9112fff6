"""A TCP server of lines, as others write them: ``python -m tests.line_server PORT``.

A line is answered with itself, backwards; ``die`` ends the connection, ``wait`` is not answered.
"""

from __future__ import annotations

import socketserver
import sys


class Lines(socketserver.StreamRequestHandler):
    """Answers the lines of one client."""

    def handle(self) -> None:
        for line in self.rfile:
            text = line.rstrip(b"\n")
            if text == b"die":
                return
            if text == b"twice":
                self.wfile.write(b"once\ntwice\n")
            elif text != b"wait":
                self.wfile.write(text[::-1] + b"\n")


class Server(socketserver.ThreadingTCPServer):
    """Serves each client in a thread of its own."""

    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server(("127.0.0.1", int(sys.argv[1])), Lines) as server:
        print("listening", flush=True)
        server.serve_forever()
