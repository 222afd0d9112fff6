"""Temporary folders that are gone when a test ends, whichever runner runs it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unittest import TestCase


def temporary_folder(test: TestCase) -> Path:
    """Return a new folder, which is removed after `test`."""
    folder = Path(tempfile.mkdtemp(prefix="netdemo-"))
    test.addCleanup(shutil.rmtree, folder)
    return folder
