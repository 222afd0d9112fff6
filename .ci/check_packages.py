"""Build the packages twice, see that they are the same and whole, and install both.

Two copies of what git has are built: in other places, with files of another age and another mask
of permissions. The same hatchling makes the same bytes of them; another may not.
"""

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

ROOT = Path(__file__).absolute().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = f"{PROJECT['name']}-{PROJECT['version']}"
COMMANDS = ("echo", "poetry", "amqp-broker", "amqp-bridge")


def tracked() -> list[str]:
    """Return the files that git has, but for those that are gone."""
    # In a container the checkout may be somebody else's, from which git shies away.
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return sorted(name for name in listed.decode().split("\0") if name and (ROOT / name).exists())


def build(tree: Path, files: list[str], mask: int, age: float) -> dict[str, Path]:
    """Copy `files` to `tree` with permissions under `mask`; build them; return both packages."""
    for name in files:
        source, copy = ROOT / name, tree / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
        copy.chmod((0o777 if os.access(source, os.X_OK) else 0o666) & ~mask)
        os.utime(copy, (age, age))
    environment = {name: value for name, value in os.environ.items() if name != "SOURCE_DATE_EPOCH"}
    subprocess.run(
        [sys.executable, "-m", "build"],
        cwd=tree,
        umask=mask,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return {package.name: package for package in (tree / "dist").iterdir()}


def check_contents(sdist: Path, wheel: Path, files: list[str]) -> None:
    """See that each has what it should, and nothing else."""
    with tarfile.open(sdist) as archive:
        packed = sorted(archive.getnames())
    same(packed, sorted([f"{NAME}/{name}" for name in files] + [f"{NAME}/PKG-INFO"]), sdist.name)

    with zipfile.ZipFile(wheel) as archive:
        packed = sorted(archive.namelist())
        metadata = message_from_bytes(archive.read(f"{NAME}.dist-info/METADATA"))
    described = [
        f"{NAME}.dist-info/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    ]
    shipped = [name for name in files if name.startswith(("netdemo/", "twisted/"))]
    assert "netdemo/py.typed" in shipped
    assert "twisted/plugins/netdemo_plugins.py" in shipped
    for name in ("twisted/__init__.py", "twisted/plugins/__init__.py"):
        assert name not in shipped, f"{name} would hide Twisted's own"
    same(packed, sorted(shipped + described), wheel.name)

    for field in ("Summary", "License-Expression", "Requires-Python", "Author", "Project-URL"):
        assert metadata[field], f"{wheel.name} has no {field}"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert len(metadata.get_all("Classifier")) == len(PROJECT["classifiers"])


def same(packed: list[str], expected: list[str], package: str) -> None:
    """Raise what is too much or too little in `package`."""
    missing, excess = set(expected) - set(packed), set(packed) - set(expected)
    assert not missing, f"{package} lacks {sorted(missing)}"
    assert not excess, f"{package} has also {sorted(excess)}"
    assert len(packed) == len(expected), f"{package} has a name twice"


def check_installed(package: Path, folder: Path) -> None:
    """Install `package` into a fresh environment, and find our commands there."""
    venv.create(folder, with_pip=True)
    programs = folder / "bin"
    subprocess.run([programs / "pip", "install", "-q", package], check=True)
    for program in ("twistd", "twist"):
        shown = subprocess.run(
            [programs / program, "--help"], check=True, capture_output=True, text=True, cwd=folder
        )
        assert not shown.stderr, shown.stderr
        listed = {line.split()[0] for line in shown.stdout.splitlines() if line.strip()}
        missing = set(COMMANDS) - listed
        assert not missing, f"{program} --help does not list {missing}"
    subprocess.run([programs / "netdemo", "--help"], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Check everything; raise what is wrong."""
    files = tracked()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first = build(folder / "a", files, mask=0o022, age=1_000_000_000)
        second = build(folder / "another place", files, mask=0o077, age=1_700_000_000)
        assert sorted(first) == [f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"], sorted(first)
        for name, package in first.items():
            digest = hashlib.sha256(package.read_bytes()).hexdigest()
            again = hashlib.sha256(second[name].read_bytes()).hexdigest()
            assert digest == again, f"{name} is built otherwise the second time"
            print(f"{name}: {digest}, twice")
        wheel, sdist = (first[name] for name in sorted(first))
        check_contents(sdist, wheel, files)
        for package in (wheel, sdist):
            check_installed(package, folder / package.name.replace(".", "_"))
            print(f"{package.name}: installed, twistd and twist list {', '.join(COMMANDS)}")


if __name__ == "__main__":
    main()
