"""The settings and routes of a bridge in a TOML file.

Each reader takes a value as TOML has it, and returns it as a route has it.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from contextlib import suppress
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Final

import attrs
from twisted.internet.endpoints import quoteStringArgument

from netdemo.address import EXPECTED, NAME_LIMIT, QueueDestination, parse_destination
from netdemo.amqp.broker_url import BrokerURL
from netdemo.bridge.framing import FRAMINGS
from netdemo.bridge.routes import (
    FIRST_WORD,
    LONGEST_RECORD,
    MAX_PREFETCH,
    ROUTES,
    From,
    Member,
    Network,
    Route,
)
from netdemo.connecting import client_endpoint
from netdemo.errors import AddressError, BrokerURLError, ConfigError
from netdemo.listening import check_endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    Reader = Callable[[Any], Any]

MAX_SECONDS: Final = 4_294_967
"""What a time may be: the longest expiration in AMQP has 32 bits of milliseconds."""

SHOWN: Final = 80
"""Characters of a value that an error shows."""

PATHS: Final = re.compile(
    r"""(?P<before>
          ^(haproxy:)?unix: |
          :(address|path|privateKey|certKey|extraCertChain|dhParameters|caCerts|caCertsDir
           |certificate|trustRoots)=
        )(?!/|\w+=)(?=[^:])""",
    re.VERBOSE,
)
"""Where a relative path begins in an endpoint."""

KEYED_BY_NAME: Final = "expected none with a queue: the key of a queue is its name"
ONE_NETWORK: Final = "a list of networks such as 10.0.0.0/8 or ::1/128, one at least"


class _Unfit(Exception):
    """A value is not what was expected, which is the text."""


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Unfit("true or false")
    return value


def _whole(maximum: int | None = None) -> Reader:
    def read(value: object) -> int:
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and value >= 1
            and (maximum is None or value <= maximum)
        ):
            return value
        raise _Unfit(
            "a whole number " + ("of at least 1" if maximum is None else f"from 1 to {maximum}")
        )

    return read


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(OverflowError):
            if 0 < (seconds := float(value)) <= MAX_SECONDS:
                return seconds
    raise _Unfit(f"seconds, a number of more than 0 and at most {MAX_SECONDS}")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _Unfit("text, without a NUL")  # which no path and no host name may have
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not value or len(value.encode()) > NAME_LIMIT:
        raise _Unfit(f"text of 1 to {NAME_LIMIT} bytes")
    return value


def _choice(values: Mapping[str, object]) -> Reader:
    def read(value: object) -> object:
        if not isinstance(value, str) or value not in values:
            raise _Unfit(" or ".join(json.dumps(each) for each in values))
        return values[value]

    return read


def _destination(value: object) -> object:
    if not isinstance(value, str):
        raise _Unfit(EXPECTED)
    return parse_destination(value)


def _networks(value: object) -> tuple[Network, ...]:
    if not isinstance(value, list) or not value:
        raise _Unfit(ONE_NETWORK)
    try:
        return tuple(ip_network(_text(each)) for each in value)
    except (ValueError, _Unfit):
        raise _Unfit(ONE_NETWORK) from None


def _origin(value: object) -> From:
    match value:
        case str() if value == FIRST_WORD:
            return FIRST_WORD
        case {"json": str(name), **rest} if not rest:
            return Member(name)
    raise _Unfit('"first-word" or { json = "member" }')


def _headers(value: object) -> tuple[tuple[str, From], ...]:
    try:
        if isinstance(value, dict):
            return tuple((_name(name), _origin(origin)) for name, origin in value.items())
    except _Unfit:
        pass
    raise _Unfit('names of 1 to 255 bytes, each = "first-word" or { json = "member" }')


def _urls(value: object) -> tuple[str, ...]:
    urls = [value] if isinstance(value, str) else value
    if isinstance(urls, list) and urls and all(isinstance(url, str) for url in urls):
        return tuple(urls)
    raise ValueError("expected a URL or a list of URLs")  # not shown: it may hold a password


_framing: Final = _choice({name: name for name in FRAMINGS})

_LISTEN: Final[dict[str, Reader]] = {"listen": _text}
_CONNECT: Final[dict[str, Reader]] = {"connect": _text}
_COMMON: Final[dict[str, Reader]] = {
    "destination": _destination,
    "framing": _framing,
    "max_clients": _whole(),
    "idle_timeout": _seconds,
    "allow": _networks,
}

KEYS: Final[dict[str, dict[str, Reader]]] = {
    "push": {
        **_LISTEN,
        **_CONNECT,
        **_COMMON,
        "ack": _truth,
        "max_record": _whole(LONGEST_RECORD),
        "key_from": _origin,
        "headers_from": _headers,
        "content_type": _name,
        "persistent": _truth,
        "mandatory": _truth,
    },
    "pull": {
        **_LISTEN,
        **_CONNECT,
        **_COMMON,
        "ack": _truth,
        "prefetch": _whole(MAX_PREFETCH),
        "unfit": _choice({"keep": False, "reject": True}),
    },
    "subscribe": {**_LISTEN, **_COMMON, "prefetch": _whole(MAX_PREFETCH), "buffer": _whole()},
    "call": {**_LISTEN, **_COMMON, "max_record": _whole(LONGEST_RECORD), "timeout": _seconds},
    "serve": {
        **_CONNECT,
        "destination": _destination,
        "framing": _framing,
        "max_record": _whole(LONGEST_RECORD),
        "servers": _whole(MAX_PREFETCH),
        "timeout": _seconds,
    },
}
"""What a route of each kind may have, and the reader of it."""

SETTINGS: Final[dict[str, Reader]] = {"broker": _urls, "spool": _text, "spool_limit": _whole()}
"""What is set for the whole bridge, each a field of `Config`."""

FIELDS: Final = {"unfit": "reject_unfit"}
"""Keys whose fields in a route have other names."""


@attrs.frozen
class Config:
    """What a file says; without brokers it does not say which."""

    broker: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()
    spool: str | None = None
    spool_limit: int | None = None


class ConfigFile:
    """A TOML file, which may be read again and again.

    Relative paths, of the file and in it, are those of the directory where this is built: twistd
    changes it after that. No route may be one of ``others``, nor listen where one of them does.
    """

    def __init__(self, name: str, reactor: Any, others: Sequence[Route] = ()) -> None:
        self.name = name
        self._folder = os.getcwd()
        self._reactor = reactor
        self._others = others
        self._errors: list[str] = []

    def read(self, accepted: Collection[str | Route] = ()) -> Config:
        """Return what is in the file now.

        URLs and routes in ``accepted`` are not looked into: what they name, keys for example, may
        be out of reach since twistd has changed user.

        :raises ConfigError: with a line for each mistake.
        """
        document = self._load()
        self._errors = []
        tables = {key: value for key, value in document.items() if key in KEYS}
        rest = {key: value for key, value in document.items() if key not in KEYS}
        settings = self._values(rest, SETTINGS, "", (*SETTINGS, *KEYS))
        for url in settings.get("broker", ()):
            if url not in accepted:
                self._check(BrokerURL.parse, url, "broker")
        routes = self._routes(tables, accepted)
        if not (routes or self._others or self._errors):
            tables_of = ", ".join(f"[[{kind}]]" for kind in KEYS)
            self._wrong("", f"no route; expected at least one of {tables_of}")
        if self._errors:
            raise ConfigError(self._errors)
        if "spool" in settings:
            settings["spool"] = os.path.join(self._folder, settings["spool"])
        return Config(routes=routes, **settings)

    def _load(self) -> dict[str, Any]:
        try:
            with open(os.path.join(self._folder, self.name), "rb") as file:
                return tomllib.load(file)
        except OSError as error:
            reason: object = error.strerror
        except UnicodeDecodeError as error:
            reason = f"byte {error.start + 1}: expected UTF-8"
        except tomllib.TOMLDecodeError as error:
            reason = error
        except RecursionError:
            reason = "too many values within values"
        except ValueError:  # of `int`; tomllib says no line of it
            reason = "expected no number of so many digits"
        raise ConfigError([f"{self.name}: {reason}"])

    def _routes(
        self, tables: dict[str, Any], accepted: Collection[str | Route]
    ) -> tuple[Route, ...]:
        routes: dict[str, Route] = {}
        for kind, listed in tables.items():
            if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
                self._wrong(kind, f"{_shown(listed)}: expected tables: [[{kind}]]")
                continue
            for number, table in enumerate(listed, 1):
                name = f"{kind}[{number}]"
                route = self._route(kind, table, name, accepted)
                if route is not None:
                    self._check_alone(route, name, routes)
                    routes[name] = route
        return tuple(routes.values())

    def _route(
        self, kind: str, table: dict[str, Any], name: str, accepted: Collection[str | Route]
    ) -> Route | None:
        """Return the route that ``table`` tells of, ``None`` when there are errors in it."""
        before = len(self._errors)
        keys = KEYS[kind]
        if "destination" not in table:
            self._wrong(f"{name}.destination", f"it is missing; expected {EXPECTED}")
        ways = [key for key in ("listen", "connect") if key in keys]
        if len([key for key in ways if key in table]) != 1:
            self._wrong(name, f"expected {' or '.join(ways)}, one of them")
        values = self._values(table, keys, f"{name}.", keys)
        if "key_from" in values and isinstance(values.get("destination"), QueueDestination):
            self._wrong(f"{name}.key_from", f"{_shown(table['key_from'])}: {KEYED_BY_NAME}")
        way = next((each for each in ways if each in values), None)
        if way is not None:
            values["endpoint"] = _absolute(values.pop(way), self._folder)
        if way == "connect" and "listen" in keys:
            values["connect"] = True
        route = None
        if len(self._errors) == before:
            route = ROUTES[kind](**{FIELDS.get(key, key): value for key, value in values.items()})
        if way is not None and route not in accepted:
            check = partial(
                check_endpoint if way == "listen" else client_endpoint, reactor=self._reactor
            )
            self._check(check, values["endpoint"], f"{name}.{way}")
        return route if len(self._errors) == before else None

    def _values(
        self,
        table: dict[str, Any],
        readers: Mapping[str, Reader],
        where: str,
        known: Collection[str],
    ) -> dict[str, Any]:
        """Return what ``readers`` make of the values in ``table``."""
        values = {}
        for key, value in table.items():
            name = f"{where}{_key(key)}"
            if key not in readers:
                self._wrong(name, f"unknown key; expected one of {', '.join(known)}")
                continue
            try:
                values[key] = readers[key](value)
            except _Unfit as unfit:
                self._wrong(name, f"{_shown(value)}: expected {unfit}")
            except ValueError as error:
                self._wrong(name, error)
        return values

    def _check(self, check: Callable[[str], object], text: str, name: str) -> None:
        try:
            check(text)
        except (AddressError, BrokerURLError, ValueError) as error:
            self._wrong(name, error)

    def _check_alone(self, route: Route, name: str, before: Mapping[str, Route]) -> None:
        """Refuse a route that is there before, or one that listens where another does."""
        others = [*before.items(), *((f"--{each}", each) for each in self._others)]
        for other_name, other in others:
            if str(other) == str(route):
                self._wrong(name, f"{route}: it is there before, as {other_name}")
            elif other.endpoint == route.endpoint and _listens(route) and _listens(other):
                self._wrong(
                    f"{name}.listen",
                    f"{_shown(route.endpoint)}: expected another endpoint than that of "
                    f"{other_name}",
                )
            else:
                continue
            return

    def _wrong(self, name: str, text: object) -> None:
        self._errors.append(f"{self.name}: {name}: {text}" if name else f"{self.name}: {text}")


def _listens(route: Route) -> bool:
    return "listen" in KEYS[route.kind] and not getattr(route, "connect", False)


def _absolute(endpoint: str, folder: str) -> str:
    """Make the paths in an endpoint absolute."""
    prefix = quoteStringArgument(os.path.join(folder, "")).replace("=", r"\=")
    return PATHS.sub(lambda found: found["before"] + prefix, endpoint)


def _key(key: str) -> str:
    """Return ``key`` as it stands in TOML."""
    return key if re.fullmatch("[A-Za-z0-9_-]+", key) else json.dumps(key)


def _shown(value: object) -> str:
    """Return ``value`` much as it stands in TOML, in one line."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (RecursionError, ValueError):  # of keys within keys, and of digits without end
        return "a value too large to show"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
