"""``examples/rpc_fibonacci.py``, on a real RabbitMQ."""

from __future__ import annotations

import threading

from examples import rpc_fibonacci
from netdemo.amqp import Delivery, Message
from netdemo.errors import RemoteError
from tests.examples import ExampleTestCase

PROGRAM = "rpc_fibonacci.py"


class RPCExampleTestCase(ExampleTestCase):
    """Calls as from a shell."""

    def call(self, n: str) -> tuple[int, str]:
        """Return exit status and output of a call."""
        status, (line,) = self.run_to_its_end(PROGRAM, "call", n)
        return status, line


class CallTests(RPCExampleTestCase):
    """A server answers."""

    def setUp(self) -> None:
        super().setUp()
        self.server = self.listen(PROGRAM, "server")

    def test_numbers(self) -> None:
        for n, number in (("0", "0"), ("1", "1"), ("2", "1"), ("30", "832040")):
            self.assertEqual(self.call(n), (0, f"fib({n}) = {number}"))
        status, line = self.call("10000")
        number = line.removeprefix("fib(10000) = ")
        self.assertEqual((status, len(number)), (0, 2090))
        self.assertEqual((number[:10], number[-10:]), ("3364476487", "9947366875"))
        self.assertEqual(self.server.terminate(), 0)
        self.assertEqual(self.server.lines[1:], ["stopped\n"])

    def test_anything_else_is_an_error(self) -> None:
        for n in ("-1", "10001", "x", "", "\N{FULLWIDTH DIGIT ONE}"):
            status, line = self.call(n)
            self.assertEqual(status, 1)
            self.assertIn(f"bad n {n!r}: expected a whole number from 0 to 10000", line)
        self.assertEqual(self.call("3"), (0, "fib(3) = 2"))
        self.assertEqual(self.server.terminate(), 0)
        self.assertEqual(self.server.lines[1:], ["stopped\n"])


class ServerTests(RPCExampleTestCase):
    """How it serves."""

    def test_no_server(self) -> None:
        status, line = self.call("30")
        self.assertEqual(status, 1)
        self.assertIn("NO_ROUTE", line)

    async def test_number_is_computed_off_the_reactor_thread(self) -> None:
        threads: list[threading.Thread] = []

        def fibonacci(n: int) -> int:
            threads.append(threading.current_thread())
            return n

        self.patch(rpc_fibonacci, "fibonacci", fibonacci)
        self.assertEqual(await rpc_fibonacci.serve(request(b"7")), b"7")
        self.assertEqual(len(threads), 1)
        self.assertIsNot(threads[0], threading.current_thread())

    async def test_what_int_would_read_is_refused_too(self) -> None:
        others = (b" 1", b"1\n", b"+1", b"1_0", b"07", b"00", b"0" * 6, b"9" * 1_000_000, b"\xb2")
        for text in others:
            with self.assertRaises(RemoteError) as raised:
                await rpc_fibonacci.serve(request(text))
            self.assertLess(len(str(raised.exception)), 100)


def request(body: bytes) -> Delivery:
    """Return a call."""
    return Delivery(Message(body), "", "rpc_queue", False, 1)
