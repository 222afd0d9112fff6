"""`netdemo.bridge.clients`: who is let in."""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from netdemo.address import QueueDestination
from netdemo.bridge.clients import RouteFactory
from netdemo.bridge.routes import PushRoute
from tests.wire import Wire

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress


class AnyProtocol(RouteFactory):
    """Lets clients do nothing."""

    def new_protocol(self) -> Protocol:
        return Protocol()


def factory(*networks: str, max_clients: int | None = None) -> AnyProtocol:
    """Return that of a route which lets clients from `networks` in."""
    allow = tuple(map(ip_network, networks))
    route = PushRoute(QueueDestination("q"), "tcp:7001", allow=allow, max_clients=max_clients)
    return AnyProtocol(route)


def is_let_in(clients: AnyProtocol, address: IAddress | None) -> bool:
    """Tell whether a client from `address` is let in, or aborted."""
    protocol: Any = clients.buildProtocol(address)
    wire = Wire(protocol)
    protocol.makeConnection(wire)
    admitted = protocol in clients.connections
    assert wire.connected is admitted
    return admitted


def from_4(host: str) -> IPv4Address:
    """Return an address of a client."""
    return IPv4Address("TCP", host, 40000)


def from_6(host: str) -> IPv6Address:
    """Return an address of a client."""
    return IPv6Address("TCP", host, 40000)


class NetworkTests(TestCase):
    """The networks whose clients are let in."""

    def test_all_are_let_in_if_there_is_none(self) -> None:
        for address in (from_4("192.0.2.1"), from_6("2001:db8::1"), UNIXAddress(None), None):
            self.assertTrue(is_let_in(factory(), address), address)

    def test_first_and_last_address_are_inside_and_their_neighbours_are_not(self) -> None:
        clients = factory("192.0.2.64/26")
        for host, inside in (("63", False), ("64", True), ("127", True), ("128", False)):
            self.assertEqual(is_let_in(clients, from_4(f"192.0.2.{host}")), inside)

    def test_refused_are_counted(self) -> None:
        clients = factory("192.0.2.0/24")
        for host in ("192.0.2.1", "192.0.3.1", "192.0.1.1"):
            is_let_in(clients, from_4(host))
        self.assertEqual((clients.forbidden, len(clients.connections)), (2, 1))

    def test_one_of_several_is_enough(self) -> None:
        clients = factory("192.0.2.0/24", "2001:db8::/32")
        self.assertTrue(is_let_in(clients, from_4("192.0.2.1")))
        self.assertTrue(is_let_in(clients, from_6("2001:db8:1::1")))
        self.assertFalse(is_let_in(clients, from_6("2001:db9::1")))

    def test_networks_of_one_version_let_none_of_the_other_in(self) -> None:
        self.assertFalse(is_let_in(factory("::/0"), from_4("192.0.2.1")))
        self.assertFalse(is_let_in(factory("0.0.0.0/0"), from_6("2001:db8::1")))

    def test_mapped_address_is_in_the_networks_of_its_ipv4_address(self) -> None:
        clients = factory("192.0.2.0/24")
        self.assertTrue(is_let_in(clients, from_6("::ffff:192.0.2.1")))
        self.assertFalse(is_let_in(clients, from_6("::ffff:192.0.3.1")))

    def test_mapped_address_is_in_the_networks_of_ipv6_too(self) -> None:
        clients = factory("::ffff:192.0.2.0/120")
        self.assertTrue(is_let_in(clients, from_6("::ffff:192.0.2.1")))
        self.assertFalse(is_let_in(clients, from_6("::ffff:192.0.3.1")))

    def test_scope_of_a_link_local_address_does_not_count(self) -> None:
        self.assertTrue(is_let_in(factory("fe80::/10"), from_6("fe80::1%eth0")))
        self.assertFalse(is_let_in(factory("2001:db8::/32"), from_6("fe80::1%eth0")))

    def test_unix_socket_is_of_no_network(self) -> None:
        self.assertTrue(is_let_in(factory("192.0.2.0/24"), UNIXAddress(b"/run/a")))

    @given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 32))
    def test_any_address_is_let_in_or_refused(self, host: Any, other: Any, prefix: int) -> None:
        network = ip_network((other, prefix), strict=False)
        address = from_4(str(host)) if host.version == 4 else from_6(str(host))
        mapped = getattr(host, "ipv4_mapped", None)
        expected = host in network or (mapped is not None and mapped in network)
        self.assertEqual(is_let_in(factory(str(network)), address), expected)


class LimitTests(TestCase):
    """The most clients that a route has."""

    def test_those_over_it_are_refused_until_one_leaves(self) -> None:
        clients = factory(max_clients=2)
        self.assertTrue(is_let_in(clients, None))
        self.assertTrue(is_let_in(clients, None))
        with capturedLogs() as logged:
            self.assertFalse(is_let_in(clients, None))
        self.assertIn("push /queue/q@tcp:7001: refused", formatEvent(logged[0]))
        clients.connection_ended(next(iter(clients.connections)))
        self.assertTrue(is_let_in(clients, None))
        self.assertEqual(clients.refused, 1)

    def test_those_from_elsewhere_take_no_place(self) -> None:
        clients = factory("192.0.2.0/24", max_clients=1)
        self.assertFalse(is_let_in(clients, from_4("192.0.3.1")))
        self.assertTrue(is_let_in(clients, from_4("192.0.2.1")))

    def test_nobody_is_let_in_while_it_stops(self) -> None:
        clients = factory()
        clients.stopping = True
        self.assertFalse(is_let_in(clients, None))
