"""``our_broker.py PORT STORE``: our broker, with its store in the folder STORE."""

from __future__ import annotations

import sys
from pathlib import Path

from twisted.internet import reactor

from netdemo.broker.server import broker_service

port, store = sys.argv[1:]
service = broker_service([f"tcp:{port}:interface=127.0.0.1"], reactor, store=Path(store))
service.startService()
reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
reactor.run()
