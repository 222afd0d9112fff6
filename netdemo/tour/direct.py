"""Direct: who listens gets the messages of the routing keys that it chose, here severities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netdemo.amqp import Binding, Exchange, Message, Queue, Topology
from netdemo.tour.checking import expect
from netdemo.tour.messages import all_in
from netdemo.tour.site import unique

if TYPE_CHECKING:
    from netdemo.tour.site import Site

SENT: Final = ("info", "error", "debug", "warning")
CHOSEN: Final = (["error"], ["info", "warning", "error"])
EXPECTED: Final = (["error"], ["info", "error", "warning"])


async def show(site: Site) -> str:
    """Let one listener choose a severity, and another three; nobody wants the fourth."""
    exchange = Exchange(unique("direct"), "direct", durable=False, auto_delete=True)
    queues = tuple(Queue(unique("direct"), durable=False, exclusive=True) for _ in CHOSEN)
    bindings = tuple(
        Binding(exchange.name, queue.name, severity)
        for queue, severities in zip(queues, CHOSEN, strict=True)
        for severity in severities
    )
    async with site.client() as client:
        await client.declare(Topology((exchange,), queues, bindings))
        site.tell(f"sent: {', '.join(SENT)}")
        for severity in SENT:
            message = Message(severity.encode())
            # Not mandatory: that nobody listens is no mistake.
            await client.publish(message, exchange.name, severity, mandatory=False)
        for queue, chosen, expected in zip(queues, CHOSEN, EXPECTED, strict=True):
            texts = await all_in(queue, client)
            site.tell(f"who chose {', '.join(chosen)}: {', '.join(texts)}")
            expect(f"who chose {', '.join(chosen)}", texts, expected)
    return "each listener has what it chose, and nothing else"
