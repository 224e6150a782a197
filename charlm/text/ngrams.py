"""Modified Kneser-Ney n-gram model of ids.

    p_n(v | c) = (count(c v) - D(count(c v)) + left(c) p_{n-1}(v | c')) / total(c)
    p_0(v)     = 1 / V

c is a context of n-1 symbols, c' the same without its first one. total(c) is the sum of count(c v)
over v, and left(c) that of D(count(c v)). Where c does not occur, p_n is p_{n-1}. At the highest
order of a context, count(c v) is how often c v occurs; at the orders below, how many different
symbols precede c v. The highest order is the model's, or lower at the beginning of a text.

t_k n-grams of an order have the count k, or are counted as one where none has:

    Y    = t_1 / (t_1 + 2 t_2)
    D(0) = 0
    D(k) = k - (k + 1) Y t_{k+1} / t_k          k = 1, 2, 3, but at least 0.05
    D(k) = D(3)                                 k > 3

Sources: Kneser & Ney 1995; Chen & Goodman 1998, An empirical study of smoothing techniques for
language modeling, TR-10-98, equation 26.
"""

import math

import numpy as np

from charlm.types import Array, Ids

ORDER = 8
# Of a longer text the last symbols are counted: time and memory are bounded.
MOST = 4_000_000
# With a discount of 0, symbols that do not follow a context would have the probability 0.
_LEAST_DISCOUNT = 0.05


class NGrams:
    """Counts of the n-grams of (N,) ids, and the probabilities that follow from them.

    A context is a number in base V + 1, in which symbol v is the digit v + 1: contexts of different
    lengths are different numbers, and 0 is the empty one. What B streams have read is an array of
    (order, B) contexts, of 0 to order - 1 symbols each; zeros are the beginning of a text.

    It takes 24 bytes for each different context and 12 for each different n-gram, of all orders:
    36 MB for 900,000 characters of English verse.

    Args:
        ids: the text.
        V: ids are below it.
        order: symbols of the longest n-grams; fewer where (V + 1)^order exceeds 2^63.
    """

    def __init__(self, ids: Ids, V: int, order: int = ORDER) -> None:
        self.V, self._base = V, V + 1
        self.order = max(1, min(order, int(63 / math.log2(self._base)), ids.size))
        digits = np.asarray(ids[-MOST:]).astype(np.int64) + 1
        occurring, counted = digits, [np.unique(digits, return_counts=True)]
        for n in range(1, self.order):
            occurring = occurring[:-1] * self._base + digits[n:]
            counted.append(np.unique(occurring, return_counts=True))
        numbers, begins, symbols, end = [], [], [], 0
        own, backoffs = list[list[Array]](), list[list[Array]]()
        for n, (ngrams, counts) in enumerate(counted, 1):
            contexts, first = np.unique(ngrams // self._base, return_index=True)
            preceding = counts
            if n < self.order:
                shortened = counted[n][0] % self._base**n
                preceding = np.bincount(np.searchsorted(ngrams, shortened), minlength=ngrams.size)
                # Nothing precedes the text's first n-gram.
                preceding = np.maximum(1, preceding)
            numbers.append(contexts)
            begins.append(end + first)
            symbols.append((ngrams % self._base - 1).astype(np.int32))
            smoothed = [_smooth(each, first) for each in (preceding, counts)]
            own.append([each for each, _ in smoothed])
            backoffs.append([each for _, each in smoothed])
            end += ngrams.size
        # (contexts,) in ascending order
        self._numbers = np.concatenate(numbers)
        # (contexts + 1,) where the n-grams of each context begin among all
        self._begins = np.append(np.concatenate(begins), end)
        # (n-grams,) the last symbol of each
        self._symbols = np.concatenate(symbols)
        # (2, n-grams) (count - D) / total and (2, contexts) left / total: below the highest order,
        # and at it
        self._own: Array = np.concatenate(own, axis=1)
        self._backoffs: Array = np.concatenate(backoffs, axis=1)

    def contexts(self, B: int) -> Ids:
        """Return the contexts of B streams at the beginning of a text."""
        return np.zeros((self.order, B), np.int64)

    def read(self, contexts: Ids, ids: Ids) -> None:
        """Append (B,) symbols to the contexts, in place."""
        contexts[1:] = contexts[:-1] * self._base + 1 + ids

    def probabilities(self, contexts: Ids) -> Array:
        """Return the (V, B) probabilities of the next symbol."""
        B = contexts.shape[1]
        # At the beginning of a text the longer contexts repeat the longest that there is.
        is_longer, true = contexts[1:] > contexts[:-1], np.ones((1, B), np.bool_)
        is_highest = np.append(~is_longer, true, axis=0)
        table = is_highest.astype(np.intp)
        place = np.searchsorted(self._numbers, contexts)
        place[place == self._numbers.size] = 0
        found = (self._numbers[place] == contexts) & np.append(true, is_longer, axis=0)
        # What is left to the probabilities of each order by those above, and to 1 / V by all.
        left = np.where(found, self._backoffs[table, place], 1)[::-1].cumprod(axis=0)[::-1]
        scale = np.append(left[1:], true, axis=0)
        # The n-grams of all contexts that were found, one after the other.
        begin = self._begins[place].ravel()
        size = np.where(found, self._begins[place + 1] - self._begins[place], 0).ravel()
        ngram = np.repeat(begin - (size.cumsum() - size), size) + np.arange(size.sum())
        stream = np.repeat(np.tile(np.arange(B), self.order), size)
        own = self._own[np.repeat(table.ravel(), size), ngram]
        weight = own * np.repeat(scale.ravel(), size)
        p: Array = np.bincount(self._symbols[ngram] * B + stream, weight, self.V * B)
        p = p.reshape(self.V, B)
        p += left[0] / self.V
        return p


def _smooth(counts: Array, first: Ids) -> tuple[Array, Array]:
    """Return (count - D) / total of an order's n-grams, and left / total of its contexts.

    `first` are the places of each context's first n-gram.
    """
    D = _discounts(counts)[np.minimum(counts, 3) - 1]
    total = np.add.reduceat(counts, first)
    own = (counts - D) / np.repeat(total, np.diff(first, append=counts.size))
    return own.astype(np.float32), (np.add.reduceat(D, first) / total).astype(np.float32)


def _discounts(counts: Array) -> Array:
    """Return D(1), D(2) and D(3)."""
    t = np.maximum(1, np.bincount(np.minimum(counts, 5), minlength=6)[1:5])
    k, Y = np.arange(1, 4), t[0] / (t[0] + 2 * t[1])
    D: Array = np.maximum(_LEAST_DISCOUNT, k - (k + 1) * Y * t[1:] / t[:3])
    return D
