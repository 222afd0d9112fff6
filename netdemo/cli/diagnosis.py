"""Whether a broker can be used, examined step by step on one connection."""

from __future__ import annotations

import socket
import statistics
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError
from twisted.internet.threads import deferToThreadPool

from netdemo.amqp.broker_url import BrokerURL
from netdemo.amqp.interfaces import Stage
from netdemo.amqp.message import as_text
from netdemo.amqp.opening import begin_session
from netdemo.cli.advice import Subject, advice
from netdemo.cli.certificate import days_left, description, expiry, validity
from netdemo.cli.http_question import HTTPQuestion
from netdemo.cli.probe import Probe
from netdemo.connecting import connect, connection_reason
from netdemo.errors import (
    AMQPError,
    CertificateRefused,
    NetdemoError,
    OtherProtocol,
    StepFailed,
    StepTimeout,
)
from netdemo.transport import address_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from netdemo.amqp.interfaces import ISession
    from netdemo.amqp.opening import MakeEndpoint

    LookUp = Callable[[str, int, Any], Deferred[list[str]]]

STEP_TIMEOUT: Final = 10.0
"""Seconds that a step may take."""

HTTP_TIMEOUT: Final = 2.0
"""Seconds in which a server of HTTP is recognised that has not said so by itself."""

ROUND_TRIPS: Final = 10
"""Messages of which the median is shown."""

DAYS_TO_RENEW: Final = 30
"""A certificate that is valid for fewer days is warned of."""


@attrs.frozen
class Finding:
    """What came of a step that holds; with an `advice` it is a warning."""

    text: str
    advice: str | None = None


def look_up(host: str, port: int, reactor: Any) -> Deferred[list[str]]:
    """Fire with the addresses of ``host``; fail with ``socket.gaierror``, which has the reason."""

    def found() -> list[str]:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(str(address[0]) for *_, address in addresses))

    if isIPAddress(host) or isIPv6Address(host):
        return succeed([host])
    return deferToThreadPool(reactor, reactor.getThreadPool(), found)


class Diagnosis:
    """Examines the connection to ``broker``, and calls ``report`` for each step that holds."""

    def __init__(
        self,
        broker: BrokerURL,
        reactor: Any,
        report: Callable[[str, Finding], None],
        *,
        endpoint: MakeEndpoint = BrokerURL.endpoint,
        look_up: LookUp = look_up,
    ) -> None:
        self._broker = broker
        self._reactor = reactor
        self._report = report
        self._endpoint = endpoint
        self._look_up = look_up
        self._session: Any = None
        self._probe: Any = None

    async def run(self) -> None:
        """Take all steps; when it is cancelled nothing is left.

        :raises StepFailed: at the first that does not hold.
        """
        await self._step("name", self._name)
        await self._step("tcp", self._tcp)
        session: ISession = self._session
        try:
            if self._broker.tls:
                await self._step("tls", self._tls)
            await self._step("protocol", self._protocol, self._recognise)
            await self._step("login", self._login)
            await self._step("vhost", self._vhost)
            self._probe = Probe(session, self._reactor)
            await self._step("declare", self._declare)
            await self._step("publish", self._publish)
            await self._step("consume", self._consume)
            await self._step("round trip", self._round_trips)
        except Exception:
            session.abort()  # a broker with an alarm would not read that it is to close
            raise
        finally:
            await session.close()

    async def _step(
        self,
        step: str,
        examine: Callable[[], Coroutine[Deferred[Any], Any, Finding]],
        explain: Callable[[Exception], Coroutine[Deferred[Any], Any, Exception]] | None = None,
    ) -> None:
        try:
            finding = await self._within(STEP_TIMEOUT, examine())
        except (NetdemoError, ConnectError, OSError) as error:
            reason = error if explain is None else await explain(error)
            subject = self._subject()
            text = _text(reason, subject)
            raise StepFailed(step, text, advice(step, reason, subject)) from error
        self._report(step, finding)

    def _within(self, limit: float, work: Coroutine[Deferred[Any], Any, Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(work).addTimeout(limit, self._reactor, _too_late)

    def _subject(self) -> Subject:
        product = "" if self._session is None else self._said("product")
        return Subject(self._broker, product, "" if self._probe is None else self._probe.queue)

    def _said(self, name: str) -> str:
        return str(as_text(self._session.server_properties.get(name, "")))

    async def _name(self) -> Finding:
        parameters = self._broker.parameters
        addresses = await self._look_up(parameters.host, parameters.port, self._reactor)
        if addresses == [parameters.host]:
            return Finding(f"{parameters.host} is an address")
        return Finding(f"{parameters.host} is {', '.join(addresses)}")

    async def _tcp(self) -> Finding:
        began = self._reactor.seconds()
        # Each step has a limit of its own; that of the session is not to end one before.
        limit = len(Stage) * STEP_TIMEOUT
        self._session = await begin_session(self._broker, self._reactor, self._endpoint, limit)
        took = self._reactor.seconds() - began
        self._session.opened.addErrback(lambda _: None)  # `reached` tells it too
        peer = address_text(self._session.transport.getPeer())
        return Finding(f"connected to {peer} in {_milliseconds(took)}")

    async def _tls(self) -> Finding:
        await self._session.reached(Stage.SECURED)
        connection = self._session.transport.getHandle()
        chain = [each.to_cryptography() for each in connection.get_verified_chain()]
        now = datetime.fromtimestamp(self._reactor.seconds(), UTC)
        text = (
            f"{connection.get_protocol_version_name()}, with a certificate "
            f"{description(chain[0])}; {expiry(chain, now)}"
        )
        if days_left(chain, now) < DAYS_TO_RENEW:
            return Finding(text, "have it renewed: once it has expired, nobody can connect")
        return Finding(text)

    async def _protocol(self) -> Finding:
        await self._session.reached(Stage.STARTED)
        broker = f"{self._said('product')} {self._said('version')}".strip()
        return Finding(f"AMQP 0-9-1, {broker or 'a broker that does not name itself'}")

    async def _recognise(self, error: Exception) -> Exception:
        """Return what is wrong: a server of HTTP says nothing, or closes, until it is asked."""
        if isinstance(error, OtherProtocol) or (isinstance(error, AMQPError) and error.reply_code):
            return error
        try:
            is_http = await self._within(HTTP_TIMEOUT, self._ask_http())
        except (NetdemoError, ConnectError, OSError):
            return error
        return OtherProtocol("it speaks HTTP, not AMQP") if is_http else error

    async def _ask_http(self) -> bool:
        question = HTTPQuestion()
        await connect(self._endpoint(self._broker, self._reactor), question)
        return await question.answered

    async def _login(self) -> Finding:
        await self._session.reached(Stage.LOGGED_IN)
        return Finding(f"{self._subject().user} was let in")

    async def _vhost(self) -> Finding:
        await self._session.reached(Stage.OPEN)
        return Finding(f"{self._subject().vhost!r} is open")

    async def _declare(self) -> Finding:
        await self._probe.declare()
        return Finding(f"queue {self._probe.queue!r}, exclusive and temporary")

    async def _publish(self) -> Finding:
        await self._probe.publish()
        return Finding("a message to the default exchange was confirmed")

    async def _consume(self) -> Finding:
        await self._probe.consume()
        return Finding("it came back")

    async def _round_trips(self) -> Finding:
        took = [await self._probe.round_trip() for _ in range(ROUND_TRIPS)]
        median = _milliseconds(statistics.median(took))
        return Finding(f"{median} from publish to delivery, the median of {ROUND_TRIPS}")


def _too_late(_: object, timeout: float) -> NoReturn:
    raise StepTimeout(f"not done within {timeout:g} s")


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


def _text(error: Exception, subject: Subject) -> str:
    """Return in one line why a step failed."""
    match error.__cause__:
        case CertificateRefused(certificate=shown) if shown is not None:
            return f"{error}: it is {description(shown)}, {validity(shown)}"
    if isinstance(error, NetdemoError):
        return str(error)
    where = subject.host if isinstance(error, socket.gaierror) else subject.place
    return f"{where}: {connection_reason(error)}"
