"""`netdemo.bridge.config`: TOML files, and each mistake in them in a line."""

from __future__ import annotations

import os
from ipaddress import ip_network

import attrs
from twisted.internet.testing import MemoryReactorClock

from netdemo.address import ExchangeDestination, QueueDestination
from netdemo.bridge.config import FIELDS, KEYS, Config, ConfigFile
from netdemo.bridge.routes import (
    FIRST_WORD,
    ROUTES,
    CallRoute,
    Member,
    PushRoute,
)
from netdemo.errors import ConfigError
from tests.configs import CONNECT, LISTEN, NAME, ConfigTestCase

PLACE = f'destination = "/topic/k"\nlisten = "{LISTEN}"'

LENGTH = "expected a whole number from 1 to 536870912"
WHOLE = "expected a whole number of at least 1"
SECONDS = "expected seconds, a number of more than 0 and at most 4294967"
TRUTH = "expected true or false"
DEST = "expected /queue/NAME, /amq/queue/NAME, /topic/KEY or /exchange/NAME/KEY"
NETWORKS = "expected a list of networks such as 10.0.0.0/8 or ::1/128, one at least"
ORIGIN = 'expected "first-word" or { json = "member" }'
HEADERS = 'expected names of 1 to 255 bytes, each = "first-word" or { json = "member" }'
URLS = "expected a URL or a list of URLs"
TEXT = "expected text, without a NUL"
NAME_EXPECTED = "expected text of 1 to 255 bytes"

BAD_VALUES = [
    ("push", "ack = 1", f"ack: 1: {TRUTH}"),
    ("push", "persistent = 'yes'", f'persistent: "yes": {TRUTH}'),
    ("push", "mandatory = []", f"mandatory: []: {TRUTH}"),
    ("push", "max_record = 0", f"max_record: 0: {LENGTH}"),
    ("push", "max_record = 1.0", f"max_record: 1.0: {LENGTH}"),
    ("push", "max_record = 536870913", f"max_record: 536870913: {LENGTH}"),
    ("push", "max_clients = true", f"max_clients: true: {WHOLE}"),
    ("push", "idle_timeout = 0", f"idle_timeout: 0: {SECONDS}"),
    ("push", "idle_timeout = true", f"idle_timeout: true: {SECONDS}"),
    ("push", "idle_timeout = inf", f"idle_timeout: Infinity: {SECONDS}"),
    ("push", "idle_timeout = nan", f"idle_timeout: NaN: {SECONDS}"),
    ("push", "idle_timeout = '60'", f'idle_timeout: "60": {SECONDS}'),
    ("push", "content_type = ''", f'content_type: "": {NAME_EXPECTED}'),
    ("push", "content_type = 5", f"content_type: 5: {NAME_EXPECTED}"),
    ("push", "framing = 'lines'", 'framing: "lines": expected "line" or "netstring" or "int32"'),
    ("push", "framing = ['line']", 'framing: ["line"]: expected "line" or "netstring" or "int32"'),
    ("push", "allow = '10.0.0.0/8'", f'allow: "10.0.0.0/8": {NETWORKS}'),
    ("push", "allow = []", f"allow: []: {NETWORKS}"),
    ("push", "allow = [10]", f"allow: [10]: {NETWORKS}"),
    ("push", "allow = ['10.0.0.1/8']", f'allow: ["10.0.0.1/8"]: {NETWORKS}'),
    ("push", "key_from = 'word'", f'key_from: "word": {ORIGIN}'),
    ("push", "key_from = { json = 1 }", f'key_from: {{"json": 1}}: {ORIGIN}'),
    ("push", "key_from = {json='a',b=1}", f'key_from: {{"json": "a", "b": 1}}: {ORIGIN}'),
    ("push", "headers_from = 'level'", f'headers_from: "level": {HEADERS}'),
    ("push", "headers_from = {a=1}", f'headers_from: {{"a": 1}}: {HEADERS}'),
    (
        "push",
        "headers_from = {''='first-word'}",
        f'headers_from: {{"": "first-word"}}: {HEADERS}',
    ),
    ("push", "ack = 1979-05-27", f'ack: "1979-05-27": {TRUTH}'),
    ("push", f"ack = '{'x' * 100}'", f'ack: "{"x" * 79}...: {TRUTH}'),
    ("pull", "prefetch = 0", "prefetch: 0: expected a whole number from 1 to 65535"),
    ("pull", "prefetch = 65536", "prefetch: 65536: expected a whole number from 1 to 65535"),
    ("pull", "unfit = 'drop'", 'unfit: "drop": expected "keep" or "reject"'),
    ("subscribe", "buffer = -1", f"buffer: -1: {WHOLE}"),
    ("call", "timeout = -0.5", f"timeout: -0.5: {SECONDS}"),
    ("serve", "servers = 0", "servers: 0: expected a whole number from 1 to 65535"),
]
"""A kind of route, what stands in it besides its place, and what is said about that."""

BAD_FILES = [
    ("", ["no route; expected at least one of [[push]], [[pull]], [[subscribe]], [[call]], "
          "[[serve]]"]),
    ("[[push]", ["Expected ']]' at the end of an array declaration (at line 1, column 7)"]),
    ("a = 1\nb = = 1", ["Invalid value (at line 2, column 5)"]),
    (f"colour = 1\n[[push]]\n{PLACE}",
     ["colour: unknown key; expected one of broker, spool, spool_limit, push, pull, "
      "subscribe, call, serve"]),
    (f'"a\\nb" = 1\n[[push]]\n{PLACE}',
     ['"a\\nb": unknown key; expected one of broker, spool, spool_limit, push, pull, '
      "subscribe, call, serve"]),
    ("push = 5", ["push: 5: expected tables: [[push]]"]),
    ("push = [1]", ["push: [1]: expected tables: [[push]]"]),
    ("[push]\nack = true", ['push: {"ack": true}: expected tables: [[push]]']),
    ("[[pull]]", [f"pull[1].destination: it is missing; {DEST}",
                  "pull[1]: expected listen or connect, one of them"]),
    ("[[call]]\nlisten = 'tcp:1'", [f"call[1].destination: it is missing; {DEST}"]),
    ("[[call]]\ndestination = '/queue/q'", ["call[1]: expected listen, one of them"]),
    (f"[[push]]\n{PLACE}\nconnect = '{CONNECT}'",
     ["push[1]: expected listen or connect, one of them"]),
    (f"[[push]]\n{PLACE}\n[[call]]\nlisten = 'tcp:2'\ndestination = 7",
     [f"call[1].destination: 7: {DEST}"]),
    ("[[call]]\nlisten = 'tcp:2'\ndestination = 'q'",
     [f"call[1].destination: bad destination 'q': {DEST}"]),
    ("[[call]]\nlisten = 'tcp:x'\ndestination = '/queue/q'",
     ["call[1].listen: bad endpoint 'tcp:x': invalid literal for int() with base 10: 'x'; "
      "expected a Twisted endpoint such as tcp:1234:interface=127.0.0.1"]),
    ("[[call]]\nlisten = 7\ndestination = '/queue/q'", [f"call[1].listen: 7: {TEXT}"]),
    ("[[serve]]\nconnect = 'tcp:x'\ndestination = '/queue/q'",
     ["serve[1].connect: bad address 'tcp:x': expected PORT, HOST:PORT, [IPv6]:PORT or a Twisted "
      "client endpoint such as unix:/run/poetry.sock"]),
    (f"[[push]]\n{PLACE}\nkey_from = 'first-word'\ndestination_ = 1\n",
     ["push[1].destination_: unknown key; expected one of listen, connect, destination, framing, "
      "max_clients, idle_timeout, allow, ack, max_record, key_from, headers_from, content_type, "
      "persistent, mandatory"]),
    ("[[push]]\nlisten = 'tcp:1'\ndestination = '/amq/queue/q'\nkey_from = 'first-word'",
     ['push[1].key_from: "first-word": expected none with a queue: the key of a queue is its '
      "name"]),
    (f"[[push]]\n{PLACE}\n[[push]]\n{PLACE}",
     [f"push[2]: push /topic/k@{LISTEN}: it is there before, as push[1]"]),
    (f"[[push]]\n{PLACE}\n[[pull]]\n{PLACE}",
     [f'pull[1].listen: "{LISTEN}": expected another endpoint than that of push[1]']),
    (f"[[serve]]\ndestination = '/queue/q'\nconnect = '{CONNECT}'\n" * 2,
     [f"serve[2]: serve /queue/q@{CONNECT}: it is there before, as serve[1]"]),
    (f"broker = 5\n[[push]]\n{PLACE}", [f"broker: {URLS}"]),
    (f"spool = 5\n[[push]]\n{PLACE}", [f"spool: 5: {TEXT}"]),
    (f"spool = \"a\\u0000b\"\n[[push]]\n{PLACE}", [f'spool: "a\\u0000b": {TEXT}']),
    (f"spool_limit = 0\n[[push]]\n{PLACE}",
     ["spool_limit: 0: expected a whole number of at least 1"]),
    (f"broker = []\n[[push]]\n{PLACE}", [f"broker: {URLS}"]),
    (f"broker = ['amqp://a', 5]\n[[push]]\n{PLACE}", [f"broker: {URLS}"]),
    (f"broker = {{ password = 's3cret' }}\n[[push]]\n{PLACE}", [f"broker: {URLS}"]),
    (f"broker = 'http://ann:s3cret@mq'\n[[push]]\n{PLACE}",
     ["broker: bad broker URL 'http://***@mq': "
      "expected amqp://USER:PASSWORD@HOST:PORT/VHOST or amqps://..."]),
    (f"broker = 5\n[[push]]\n{PLACE}\nack = 1\n[[pull]]\n{PLACE}\nprefetch = 0",
     [f"broker: {URLS}", f"push[1].ack: 1: {TRUTH}",
      "pull[1].prefetch: 0: expected a whole number from 1 to 65535"]),
]  # fmt: skip
"""A file, and what is said about it."""


class MistakesTests(ConfigTestCase):
    """Files that are refused."""

    maxDiff = None

    def test_values_that_do_not_fit(self) -> None:
        for kind, line, expected in BAD_VALUES:
            way = f'connect = "{CONNECT}"' if kind == "serve" else f'listen = "{LISTEN}"'
            text = f'[[{kind}]]\ndestination = "/topic/k"\n{way}\n{line}'
            self.assertEqual(self.errors(text), [f"{kind}[1].{expected}"])

    def test_files(self) -> None:
        for text, expected in BAD_FILES:
            self.assertEqual(self.errors(text), expected)

    def test_passwords_are_not_shown(self) -> None:
        for text, _ in BAD_FILES:
            self.assertNotIn("s3cret", "".join(self.errors(text)))

    def test_missing_file(self) -> None:
        error = self.assertRaises(ConfigError, self.file.read)
        self.assertEqual(error.errors, (f"{NAME}: No such file or directory",))

    def test_file_that_is_not_in_utf8(self) -> None:
        (self.folder / NAME).write_bytes(b"a = '\xff'")
        error = self.assertRaises(ConfigError, self.file.read)
        self.assertEqual(error.errors, (f"{NAME}: byte 6: expected UTF-8",))

    def test_values_within_values_without_end(self) -> None:
        self.assertEqual(self.errors("a = " + "[" * 10_000), ["too many values within values"])

    def test_keys_within_keys_without_end(self) -> None:
        self.assertEqual(
            self.errors(f"[push{'.x' * 20_000}]"),
            ["push: a value too large to show: expected tables: [[push]]"],
        )

    def test_number_of_digits_without_end(self) -> None:
        self.assertEqual(
            self.errors(f"spool_limit = {'1' * 5_000}"), ["expected no number of so many digits"]
        )
        self.assertEqual(
            self.errors(f"spool = 0x{'f' * 5_000}\n[[push]]\n{PLACE}"),
            [f"spool: a value too large to show: {TEXT}"],
        )

    def test_route_that_the_command_line_has(self) -> None:
        other = PushRoute(ExchangeDestination("amq.topic", "k"), LISTEN)
        self.file = ConfigFile(NAME, MemoryReactorClock(), [other])
        self.assertEqual(
            self.errors(f"[[push]]\n{PLACE}\n[[pull]]\n{PLACE}"),
            [
                f"push[1]: {other}: it is there before, as --{other}",
                f'pull[1].listen: "{LISTEN}": expected another endpoint than that of push[1]',
            ],
        )

    def test_its_errors_are_one_line_for_the_log(self) -> None:
        error = self.assertRaises(ConfigError, self.read, f"broker = 5\npush = 5\n{PLACE}")
        self.assertEqual(str(error), "; ".join(error.errors))


class ReadingTests(ConfigTestCase):
    """Files that are taken."""

    def test_every_key_of_a_push_route(self) -> None:
        config = self.read("""
            [[push]]
            destination = "/topic/k"
            connect = "tcp:mq.example:7001"
            framing = "netstring"
            ack = true
            key_from = { json = "key" }
            headers_from = { level = { json = "level" }, host = "first-word" }
            content_type = "text/plain"
            persistent = false
            mandatory = true
            max_record = 1000
            max_clients = 10
            idle_timeout = 60
            allow = ["10.0.0.0/8", "::1/128"]
            """)
        route = PushRoute(
            ExchangeDestination("amq.topic", "k"),
            "tcp:mq.example:7001",
            framing="netstring",
            connect=True,
            ack=True,
            key_from=Member("key"),
            headers_from=(("level", Member("level")), ("host", FIRST_WORD)),
            content_type="text/plain",
            persistent=False,
            mandatory=True,
            max_record=1000,
            max_clients=10,
            idle_timeout=60.0,
            allow=(ip_network("10.0.0.0/8"), ip_network("::1/128")),
        )
        self.assertEqual(config, Config(routes=(route,)))

    def test_every_field_of_every_route_has_a_key(self) -> None:
        for kind, route in ROUTES.items():
            keys = {FIELDS.get(key, key) for key in KEYS[kind]} - {"listen", "connect"}
            fields = {field.name for field in attrs.fields(route)} - {"endpoint", "connect"}
            self.assertEqual(keys, fields)
            self.assertEqual("connect" in KEYS[kind], hasattr(route, "connect") or kind == "serve")

    def test_defaults_are_those_of_the_routes(self) -> None:
        config = self.read(f"[[call]]\n{PLACE}")
        self.assertEqual(config.routes, (CallRoute(ExchangeDestination("amq.topic", "k"), LISTEN),))

    def test_headers_may_be_taken_for_a_queue(self) -> None:
        (route,) = self.read("""
            [[push]]
            destination = "/queue/q"
            listen = "tcp:1"
            headers_from = { host = "first-word" }
            """).routes
        self.assertEqual(
            route, PushRoute(QueueDestination("q"), "tcp:1", headers_from=(("host", FIRST_WORD),))
        )

    def test_two_may_connect_to_one_place(self) -> None:
        text = "\n".join(
            f"[[pull]]\ndestination = '/queue/{name}'\nconnect = '{CONNECT}'" for name in "ab"
        )
        self.assertEqual(len(self.read(text).routes), 2)

    def test_broker_is_a_url_or_a_list(self) -> None:
        for text, urls in (
            ('"amqp://a"', ("amqp://a",)),
            ('["amqp://a", "amqps://b"]', ("amqp://a", "amqps://b")),
        ):
            self.assertEqual(self.read(f"broker = {text}\n[[push]]\n{PLACE}").broker, urls)

    def test_folder_of_the_spool_is_where_the_process_was_started(self) -> None:
        config = self.read(f"spool = 'here'\nspool_limit = 5\n[[push]]\n{PLACE}")
        self.assertEqual((config.spool, config.spool_limit), (os.path.abspath("here"), 5))

    def test_without_a_route_where_the_command_line_has_one(self) -> None:
        self.file = ConfigFile(NAME, MemoryReactorClock(), [PushRoute(QueueDestination("q"), "x")])
        self.assertEqual(self.read("broker = 'amqp://a'"), Config(("amqp://a",)))

    def test_paths_are_those_of_the_directory_at_the_start(self) -> None:
        for way, text, expected in (
            ("listen", "unix:s", "unix:{}/s"),
            ("listen", "unix:address=s:mode=600", "unix:address={}/s:mode=600"),
            ("listen", "unix:mode=600:address=s", "unix:mode=600:address={}/s"),
            ("listen", "haproxy:unix:s", "haproxy:unix:{}/s"),
            ("listen", "unix:/run/s", "unix:/run/s"),
            ("listen", "tcp:1:interface=127.0.0.1", "tcp:1:interface=127.0.0.1"),
            ("connect", "unix:path=s", "unix:path={}/s"),
            ("connect", "unix:s", "unix:{}/s"),
        ):
            (route,) = self.read(f"[[push]]\ndestination = '/queue/q'\n{way} = '{text}'").routes
            self.assertEqual(route.endpoint, expected.format(self.folder))

    def test_files_of_certificates_are_those_of_the_directory_at_the_start(self) -> None:
        text = "mtls:1:caCerts=ca.pem:privateKey=k.pem:certKey=/etc/c.pem"
        line = self.errors(f"[[push]]\ndestination = '/queue/q'\nlisten = '{text}'")[0]
        self.assertIn(
            f"mtls:1:caCerts={self.folder}/ca.pem:privateKey={self.folder}/k.pem:certKey=/etc/c.pem",
            line,
        )

    def test_it_is_found_when_the_directory_has_changed(self) -> None:
        first = self.read(f"[[push]]\n{PLACE}\n[[pull]]\ndestination='/queue/q'\nlisten='unix:s'")
        os.chdir("/")
        self.assertEqual(self.file.read(), first)

    def test_route_that_was_accepted_is_not_looked_into_again(self) -> None:
        endpoint = f"ssl:1:privateKey={self.folder}/gone.pem"
        text = f"[[push]]\ndestination = '/queue/q'\nlisten = '{endpoint}'"
        self.errors(text)
        route = PushRoute(QueueDestination("q"), endpoint)
        self.assertEqual(self.file.read([route]).routes, (route,))

    def test_changed_route_is_looked_into(self) -> None:
        route = PushRoute(QueueDestination("q"), f"ssl:1:privateKey={self.folder}/gone.pem")
        (self.folder / NAME).write_text(
            f"[[push]]\ndestination = '/queue/q'\nlisten = '{route.endpoint}'\nack = true"
        )
        error = self.assertRaises(ConfigError, self.file.read, [route])
        self.assertIn("No such file or directory", str(error))
