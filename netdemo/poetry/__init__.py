"""Poetry: a file, streamed to everyone who connects."""

from netdemo.poetry.server import PoetryFactory, PoetryProtocol, poetry_service

__all__ = ["PoetryFactory", "PoetryProtocol", "poetry_service"]
