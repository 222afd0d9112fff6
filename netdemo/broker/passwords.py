"""Passwords as they are kept: hashed with scrypt (RFC 7914), in one line of text."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import b64decode, b64encode
from typing import Final

import attrs

LOG_N: Final = 14
BLOCK_SIZE: Final = 8
PARALLELISM: Final = 1
"""Of new hashes: 16 MiB, and 50 to 100 ms, for each password that is tried."""

MAX_COST: Final = 2**20
"""Of a hash that is read, N * r * p: eight times that of a new one, in 128 MiB at most."""

SALT_SIZE: Final = 16
MAX_SALT_SIZE: Final = 64
HASH_SIZE: Final = 32
EXPECTED: Final = "$scrypt$ln=LOG2_N,r=R,p=P$SALT$HASH"

_TEXT: Final = re.compile(
    r"\$scrypt\$ln=([0-9]{1,2}),r=([0-9]{1,7}),p=([0-9]{1,7})"
    r"\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)"
)


@attrs.frozen
class PasswordHash:
    """A password that can be recognised, and not be read."""

    log_n: int
    block_size: int
    parallelism: int
    salt: bytes = attrs.field(repr=False)
    hashed: bytes = attrs.field(repr=False)

    @property
    def cost(self) -> int:
        """What trying a password costs, to be compared with others' alone."""
        return self.block_size * self.parallelism << self.log_n

    def matches(self, password: bytes) -> bool:
        """Tell whether it is the hash of ``password``; it takes the same time if it is not."""
        tried = _scrypt(password, self.salt, self.log_n, self.block_size, self.parallelism)
        return hmac.compare_digest(tried, self.hashed)

    def __str__(self) -> str:
        parameters = f"ln={self.log_n},r={self.block_size},p={self.parallelism}"
        return f"$scrypt${parameters}${_encoded(self.salt)}${_encoded(self.hashed)}"


def hash_password(
    password: bytes,
    log_n: int = LOG_N,
    block_size: int = BLOCK_SIZE,
    parallelism: int = PARALLELISM,
) -> PasswordHash:
    """Return a hash of ``password`` with a new salt."""
    salt = os.urandom(SALT_SIZE)
    hashed = _scrypt(password, salt, log_n, block_size, parallelism)
    return PasswordHash(log_n, block_size, parallelism, salt, hashed)


def parse_password_hash(text: str) -> PasswordHash:
    """Return the hash that is written as `EXPECTED`.

    :raises ValueError: for another text, which is not in the error, and for one that would cost
        more than `MAX_COST`.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"expected {EXPECTED}")
    log_n, block_size, parallelism = (int(number) for number in found.groups()[:3])
    if not (block_size and parallelism and 0 < log_n < 16 * block_size):  # RFC 7914, section 2
        raise ValueError("expected scrypt's parameters as RFC 7914 has them")
    salt, hashed = _decoded(found[4]), _decoded(found[5])
    password = PasswordHash(log_n, block_size, parallelism, salt, hashed)
    if password.cost > MAX_COST:
        raise ValueError(f"expected scrypt's N * r * p of at most {MAX_COST}")
    if len(salt) > MAX_SALT_SIZE or len(hashed) != HASH_SIZE:
        raise ValueError(f"expected a hash of {HASH_SIZE} bytes, salt of at most {MAX_SALT_SIZE}")
    return password


def _scrypt(password: bytes, salt: bytes, log_n: int, block_size: int, parallelism: int) -> bytes:
    # OpenSSL counts its buffers besides, which N * r * p blocks and as many more hold for sure.
    memory = 2 * 128 * block_size * parallelism * (2**log_n + 2)
    return hashlib.scrypt(
        password,
        salt=salt,
        n=2**log_n,
        r=block_size,
        p=parallelism,
        maxmem=memory,
        dklen=HASH_SIZE,
    )


def _encoded(value: bytes) -> str:
    return b64encode(value).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    try:
        return b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise ValueError("expected salt and hash in base64 without padding") from None
