"""``on_reactor.py PORT REACTOR PROGRAM ARGUMENTS``: PROGRAM, which is beside this, on REACTOR.

That is the short name of one, as ``twistd --reactor`` takes it.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from twisted.application.reactors import installReactor

port, reactor, program, *arguments = sys.argv[1:]
installReactor(reactor)
sys.argv = [program, port, *arguments]
runpy.run_path(str(Path(__file__).with_name(program)), run_name="__main__")
