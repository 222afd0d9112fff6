"""An open poem."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from netdemo.poetry.file import PoemFile
from tests.folders import temporary_folder

POEM = b"so much depends upon\n"


class PoemFileTests(SynchronousTestCase):
    """A file in a folder of its own."""

    def setUp(self) -> None:
        self.path = temporary_folder(self) / "poem.txt"
        self.path.write_bytes(POEM)

    def poem(self) -> PoemFile:
        """Return the file, open."""
        poem = PoemFile(self.path)
        self.addCleanup(poem.close)
        return poem

    def test_size_is_that_of_the_file(self) -> None:
        self.assertEqual(len(POEM), self.poem().size)

    def test_missing_file_has_a_reason_for_people(self) -> None:
        self.path.unlink()
        error = self.assertRaises(FileNotFoundError, PoemFile, self.path)
        self.assertEqual("No such file or directory", error.strerror)

    def test_folder_is_refused(self) -> None:
        error = self.assertRaises(OSError, PoemFile, self.path.parent)
        self.assertEqual("expected a regular file", error.strerror)

    def test_pipe_is_refused_without_waiting(self) -> None:
        os.mkfifo(self.path.with_name("pipe"))
        self.assertRaises(OSError, PoemFile, self.path.with_name("pipe"))

    def test_refused_file_is_closed(self) -> None:
        before = os.listdir("/proc/self/fd")
        self.assertRaises(OSError, PoemFile, self.path.parent)
        self.assertRaises(OSError, PoemFile, Path("/proc/self/cmdline"))
        self.assertEqual(len(before), len(os.listdir("/proc/self/fd")))

    @given(counts=st.lists(st.integers(1, 30), min_size=30, max_size=30))
    def test_pieces_of_any_size_are_the_whole(self, counts: list[int]) -> None:
        poem = PoemFile(self.path)
        pieces = [poem.read(count) for count in counts]
        poem.close()
        self.assertEqual((POEM, 0), (b"".join(pieces), poem.left))

    def test_what_was_added_later_is_not_read(self) -> None:
        poem = self.poem()
        with self.path.open("ab") as file:
            file.write(b"more")
        self.assertEqual([POEM, b""], [poem.read(100), poem.read(100)])

    def test_file_that_became_shorter_is_an_error(self) -> None:
        poem = self.poem()
        poem.read(10)
        os.truncate(self.path, 10)
        error = self.assertRaises(OSError, poem.read, 10)
        self.assertEqual("it became shorter than its 21 bytes at 10", error.strerror)

    def test_file_that_does_not_know_its_size_is_refused(self) -> None:
        error = self.assertRaises(OSError, PoemFile, Path("/proc/self/cmdline"))
        self.assertEqual("expected a file that knows its size", error.strerror)

    def test_empty_file_is_an_empty_poem(self) -> None:
        self.path.write_bytes(b"")
        self.assertEqual((0, b""), (self.poem().size, self.poem().read(1)))

    def test_kernel_copies_it_to_a_socket(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        poem = self.poem()
        poem.send_to(ours.fileno(), 8)
        poem.send_to(ours.fileno(), 100)
        self.assertEqual((POEM, 0), (theirs.recv(100), poem.left))

    def test_kernel_finds_out_that_it_became_shorter(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.addCleanup(theirs.close)
        poem = self.poem()
        os.truncate(self.path, 0)
        self.assertRaises(OSError, poem.send_to, ours.fileno(), 100)

    def test_it_can_be_closed_twice(self) -> None:
        poem = self.poem()
        poem.close()
        poem.close()
