"""The wire: frames that are none, or come when they may not."""

from __future__ import annotations

import struct

from pika import BasicProperties, frame, spec

from netdemo.frames import BODY, HEADER, METHOD
from netdemo.frames import frame as encode
from tests.contract import Contract
from tests.contract_client import Client, ConnectionRefused

HEARTBEAT = 8
BASIC = 60

PUBLISH = frame.Method(1, spec.Basic.Publish(0, "", "nowhere")).marshal()
QOS = frame.Method(1, spec.Basic.Qos()).marshal()


def header(size: int, channel: int = 1) -> bytes:
    """Return the frame of a content header."""
    return frame.Header(channel, size, BasicProperties()).marshal()


def body(data: bytes, channel: int = 1) -> bytes:
    """Return the frame of a body."""
    return frame.Body(channel, data).marshal()


class Frames(Contract):
    """What arrives on a connection with one open channel."""

    async def refused(
        self, data: bytes, reply_code: int, reply_text: str, method: type | None = None
    ) -> Client:
        """Send bytes for which the broker must close the connection, in these words."""
        channel = await self.channel()
        channel.client.write(data)
        refused = await channel.refusal()
        self.assertIsInstance(refused, ConnectionRefused)
        self.assert_refused(refused, reply_code, reply_text, method)
        return channel.client

    async def ends(self, data: bytes) -> None:
        """Send bytes for which the broker must end the connection.

        RabbitMQ does so without a word, or with an internal error of its own; ours says why.
        """
        channel = await self.channel()
        channel.client.write(data)
        await channel.client.lost
        if isinstance(channel.ended, ConnectionRefused):
            self.assertIn(channel.ended.reply_code, (501, 502, 503, 541))

    async def test_frames_that_are_none(self) -> None:
        for kind, channel, payload, reason in (
            (7, 1, b"abc", '<<"abc">>: unknown_frame'),
            (4, 1, b"", "<<>>: unknown_frame"),
            (HEARTBEAT, 0, b"a", '<<"a">>: unknown_frame'),
            (METHOD, 1, b"", "<<>>: unknown_frame"),
            (METHOD, 1, b"\x00\x3c", "<<0,60>>: unknown_frame"),
            (HEADER, 1, b"\x00\x3c", "<<0,60>>: unknown_frame"),
        ):
            text = f"FRAME_ERROR - type {kind}, all octets = {reason}"
            await self.refused(encode(kind, channel, payload), 501, text)

    async def test_a_frame_without_its_end(self) -> None:
        data = QOS[:-1] + b"\x00"
        text = (
            "FRAME_ERROR - type 1, all octets = <<0,60,0,10,0,0,0,0,0,0,0>>:"
            " {invalid_frame_end_marker,0}"
        )
        await self.refused(data, 501, text)

    async def test_a_frame_that_is_too_large_is_refused_by_its_head(self) -> None:
        for frame_max in (4096, 131072):
            channel = await self.channel(frame_max=frame_max)
            channel.client.write(struct.pack(">BHI", BODY, 1, frame_max + 1))
            text = (
                "FRAME_ERROR - type 3, all octets = <<>>:"
                f" {{frame_too_large,{frame_max + 1},{frame_max - 8}}}"
            )
            self.assert_refused(await channel.refusal(), 501, text)

    async def test_a_frame_may_be_as_large_as_agreed(self) -> None:
        channel = await self.channel(frame_max=4096)
        data = b"a" * (4096 - 8)
        channel.client.write(PUBLISH + header(len(data)) + body(data))
        await self.settle(channel)

    async def test_contents_without_a_method(self) -> None:
        text = "UNEXPECTED_FRAME - expected method frame, got non method frame instead"
        for data in (
            header(3),
            body(b"abc"),
            header(3, channel=7),
            PUBLISH + header(0) + body(b""),
        ):
            await self.refused(data, 505, text)

    async def test_a_method_without_its_content_header(self) -> None:
        text = (
            "UNEXPECTED_FRAME - expected content header for class 60,"
            " got non content header frame instead"
        )
        for data in (PUBLISH + QOS, PUBLISH + body(b"a"), PUBLISH + PUBLISH):
            await self.refused(data, 505, text, spec.Basic.Publish)

    async def test_a_content_header_of_another_class(self) -> None:
        text = (
            "UNEXPECTED_FRAME - expected content header for class 60, got one for class 61 instead"
        )
        data = PUBLISH + encode(HEADER, 1, struct.pack(">HHQH", 61, 0, 0, 0))
        await self.refused(data, 505, text, spec.Basic.Publish)

    async def test_a_content_header_without_its_body(self) -> None:
        text = "UNEXPECTED_FRAME - expected content body, got non content body frame instead"
        for data in (PUBLISH + header(3) + QOS, PUBLISH + header(3) + header(3)):
            await self.refused(data, 505, text, spec.Basic.Publish)

    async def test_empty_frames_within_a_body_are_taken(self) -> None:
        channel = await self.channel()
        channel.client.write(PUBLISH + header(3) + body(b"") + body(b"a") + body(b"bc"))
        await self.settle(channel)

    async def test_a_content_header_that_can_not_be_decoded(self) -> None:
        for flags, rest in ((0x8000, b"\xc8abc"), (0, b"abc"), (1, b"\x00\x00")):
            payload = struct.pack(">HHQH", BASIC, 0, 0, flags) + rest
            await self.ends(PUBLISH + encode(HEADER, 1, payload))

    async def test_arguments_that_can_not_be_decoded(self) -> None:
        for method, arguments, told in (
            (spec.Queue.Declare, b"\x00\x00\x09abc", "0,0,9,97,98,99"),
            (spec.Queue.Declare, b"\x00\x00\x01a\x00\x00\x00\x00\x09", "0,0,1,97,0,0,0,0,9"),
            (spec.Basic.Qos, bytes(7) + b"zzz", "0,0,0,0,0,0,0,122,122,122"),
        ):
            payload = method.INDEX.to_bytes(4, "big") + arguments
            text = f"FRAME_ERROR - cannot decode <<{told}>>"
            await self.refused(encode(METHOD, 1, payload), 501, text, method)

    async def test_methods_that_nobody_knows(self) -> None:
        for channel, class_id, method_id in ((1, 60, 99), (1, 99, 10), (0, 10, 99)):
            await self.ends(encode(METHOD, channel, struct.pack(">HH", class_id, method_id)))

    async def test_heartbeats_are_taken_on_channel_0_alone(self) -> None:
        channel = await self.channel()
        channel.client.write(encode(HEARTBEAT, 0, b""))
        await self.settle(channel)
        text = "UNEXPECTED_FRAME - type 8, all octets = <<>>"
        await self.refused(encode(HEARTBEAT, 1, b""), 505, text)

    async def test_contents_on_channel_0(self) -> None:
        text = 'UNEXPECTED_FRAME - type 3, all octets = <<"abc">>'
        await self.refused(body(b"abc", channel=0), 505, text)
        text = "UNEXPECTED_FRAME - type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,3,0,0>>"
        await self.refused(header(3, channel=0), 505, text)

    async def test_frames_may_come_in_any_pieces(self) -> None:
        channel = await self.channel()
        queue = await self.queue(channel)
        publish = frame.Method(1, spec.Basic.Publish(0, "", queue)).marshal()
        data = publish + header(3) + body(b"abc")
        for start in range(0, len(data), 5):
            channel.client.write(data[start : start + 5])
            await self.pause(0.001)
        self.assertEqual(await self.drain(queue, channel), [b"abc"])
