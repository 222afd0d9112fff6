"""``netdemo doctor``: its options, and how it is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cryptography.x509 import load_pem_x509_certificate
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.certificate import days_left, description, expiry, validity
from netdemo.cli.diagnosis import Finding
from netdemo.cli.doctor import DoctorOptions, Sheet, coloured
from netdemo.errors import BrokerURLError, StepFailed
from tests.certificates import DAY, Authority
from tests.folders import temporary_folder

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class OptionsTests(SynchronousTestCase):
    """Which broker is examined."""

    def broker(self, *arguments: str) -> str:
        """Return the broker for these arguments."""
        options = DoctorOptions()
        options.parseOptions(arguments)
        return str(options["broker"])

    def test_broker_is_that_of_the_machine_or_the_environment_or_the_argument(self) -> None:
        self.patch_broker("")
        self.assertEqual("amqp://127.0.0.1:5672/", self.broker())
        self.patch_broker("amqp://mq.example/a")
        self.assertEqual("amqp://mq.example:5672/a", self.broker())
        self.assertEqual("amqp://b.example:5672/", self.broker("amqp://b.example"))

    def patch_broker(self, url: str) -> None:
        """Set what the environment says."""
        self.patch(os, "environ", {"NETDEMO_BROKER": url})

    def test_malformed_url_is_refused_without_its_login(self) -> None:
        parse = DoctorOptions().parseOptions
        error = self.assertRaises(BrokerURLError, parse, ["amqp://us3r:p4ss/w0rd@mq.example"])
        for secret in ("us3r", "p4ss", "w0rd"):
            self.assertNotIn(secret, str(error))

    def test_second_argument_is_refused(self) -> None:
        self.assertRaises(usage.UsageError, DoctorOptions().parseOptions, ["amqp://a", "amqp://b"])


class Output:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data


class SheetTests(SynchronousTestCase):
    """One line a step."""

    def setUp(self) -> None:
        self.output = Output()

    def sheet(self, coloured: bool = False) -> Sheet:
        """Return a sheet."""
        return Sheet(self.output, coloured)  # type: ignore[arg-type]

    def test_step_that_holds_is_one_line(self) -> None:
        self.sheet().held("tcp", Finding("connected"))
        self.assertEqual(b"ok   tcp        connected\n", self.output.written)

    def test_warning_and_failure_have_a_line_more(self) -> None:
        self.sheet().held("tls", Finding("in 3 days", "renew it"))
        self.sheet().failed(StepFailed("round trip", "lost", "look"))
        expected = (
            b"warn tls        in 3 days\n     to do      renew it\n"
            b"FAIL round trip lost\n     to do      look\n"
        )
        self.assertEqual(expected, self.output.written)

    def test_marks_alone_have_colours(self) -> None:
        self.sheet(coloured=True).failed(StepFailed("tcp", "refused", "look"))
        expected = b"\x1b[31mFAIL\x1b[0m tcp        refused\n     to do      look\n"
        self.assertEqual(expected, self.output.written)

    def test_words_of_a_broker_do_not_control_the_terminal(self) -> None:
        self.sheet().held("protocol", Finding("Rab\x1b[2J\nbit \xe9"))
        self.assertEqual("ok   protocol   Rab?[2J?bit é\n".encode(), self.output.written)

    def test_colours_are_for_terminals(self) -> None:
        self.patch(os, "isatty", lambda _: False)
        self.assertFalse(coloured())
        self.patch(os, "isatty", lambda _: True)
        for environment, expected in (
            ({}, True),
            ({"NO_COLOR": "1"}, False),
            ({"NO_COLOR": ""}, True),
            ({"TERM": "dumb"}, False),
        ):
            self.patch(os, "environ", environment)
            self.assertIs(expected, coloured())


class CertificateTests(SynchronousTestCase):
    """A certificate in words."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self)
        self.authority = Authority(self.folder / "ca.pem", "Ann's")

    def issue(self, *names: str) -> Certificate:
        """Return a certificate for hosts of these names."""
        path, key_path = self.folder / "server.pem", self.folder / "key.pem"
        self.authority.issue(path, *names, expires=12 * DAY, key_path=key_path)
        return load_pem_x509_certificate(path.read_bytes())

    def own(self) -> Certificate:
        """Return the certificate of the authority, which lasts a day."""
        return load_pem_x509_certificate(self.authority.path.read_bytes())

    def test_hosts_and_issuer_are_told(self) -> None:
        described = description(self.issue("mq.example", "::1"))
        self.assertEqual("""for mq.example, ::1, issued by "CN=Ann's\"""", described)

    def test_many_hosts_are_not_all_told(self) -> None:
        described = description(self.issue(*(f"{name}.example" for name in "abcdefg")))
        self.assertIn("for a.example, b.example, c.example, d.example, e.example and 2", described)

    def test_subject_stands_for_hosts_that_are_not_there(self) -> None:
        self.assertIn("of 'CN=localhost', issued by ", description(self.issue()))

    def test_certificate_of_its_own_is_told(self) -> None:
        self.assertEqual("""of "CN=Ann's", issued by itself""", description(self.own()))

    def test_days_left_are_whole_days(self) -> None:
        certificate = self.issue("mq.example")
        ends = certificate.not_valid_after_utc
        self.assertEqual(2, days_left([certificate], ends - 3 * DAY + DAY / 24))
        self.assertEqual(
            f"it expires on {ends:%Y-%m-%d}, in 3 days", expiry([certificate], ends - 3 * DAY)
        )
        self.assertIn(f" until {ends:%Y-%m-%d %H:%M} UTC", validity(certificate))

    def test_issuer_that_expires_first_is_told(self) -> None:
        chain = [self.issue("mq.example"), self.own()]
        ends = chain[1].not_valid_after_utc
        self.assertEqual(
            f"the certificate of its issuer expires on {ends:%Y-%m-%d}, in 0 days",
            expiry(chain, ends),
        )
        self.assertEqual(0, days_left(chain, ends))
