"""What the peers are made of: C programs compiled, others fetched, into a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final

SOURCES: Final = Path(__file__).parent
CACHE: Final = (
    Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "netdemo-benchmarks"
)
"""Outside the checkout, since an sdist packs what is ignored below its top folder."""

PATIENCE: Final = 300.0
"""Seconds that a compiler or a download may take."""


class MissingError(Exception):
    """Something that a peer needs can't be had; one line for people."""


@cache
def compiled(name: str) -> Path:
    """Return the program of ``NAME.c`` as it is now, compiled when that is new."""
    CACHE.mkdir(parents=True, exist_ok=True)
    source = SOURCES / f"{name}.c"
    program = CACHE / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not program.exists():
        new = program.with_suffix(f".{os.getpid()}")
        _run("cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", new, source)
        new.replace(program)  # whole, whoever else compiles it just now
    return program


@cache
def uvloop_python() -> Path:
    """Return an interpreter like this one that has uvloop."""
    return _python_with("uvloop", "uvloop")


@cache
def clients_python() -> Path:
    """Return an interpreter like this one that has aio-pika and py-amqp."""
    return _python_with("clients", "aio-pika", "amqp")


@cache
def nginx() -> Path:
    """Return nginx: the installed one, else Debian's, unpacked where it starts no service."""
    installed = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if installed:
        return Path(installed)
    folder = CACHE / "nginx"
    program = folder / "usr" / "sbin" / "nginx"
    if not program.exists():
        _unpack_package("nginx", folder)
    _run(program, "-v")  # that its libraries are there
    return program


@cache
def syslog_ng_program() -> Path:
    """Return the installed syslog-ng, which has its modules where it was built for."""
    program = Path("/usr/sbin/syslog-ng")
    _run(program, "--version")
    if not any(Path("/usr/lib/syslog-ng").glob("*/libafamqp.so")):
        raise MissingError("no amqp() in syslog-ng: install the package syslog-ng-mod-amqp")
    return program


@cache
def amqp_publish_program() -> tuple[Path, Path]:
    """Return ``amqp-publish`` of Debian's amqp-tools, and the folder of its library."""
    folder = CACHE / "amqp-tools"
    program = folder / "usr" / "bin" / "amqp-publish"
    if not (folder / "complete").exists():
        for name in ("librabbitmq4", "amqp-tools"):
            _unpack_package(name, folder)
        (folder / "complete").touch()
    (library,) = (folder / "usr" / "lib").glob("*-linux-gnu*")
    _run("env", f"LD_LIBRARY_PATH={library}", program, "--help")  # that its other ones are there
    return program, library


def _python_with(name: str, *packages: str) -> Path:
    folder = CACHE / f"{name}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        _run(sys.executable, "-m", "venv", "--clear", folder)
        _run(python, "-m", "pip", "install", "-q", "--only-binary", ":all:", *packages)
        (folder / "complete").touch()
    return python


def _unpack_package(name: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _download_package(name, folder)
    (package,) = folder.glob(f"{name}_*.deb")
    _run("dpkg-deb", "--extract", package, folder)
    package.unlink()


def _download_package(name: str, folder: Path) -> None:
    try:
        _run("apt-get", "download", name, folder=folder)
    except MissingError:  # a machine without lists of packages
        _run("apt-get", "update")
        _run("apt-get", "download", name, folder=folder)


def _run(*command: str | Path, folder: Path | None = None) -> None:
    """Run `command` without output.

    :raises MissingError: with the last line that it wrote.
    """
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
        )
    except (OSError, subprocess.SubprocessError) as error:
        written = (getattr(error, "stdout", None) or "").strip().splitlines()
        line = " ".join(str(part) for part in command)
        raise MissingError(f"{line}: {written[-1] if written else error}") from None
