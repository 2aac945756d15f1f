"""``ksim.chance.portable`` in machine code, MANY numbers at a time: its very own source, traced.

A ``Lanes`` stands for MANY float64 and writes down every operation that it meets. Handed to a function
of ``portable`` in place of an array, it becomes the code of that function: the same operations in the same order, and
so the same bits. Both sides of a ``where`` are computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

MANY = 16
"""More than a register holds: while one part waits for its sum, others go on."""
DOUBLES, WORDS = ir.VectorType(ir.DoubleType(), MANY), ir.VectorType(ir.IntType(64), MANY)
FRACTION, BIAS = (1 << 52) - 1, 1023
WHOLE = float(3 << 51)
"""Added to a whole number below 2^51, it shows that number in the last bits of the sum."""
WHOLE_BITS = int(np.float64(WHOLE).view(np.int64))


class Lanes:
    """MANY float64 in code that is being written, or MANY truths, which count as 0 and 1."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder, self.value = builder, value

    def new(self, value: Any) -> Lanes:
        return Lanes(self.builder, value)

    def double(self, x: Any) -> Any:
        """The LLVM value of an operand."""
        if not isinstance(x, Lanes):
            return ir.Constant(DOUBLES, [float(x)] * MANY)
        return x.value if x.value.type == DOUBLES else self.builder.uitofp(x.value, DOUBLES)

    def call(self, name: str) -> Lanes:
        """An operation of LLVM's own on each lane."""
        kind = ir.FunctionType(DOUBLES, [DOUBLES])
        function = self.builder.module.declare_intrinsic(f"llvm.{name}.v{MANY}f64", fnty=kind)
        return self.new(self.builder.call(function, [self.value]))

    def __add__(self, x: Any) -> Lanes:
        return self.new(self.builder.fadd(self.value, self.double(x)))

    def __mul__(self, x: Any) -> Lanes:
        return self.new(self.builder.fmul(self.value, self.double(x)))

    __radd__, __rmul__ = __add__, __mul__

    def __sub__(self, x: Any) -> Lanes:
        return self.new(self.builder.fsub(self.value, self.double(x)))

    def __rsub__(self, x: Any) -> Lanes:
        return self.new(self.builder.fsub(self.double(x), self.value))

    def __truediv__(self, x: Any) -> Lanes:
        return self.new(self.builder.fdiv(self.value, self.double(x)))

    def __neg__(self) -> Lanes:
        return self.new(self.builder.fneg(self.value))

    def __lt__(self, x: Any) -> Lanes:
        return self.new(self.builder.fcmp_ordered("<", self.value, self.double(x)))

    def __le__(self, x: Any) -> Lanes:
        return self.new(self.builder.fcmp_ordered("<=", self.value, self.double(x)))

    def __gt__(self, x: Any) -> Lanes:
        return self.new(self.builder.fcmp_ordered(">", self.value, self.double(x)))

    def astype(self, kind: Any) -> Lanes:
        """Whole numbers stay float64."""
        return self

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Any:
        return NUMPY[ufunc](*args)

    def __array_function__(self, function: Any, kinds: Any, args: Any, options: Any) -> Any:
        return NUMPY[function](*args)


def where(condition: Lanes, x: Any, y: Any) -> Lanes:
    return condition.new(condition.builder.select(condition.value, condition.double(x), condition.double(y)))


def piecewise(x: Lanes, conditions: Any, functions: Any) -> Lanes:
    """The first function where the condition holds, which is seldom: its code is passed over where no lane needs it."""
    builder, (condition,), (seldom, usual) = x.builder, conditions, functions
    found = usual(x)
    before = builder.block
    every = ir.IntType(MANY)
    needed = builder.icmp_unsigned("!=", builder.bitcast(condition.value, every), ir.Constant(every, 0))
    with builder.if_then(needed, likely=False):
        other = where(condition, seldom(x), found)
        after = builder.block
    merged = builder.phi(DOUBLES)
    merged.add_incoming(found.value, before)
    merged.add_incoming(other.value, after)
    return x.new(merged)


def frexp(x: Lanes) -> tuple[Lanes, Lanes]:
    """Mantissa and exponent of normal numbers above 0."""
    builder, bits = x.builder, x.builder.bitcast(x.value, WORDS)
    mantissa = builder.or_(builder.and_(bits, words(FRACTION)), words((BIAS - 1) << 52))
    exponent = builder.add(builder.lshr(bits, words(52)), words(WHOLE_BITS - (BIAS - 1)))
    return x.new(builder.bitcast(mantissa, DOUBLES)), x.new(builder.bitcast(exponent, DOUBLES)) - WHOLE


def ldexp(x: Lanes, exponent: Lanes) -> Lanes:
    """In two steps, of which only the second can round: so it is rounded once, also below the normal numbers."""
    half = (exponent * 0.5).call("floor")
    return x * power_of_two(half) * power_of_two(exponent - half)


def power_of_two(exponent: Lanes) -> Lanes:
    builder, shown = exponent.builder, exponent + WHOLE
    whole = builder.sub(builder.bitcast(shown.value, WORDS), words(WHOLE_BITS - BIAS))
    return exponent.new(builder.bitcast(builder.shl(whole, words(52)), DOUBLES))


def words(x: int) -> Any:
    return ir.Constant(WORDS, [x] * MANY)


NUMPY: dict[Any, Callable[..., Any]] = {
    np.where: where,
    np.piecewise: piecewise,
    np.frexp: frexp,
    np.ldexp: ldexp,
    np.maximum: lambda x, y: where(x > y, x, y),
    np.minimum: lambda x, y: where(x < y, x, y),
    np.clip: lambda x, low, high: np.minimum(np.maximum(x, low), high),
    np.rint: lambda x: x.call("rint"),
    np.sqrt: lambda x: x.call("sqrt"),
    np.absolute: lambda x: x.call("fabs"),
}
"""What stands for a function of NumPy where it is given Lanes."""


def traced(function: Callable[..., Any]) -> Any:
    """Machine code ``(block, row, a, b)`` that puts ``function(x, a, b)`` in the place of the MANY x of a row."""

    @intrinsic
    def code(typing: Any, block: Any, row: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            data = context.make_array(block)(context, builder, args[0]).data
            first = builder.gep(data, [builder.mul(args[1], ir.Constant(args[1].type, MANY))])
            place = builder.bitcast(first, DOUBLES.as_pointer())
            x, *parameters = (builder.load(place, align=8), *(spread(builder, value) for value in args[2:]))
            found = function(*(Lanes(builder, value) for value in (x, *parameters)))
            builder.store(found.value, place, align=8)
            return context.get_dummy_value()

        return types.void(block, types.int64, types.float64, types.float64), generate

    return code


def spread(builder: Any, value: Any) -> Any:
    """The same number in each lane."""
    found = ir.Constant(DOUBLES, ir.Undefined)
    for lane in range(MANY):
        found = builder.insert_element(found, value, ir.Constant(ir.IntType(32), lane))
    return found
