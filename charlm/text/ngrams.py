"""An n-gram model of ids: how often each symbol followed the n-1 symbols before it, smoothed.

    p_n(v | c) = (count(c v) - D(count(c v)) + left(c) p_{n-1}(v | c')) / total(c)
    p_0(v)     = 1 / V

c is a context of n-1 symbols, c' the same without its first one. total(c) is the sum of count(c v)
over v, and left(c) that of D(count(c v)). Where c never occurred, p_n is p_{n-1}. At the highest
order count(c v) is how often c v occurs, and so where c begins an item; otherwise it is how many
different symbols precede c v. Of each order, t_k n-grams have the count k:

    Y    = t_1 / (t_1 + 2 t_2)
    D(k) = k - (k + 1) Y t_{k+1} / t_k          for k = 1, 2, 3; D(3) for more, 0 for none

Source: Chen & Goodman 1999, An empirical study of smoothing techniques for language modeling,
modified Kneser-Ney smoothing, equation 26; Kneser & Ney 1995.
"""

import math

import numpy as np

from charlm.types import Array, Ids

ORDER = 8
# Of a longer text, the last symbols are counted: a million take half a second.
MOST = 4_000_000


class NGrams:
    """Probabilities from the n-grams of (N,) ids, which are below V.

    The ids of each of independent items end with the `boundary`, and contexts begin with it.

    A context is a number in base V + 1, in which symbol v is the digit v + 1: contexts of different
    lengths are different numbers, and 0 is the empty one. What B streams have read is an array of
    (order, B) contexts, of 0 to order - 1 symbols each; zeros are the beginning of a text.
    """

    def __init__(self, ids: Ids, V: int, order: int = ORDER, boundary: int | None = None) -> None:
        self.V, self._base = V, V + 1
        # Contexts and n-grams are 64-bit numbers.
        self.order = max(1, min(order, int(63 / math.log2(self._base)), ids.size))
        digits = np.asarray(ids[-MOST:]).astype(np.int64) + 1
        # Of each context: its number, in ascending order, and its left / total.
        numbers, backoffs = [], []
        # What follows it, and its own part of each probability: that of context k from begins[k]
        # to begins[k + 1].
        begins, symbols, own, end = [], [], [], 0
        all_of_n = digits
        ngrams, counts = np.unique(all_of_n, return_counts=True)
        for n in range(1, self.order + 1):
            if n < self.order:
                all_of_n = all_of_n[:-1] * self._base + digits[n:]
                longer = np.unique(all_of_n, return_counts=True)
                shortened = np.searchsorted(ngrams, longer[0] % self._base**n)
                preceding = np.maximum(1, np.bincount(shortened, minlength=ngrams.size))
                if boundary is not None:
                    begins_item = ngrams // self._base ** (n - 1) == boundary + 1
                    preceding[begins_item] = counts[begins_item]
                counts = preceding
            contexts, first, types = np.unique(
                ngrams // self._base, return_index=True, return_counts=True
            )
            total = np.add.reduceat(counts, first)
            D = _discounts(counts)[np.minimum(counts, 3) - 1]
            numbers.append(contexts)
            backoffs.append(np.add.reduceat(D, first) / total)
            begins.append(end + first)
            symbols.append((ngrams % self._base - 1).astype(np.int32))
            own.append(((counts - D) / np.repeat(total, types)).astype(np.float32))
            end += ngrams.size
            if n < self.order:
                ngrams, counts = longer
        self._numbers, self._backoffs = np.concatenate(numbers), np.concatenate(backoffs)
        self._begins = np.append(np.concatenate(begins), end)
        self._symbols, self._own = np.concatenate(symbols), np.concatenate(own)

    def contexts(self, B: int) -> Ids:
        """Return the contexts of B streams at the beginning of a text."""
        return np.zeros((self.order, B), np.int64)

    def read(self, contexts: Ids, ids: Ids) -> None:
        """Append (B,) symbols to the contexts, in place."""
        contexts[1:] = contexts[:-1] * self._base + (ids + 1)

    def probabilities(self, contexts: Ids) -> Array:
        """Return the (V, B) probabilities of the next symbol."""
        B = contexts.shape[1]
        place = np.searchsorted(self._numbers, contexts)
        place[place == self._numbers.size] = 0
        found = self._numbers[place] == contexts
        # At the beginning of a text the longer contexts repeat the longest that there is.
        found[1:] &= contexts[1:] > contexts[:-1]
        # What longer contexts leave to the probabilities of each, and all to 1 / V.
        left = np.where(found, self._backoffs[place], 1.0)[::-1].cumprod(axis=0)[::-1]
        scale = np.append(left[1:], np.ones((1, B)), axis=0)
        begin = self._begins[place].ravel()
        size = np.where(found, self._begins[place + 1] - self._begins[place], 0).ravel()
        stream = np.repeat(np.tile(np.arange(B), self.order), size)
        entry = np.repeat(begin - (size.cumsum() - size), size) + np.arange(size.sum())
        weight = self._own[entry] * np.repeat(scale.ravel(), size)
        p: Array = np.bincount(self._symbols[entry] * B + stream, weight, self.V * B)
        p = p.reshape(self.V, B)
        p += left[0] / self.V
        return p


def _discounts(counts: Array) -> Array:
    """Return what n-grams lose that have the count 1, the count 2, and a higher one."""
    t = np.bincount(np.minimum(counts, 5), minlength=6)[1:5]
    k, Y = np.arange(1, 4), t[0] / max(1, t[0] + 2 * t[1])
    D: Array = np.clip(k - (k + 1) * Y * t[1:] / np.maximum(1, t[:3]), 0, k)
    return D
