"""``netdemo tour`` as a real process: on the broker that it brings along, and on RabbitMQ."""

from __future__ import annotations

import os
import re
import signal
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from netdemo.tour import STOPS
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS, Process, heed_interrupts
from tests.rabbitmq import RabbitMQTestCase, free_ports

NAMES = [stop.name for stop in STOPS]


class TourTestCase(SynchronousTestCase):
    """A test that takes the tour with a folder for what is temporary, in which nothing is left."""

    def setUp(self) -> None:
        super().setUp()
        heed_interrupts(self)
        self.folder = temporary_folder(self)
        self.addCleanup(lambda: self.assertEqual([], os.listdir(self.folder)))
        # A broker that is named for other commands is none of the tour's.
        self.environment = {
            **os.environ,
            "TMPDIR": str(self.folder),
            "NETDEMO_BROKER": "amqp://127.0.0.1:1/",
        }

    def tour(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Take the tour to its end."""
        return subprocess.run(
            [PROGRAMS / "netdemo", "tour", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self, *arguments: str) -> Process:
        """Start the tour."""
        process = Process(
            PROGRAMS / "netdemo", "tour", *arguments, cwd=self.folder, environment=self.environment
        )
        self.addCleanup(process.remove)
        return process

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of shell, in which ``$netdemo`` is set."""
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            env={**self.environment, "netdemo": f"{PROGRAMS}/netdemo"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def marks(self, output: str) -> dict[str, str]:
        """Return the mark of each stop as the table has it."""
        return dict(re.findall(r"^│ (\S.*?) +│ (\S.*?) +│", output, re.MULTILINE))


class OwnBrokerTests(TourTestCase):
    """Nothing beside it."""

    def test_every_stop_is_shown_and_holds(self) -> None:
        ended = self.tour()
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended.stdout)
        self.assertEqual(self.marks(ended.stdout), dict.fromkeys(NAMES, "held"))
        for number, stop in enumerate(STOPS, 1):
            head = "\n    ".join((f"{number}. {stop.name}", *stop.lines))
            self.assertRegex(ended.stdout, rf"(?m)^{re.escape(head)}\n(    - .*\n)+    held: ")
        self.assertNotIn("\x1b", ended.stdout)

    def test_two_at_the_same_time_do_not_meet(self) -> None:
        tours = [self.start() for _ in range(2)]
        self.assertEqual([tour.wait() for tour in tours], [0, 0])

    def test_interrupted_it_puts_everything_away(self) -> None:
        for place in ("2. poetry", "was stopped, and started", "6. fair dispatch"):
            tour = self.start()
            tour.wait_for(place)
            tour.signal(signal.SIGINT)
            self.assertEqual(tour.wait(), 1)
            self.assertEqual(tour.lines[-1], "netdemo tour: interrupted\n")
            self.assertNotIn("Traceback", "".join(tour.lines))

    def test_reader_that_leaves_ends_it(self) -> None:
        ended = self.shell("$netdemo tour | head -n 1")
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (1, "1. echo\n", ""))

    def test_output_that_cannot_be_written_ends_it(self) -> None:
        ended = self.shell("$netdemo tour > /dev/full")
        text = "netdemo tour: cannot write standard output: No space left on device\n"
        self.assertEqual((ended.returncode, ended.stderr), (1, text))


class RabbitMQTests(TourTestCase, RabbitMQTestCase):
    """A RabbitMQ that it finds and leaves as it is."""

    def state(self) -> list[str]:
        """Return what the broker has."""
        return [self.node.control(f"list_{each}") for each in ("queues", "exchanges", "bindings")]

    def test_every_stop_holds_but_the_one_that_cannot_be_shown(self) -> None:
        before = self.state()
        ended = self.tour("--broker", self.node.url)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""), ended.stdout)
        expected = {**dict.fromkeys(NAMES, "held"), "durable queue": "not shown"}
        self.assertEqual(self.marks(ended.stdout), expected)
        self.assertIn("not shown: the broker is not ours to restart; ", ended.stdout)
        self.assertEqual(self.state(), before)

    def test_interrupted_it_leaves_nothing_on_the_broker(self) -> None:
        before = self.state()
        tour = self.start("--broker", self.node.url)
        tour.wait_for("6. fair dispatch")
        tour.signal(signal.SIGINT)
        self.assertEqual(tour.wait(), 1)
        self.assertEqual(tour.lines[-1], "netdemo tour: interrupted\n")
        self.assertEqual(self.state(), before)

    def test_login_that_is_refused_is_told_without_it(self) -> None:
        ended = self.tour("--broker", self.node.url.replace("guest:guest@", "us3r:p4ss@"))
        self.assertEqual(ended.returncode, 1)
        self.assertIn("ACCESS_REFUSED", ended.stdout)
        for secret in ("us3r", "p4ss"):
            self.assertNotIn(secret, ended.stdout + ended.stderr)


class DownTests(TourTestCase):
    """A broker that is down."""

    def test_what_needs_no_broker_is_shown_all_the_same(self) -> None:
        (port,) = free_ports(1)
        ended = self.tour("--broker", f"amqp://us3r:p4ss@127.0.0.1:{port}/")
        self.assertEqual(ended.returncode, 1)
        needing = [name for name in NAMES if name not in ("echo", "poetry")]
        expected = {"echo": "held", "poetry": "held", **dict.fromkeys(needing, "failed")}
        self.assertEqual(self.marks(ended.stdout), expected)
        reason = f"failed: amqp://127.0.0.1:{port}/: Connection refused\n"
        self.assertEqual(ended.stdout.count(reason), len(needing))
        self.assertEqual(
            ended.stderr, f"netdemo tour: 9 of 11 did not hold: {', '.join(needing)}\n"
        )
