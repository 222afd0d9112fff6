"""Routes of the bridge in text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.address import ExchangeDestination, QueueDestination
from netdemo.amqp import consumer
from netdemo.bridge import routes
from netdemo.bridge.routes import PullRoute, PushRoute, split_route
from netdemo.errors import AddressError

HELLO = QueueDestination("hello")


class LimitTests(SynchronousTestCase):
    """Limits that the options can't take from `netdemo.amqp`, which installs a reactor."""

    def test_prefetch_has_the_limit_of_a_consumer(self) -> None:
        self.assertEqual(consumer.MAX_PREFETCH, routes.MAX_PREFETCH)


class SplitRouteTests(SynchronousTestCase):
    """``DEST@ENDPOINT``"""

    def refusal(self, text: str) -> str:
        """Return the error's text for `text`, which must be one line that says what to write."""
        refused = str(self.assertRaises(AddressError, split_route, text))
        self.assertNotIn("\n", refused)
        self.assertIn("expected ", refused)
        return refused

    def test_destination_and_endpoint_are_apart(self) -> None:
        self.assertEqual((HELLO, "tcp:7001"), split_route("/queue/hello@tcp:7001"))

    def test_at_in_the_endpoint_belongs_to_it(self) -> None:
        self.assertEqual((HELLO, "unix:/tmp/a@b"), split_route("/queue/hello@unix:/tmp/a@b"))

    def test_escaped_at_belongs_to_the_name(self) -> None:
        self.assertEqual(
            (QueueDestination("a@b"), "tcp:7001"), split_route("/queue/a%40b@tcp:7001")
        )

    def test_slashes_of_an_exchange_belong_to_the_destination(self) -> None:
        self.assertEqual(
            (ExchangeDestination("logs", "info"), "tcp:1"), split_route("/exchange/logs/info@tcp:1")
        )

    def test_malformed_endpoint_is_not_looked_into(self) -> None:
        self.assertEqual((HELLO, "nonsense"), split_route("/queue/hello@nonsense"))

    @settings(deadline=None)
    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
    def test_any_destination_in_its_text_form_can_be_routed(self, name: str) -> None:
        destination = QueueDestination(name)
        self.assertEqual((destination, "tcp:7001"), split_route(f"{destination}@tcp:7001"))

    def test_missing_endpoint_is_refused(self) -> None:
        self.assertIn(
            "bad route '/queue/hello': expected DEST@ENDPOINT", self.refusal("/queue/hello")
        )

    def test_empty_endpoint_is_refused(self) -> None:
        self.assertIn("bad route '/queue/hello@': ", self.refusal("/queue/hello@"))

    def test_empty_text_is_refused(self) -> None:
        self.assertIn("bad route '': ", self.refusal(""))

    def test_missing_destination_is_refused(self) -> None:
        self.assertIn("bad destination '': expected /queue/NAME", self.refusal("@tcp:7001"))

    def test_malformed_destination_is_refused(self) -> None:
        self.assertIn(
            "bad destination 'hello': expected /queue/NAME", self.refusal("hello@tcp:7001")
        )


class RouteTests(SynchronousTestCase):
    """The text of a route, which names its service."""

    def test_push_route_names_kind_destination_and_endpoint(self) -> None:
        self.assertEqual("push /queue/hello@tcp:7001", str(PushRoute(HELLO, "tcp:7001")))

    def test_pull_route_names_kind_destination_and_endpoint(self) -> None:
        self.assertEqual("pull /queue/hello@tcp:7002", str(PullRoute(HELLO, "tcp:7002")))
