"""``netdemo doctor``"""

from __future__ import annotations

import os
from typing import Any, Final

from netdemo.amqp.broker_url import BROKER_VARIABLE, DEFAULT_BROKER, BrokerURL, default_broker_url
from netdemo.cli.diagnosis import Diagnosis, Finding
from netdemo.cli.options import Options
from netdemo.cli.stdio import StandardOutput, check_standard_output
from netdemo.errors import StepFailed

STEP_WIDTH: Final = 10
"""Characters of the longest step."""

OK, WARNING, FAILURE = "ok", "warn", "FAIL"
COLOURS: Final = {OK: "\x1b[32m", WARNING: "\x1b[33m", FAILURE: "\x1b[31m"}
NO_COLOUR: Final = "\x1b[0m"


class DoctorOptions(Options):
    """Options of ``netdemo doctor``."""

    synopsis = "[URL]"
    longdesc = (
        "Examines the connection to a broker step by step, from its name to a message there and "
        "back, prints a line for each, and stops at the first that fails with what to do about "
        "it. It exits with 0 when all hold. Without URL it takes that of the environment variable "
        f"{BROKER_VARIABLE}, where no list of processes shows its password, or {DEFAULT_BROKER}. "
        "Example: netdemo doctor amqps://ann:secret@mq.example/logs"
    )

    def parseArgs(self, url: str | None = None) -> None:
        self["broker"] = BrokerURL.parse(default_broker_url() if url is None else url)

    async def run(self, reactor: Any) -> None:
        """Examine the broker that the options name."""
        check_standard_output()
        output = StandardOutput(reactor)
        sheet = Sheet(output, coloured())
        try:
            try:
                await Diagnosis(self["broker"], reactor, sheet.held).run()
            except StepFailed as failed:
                sheet.failed(failed)
                await output.flush()
                raise SystemExit(1) from None
            await output.flush()
        finally:
            output.close()


def coloured() -> bool:
    """Tell whether standard output is to have colours: a terminal, unless ``NO_COLOR`` is set."""
    return os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Sheet:
    """Writes a line for each step; what a broker says of itself can't control the terminal."""

    def __init__(self, output: StandardOutput, coloured: bool = False) -> None:
        self._output = output
        self._coloured = coloured

    def held(self, step: str, finding: Finding) -> None:
        """Write that ``step`` holds."""
        self._write(OK if finding.advice is None else WARNING, step, finding.text)
        if finding.advice is not None:
            self._write("", "to do", finding.advice)

    def failed(self, failed: StepFailed) -> None:
        """Write which step does not hold, and what to do."""
        self._write(FAILURE, failed.step, str(failed))
        self._write("", "to do", failed.advice)

    def _write(self, mark: str, step: str, text: str) -> None:
        padded = f"{mark:<4}"
        if self._coloured and mark:
            padded = f"{COLOURS[mark]}{padded}{NO_COLOUR}"
        printable = "".join(each if each.isprintable() else "?" for each in text)
        line = f"{padded} {step:<{STEP_WIDTH}} {printable}\n"
        self._output.write(line.encode(errors="backslashreplace"))
