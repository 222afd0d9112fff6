"""The RabbitMQ client service for Twisted: reconnecting, restoring, with true publish results.

Importing it installs Twisted's default reactor, unless one is installed already.
"""

from netdemo.amqp.broker_url import BrokerURL
from netdemo.amqp.client import AMQPClient
from netdemo.amqp.consumer import Consumer, Reject
from netdemo.amqp.message import Delivery, Message
from netdemo.amqp.publisher import Publisher
from netdemo.amqp.rpc import RPCClient, RPCServer
from netdemo.amqp.script import run
from netdemo.amqp.status import Status
from netdemo.amqp.topology import Binding, Exchange, Queue, Topology
from netdemo.amqp.window import Window
from netdemo.amqp.writer import MessageWriter

__all__ = [
    "AMQPClient",
    "Binding",
    "BrokerURL",
    "Consumer",
    "Delivery",
    "Exchange",
    "Message",
    "MessageWriter",
    "Publisher",
    "Queue",
    "RPCClient",
    "RPCServer",
    "Reject",
    "Status",
    "Topology",
    "Window",
    "run",
]
