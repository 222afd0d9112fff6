"""The floors of the house, read from the imports of every file that is shipped."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
from twisted.trial.unittest import SynchronousTestCase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ROOT = Path(__file__).absolute().parent.parent

FLOORS = (
    (
        "netdemo",
        "errors address frames transport waiters pausing coercion tls mutual_tls connecting "
        "listening sqlite_format sqlite_file reactor",
    ),
    ("netdemo.echo", "client datagrams server"),
    ("netdemo.poetry", "client file lingering sending server"),
    (
        "netdemo.amqp",
        "tcp_options pem tls broker_url window message content acknowledgements topology "
        "interfaces greeting status channel session opening attachment declaration destination "
        "publisher writer consumer client script rpc",
    ),
    (
        "netdemo.broker",
        "tables terms encoding properties message memory wire tally topics header_matching "
        "exchanges arguments equivalence permissions passwords login users users_file schema "
        "database batch commits store turns backlog consumers queues dead_letters vhost replies "
        "publishing delivering declaring channel handshake connection broker server",
    ),
    (
        "netdemo.bridge",
        "framing routes records answers clients intake composing interfaces outlet "
        "spool_blocks spool_file spool spool_drain spool_outlet push sending consumers pull "
        "subscribe call dialling route_service serve config service",
    ),
    ("netdemo.testing", "memory_transport memory_network scripted memory_broker"),
    ("netdemo", "pytest_plugin"),
    (
        "netdemo.tour",
        "loopback own_broker site checking messages echo poetry hello_queue work_queue "
        "durable_queue fair_dispatch fanout direct topic rpc bridge stops visit",
    ),
    (
        "netdemo.cli",
        "options stdio output progress ping echo poetry connection properties lines send "
        "message_json receiver shell worker receive call fibonacci serve certificate "
        "advice http_question probe diagnosis doctor passwd spool guide tour completion "
        "command main",
    ),
    ("netdemo.tap", "options command embedded reload echo poetry broker bridge"),
    ("twisted.plugins", "netdemo_plugins"),
)
ORDER = [
    module
    for package, names in FLOORS
    for module in (*(f"{package}.{name}" for name in names.split()), package)
]
"""Every module, from the bottom: each imports only from those before it."""

PYTEST_PLUGIN = "netdemo.pytest_plugin"

UPWARD_TYPES = {
    # For annotations alone: what is handed over is made on a higher floor.
    ("netdemo.errors", "netdemo.amqp.message"),
    ("netdemo.errors", "netdemo.amqp.topology"),
    ("netdemo.amqp.topology", "netdemo.amqp.interfaces"),
    ("netdemo.broker.publishing", "netdemo.broker.channel"),
    ("netdemo.broker.delivering", "netdemo.broker.channel"),
    ("netdemo.broker.declaring", "netdemo.broker.channel"),
    ("netdemo.broker.channel", "netdemo.broker.connection"),
    ("netdemo.broker.handshake", "netdemo.broker.connection"),
    ("netdemo.broker.connection", "netdemo.broker.broker"),
}


@attrs.frozen
class Import:
    """One import in the file of `module`; ``from a import b`` has the target a.b."""

    module: str
    line: int
    target: str
    in_function: bool = False
    for_types: bool = False

    @property
    def at_once(self) -> bool:
        """Whether it happens when `module` itself is imported."""
        return not (self.in_function or self.for_types)


def imports_in(source: str, module: str, package: str = "") -> list[Import]:
    """Return the imports of the file of `module`, wherever they stand."""
    found: list[Import] = []

    def read(node: ast.AST, in_function: bool, for_types: bool) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = ""
            if isinstance(node, ast.ImportFrom):
                name = "." * node.level + (node.module or "")
                origin = resolve_name(name, package or module.rpartition(".")[0]) + "."
            for alias in node.names:
                target = origin + alias.name
                found.append(Import(module, node.lineno, target, in_function, for_types))
        in_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        typed = node.body if isinstance(node, ast.If) and _is_type_checking(node.test) else []
        for child in ast.iter_child_nodes(node):
            read(child, in_function, for_types or child in typed)

    read(ast.parse(source), in_function=False, for_types=False)
    return found


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


@cache
def shipped() -> dict[str, Path]:
    """Return every file that is shipped, by the name of its module."""
    modules = {}
    for file in [*ROOT.glob("netdemo/**/*.py"), *ROOT.glob("twisted/**/*.py")]:
        path = file.parent if file.name == "__init__.py" else file.with_suffix("")
        modules[".".join(path.relative_to(ROOT).parts)] = file
    return modules


@cache
def shipped_imports() -> list[Import]:
    """Return every import in the files that are shipped."""
    found = []
    for module, file in shipped().items():
        package = module if file.name == "__init__.py" else ""
        found += imports_in(file.read_text(), module, package)
    return found


def within(name: str, *packages: str) -> bool:
    """Tell whether `name` is one of `packages` or is in one."""
    return any(f"{name}.".startswith(f"{package}.") for package in packages)


def place(name: str) -> int | None:
    """Return where in ORDER the module is that `name` is or is in, ``None`` for a foreign one."""
    while name and name not in ORDER:
        name = name.rpartition(".")[0]
    return ORDER.index(name) if name else None


def upward(found: Import) -> bool:
    """Tell an import of what is not before the importing module in ORDER."""
    target, module = place(found.target), place(found.module)
    if target is None or module is None or target < module:
        return False
    return not (found.for_types and (found.module, ORDER[target]) in UPWARD_TYPES)


def across(found: Import) -> bool:
    """Tell an import of the embedded broker by the client, or the reverse."""
    sides = ("netdemo.amqp", "netdemo.broker")
    return all(within(found.module, side) or within(found.target, side) for side in sides)


def of_an_entrance(found: Import) -> bool:
    """Tell an import of what nobody imports: a command, a plugin, and the helpers for tests."""
    if found.module == PYTEST_PLUGIN and within(found.target, "netdemo.testing"):
        return False
    return any(
        within(found.target, entrance) and not within(found.module, entrance)
        for entrance in (
            *("netdemo.tap", "netdemo.cli", "netdemo.testing"),
            *("twisted.plugins", PYTEST_PLUGIN),
        )
    )


def of_the_reactor(found: Import) -> bool:
    """Tell an import that installs a reactor when the module, not of ``cli``, is imported."""
    reactor = within(found.target, "twisted.internet.reactor")
    return reactor and found.at_once and not within(found.module, "netdemo.cli")


def of_the_pika_adapter(found: Import) -> bool:
    """Tell an import of pika's adapters by any but the one file for it."""
    return within(found.target, "pika.adapters") and found.module != "netdemo.amqp.session"


def broken(rule: Callable[[Import], bool], imports: Iterable[Import]) -> list[str]:
    """Return the imports for which `rule` is true, in words."""
    return [f"{each.module}, line {each.line}: {each.target}" for each in imports if rule(each)]


def early_amqp(imports: Iterable[Import]) -> list[str]:
    """Return the modules of ``tap`` and plugins that, imported, import ``netdemo.amqp``."""
    at_once = [found for found in imports if found.at_once]
    reaching = {"netdemo.amqp"}
    while more := {
        found.module
        for found in at_once
        if found.module not in reaching and within(found.target, *reaching)
    }:
        reaching |= more
    return sorted(each for each in reaching if within(each, "netdemo.tap", "twisted.plugins"))


def code_in_package(source: str) -> list[str]:
    """Return the statements that are neither docstring, import nor ``__all__``."""
    body = ast.parse(source).body
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return [
        ast.unparse(each)
        for each in body
        if not isinstance(each, ast.Import | ast.ImportFrom)
        and not (isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__all__")
    ]


class LayersTests(SynchronousTestCase):
    """The files that are shipped keep the rules."""

    def test_every_module_has_a_place_in_the_order(self) -> None:
        self.assertEqual(set(), set(shipped()) - set(ORDER))

    def test_modules_import_only_from_those_before_them(self) -> None:
        self.assertEqual([], broken(upward, shipped_imports()))

    def test_upward_types_are_all_needed(self) -> None:
        used = {(each.module, each.target.rpartition(".")[0]) for each in shipped_imports()}
        self.assertEqual(set(), UPWARD_TYPES - used)

    def test_client_and_broker_do_not_know_each_other(self) -> None:
        self.assertEqual([], broken(across, shipped_imports()))

    def test_nobody_imports_commands_plugins_and_test_helpers(self) -> None:
        self.assertEqual([], broken(of_an_entrance, shipped_imports()))

    def test_no_module_outside_cli_imports_the_reactor_at_once(self) -> None:
        self.assertEqual([], broken(of_the_reactor, shipped_imports()))

    def test_session_alone_imports_pikas_adapter(self) -> None:
        self.assertEqual([], broken(of_the_pika_adapter, shipped_imports()))

    def test_commands_and_plugins_import_amqp_in_functions_alone(self) -> None:
        self.assertEqual([], early_amqp(shipped_imports()))

    def test_importing_commands_and_plugins_installs_no_reactor(self) -> None:
        entrances = [each for each in shipped() if within(each, "netdemo.tap", "twisted.plugins")]
        program = (
            f"import sys, {', '.join(entrances)}; print('twisted.internet.reactor' in sys.modules)"
        )
        answer = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, timeout=60)
        self.assertEqual(b"False\n", answer)

    def test_packages_hold_imports_alone(self) -> None:
        for file in ROOT.glob("netdemo/**/__init__.py"):
            self.assertEqual([], code_in_package(file.read_text()), file)

    def test_twisteds_own_packages_are_not_made_ours(self) -> None:
        self.assertEqual([], list(ROOT.glob("twisted/**/__init__.py")))


class RulesTests(SynchronousTestCase):
    """Each rule catches what breaks it, so it is one that can fail."""

    def broken(self, rule: Callable[[Import], bool], module: str, source: str) -> bool:
        """Tell whether `rule` is true for an import in `source`, the file of `module`."""
        return bool(broken(rule, imports_in(source, module)))

    def test_upward_import_is_caught(self) -> None:
        self.assertTrue(self.broken(upward, "netdemo.address", "import netdemo.listening"))

    def test_upward_import_from_a_package_is_caught(self) -> None:
        self.assertTrue(self.broken(upward, "netdemo.address", "from netdemo import echo"))

    def test_upward_relative_import_is_caught(self) -> None:
        self.assertTrue(self.broken(upward, "netdemo.amqp.window", "from .client import A"))

    def test_upward_import_in_a_function_is_caught(self) -> None:
        source = "async def f():\n    import netdemo.echo"
        self.assertTrue(self.broken(upward, "netdemo.address", source))

    def test_upward_import_for_types_is_caught(self) -> None:
        source = "if TYPE_CHECKING:\n    import netdemo.echo"
        self.assertTrue(self.broken(upward, "netdemo.address", source))

    def test_upward_import_for_types_that_is_listed_is_kept(self) -> None:
        source = "if TYPE_CHECKING:\n    from netdemo.amqp.message import Message"
        self.assertFalse(self.broken(upward, "netdemo.errors", source))

    def test_listed_import_for_types_is_caught_outside_type_checking(self) -> None:
        source = "from netdemo.amqp.message import Message"
        self.assertTrue(self.broken(upward, "netdemo.errors", source))

    def test_downward_and_foreign_imports_are_kept(self) -> None:
        source = "import os\nfrom netdemo.errors import AddressError\nfrom netdemo import address"
        self.assertFalse(self.broken(upward, "netdemo.listening", source))

    def test_broker_that_imports_the_client_is_caught(self) -> None:
        self.assertTrue(self.broken(across, "netdemo.broker.wire", "from netdemo.amqp import A"))

    def test_command_that_is_imported_is_caught(self) -> None:
        source = "from netdemo.tap.options import Options"
        self.assertTrue(self.broken(of_an_entrance, "netdemo.cli.main", source))

    def test_test_helpers_in_production_are_caught(self) -> None:
        self.assertTrue(self.broken(of_an_entrance, "netdemo.tap.echo", "import netdemo.testing"))

    def test_test_helpers_in_the_plugin_for_pytest_are_kept(self) -> None:
        source = "from netdemo.testing import MemoryBroker"
        self.assertFalse(self.broken(of_an_entrance, "netdemo.pytest_plugin", source))

    def test_plugin_for_pytest_that_is_imported_is_caught(self) -> None:
        source = "import netdemo.pytest_plugin"
        self.assertTrue(self.broken(of_an_entrance, "netdemo.testing", source))

    def test_reactor_on_import_is_caught(self) -> None:
        source = "from twisted.internet import reactor"
        self.assertTrue(self.broken(of_the_reactor, "netdemo.echo", source))

    def test_reactor_in_a_function_is_kept(self) -> None:
        source = "def f():\n    from twisted.internet import reactor"
        self.assertFalse(self.broken(of_the_reactor, "netdemo.echo", source))

    def test_pikas_adapter_is_caught_outside_the_session(self) -> None:
        source = "from pika.adapters.twisted_connection import TwistedProtocolConnection"
        self.assertTrue(self.broken(of_the_pika_adapter, "netdemo.amqp.client", source))

    def test_command_that_imports_amqp_through_another_module_is_caught(self) -> None:
        imports = imports_in("from netdemo.bridge import service", "netdemo.tap.bridge")
        imports += imports_in("import netdemo.amqp.client", "netdemo.bridge.service")
        self.assertEqual(["netdemo.tap.bridge"], early_amqp(imports))

    def test_code_in_a_package_is_caught(self) -> None:
        source = '"""Text."""\nimport os\n__all__ = ["os"]\nlimit = 5'
        self.assertEqual(["limit = 5"], code_in_package(source))
