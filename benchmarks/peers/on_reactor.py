"""``on_reactor.py REACTOR PROGRAM ARGUMENTS``: a program of Twisted beside this one, on a reactor.

REACTOR is the short name of one, as ``twistd --reactor`` takes it.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from twisted.application.reactors import installReactor

reactor, program, *arguments = sys.argv[1:]
installReactor(reactor)
sys.argv = [program, *arguments]
runpy.run_path(str(Path(__file__).with_name(program)), run_name="__main__")
