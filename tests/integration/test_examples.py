"""Each example shows its pattern, on a real RabbitMQ."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys

import pika

from tests.examples import EXAMPLES, PROGRAMS, ROOT, ExampleTestCase, received
from tests.processes import PATIENCE, Process
from tests.processes import PROGRAMS as INSTALLED


class HelloTests(ExampleTestCase):
    """``hello_queue.py``"""

    def test_what_was_sent_before_is_received(self) -> None:
        self.send("hello_queue.py", "send", "Hello, world!")
        receiver = self.listen("hello_queue.py", "receive")
        receiver.wait_for("received Hello, world!")
        self.assertEqual(receiver.terminate(), 0)
        self.assertEqual(self.waiting("hello"), 0)

    def test_what_nobody_reads_any_more_is_received_by_another(self) -> None:
        reading, writing = os.pipe()
        unread = subprocess.Popen(
            [sys.executable, EXAMPLES / "hello_queue.py", "receive"],
            env={**os.environ, "NETDEMO_BROKER": self.broker, "PYTHONUNBUFFERED": "1"},
            stdout=writing,
            stderr=subprocess.PIPE,
        )
        self.addCleanup(unread.communicate)
        self.addCleanup(unread.kill)
        os.close(writing)
        with open(reading) as lines:
            self.assertIn("Ctrl-C ends it", lines.readline())
        for text in ("one", "two"):
            self.send("hello_queue.py", "send", text)
        self.assertEqual(unread.communicate(timeout=PATIENCE), (None, b""))
        self.assertEqual(unread.returncode, 1)
        receiver = self.listen("hello_queue.py", "receive")
        receiver.wait_for("received one")
        receiver.wait_for("received two")

    def test_sigint_ends_it_in_order(self) -> None:
        receiver = self.listen("hello_queue.py", "receive")
        receiver.signal(signal.SIGINT)
        self.assertEqual(receiver.wait(), 0)
        self.assertEqual(receiver.lines, ["waiting for messages; Ctrl-C ends it\n", "stopped\n"])


class WorkQueueTests(ExampleTestCase):
    """``work_queue.py``"""

    def test_worker_with_a_long_task_gets_no_other_and_its_task_goes_on_when_it_dies(self) -> None:
        slow = self.listen("work_queue.py", "worker")
        long = "long" + "." * 1000
        self.send("work_queue.py", "task", long)
        slow.wait_for(f"working on {long}")
        fast = self.listen("work_queue.py", "worker")
        for number in range(3):
            self.send("work_queue.py", "task", f"short {number}")
        for number in range(3):
            fast.wait_for(f"done with short {number}")
        slow.signal(signal.SIGKILL)
        fast.wait_for(f"working on {long}")
        slow.wait()
        self.assertEqual(slow.lines[1:], [f"working on {long}\n"])

    def test_worker_that_is_stopped_finishes_its_task(self) -> None:
        worker = self.listen("work_queue.py", "worker")
        self.send("work_queue.py", "task", "one.")
        worker.wait_for("working on one.")
        self.assertEqual(worker.terminate(), 0)
        self.assertEqual(worker.lines[-2:], ["done with one.\n", "stopped\n"])
        self.assertEqual(self.waiting("task_queue"), 0)

    def test_second_sigint_does_not_wait_for_its_task(self) -> None:
        worker = self.listen("work_queue.py", "worker")
        long = "long" + "." * 1000
        self.send("work_queue.py", "task", long)
        worker.wait_for(f"working on {long}")
        worker.signal(signal.SIGINT)
        self.node.control("close_all_connections", "for a test")  # it takes the signal before
        worker.wait_for("for a test")
        worker.signal(signal.SIGINT)
        self.assertEqual(worker.wait(), -signal.SIGINT)
        self.assertNotIn("Traceback", "".join(worker.lines))

    def test_worker_is_a_service_too(self) -> None:
        process = Process(
            *(INSTALLED / "twistd", "-n", "--pidfile=", "-y", EXAMPLES / "worker.tac"),
            cwd=self.folder,
            environment={"NETDEMO_BROKER": self.broker},
        )
        self.addCleanup(process.remove)
        process.wait_for("ready")
        self.send("work_queue.py", "task", "one.")
        process.wait_for("working on one.")
        self.assertEqual(process.terminate(), -signal.SIGTERM)  # as twistd tells of it
        self.assertIn("done with one.", "".join(process.lines))
        self.assertEqual(self.waiting("task_queue"), 0)


class DurableTests(ExampleTestCase):
    """``durable.py``"""

    def test_persistent_message_is_there_when_the_broker_was_killed(self) -> None:
        self.send("durable.py", "send", "This one stays.")
        self.send("durable.py", "send-transient", "This one goes.")
        self.assertEqual(self.waiting("durable"), 2)
        self.restart()
        self.send("durable.py", "send", "later")
        receiver = self.listen("durable.py", "receive")
        receiver.wait_for("later")
        self.assertEqual(received(receiver), ["This one stays.", "later"])

    def test_receiver_goes_on_when_the_broker_was_killed(self) -> None:
        receiver = self.listen("durable.py", "receive")
        self.restart()
        receiver.wait_for("ready")
        self.send("durable.py", "send", "later")
        receiver.wait_for("received later")

    def restart(self) -> None:
        """Kill the broker, and start it again."""
        self.node.sync()
        self.node.kill()
        self.node.start()


class FanoutTests(ExampleTestCase):
    """``fanout.py``"""

    def test_all_who_listen_receive(self) -> None:
        self.send("fanout.py", "send", "to nobody")
        receivers = [self.listen("fanout.py", "receive") for _ in range(2)]
        self.send("fanout.py", "send", "Hello, all!")
        for receiver in receivers:
            receiver.wait_for("received Hello, all!")
            self.assertEqual(received(receiver), ["Hello, all!"])

    def test_own_queue_is_there_again_on_the_next_connection(self) -> None:
        receiver = self.listen("fanout.py", "receive")
        self.node.control("close_all_connections", "for a test")
        self.assertIn("for a test", receiver.wait_for("waiting: "))
        receiver.wait_for("ready: ")
        self.send("fanout.py", "send", "again")
        receiver.wait_for("received again")


class RoutingTests(ExampleTestCase):
    """``direct.py``, ``topic.py``, ``headers.py``: who listens gets what it asked for alone."""

    def test_direct_is_by_severity(self) -> None:
        bad = self.listen("direct.py", "receive", "warning", "error")
        info = self.listen("direct.py", "receive", "info")
        for severity in ("info", "debug", "warning", "error", "info"):
            self.send("direct.py", "send", severity, "text")
        bad.wait_for("received error: text")
        self.assertEqual(received(bad), ["warning: text", "error: text"])
        info.wait_for("received info: text")
        info.wait_for("received info: text")
        self.assertEqual(received(info), ["info: text", "info: text"])

    def test_topic_is_by_patterns(self) -> None:
        one_word = self.listen("topic.py", "receive", "kern.*", "*.critical")
        any_words = self.listen("topic.py", "receive", "kern.#")
        for key in ("kern", "kern.disk.full", "kern.critical", "cron.critical", "kern.end"):
            self.send("topic.py", "send", key, "text")
        one_word.wait_for("kern.end")
        expected = ["kern.critical", "cron.critical", "kern.end"]
        self.assertEqual(received(one_word), [f"{key}: text" for key in expected])
        any_words.wait_for("kern.end")
        expected = ["kern", "kern.disk.full", "kern.critical", "kern.end"]
        self.assertEqual(received(any_words), [f"{key}: text" for key in expected])

    def test_headers_are_by_all_or_any(self) -> None:
        both = ("format=pdf", "type=report")
        those_with_all = self.listen("headers.py", "receive", "all", *both)
        those_with_any = self.listen("headers.py", "receive", "any", *both)
        self.send("headers.py", "send", "pdf", "format=pdf", "type=letter")
        self.send("headers.py", "send", "neither", "format=zip")
        self.send("headers.py", "send", "none")
        self.send("headers.py", "send", "report", *both, "year=2026")
        those_with_all.wait_for("report")
        report = "report {'format': 'pdf', 'type': 'report', 'year': '2026'}"
        self.assertEqual(received(those_with_all), [report])
        those_with_any.wait_for("received report")
        self.assertEqual(
            received(those_with_any), ["pdf {'format': 'pdf', 'type': 'letter'}", report]
        )


class MistakeTests(ExampleTestCase):
    """A mistake is one line and status 1."""

    def test_no_argument(self) -> None:
        for program in PROGRAMS:
            status, (line,) = self.run_to_its_end(program)
            self.assertEqual((status, line.split()[:2]), (1, ["usage:", program]))

    def test_header_without_a_value(self) -> None:
        for arguments in (("send", "text", "format"), ("receive", "all", "format")):
            status, (line,) = self.run_to_its_end("headers.py", *arguments)
            self.assertEqual((status, line[:6]), (1, "usage:"))

    def test_argument_that_is_not_utf_8(self) -> None:
        commands = (
            ("hello_queue.py", "send", "\udcff"),
            ("work_queue.py", "task", "\udcff"),
            ("durable.py", "send", "\udcff"),
            ("fanout.py", "send", "\udcff"),
            ("direct.py", "send", "info", "\udcff"),
            ("topic.py", "send", "key", "\udcff"),
            ("topic.py", "receive", "\udcff"),
            ("headers.py", "send", "\udcff"),
            ("headers.py", "send", "text", "format=\udcff"),
            ("rpc_fibonacci.py", "call", "\udcff"),
        )
        for command in commands:
            status, lines = self.run_to_its_end(*command)
            self.assertEqual((status, len(lines)), (1, 1), lines)
            self.assertIn("surrogates not allowed", lines[0])

    def test_no_broker(self) -> None:
        self.broker = "amqp://127.0.0.1:1/"
        for program, arguments in (("hello_queue.py", ("receive",)), ("fanout.py", ("send", "x"))):
            status, (line,) = self.run_to_its_end(program, *arguments)
            self.assertEqual(status, 1)
            self.assertIn(f"{program}: amqp://127.0.0.1:1/: Connection refused", line)

    def test_queue_that_is_declared_otherwise(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.node.url)) as connection:
            connection.channel().queue_declare("hello", durable=False)
        status, (line,) = self.run_to_its_end("hello_queue.py", "send", "x")
        self.assertEqual(status, 1)
        self.assertIn("PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'hello'", line)


class ReadmeTests(ExampleTestCase):
    """The table of examples is true."""

    def test_what_one_command_sends_the_other_receives(self) -> None:
        section = (ROOT / "examples" / "README.md").read_text()
        rows = re.findall(
            r"^\|.*\| `python examples/(.*)` \| `python examples/(.*)` \|$", section, re.MULTILINE
        )
        shown = [[shlex.split(command) for command in row] for row in rows]
        self.assertEqual(sorted({program for row in shown for program, *_ in row}), PROGRAMS)
        for listening, sending in shown:
            process = self.listen(*listening)
            status, lines = self.run_to_its_end(*sending)
            self.assertEqual(status, 0, lines)
            if listening[1] != "server":
                process.wait_for(sending[-1] if "headers" not in sending[0] else sending[2])
            self.assertEqual(process.terminate(), 0)
