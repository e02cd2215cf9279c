"""The rows of the factored form in few passes over memory, compiled by numba.

What torch does in a dozen operations on whole chunks, each of which reads and writes memory, is
done here while a row lies in the first-level cache. Matrix products stay torch's. The kernels hold
no lock of Python, so that threads compute chunks side by side, and are compiled once for a machine
and kept next to this file (or in `NUMBA_CACHE_DIR`).

The formulas are those of `fast/__init__.py`. Only sums may be taken in another order than written
(`SUMS`), which makes vectors of them; it is always the same order.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import overload
from numpy.typing import NDArray

Array = NDArray[Any]

PLAIN: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
}
SUMS = PLAIN | {"fastmath": {"contract", "nsz", "reassoc"}}
LARGEST = PLAIN | {"fastmath": {"nnan", "nsz"}}

ACTIVATIONS = ("gelu", "relu", "silu")
GELU, RELU, SILU = range(3)

LOG_2_FEW_BITS = 0.693359375  # times a whole number without rounding
LOG_2_REST = -2.12194440054690583e-4
EXPANSION = tuple(1 / math.factorial(n) for n in range(10, -1, -1))  # of exp, to 2e-13

# (a + 4) Phi(-a) / exp(-a^2 / 2) for a >= 0 by powers of u = (a - 4) / (a + 4), the highest first:
# interpolation at 60 Chebyshev points, cut off at 4e-12. Even powers, and odd ones divided by u.
TAIL_EVEN = (
    *(6.037440706872914e-08, -3.229377752509039e-07, 4.464064379697196e-07),
    *(-1.7618690804964412e-06, 0.00013329641178185406, -0.003479683418552644),
    *(0.06039657404487563, 0.3871374007732206, 0.7552851304155637),
)
TAIL_ODD = (
    *(5.201072865047844e-07, -5.134638961940953e-06, 3.4457356813845105e-05),
    *(-0.00023074457362319117, 0.0016307159334220107, -0.0075401729456469465),
    *(-0.18652185908869257, -0.6078966419486164),
)


def two_to(k):
    """2^k for a whole number k in floating point that gives a normal number."""


@overload(two_to)
def _two_to(k):
    single = k == types.float32
    real, whole = (np.float32, np.int32) if single else (np.float64, np.int64)
    digits, bias = (23, 127) if single else (52, 1023)
    return lambda k: whole((whole(k) + whole(bias)) << whole(digits)).view(real)


@njit(**PLAIN)
def exp(x):
    """e^x for x <= 0, and 0 where that is less than 2^-126; a few roundings from exact."""
    real = type(x)
    least = real(-87.0)
    bounded = least if x < least else x
    k = np.floor(bounded * real(1.4426950408889634) + real(0.5))
    rest = bounded - k * real(LOG_2_FEW_BITS) - k * real(LOG_2_REST)
    power = real(0.0)
    for coefficient in EXPANSION:
        power = power * rest + real(coefficient)
    return real(0.0) if x < least else power * two_to(k)


@njit(**PLAIN)
def gelu(x, out, slope):
    """out = x Phi(x), slope = Phi(x) + x phi(x)."""
    real = x.dtype.type
    for i in range(len(x)):
        size = abs(x[i])
        density = exp(real(-0.5) * size * size)
        inverse = real(1.0) / (size + real(4.0))
        u = real(1.0) - real(8.0) * inverse
        even, odd = real(0.0), real(0.0)
        for coefficient in TAIL_EVEN:
            even = even * (u * u) + real(coefficient)
        for coefficient in TAIL_ODD:
            odd = odd * (u * u) + real(coefficient)
        tail = (even + u * odd) * density * inverse
        probability = tail if x[i] < real(0.0) else real(1.0) - tail
        out[i] = x[i] * probability
        slope[i] = probability + x[i] * density * real(0.3989422804014327)


@njit(**PLAIN)
def relu(x, out, slope):
    """out = max(x, 0), slope = 1 where x > 0 and else 0."""
    real = x.dtype.type
    for i in range(len(x)):
        slope[i] = real(1.0) if x[i] > real(0.0) else real(0.0)
        out[i] = real(0.0) if x[i] <= real(0.0) else x[i]  # NaN stays NaN


@njit(**PLAIN)
def silu(x, out, slope):
    """out = x s(x), slope = s(x) (1 + x (1 - s(x))), s(x) = 1 / (1 + exp(-x))."""
    real = x.dtype.type
    for i in range(len(x)):
        power = exp(-abs(x[i]))
        small = power / (real(1.0) + power)
        large = real(1.0) / (real(1.0) + power)
        s, other = (small, large) if x[i] < real(0.0) else (large, small)
        out[i] = x[i] * s
        slope[i] = s * (real(1.0) + x[i] * other)


@njit(**PLAIN)
def activate(kind, x, hidden, slope):
    """The MLP's activations, and the factor that leads from their gradient to that of its inputs:
    act'(x), or if gated (twice as many inputs), value act'(gate) and act(gate)."""
    n = len(hidden)
    if kind == GELU:
        gelu(x[:n], hidden, slope[:n])
    elif kind == RELU:
        relu(x[:n], hidden, slope[:n])
    else:
        silu(x[:n], hidden, slope[:n])
    if len(x) > n:
        for i in range(n):
            slope[n + i] = hidden[i]
            slope[i] *= x[n + i]
            hidden[i] *= x[n + i]


@njit(**SUMS)
def forward(table, index, weight, sums, normed, bias, eps, kind, inverse_sigma, hidden, slope):
    """Steps 2 to 4 up to the MLP's activations.

    Args:
        table: A, [line column].
        index, weight: of the terms of each row, [row term].
        sums: is given the weighted sums of table lines, [row column]: y, with a norm z, and logits
            without the MLP's part.
        normed: the norm's width, 0 for none.
        bias: of the MLP's inputs, which are y / sigma + bias with a norm and else y.
        kind: number of the activation in `ACTIVATIONS`.
        inverse_sigma: is given 1 / sigma of each row.
        hidden: is given the activations, [row hidden].
        slope: is given the factors of `activate`, or in its only line those of the last row.
    """
    real = table.dtype.type
    n_inputs, heads = slope.shape[1], index.shape[1] // 2
    inputs = np.empty(n_inputs, table.dtype)
    for r in range(len(index)):
        row, constant = sums[r], table[index[r, 2 * heads]]
        for c in range(len(row)):
            row[c] = constant[c]
        for h in range(heads):
            w_a, w_b = weight[r, h], weight[r, heads + h]
            line_a, line_b = table[index[r, h]], table[index[r, heads + h]]
            for c in range(len(row)):
                row[c] += w_a * line_a[c] + w_b * line_b[c]
        of_row = slope[min(r, len(slope) - 1)]
        if normed == 0:
            activate(kind, row[:n_inputs], hidden[r], of_row)
            continue
        squares = real(0.0)
        for c in range(n_inputs, n_inputs + normed):
            squares += row[c] * row[c]
        inverse_sigma[r] = real(1.0) / math.sqrt(squares / real(normed) + real(eps))
        for i in range(n_inputs):
            inputs[i] = row[i] * inverse_sigma[r] + bias[i]
        activate(kind, inputs, hidden[r], of_row)


@njit(**LARGEST)
def largest(numbers):
    """The largest; of numbers that are not all finite any."""
    most = numbers[0]
    for c in range(1, len(numbers)):
        most = max(most, numbers[c])
    return most


@njit(**SUMS)
def answer(sums, first, vocab, labels, offset, factor):
    """The rows' cross-entropies added up, and how many are correct; in place of the logits, which
    are `vocab` columns from `first` on, their gradient times a factor.

    The formulas, which neither overflow nor cancel, are those of `rows.Answer`.

    Args:
        offset: is subtracted from the logits, [row vocab], or has no columns.
        factor: 0 for no gradient.
    """
    real = sums.dtype.type
    loss, correct = 0.0, 0
    for r in range(len(sums)):
        logits, label = sums[r, first : first + vocab], labels[r, 0]
        for c in range(offset.shape[1]):
            logits[c] -= offset[r, c]
        of_label = logits[label]
        logits[label] = real(-np.inf)
        rival = largest(logits)
        if of_label == rival:
            correct += label < np.argmax(logits)  # of equal ones the first counts
        else:
            correct += of_label > rival
        total = real(0.0)
        for c in range(vocab):
            logits[c] = exp(logits[c] - rival)
            total += logits[c]
        log_s = (float(rival) - float(of_label)) + math.log(float(total))
        loss += log_s if log_s > 40.0 else math.log1p(math.exp(log_s))
        if factor != 0.0:
            wrong = factor / (1.0 + math.exp(-log_s))
            share = real(wrong / total)
            for c in range(vocab):
                logits[c] *= share
            logits[label] = real(-wrong)
    return loss, correct


@njit(**SUMS)
def backward(
    table, index, d_hidden, slope, normed, inverse_sigma, sums, d_weight, d_bias, d_constant
):
    """Step 5 from the gradient of the activations on.

    Args:
        sums: holds y, z and the gradient of the logits, and is given D, the gradient of all sums.
        d_weight: is given the gradient of the weights but of the constant line's, [row term].
        d_bias: the gradient of the bias is added to it.
        d_constant: the gradient of the table's constant line is added to it.
    """
    real = table.dtype.type
    n_inputs, n_hidden, heads = slope.shape[1], d_hidden.shape[1], index.shape[1] // 2
    for r in range(len(index)):
        row = sums[r]
        scale, along = inverse_sigma[r] if normed else real(1.0), real(0.0)
        for start in range(0, n_inputs, n_hidden):
            of, d_of = row[start : start + n_hidden], d_bias[start : start + n_hidden]
            slopes, d_out = slope[r, start : start + n_hidden], d_hidden[r]
            if normed:
                for i in range(n_hidden):
                    e = slopes[i] * d_out[i]
                    d_of[i] += e
                    along += e * of[i]
                    of[i] = e * scale
            else:
                for i in range(n_hidden):
                    of[i] = slopes[i] * d_out[i]
        if normed:
            along *= scale * scale * scale / real(-normed)
            z = row[n_inputs : n_inputs + normed]
            for c in range(normed):
                z[c] *= along
        for c in range(len(row)):
            d_constant[c] += row[c]
        for h in range(heads):
            line_a, line_b = table[index[r, h]], table[index[r, heads + h]]
            d_a, d_b = real(0.0), real(0.0)
            for c in range(len(row)):
                d_a += row[c] * line_a[c]
                d_b += row[c] * line_b[c]
            d_weight[r, h], d_weight[r, heads + h] = d_a, d_b


@njit(**SUMS)
def table_gradient(d_sums, weight, order, ends, first, last, d_table):
    """The gradient of the table's lines of tokens `first` to `last` (not included) in all heads.

    Args:
        d_sums: D, [row column].
        order, ends: of `Terms`, [all terms] and [bounds]; used is what they say of the first head,
            as others take the lines of the same tokens.
        d_table: is given the gradient, [line column].
    """
    terms = weight.shape[1]
    heads = terms // 2
    tokens = (len(d_table) - 1) // heads
    for token in range(first, last):
        for h in range(heads):
            line = d_table[h * tokens + token]
            for c in range(len(line)):
                line[c] = 0
        for k in range(ends[token], ends[token + 1]):
            row, term = divmod(order[k], terms)
            d_row = d_sums[row]
            for h in range(heads):
                line, w = d_table[h * tokens + token], weight[row, term + h]
                for c in range(len(line)):
                    line[c] += w * d_row[c]
