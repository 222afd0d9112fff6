"""What tests of AMQP programs need: a broker in memory, with faults on script.

Importing it installs Twisted's default reactor, unless one is installed already; nothing here uses
it.
"""

from netdemo.testing.memory_broker import MemoryBroker
from netdemo.testing.memory_network import MemoryNetwork, NeverIdle
from netdemo.testing.memory_transport import MemoryTransport

__all__ = ["MemoryBroker", "MemoryNetwork", "MemoryTransport", "NeverIdle"]
