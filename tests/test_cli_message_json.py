"""Messages as lines of JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.amqp import Delivery, Message
from netdemo.cli.message_json import MAX_DEPTH, json_line


def rendered(message: Message, routing_key: str = "k") -> Any:
    """Return what the line of a delivery says."""
    line = json_line(Delivery(message, "ex", routing_key, redelivered=True, delivery_tag=1))
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    return json.loads(line.decode())


class JSONTests(SynchronousTestCase):
    """Everything of a message is there."""

    def test_message_has_its_place_its_properties_and_its_body(self) -> None:
        message = Message(
            "é\n".encode(), message_id="m", priority=0, content_type="text/plain", timestamp=5
        )
        self.assertEqual(
            rendered(message),
            {
                "exchange": "ex",
                "routing_key": "k",
                "redelivered": True,
                "properties": {
                    "content_type": "text/plain",
                    "delivery_mode": 2,
                    "priority": 0,
                    "message_id": "m",
                    "timestamp": 5,
                },
                "headers": {},
                "body": "é\n",
            },
        )

    def test_text_is_not_escaped(self) -> None:
        delivery = Delivery(Message("é".encode()), "", "k", redelivered=False, delivery_tag=1)
        self.assertIn('"body":"é"'.encode(), json_line(delivery))

    def test_body_that_is_not_utf_8_is_base64(self) -> None:
        said = rendered(Message(b"\xff\0"))
        self.assertEqual(said["body_base64"], "/wA=")
        self.assertNotIn("body", said)

    def test_headers_of_every_type_have_a_value(self) -> None:
        headers = {
            "date": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "bytes": b"\xff",
            "decimal": Decimal("1.50"),
            "nan": float("nan"),
            "fraction": 0.5,
            "none": None,
            "flag": True,
            "whole": 1 << 62,
            "list": [1, [b"a"], {"b": Decimal(2)}],
        }
        self.assertEqual(
            rendered(Message(b"", headers=headers))["headers"],
            {
                "date": "2026-01-02T03:04:05+00:00",
                "bytes": {"base64": "/w=="},
                "decimal": "1.50",
                "nan": "nan",
                "fraction": 0.5,
                "none": None,
                "flag": True,
                "whole": 1 << 62,
                "list": [1, [{"base64": "YQ=="}], {"b": "2"}],
            },
        )

    def test_names_that_are_not_utf_8_are_kept(self) -> None:
        said = rendered(Message(b"", headers={b"\xff": 1}, type="\udcff"), "\udcff")  # type: ignore[dict-item]
        self.assertEqual(said["routing_key"], "\udcff")
        self.assertEqual(said["properties"]["type"], "\udcff")
        self.assertEqual(said["headers"], {"\udcff": 1})

    def test_headers_in_headers_without_end_have_one(self) -> None:
        deep: Any = "bottom"
        for _ in range(3 * MAX_DEPTH):
            deep = [deep]
        said = json.dumps(rendered(Message(b"", headers={"deep": deep})))
        self.assertIn("nested too deeply", said)
        self.assertNotIn("bottom", said)

    @given(st.binary())
    def test_body_can_be_had_back(self, body: bytes) -> None:
        from base64 import b64decode

        said = rendered(Message(body))
        again = said["body"].encode() if "body" in said else b64decode(said["body_base64"])
        self.assertEqual(body, again)
