"""SIGHUP has the file of ``--config`` read again."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from netdemo.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netdemo.bridge.config import Config, ConfigFile
    from netdemo.bridge.routes import Route
    from netdemo.bridge.service import Bridge


class Reload(Service):
    """Has ``bridge`` carry what ``file`` says after each SIGHUP, and ``others``, while it runs.

    A file with mistakes changes nothing, nor does one with other settings than those that the
    bridge was built with, ``config``.
    """

    _log = Logger()

    def __init__(
        self,
        file: ConfigFile,
        config: Config,
        others: Sequence[Route],
        bridge: Bridge,
        reactor: Any,
    ) -> None:
        self._file = file
        self._config = config
        self._others = others
        self._bridge = bridge
        self._reactor = reactor

    def startService(self) -> None:
        super().startService()
        signal.signal(signal.SIGHUP, self._signalled)

    def stopService(self) -> None:
        super().stopService()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # by default it ends what is being finished

    def reload(self) -> Deferred[None]:
        """Read the file again; fire when what it says is so."""
        try:
            config = self._file.read({*self._config.broker, *self._bridge.routes})
        except ConfigError as error:
            self._log.error("nothing is changed: {error}", error=error)
            return succeed(None)
        before = _settings(self._config)
        changed = [name for name, value in _settings(config).items() if value != before[name]]
        if changed:
            self._log.error(
                "nothing is changed: {file}: {names}: another value needs a restart",
                file=self._file.name,
                names=", ".join(changed),
            )
            return succeed(None)
        changing = self._bridge.change([*self._others, *config.routes])
        return changing.addCallback(lambda _: self._changed())

    def _changed(self) -> None:
        self._log.info(
            "{file} was read again; routes: {count}",
            file=self._file.name,
            count=len(self._bridge.routes),
        )

    def _signalled(self, *_: object) -> None:
        self._reactor.callFromThread(self._reload)

    def _reload(self) -> None:
        if self.running:
            reloading = self.reload()
            reloading.addErrback(lambda failure: self._log.failure("reloading", failure))


def _settings(config: Config) -> dict[str, Any]:
    """Return all but the routes, by name."""
    return attrs.asdict(attrs.evolve(config, routes=()), recurse=False)
