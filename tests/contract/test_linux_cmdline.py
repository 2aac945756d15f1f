"""The kernel command line: words and numbers."""

import pytest

from ksim.linux.cmdline import boot_parameters, memparse

MIB = 1 << 20
GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "value", "used"),
    [
        ("128M", 128 * MIB, 4),
        ("2g", 2 * GIB, 2),
        ("1T", 1 << 40, 2),
        ("1P", 1 << 50, 2),
        ("1e", 1 << 60, 2),
        ("7k", 7 << 10, 2),
        ("0x40000000", GIB, 10),
        ("0X10M", 16 * MIB, 5),
        ("010M", 8 * MIB, 4),
        ("0", 0, 1),
        ("09", 0, 1),
        ("0x", 0, 1),
        ("M", 0, 1),
        ("", 0, 0),
        ("auto", 0, 0),
        ("-1", 0, 0),
        ("512M,high", 512 * MIB, 4),
    ],
)
def test_memparse(text, value, used):
    assert memparse(text) == (value, used)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ro quiet", [("ro", None), ("quiet", None)]),
        ('a="b c" d', [("a", "b c"), ("d", None)]),
        ('"a=b c" d=', [("a", "b c"), ("d", "")]),
        ('dyndbg="file x +p; file y +p"  z\n', [("dyndbg", "file x +p; file y +p"), ("z", None)]),
        ("a=b=c", [("a", "b=c")]),
        ("=a", [("=a", None)]),
        ("a -- b=1", [("a", None)]),
        ('a="b', [("a", "b")]),
        ("  ", []),
    ],
)
def test_boot_parameters(line, words):
    assert list(boot_parameters(line)) == words
