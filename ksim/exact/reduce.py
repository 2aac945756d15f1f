"""Elimination of nodes from a linear system whose coefficients are transforms: arrays over many s at once.

The system is x_i = reward_i + sum over j of k_ij x_j. Eliminating a node replaces every way through it by ways
around it; what is left connects the nodes that were kept. (``ksim.exact.elimination`` does the same for plain
probabilities, without any subtraction; transforms are complex, and there 1 - k_ii is what it is.)
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping

import numpy as np

from ksim.errors import NotSolvable
from ksim.exact.transform import Complex

Row = dict[Hashable, Complex]

MOST_WORK = 5e8
"""Numbers multiplied in all: seconds. Beyond that a graph is too large for transforms at so many s at once."""


def reduced(
    rows: Mapping[Hashable, Mapping[Hashable, Complex]],
    rewards: Mapping[Hashable, Complex],
    keep: Collection[Hashable],
) -> tuple[dict[Hashable, Row], dict[Hashable, Complex]]:
    """Rows and rewards of the kept nodes once all others of ``rows`` are eliminated.

    Targets without a row are left where they are. Rewards may have leading axes for several systems at once.
    Raises NotSolvable where that would take more than MOST_WORK.
    """
    work = 0.0
    k: dict[Hashable, Row] = {i: dict(row) for i, row in rows.items()}
    r: dict[Hashable, Complex] = dict(rewards)
    order = {i: number for number, i in enumerate(k)}
    incoming: dict[Hashable, dict[Hashable, None]] = {i: {} for i in k}
    for i, row in k.items():
        for j in row:
            if j in incoming:
                incoming[j][i] = None
    left = [i for i in k if i not in keep]
    while left:
        # fewest new ways first; ties by place, so the order never depends on hashing
        node = min(left, key=lambda i: (len(incoming[i]) * len(k[i]), order[i]))
        left.remove(node)
        row, reward = k.pop(node), r.pop(node, None)
        loop = row.pop(node, None)
        if loop is not None:
            with np.errstate(divide="ignore", invalid="ignore"):  # what never leaves ends as NaN, and is refused
                factor = 1.0 / (1.0 - loop)
            row = {j: factor * value for j, value in row.items()}
            reward = None if reward is None else factor * reward
        for j in row:
            if j in incoming:
                incoming[j].pop(node, None)
        incoming[node].pop(node, None)
        work += sum(float(value.size) for value in row.values()) * len(incoming[node])
        if work > MOST_WORK:
            raise NotSolvable(f"a graph of {len(order)} nodes, with so many ways, is too large for transforms")
        for i in incoming.pop(node):
            before = k[i].pop(node)
            for j, value in row.items():
                way = before * value
                k[i][j] = k[i][j] + way if j in k[i] else way
                if j in incoming:
                    incoming[j][i] = None
            if reward is not None:
                r[i] = r[i] + before * reward if i in r else before * reward
    return k, r
