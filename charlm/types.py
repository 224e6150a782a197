"""Types that the packages share."""

from typing import Any, TypeAlias

from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
# Symbols of a vocabulary as whole numbers: in memory, or a file of them as an np.memmap.
Ids: TypeAlias = NDArray[Any]
# A recurrent layer's state, (H, B) arrays with h first: (h, c) for LSTM, (h,) for GRU and RNN.
State: TypeAlias = tuple[Array, ...]
States: TypeAlias = list[State]
