"""Arrays under a seal: encrypted and authenticated by a secret, with hashes alone.

    key = scrypt(secret, salt),  tag = HMAC(key, content),
    sealed = content XOR SHAKE-256(key, tag),

the synthetic-IV construction (Rogaway and Shrimpton, EUROCRYPT 2006): the same content
and secret give the same seal, and a wrong secret is found out by the tag. scrypt (RFC
7914) makes every guess of the secret take 16 MiB and some hundredths of a second.
"""

import hashlib
import hmac
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sktamm.exceptions import InvalidInputError
from sktamm.results._frozen import Frozen

__all__ = ["Seal", "open_seal", "sealed"]

# The costs that RFC 7914 is usually quoted with for interactive use.
_COST: dict[str, int] = {"n": 2**14, "r": 8, "p": 1}


@dataclass(frozen=True, eq=False, repr=False)
class Seal(Frozen):
    """What a blinded result hides, encrypted.

    Attributes
    ----------
    salt : bytes
        Makes guesses worth one result only.
    tag : bytes
        Tells whether a secret is the right one.
    content : bytes
        Encrypted arrays.
    """

    salt: bytes
    tag: bytes
    content: bytes

    def __repr__(self) -> str:
        """Short form, without the contents."""
        return f"Seal({len(self.content)} bytes)"


def sealed(arrays: Mapping[str, NDArray[Any]], secret: bytes, public: bytes) -> Seal:
    """Seal named arrays; ``public`` bytes of what stays visible make the salt."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    salt = hashlib.sha256(public).digest()[:16]
    key = _key(secret, salt)
    tag = hmac.digest(key, content, "sha256")
    return Seal(salt, tag, _masked(content, key, tag))


def open_seal(seal: Seal, secret: bytes) -> dict[str, NDArray[Any]]:
    """Arrays behind a seal; another secret, or a changed seal, is refused."""
    key = _key(secret, seal.salt)
    content = _masked(seal.content, key, seal.tag)
    if not hmac.compare_digest(hmac.digest(key, content, "sha256"), seal.tag):
        raise InvalidInputError(
            "seed must be the one that the result was blinded with; it is another one, "
            "or the seal was changed."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


def _key(secret: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(secret, salt=salt, dklen=32, **_COST)


def _masked(content: bytes, key: bytes, tag: bytes) -> bytes:
    mask = hashlib.shake_256(key + tag).digest(len(content))
    bits = np.frombuffer(content, np.uint8) ^ np.frombuffer(mask, np.uint8)
    return bits.tobytes()
