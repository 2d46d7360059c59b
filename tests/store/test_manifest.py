"""Tests of rlbench.store.manifest: what it refuses to believe."""

import hashlib
import json

import pytest

from rlbench.store.manifest import Damage, Generation, KeptFile, KeptPiece, Manifest

GENERATION = Generation(2, 1, "0123abcd", 7)
PIECE = KeptPiece("0002-0001-0123abcd-000007-1", 3, 5, "a" * 64)
MANIFEST = Manifest(GENERATION, {"journal/0.bin": KeptFile(5, "b" * 64, (PIECE,)), "empty": KeptFile(0, "c" * 64, ())})


def forged(path: str = "a", size: object = 5, pieces: object = ((0, 0, 5, "a" * 64),), name: str = PIECE.name) -> bytes:
    held = {"rlbench": "manifest", "format": 1, "objects": [name], "files": {path: [size, "b" * 64, pieces]}}
    return json.dumps(held).encode()


def named(data: bytes) -> str:
    return f"{GENERATION}-{hashlib.sha256(data).hexdigest()[:16]}.json"


def test_it_is_read_as_it_was_written() -> None:
    name, data = MANIFEST.written()
    assert Manifest.read(name, data) == MANIFEST
    assert MANIFEST.objects == {PIECE.name: 8}
    assert MANIFEST.nbytes == 5
    assert Manifest.read(named(forged()), forged()).files.keys() == {"a"}


def test_what_is_not_as_it_was_written_is_no_manifest() -> None:
    name, data = MANIFEST.written()
    for cut in (b"", data[:-1], data[:40], data.replace(b"journal", b"jOurnal")):
        with pytest.raises(Damage, match="does not match its digest"):
            Manifest.read(name, cut)
    with pytest.raises(Damage, match="missing"):
        Manifest.read(name, None)
    newer = data.replace(b'"format":1', b'"format":2')
    with pytest.raises(Damage, match="format 2, this rlbench reads up to 1: upgrade"):
        Manifest.read(named(newer), newer)


@pytest.mark.parametrize(
    "data",
    [
        *(forged(path) for path in ("../a", "/etc/a", "a/../../b", "", "a\0b")),
        *(forged(name=name) for name in ("../x", "0002-0001-0123abcd-000007-1/../../y", "x")),
        forged(size=6),
        forged(pieces=[[0, -1, 5, "a" * 64]]),
        forged(pieces=[[1, 0, 5, "a" * 64]]),
        forged(pieces=[[0, 0, 5, "a" * 63]]),
        forged(pieces=[[0, 0, 2**40, "a" * 64]], size=2**40),
        forged(pieces=None),
        b"[]",
        b"{}",
        b"null",
    ],
)
def test_what_leads_elsewhere_is_no_manifest(data: bytes) -> None:
    with pytest.raises(Damage):
        Manifest.read(named(data), data)


def test_a_later_attempt_comes_after_whatever_an_earlier_one_puts() -> None:
    order = [
        (1, 1, "ffffffff", 99),
        (1, 2, "00000000", 0),
        (1, 10, "00000000", 0),
        (2, 1, "a" * 8, 0),
        (2, 1, "b" * 8, 0),
    ]
    made = [Generation(*one) for one in order]
    assert sorted(made) == made
    assert [Generation.of(str(one)) for one in made] == made
    assert Generation.of(f".{GENERATION}-3.0123abcd.tmp") == GENERATION  # of an object that was never finished
    assert Generation.of("README") is None
