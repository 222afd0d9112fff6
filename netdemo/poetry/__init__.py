"""Poetry: a file, streamed to everyone who connects, and read from there."""

from netdemo.poetry.client import download, get_poem
from netdemo.poetry.server import PoetryFactory, PoetryProtocol, poetry_service

__all__ = ["PoetryFactory", "PoetryProtocol", "download", "get_poem", "poetry_service"]
