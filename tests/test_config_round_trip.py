"""`netdemo.bridge.config`: a route that is written as TOML is the same when it is read."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from netdemo.address import QueueDestination, parse_destination
from netdemo.bridge.config import MAX_SECONDS
from netdemo.bridge.framing import FRAMINGS
from netdemo.bridge.routes import (
    FIRST_WORD,
    LONGEST_RECORD,
    MAX_PREFETCH,
    ROUTES,
    Member,
    Route,
    ServeRoute,
)
from tests.configs import CONNECT, LISTEN, ConfigTestCase


def fields_of(kind: str) -> st.SearchStrategy[Route]:
    """Return routes of a kind with any values."""
    words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
    whole = st.integers(1, 2**40)
    destinations = [
        "/queue/q",
        "/amq/queue/a b",
        "/topic/k.*.#",
        "/exchange/e%2F/",
        "/exchange/e/k",
    ]
    origins = st.just(FIRST_WORD) | words.map(Member)
    strategies: dict[str, st.SearchStrategy[Any]] = {
        "destination": st.sampled_from(destinations).map(parse_destination),
        "framing": st.sampled_from([*FRAMINGS]),
        "max_clients": st.none() | whole,
        "idle_timeout": st.none() | st.floats(0.001, MAX_SECONDS),
        "allow": st.lists(st.ip_addresses().map(ip_network), max_size=3).map(tuple),
        "ack": st.booleans(),
        "max_record": st.integers(1, LONGEST_RECORD),
        "key_from": st.none() | origins,
        "headers_from": st.dictionaries(words, origins, max_size=3).map(lambda d: (*d.items(),)),
        "content_type": st.none() | words,
        "persistent": st.booleans(),
        "mandatory": st.none() | st.booleans(),
        "prefetch": st.integers(1, 65535),
        "reject_unfit": st.booleans(),
        "connect": st.booleans(),
        "buffer": whole,
        "timeout": st.floats(0.001, MAX_SECONDS),
        "servers": st.integers(1, MAX_PREFETCH),
    }
    route = ROUTES[kind]
    given_fields = {
        field.name: strategies[field.name]
        for field in attrs.fields(route)
        if field.name != "endpoint"
    }
    return st.builds(lambda **values: placed(route, values), **given_fields)


def placed(route: type[Route], values: dict[str, Any]) -> Route:
    """Return a route of these values, at an endpoint for its way."""
    connects = values.get("connect", route is ServeRoute)
    if isinstance(values["destination"], QueueDestination) and "key_from" in values:
        values["key_from"] = None
    return route(endpoint=CONNECT if connects else LISTEN, **values)


def as_toml(value: Any) -> str:
    """Write a value as TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return '"' + "".join(f"\\U{ord(character):08X}" for character in value) + '"'
        case Member(name):
            return f"{{ json = {as_toml(name)} }}"
        case tuple() if value and isinstance(value[0], tuple):
            return "{" + ", ".join(f"{as_toml(a)} = {as_toml(b)}" for a, b in value) + "}"
        case tuple():
            return "[" + ", ".join(as_toml(str(each)) for each in value) + "]"
    return as_toml(str(value))


def written(route: Route) -> str:
    """Write a route as TOML; what is not set is left out."""
    lines = [f"[[{route.kind}]]"]
    connects = getattr(route, "connect", route.kind == "serve")
    for field in attrs.fields(type(route)):
        value = getattr(route, field.name)
        if field.name == "endpoint":
            lines.append(f"{'connect' if connects else 'listen'} = {as_toml(value)}")
        elif field.name == "reject_unfit":
            lines.append(f"unfit = {as_toml('reject' if value else 'keep')}")
        elif field.name != "connect" and value is not None and value != ():
            lines.append(f"{field.name} = {as_toml(value)}")
    return "\n".join(lines)


class AnyRouteTests(ConfigTestCase):
    """A route that is written as TOML is the same when it is read."""

    @given(route=st.sampled_from([*ROUTES]).flatmap(fields_of))
    def test_reads_back_equal(self, route: Route) -> None:
        (again,) = self.read(written(route)).routes
        self.assertEqual(again, route)
        self.assertEqual(str(again), str(route))
