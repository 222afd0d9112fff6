"""``netdemo tour``"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from twisted.python import usage

from netdemo.cli.options import Options
from netdemo.cli.stdio import StandardOutput, check_standard_output
from netdemo.errors import BrokerURLError, NetdemoError

if TYPE_CHECKING:
    from netdemo.cli.guide import Guide


class TourOptions(Options):
    """Options of ``netdemo tour``."""

    synopsis = "[--broker URL]"
    longdesc = (
        "Shows every service and every pattern of RabbitMQ at work, in this process and on free "
        "ports of the loopback, and checks each. It exits with 0 when all that was shown held. "
        "Nothing needs to be there: the broker is one that it brings along, or the one that "
        "--broker names, which is left as it was found. Example: netdemo tour"
    )
    optParameters: list[list[Any]] = [
        ["broker", None, None, "A RabbitMQ to use [default: the tour's own, which can restart]"],
    ]

    def postOptions(self) -> None:
        from netdemo.amqp.broker_url import BrokerURL

        if self["broker"] is not None:
            try:
                BrokerURL.parse(self["broker"])
            except BrokerURLError as error:
                raise usage.UsageError(str(error)) from None

    async def run(self, reactor: Any) -> None:
        """Show the tour."""
        # Rich takes its time to be imported, which other commands need not spend.
        from netdemo.cli.guide import Guide

        check_standard_output()
        output = StandardOutput(reactor)
        try:
            await self._show(Guide(sys.stdout, output), reactor)
        finally:
            output.close()

    async def _show(self, guide: Guide, reactor: Any) -> None:
        from netdemo.tour import STOPS, Mark, tour_site, visit

        visits = []
        async with tour_site(self["broker"], reactor, guide.tell) as site:
            for number, stop in enumerate(STOPS, 1):
                await guide.introduce(number, stop)
                visits.append(await visit(stop, site))
                await guide.mark(visits[-1])
        await guide.sum_up(visits)
        failed = [each.stop.name for each in visits if each.mark is Mark.FAILED]
        if failed:
            raise NetdemoError(f"{len(failed)} of {len(visits)} did not hold: {', '.join(failed)}")
