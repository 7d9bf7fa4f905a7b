"""The root of a Merkle tree, from leaves that stream by: memory grows with the tree's height."""

import hashlib
from collections.abc import Iterable


def node(left: bytes, right: bytes) -> bytes:
    """An inner node (RFC 6962, 2.1): a one byte, then both children."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def merkle_root(leaves: Iterable[bytes]) -> tuple[bytes, int]:
    """The tree hash of RFC 6962 over leaf hashes in order, and how many there were.

    The leaves are hashed already (``checkpoint_leaf()`` in SQL); of none it is the hash of nothing.
    """
    peaks: list[bytes] = []
    count = 0
    for leaf in leaves:
        count += 1
        peak = leaf
        # As many full subtrees end here as the count has trailing zeros.
        for _ in range((count & -count).bit_length() - 1):
            peak = node(peaks.pop(), peak)
        peaks.append(peak)
    if not peaks:
        return hashlib.sha256(b"").digest(), 0
    root = peaks.pop()
    while peaks:
        root = node(peaks.pop(), root)
    return root, count
