"""Run the unit tests on each Python that we claim, with the newest and the oldest dependencies.

So are Twisted's own tests of reactors, since ours leans on what Twisted does not promise.

The tests are those of the source distribution, two runs at a time. The Python that this is run
with has had its newest dependencies; one that this machine has not is told in a line.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CLAIM = "Programming Language :: Python :: 3."
OLDEST, NEWEST = "the oldest", "the newest"
AT_A_TIME = 2
TIMEOUT = 1800
"""Seconds for each command of a run."""


def claimed() -> list[str]:
    """Return the versions of Python that the classifiers name: ``3.11`` and so on."""
    return [name.split()[-1] for name in PROJECT["classifiers"] if name.startswith(CLAIM)]


def oldest() -> str:
    """Return the constraints under which pip installs the oldest of each dependency."""
    constraints = []
    for dependency in PROJECT["dependencies"]:
        name, at_least, version = dependency.split(",")[0].partition(">=")
        assert at_least, f"{dependency!r} has no lower bound"
        constraints.append(f"{name.partition('[')[0]}=={version}\n")
    return "".join(constraints)


def interpreter(version: str) -> str | None:
    """Return a Python of `version` that runs: one on PATH, or pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    paths = [shutil.which(f"python{version}")]
    paths += map(str, pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    program = "import ensurepip, sqlite3, ssl, sys; print('%d.%d' % sys.version_info[:2])"
    for path in paths:
        if path is None:
            continue
        # pyenv has shims on PATH for versions, too, that are not switched on.
        shown = subprocess.run([path, "-c", program], capture_output=True, text=True, check=False)
        if shown.stdout == f"{version}\n":
            return path
    return None


def unpacked(folder: Path) -> Path:
    """Build the source distribution; return where it is unpacked."""
    command = [sys.executable, "-m", "build", "--sdist", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked", filter="data")
    (tree,) = (folder / "unpacked").iterdir()
    return tree


def tested(python: str, constraints: str, tree: Path, folder: Path) -> str:
    """Run the tests of a copy of `tree` in a new environment; return how that went, in a line.

    :raises CalledProcessError: when they fail, or can't be run.
    """
    begun = time.monotonic()
    shutil.copytree(tree, folder / "tree")
    (folder / "constraints").write_text(constraints)
    programs = folder / "venv" / "bin"
    line = ""
    for command in (
        f"{python} -m venv {folder}/venv",
        f"{programs}/pip install -q -c {folder}/constraints -e .[test]",
        f"{programs}/pytest -q -p no:cacheprovider tests/integration/test_reactor_suite.py",
        f"{programs}/pytest -q -p no:cacheprovider tests --ignore tests/integration",
    ):
        done = subprocess.run(
            command.split(),
            cwd=folder / "tree",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout)
        line = (done.stdout.splitlines() or [""])[-1]
    return f"{line}; {time.monotonic() - begun:.0f} s with the installation"


def main() -> int:
    """Run all; return how many failed."""
    failed = 0
    ours = "{}.{}".format(*sys.version_info[:2])
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(AT_A_TIME) as pool:
        tree = unpacked(Path(temporary))
        running = {}
        for version in claimed():
            python = interpreter(version)
            if python is None:
                print(f"Python {version}: SKIPPED, not on this machine", flush=True)
                continue
            for age, constraints in ((OLDEST, oldest()), (NEWEST, "")):
                if (version, age) != (ours, NEWEST):
                    folder = Path(temporary) / f"{version}-{len(running)}"
                    run = pool.submit(tested, python, constraints, tree, folder)
                    running[run] = f"Python {version} with {age} dependencies"
        for run in as_completed(running):
            try:
                print(f"{running[run]}: {run.result()}", flush=True)
            except subprocess.SubprocessError as error:
                print(f"{running[run]}: FAILED\n{error}\n{error.output}", flush=True)
                failed += 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
