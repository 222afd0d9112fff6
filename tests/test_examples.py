"""What the files in ``examples/`` have in common."""

from __future__ import annotations

import ast

from twisted.trial.unittest import SynchronousTestCase

import netdemo.amqp
from tests.examples import EXAMPLES, PROGRAMS


class ExamplesTests(SynchronousTestCase):
    """Each stands alone, and shows what anyone may use."""

    def test_they_import_public_names_alone(self) -> None:
        public = {"netdemo.amqp": set(netdemo.amqp.__all__), "netdemo.errors": None}
        for program in (*PROGRAMS, "worker.tac"):
            for node in ast.walk(ast.parse((EXAMPLES / program).read_text())):
                if isinstance(node, ast.Import):
                    self.assertFalse([n.name for n in node.names if n.name.startswith("netdemo")])
                elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("netdemo"):
                    self.assertIn(node.module, public, program)
                    names = public[str(node.module)]
                    self.assertTrue(names is None or {n.name for n in node.names} <= names, program)

    def test_each_is_shorter_than_60_lines(self) -> None:
        for file in EXAMPLES.iterdir():
            if file.is_file():
                self.assertLess(len(file.read_text().splitlines()), 60, file.name)
