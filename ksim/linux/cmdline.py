"""The kernel command line: its words, and the numbers in them.

Follows lib/cmdline.c (next_arg, memparse) and lib/kstrtox.c (simple_strtoull) of Linux.
"""

from __future__ import annotations

import re
from functools import lru_cache

_MAX = (1 << 64) - 1
_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*)")
_SHIFT = {"k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


@lru_cache(1024)
def boot_parameters(cmdline: str) -> tuple[tuple[str, str | None], ...]:
    """The words of a command line as (name, value); value None where there is no ``=``.

    As next_arg(): double quotes keep blanks together and cannot be escaped; quotes around a value or a whole
    word fall away. Words after ``--`` belong to init and are left out (parse_args).
    """
    words: list[tuple[str, str | None]] = []
    at, end = 0, len(cmdline)
    while True:
        while at < end and cmdline[at].isspace():
            at += 1
        if at == end:
            return tuple(words)
        quoted = in_quote = cmdline[at] == '"'
        at += quoted
        start = at
        while at < end and (in_quote or not cmdline[at].isspace()):
            in_quote ^= cmdline[at] == '"'
            at += 1
        word = cmdline[start:at]
        if quoted and word.endswith('"'):
            word = word[:-1]
        equals = word.find("=")
        if equals <= 0:  # as in the kernel, a leading '=' separates nothing
            if word == "--":
                return tuple(words)
            words.append((word, None))
            continue
        value = word[equals + 1 :]
        if value.startswith('"'):
            value = value[1:].removesuffix('"')
        words.append((word[:equals], value))


def leading_int(text: str, at: int = 0) -> tuple[int, int]:
    """simple_strtoull() with base 0: (number at ``at``, position behind it); (0, at) if there is none.

    "0x" starts hexadecimal and "0" octal numbers; what follows the number is not looked at.
    """
    match = _NUMBER.match(text, at)
    if match is None:
        return 0, at
    hexadecimal, octal, decimal = match.groups()
    if hexadecimal is not None:
        number = int(hexadecimal, 16)
    else:
        number = int(decimal) if decimal else int(octal or "0", 8)
    return number & _MAX, match.end()


def memparse(text: str, at: int = 0) -> tuple[int, int]:
    """memparse(): a number with an optional K, M, G, T, P or E, and the position behind it.

    A suffix alone counts as a number, 0: that is why Linux accepts ``crashkernel=128M@M``.
    """
    number, at = leading_int(text, at)
    shift = _SHIFT.get(text[at : at + 1].lower())
    if shift is None:
        return number, at
    return (number << shift) & _MAX, at + 1
