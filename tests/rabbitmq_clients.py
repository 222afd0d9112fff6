"""Clients on the tests' own RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.rabbitmq import RabbitMQTestCase
from tests.ready_clients import ReadyClientTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


@pytest.mark.rabbitmq
class ClientOnRabbitMQTestCase(RabbitMQTestCase, ReadyClientTestCase):
    """A client that is ready, and a name for a queue."""

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        RabbitMQTestCase.setUp(self)
        self.url = self.node.url
        return ReadyClientTestCase.setUp(self)
