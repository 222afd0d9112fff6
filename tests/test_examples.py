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

    def test_their_ways_to_connect_and_to_print_are_the_same(self) -> None:
        for name in ("connected", "tell"):
            ways = [
                ast.unparse(node)
                for program in PROGRAMS
                for node in ast.parse((EXAMPLES / program).read_text()).body
                if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef) and node.name == name
            ]
            self.assertEqual((len(ways), len(set(ways))), (len(PROGRAMS), 1))
