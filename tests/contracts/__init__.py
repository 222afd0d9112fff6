"""Suites of AMQP behaviours, to run on any broker (`tests.contract`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contracts.acknowledging import Acknowledging, AfterCancel, Prefetching
from tests.contracts.connections import Channels, Ending, Opening
from tests.contracts.consuming import CancelledByBroker, ConsumersTogether, Consuming, Getting
from tests.contracts.dead_letters import DeadLettering, DeliveryLimit
from tests.contracts.durability import Durability
from tests.contracts.exchanges import BindingExchanges, Declaring
from tests.contracts.limits import Expiring, Overflowing
from tests.contracts.publishing import (
    Confirming,
    Copying,
    Passing,
    Prioritising,
    Refusing,
    Returning,
)
from tests.contracts.queue_arguments import QueueArguments, QueueEquivalence
from tests.contracts.queues import Binding, Exclusive, Queues
from tests.contracts.replies import Replies
from tests.contracts.routing import Routing
from tests.contracts.texts import Texts
from tests.contracts.transactions import Transactions
from tests.contracts.wire import Frames

if TYPE_CHECKING:
    from tests.contract import Contract

SUITES: tuple[type[Contract], ...] = (
    Getting,
    Consuming,
    ConsumersTogether,
    CancelledByBroker,
    Acknowledging,
    Prefetching,
    AfterCancel,
    Declaring,
    BindingExchanges,
    Routing,
    Queues,
    Exclusive,
    Binding,
    QueueArguments,
    QueueEquivalence,
    Passing,
    Refusing,
    Copying,
    Returning,
    Confirming,
    Prioritising,
    Transactions,
    Expiring,
    Overflowing,
    DeadLettering,
    DeliveryLimit,
    Replies,
    Opening,
    Ending,
    Channels,
    Frames,
    Texts,
    Durability,
)
