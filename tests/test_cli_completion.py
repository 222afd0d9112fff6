"""``netdemo completion``: what bash and zsh offer, from the tables of all commands."""

from __future__ import annotations

import contextlib
import io
import shlex
import subprocess
from typing import Any

from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

from netdemo.cli.command import Options
from netdemo.cli.completion import CompletionOptions, bash
from tests.folders import temporary_folder
from tests.processes import PATIENCE, require

COMMANDS = [name for name, *_ in Options.subCommands]
SAME = {"--help", "--version"}


def options_of(command: str) -> Any:
    """Return the options of a command, with nothing parsed."""
    return next(make() for name, _, make, _ in Options.subCommands if name == command)


class OptionsTests(SynchronousTestCase):
    """The shell is named."""

    def test_shell_that_is_not_known_or_named_is_refused(self) -> None:
        for arguments, shown in ((["fish"], "'fish'"), ([], "None")):
            parse = CompletionOptions().parseOptions
            error = self.assertRaises(usage.UsageError, parse, arguments)
            self.assertEqual(f"bad shell {shown}: expected bash or zsh", str(error))


class BashTests(SynchronousTestCase):
    """What a real bash finds, in a folder with one file and one folder."""

    def setUp(self) -> None:
        require("bash")
        self.folder = temporary_folder(self)
        (self.folder / "my poems").mkdir()
        (self.folder / "my file").touch()

    def completions(self, *words: str) -> set[str]:
        """Return what may stand in the place of the last of `words`, as bash has cut them."""
        listed = " ".join(map(shlex.quote, ("netdemo", *words)))
        before, last = (shlex.quote(word) for word in ("netdemo", *words)[-2:])
        program = (
            f"{bash(Options.subCommands)}\nCOMP_WORDS=({listed})\nCOMP_CWORD={len(words)}\n"
            f'_netdemo netdemo {last} {before}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", program],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        self.assertEqual("", done.stderr)
        return set(done.stdout.split("\n")) - {""}

    def test_all_commands_are_offered(self) -> None:
        self.assertEqual(set(COMMANDS), self.completions(""))

    def test_commands_that_begin_so_are_offered(self) -> None:
        self.assertEqual({"poetry"}, self.completions("po"))

    def test_all_options_of_each_command_are_offered(self) -> None:
        for command in COMMANDS:
            own = {f"--{name.rstrip('=')}" for name in options_of(command).longOpt}
            self.assertEqual(own, self.completions(command, "--"), command)
            self.assertLessEqual(SAME, own)

    def test_options_are_offered_after_arguments_too(self) -> None:
        self.assertEqual({"--count"}, self.completions("receive", "/queue/a", "--c"))

    def test_folders_are_offered_to_an_option_of_a_folder(self) -> None:
        self.assertEqual({"my poems"}, self.completions("poetry", "--output", "m"))
        self.assertEqual({"my poems"}, self.completions("poetry", "--output", "=", "m"))

    def test_nothing_is_offered_to_a_number(self) -> None:
        self.assertEqual(set(), self.completions("receive", "--count", ""))

    def test_values_that_there_are_are_offered(self) -> None:
        framings = {"line", "netstring", "int32"}
        self.assertEqual(framings, self.completions("spool", "--framing", ""))

    def test_arguments_are_offered_in_their_places(self) -> None:
        self.assertEqual({"ls", "show", "export"}, self.completions("spool", ""))
        self.assertEqual({"my poems"}, self.completions("spool", "ls", "m"))
        self.assertEqual({"bash", "zsh"}, self.completions("completion", ""))

    def test_nothing_is_offered_to_an_unknown_command(self) -> None:
        self.assertEqual(set(), self.completions("dance", "--"))


class ZshTests(SynchronousTestCase):
    """What zsh is told: it asks the command, as Twisted has it."""

    def answer(self, *words: str) -> str:
        """Return the answer about the last of `words`, which is a piece of a script."""
        options, output = Options(), io.BytesIO()
        options._shellCompFile = output
        with contextlib.suppress(SystemExit):
            options.parseOptions([*words, "--_shell-completion", f"zsh:{len(words) + 1}"])
        return output.getvalue().decode()

    def test_all_commands_are_offered(self) -> None:
        answer = self.answer("")
        for command in COMMANDS:
            self.assertIn(f'"{command}:', answer)

    def test_all_options_of_each_command_are_offered(self) -> None:
        for command in COMMANDS:
            answer = self.answer(command, "--")
            for name in options_of(command).longOpt:
                self.assertIn(f"--{name}[", answer)

    def test_folders_are_offered_to_an_option_of_a_folder_alone(self) -> None:
        answer = self.answer("poetry", "--")
        self.assertRegex(answer, r"--output=\[.*\]:output:_directories")
        self.assertRegex(answer, r"--timeout=\[.*\]:timeout:['\"]")

    def test_arguments_are_offered(self) -> None:
        self.assertIn(":shell:(bash zsh)", self.answer("completion", ""))
