"""Suites of AMQP behaviours, to run on any broker (`tests.contract`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.contracts.consuming import Consuming
from tests.contracts.exchanges import Exchanges

if TYPE_CHECKING:
    from tests.contract import Contract

SUITES: tuple[type[Contract], ...] = (Consuming, Exchanges)
