"""``netdemo spool``, as a process, looks into a spool that is open here, and alters nothing."""

from __future__ import annotations

import os
import subprocess

from twisted.trial.unittest import SynchronousTestCase

from netdemo.bridge.spool import _Batch, write_batch
from netdemo.bridge.spool_blocks import Block, Terms, Writing
from netdemo.bridge.spool_file import (
    REFUSED,
    StoredRoute,
    first_id,
    open_spool_file,
    route_row,
)
from tests.folders import temporary_folder
from tests.processes import PATIENCE, PROGRAMS

PUSH = "push /queue/a@tcp:7001"
OTHER = "push /topic/b@tcp:7002"
LOCALE = {**os.environ, "LC_ALL": "C.UTF-8"}


class SpoolCommandTests(SynchronousTestCase):
    """A spool with two routes; the broker refused a record of the second."""

    def setUp(self) -> None:
        self.folder = temporary_folder(self) / "spool"
        self.file = open_spool_file(self.folder)
        self.addCleanup(self.file.close)
        for number, name, destination in ((1, PUSH, "/queue/a"), (2, OTHER, "/topic/b")):
            row = route_row(StoredRoute(number, name, destination))
            self.file.connection.execute("INSERT INTO routes VALUES (?, ?, ?)", row)
        self.put(first_id(1) + 1, None, b"one", b"two\x1b[2J")
        self.put(first_id(2, REFUSED) + 1, "k", b"l\xf6st")
        self.put(first_id(2) + 1, "k", b"a\nb")

    def put(self, number: int, key: str | None, *records: bytes) -> None:
        """Write a block."""
        block = Block(number, Terms("id", True, None, 2), 7, 0.0)
        for record in records:
            block.add(record, key, None)
        write_batch(self.file, _Batch(writings=[Writing(block, print, print)]))

    def contents(self) -> dict[str, bytes]:
        """Return the bytes of all files but that of the locks."""
        files = {path.name: path.read_bytes() for path in self.folder.iterdir()}
        del files["spool.sqlite-shm"]
        return files

    def run_command(self, *arguments: object) -> subprocess.CompletedProcess[bytes]:
        """Run the command to its end; the spool is as it was."""
        before = self.contents()
        done = subprocess.run(
            [PROGRAMS / "netdemo", "spool", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=LOCALE,
        )
        self.assertEqual(before, self.contents())
        return done

    def output(self, *arguments: object) -> bytes:
        """Return what it prints."""
        done = self.run_command(*arguments)
        self.assertEqual((0, b""), (done.returncode, done.stderr))
        return done.stdout

    def refusal(self, *arguments: object) -> bytes:
        """Return the one line about what can't be done, after the command's name."""
        done = self.run_command(*arguments)
        self.assertEqual(1, done.returncode)
        self.assertRegex(done.stderr, rb"\Anetdemo( spool)?: [^\n]+\n\Z")
        return done.stderr.partition(b": ")[2]

    def test_ls_tells_what_waits_of_each_route(self) -> None:
        first, second = self.output("ls", self.folder).decode().splitlines()
        self.assertRegex(first, f"^{PUSH}: 2 records, [0-9]+ bytes, the oldest of [0-9]+ s ago$")
        self.assertRegex(second, f"^{OTHER}: 2 records, .* s ago, 1 refused by the broker$")

    def test_show_is_safe_for_a_terminal(self) -> None:
        self.assertEqual(
            f"{PUSH} id-7 'one'\n"
            f"{PUSH} id-8 'two\\x1b[2J'\n"
            f"{OTHER} id-7 key 'k' 'a\\nb'\n"
            f"{OTHER} id-7 key 'k' 'l\\xf6st'\n",
            self.output("show", self.folder).decode(),
        )

    def test_export_gives_the_records_in_a_framing(self) -> None:
        self.assertEqual(
            b"3:one,7:two\x1b[2J,3:a\nb,4:l\xf6st,",
            self.output("export", self.folder, "--framing", "netstring"),
        )

    def test_export_says_how_many_do_not_fit_and_prints_the_others(self) -> None:
        done = self.run_command("export", self.folder)
        self.assertEqual((1, b"one\ntwo\x1b[2J\nl\xf6st\n"), (done.returncode, done.stdout))
        self.assertEqual(
            b"netdemo spool: 1 records can't be written in the framing line: "
            b"expected another --framing\n",
            done.stderr,
        )

    def test_one_route_and_a_count(self) -> None:
        self.assertEqual(b"one\n", self.output("export", self.folder, PUSH, "--count", 1))

    def test_what_can_not_be_done_is_one_line(self) -> None:
        self.assertIn(b"no route 'c' in this spool", self.refusal("show", self.folder, "c"))
        nowhere = self.folder / "nowhere"
        self.assertIn(b"has no spool.sqlite", self.refusal("ls", nowhere))
        self.assertIn(b"bad action 'rm'", self.refusal("rm", self.folder))
        self.assertIn(b"no DIR", self.refusal("ls"))
        self.assertIn(b"bad argument", self.refusal("ls", self.folder, PUSH))
        self.assertFalse(nowhere.exists())

    def test_reader_that_goes_ends_it_quietly(self) -> None:
        self.put(first_id(1) + 2, None, *(bytes(1000) for _ in range(1000)))
        command = f"'{PROGRAMS / 'netdemo'}' spool export '{self.folder}' | head -n 1"
        done = subprocess.run(
            ["sh", "-c", command], capture_output=True, timeout=PATIENCE, check=False
        )
        self.assertEqual((b"one\n", b""), (done.stdout, done.stderr))
