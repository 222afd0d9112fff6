"""Build the wheel, install it into a fresh environment, and find our commands there."""

import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

COMMANDS = ("echo", "poetry", "amqp-broker", "amqp-bridge")

with tempfile.TemporaryDirectory() as temporary:
    folder = Path(temporary)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder], check=True, stdout=subprocess.DEVNULL
    )
    (wheel,) = folder.glob("*.whl")

    names = zipfile.ZipFile(wheel).namelist()
    assert "twisted/plugins/netdemo_plugins.py" in names, names
    for name in ("twisted/__init__.py", "twisted/plugins/__init__.py"):
        assert name not in names, f"{name} would hide Twisted's own"
    assert not [name for name in names if name.startswith("tests/")], names

    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    subprocess.run([programs / "pip", "install", "-q", wheel], check=True)
    for program in ("twistd", "twist"):
        shown = subprocess.run(
            [programs / program, "--help"], check=True, capture_output=True, text=True, cwd=folder
        )
        assert not shown.stderr, shown.stderr
        listed = {line.split()[0] for line in shown.stdout.splitlines() if line.strip()}
        missing = set(COMMANDS) - listed
        assert not missing, f"{program} --help does not list {missing}"
    subprocess.run([programs / "netdemo", "--help"], check=True, stdout=subprocess.DEVNULL)

print(f"{wheel.name}: twistd and twist list {', '.join(COMMANDS)}")
