"""A fixture for pytest, which finds it by itself: ``amqp_broker``, a broker in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netdemo.testing import MemoryBroker


@pytest.fixture
def amqp_broker() -> Iterator[MemoryBroker]:
    """Give a broker in memory, which is stopped after the test."""
    from netdemo.testing import MemoryBroker  # it installs a reactor, which is not for every run

    broker = MemoryBroker()
    yield broker
    broker.stop()
    broker.advance()
