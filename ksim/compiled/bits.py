"""What machine code can do and Python cannot say: 128-bit products and sums, the bits of a float, plain indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ksim.compiled.jit import jit


@intrinsic
def product(typing: Any, a: Any, b: Any) -> Any:
    """(low, high) words of the product of two unsigned 64-bit numbers: one instruction."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide, narrow = ir.IntType(128), ir.IntType(64)
        both = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        low = builder.trunc(both, narrow)
        high = builder.trunc(builder.lshr(both, ir.Constant(wide, 64)), narrow)
        return context.make_tuple(builder, signature.return_type, (low, high))

    return types.UniTuple(types.uint64, 2)(types.uint64, types.uint64), generate


@intrinsic
def bits_of(typing: Any, x: Any) -> Any:
    """The 64 bits of a float, as a signed number."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def float_of(typing: Any, bits: Any) -> Any:
    """The float with these 64 bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


@intrinsic
def at(typing: Any, array: Any, index: Any) -> Any:
    """``array[index]`` of one dimension, where the index is known not to be negative: most of them are loads alone."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        return context.unpack_value(builder, array.dtype, builder.gep(data, [args[1]]))

    return array.dtype(array, types.int64), generate


@intrinsic
def put(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``array[index] = value``, likewise."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(array)(context, builder, args[0]).data
        context.pack_value(builder, array.dtype, args[2], builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.void(array, types.int64, array.dtype), generate


def polynomial(coefficients: Sequence[float]) -> Any:
    """By Horner's rule, the coefficient of 1 first: as constants of the code, where a tuple would lie in memory."""

    @intrinsic
    def value(typing: Any, x: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            last, *others = (ir.Constant(ir.DoubleType(), c) for c in reversed(coefficients))
            total = last
            for c in others:
                total = builder.fadd(builder.fmul(total, args[0]), c)
            return total

        return types.float64(types.float64), generate

    return value


@jit
def add_product(sums: Any, row: int, place: int, a: int, b: int) -> None:
    """Adds a * b, both not negative, to the 128-bit number in ``sums[row, place]``: (low, high) words, uint64."""
    low, high = product(np.uint64(a), np.uint64(b))
    total = sums[row, place, 0] + low
    sums[row, place, 0] = total
    sums[row, place, 1] += high + np.uint64(total < low)
