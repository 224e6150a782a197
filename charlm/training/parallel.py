"""Data-parallel training: processes that `mpirun` or `srun` started share the streams of one run.

    process r of N      reads the streams from r B / N to (r + 1) B / N
    step                gradient = sum of the processes' gradients, one Allreduce of the flat buffer
                        the same optimizer step in every process, on parameters that stay the same

Every process runs the same program; in a `Group` it finds the others. Process 0 alone reads the
text, writes files and samples: `once` calls a function there. An error of such a call is raised in
every process, so that all end alike. Where one ends alone, it ends the others; where one is killed,
its connection to process 0 breaks, and the others end: MPI would wait for it.

Without a launcher the group has one process, and its methods do nothing.
"""

import atexit
import os
import secrets
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar, cast

import numpy as np

from charlm import environment
from charlm.errors import RunError
from charlm.types import Array, State, States

Value = TypeVar("Value")
_Outcome = tuple[Any, BaseException | None]

# A process that ends waits so long for the others to end as well, before it ends them; a quarter
# of it where an error ended it. After so long, one that waits for the others to start says so.
_PATIENCE_S = 20.0
_CONNECT_S = 10.0
# Seconds until a silent connection is tested, between tests, and how many may fail.
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
# What a process says that ends: in the usual way, or since another one was killed.
_BYE, _END = b".", b"!"


class Group:
    """The processes of one run; this class is that of a single one."""

    rank = 0
    size = 1
    local_size = 1  # how many of them use this one's CPUs

    def share(self, count: int) -> slice:
        """Return this process's share of some streams; shares differ by one at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def sum(self, array: Array) -> None:
        """Replace an array by the sum of all processes' arrays."""

    def total(self, *numbers: float) -> tuple[float, ...]:
        """Return the sum of all processes' numbers, each of them in float64."""
        return numbers

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all processes, by their rank."""
        return [value]

    def broadcast(self, value: Value) -> Value:
        """Return the value of process 0."""
        return value

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether it is set in any process."""
        return flags

    def once(self, function: Callable[[], Value]) -> Value:
        """Call a function in process 0, and return its result, or raise its error, in all."""
        return function()

    def each(self, function: Callable[[], Value]) -> Value:
        """Call a function in every process; where some fail, raise the first one's error in all."""
        return function()

    @contextmanager
    def together(self) -> Iterator[None]:
        """End the other processes where an error ends this one alone."""
        yield


class MPIGroup(Group):
    """The processes of MPI's world communicator, by mpi4py.

    Source: Dalcin & Fang 2021, mpi4py: Status update after 12 years of development.
    """

    def __init__(self, mpi: Any) -> None:
        # Not the world's own: what else uses that cannot be mistaken for a message of ours.
        self._comm, self._ending = mpi.COMM_WORLD.Dup(), mpi.COMM_WORLD.Dup()
        self._in_place, self._max = mpi.IN_PLACE, mpi.MAX
        self.rank, self.size = self._comm.rank, self._comm.size
        node = self._comm.Split_type(mpi.COMM_TYPE_SHARED)
        own = environment.affinity()
        self.local_size = sum(not own.isdisjoint(other) for other in node.allgather(own))
        self._is_inside = False
        self._watch()
        atexit.register(self._at_exit)

    def sum(self, array: Array) -> None:
        self._comm.Allreduce(self._in_place, array)

    def total(self, *numbers: float) -> tuple[float, ...]:
        found = np.array(numbers)
        self.sum(found)
        return tuple(found.tolist())

    def gather(self, value: Value) -> list[Value]:
        return list(self._comm.allgather(value))

    def broadcast(self, value: Value) -> Value:
        found: Value = self._comm.bcast(value)
        # MPI gives process 0 a copy too, and a run's lock has none.
        return value if self.rank == 0 else found

    def any(self, *flags: bool) -> tuple[bool, ...]:
        found = np.array(flags, np.uint8)
        self._comm.Allreduce(self._in_place, found, self._max)
        return tuple(map(bool, found))

    def once(self, function: Callable[[], Value]) -> Value:
        result, error = self.broadcast(_attempt(function) if self.rank == 0 else (None, None))
        if error is not None:
            raise error
        return cast("Value", result)

    def each(self, function: Callable[[], Value]) -> Value:
        result, error = _attempt(function)
        for found in self.gather(error):
            if found is not None:
                raise found
        return cast("Value", result)

    @contextmanager
    def together(self) -> Iterator[None]:
        self._is_inside = True
        try:
            yield
        except GeneratorExit:
            # The caller's own error is reported before `_at_exit`.
            raise
        except BaseException:
            self._end()
            raise
        finally:
            self._is_inside = isinstance(sys.exc_info()[1], GeneratorExit)

    def _at_exit(self) -> None:
        if self._is_inside:
            self._end()
        for connection in self._connections.values():
            with suppress(OSError):
                connection.send(_BYE)

    def _watch(self) -> None:
        """Connect each process with process 0, to notice when one of them is killed."""
        server = socket.create_server(("", 0)) if self.rank == 0 else None
        port = server.getsockname()[1] if server else 0
        address, token = self.broadcast(((socket.gethostname(), port), secrets.token_bytes(16)))
        self._connections: dict[int, socket.socket] = {}
        expected = self.size - 1 if server else 1
        with suppress(OSError, ValueError):
            if server:
                server.settimeout(_CONNECT_S)
                while len(self._connections) < expected:
                    connection, _ = server.accept()
                    connection.settimeout(_CONNECT_S)
                    said = connection.recv(64)
                    if said.startswith(token):
                        self._connections[int(said[len(token) :])] = connection
            else:
                self._connections[0] = socket.create_connection(address, _CONNECT_S)
                self._connections[0].send(token + b"%d" % self.rank)
        is_connected = self.gather(len(self._connections) == expected)
        if server:
            server.close()
        if not all(is_connected):
            # As behind a firewall: a killed process goes unnoticed.
            self._connections.clear()
        for rank, connection in self._connections.items():
            connection.settimeout(None)
            # A machine that loses its power closes nothing.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):
                    connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            threading.Thread(target=self._wait_for, args=(rank, connection), daemon=True).start()

    def _wait_for(self, rank: int, connection: socket.socket) -> None:
        """End this process where another one ends without a word."""
        said = b""
        with suppress(OSError):
            said = connection.recv(1)
        if said == _BYE:
            return
        # Process 0 reports it, or process 1 where it is process 0.
        if not said and self.rank <= 1:
            _tell(
                f"process {rank} of {self.size} was killed or cannot be reached, which ends the run"
            )
        for other in self._connections.values():
            with suppress(OSError):
                other.send(_END)
        os._exit(1)

    def _end(self) -> None:
        """Wait until all processes end, and end them where they do not: they wait for this one."""
        error = sys.exc_info()[1] or getattr(sys, "last_value", None)
        patience_s = _PATIENCE_S if error is None else _PATIENCE_S / 4
        request, until = self._ending.Ibarrier(), time.monotonic() + patience_s
        while not request.Test():
            if time.monotonic() > until:
                why = f": {type(error).__name__}: {error}" if error else ""
                _tell(f"process {self.rank} of {self.size} has ended, which ends the run{why}")
                self._comm.Abort(1)
            time.sleep(0.01)


@cache
def connect() -> Group:
    """Return the group of this process.

    Raises:
        RunError: a launcher started several processes, and they cannot find one another.
    """
    rank, size = environment.launched()
    if size == 1:
        return Group()
    line = f"process {rank} of {size} waits for the others: all of them must call the training"
    waiting = threading.Timer(_PATIENCE_S, _tell, [line])
    waiting.daemon = True
    waiting.start()
    try:
        return MPIGroup(_mpi(size))
    finally:
        waiting.cancel()


def _mpi(size: int) -> Any:
    """Start MPI, which waits for all processes, and check that it finds as many of them."""
    where = f"{size} processes"
    with warnings.catch_warnings():
        # That the launcher is another MPI's; the error below says it.
        warnings.simplefilter("ignore", RuntimeWarning)
        mpi = environment.require("mpi4py.MPI", "mpi", where, RunError)
    if (found := mpi.COMM_WORLD.size) != size:
        library = mpi.Get_library_version().splitlines()[0].strip(" \0")
        raise RunError(
            where,
            f"were started, and their MPI sees {found}, {library}",
            "start them with the mpirun of that library, or with srun --mpi=pmi2 or pmix, or "
            "install mpi4py for the one that starts them",
        )
    return mpi


def whole_state(group: Group, state: States) -> States:
    """Return the state of all processes' streams side by side."""
    layers = zip(*group.gather(state), strict=True)
    return [
        tuple(np.concatenate(parts, axis=1) for parts in zip(*of_layer, strict=True))
        for of_layer in layers
    ]


def own_state(group: Group, state: States) -> States:
    """Return the state of this process's streams, given that of all streams."""
    return [_columns(layer, group.share(layer[0].shape[1])) for layer in state]


def _columns(state: State, columns: slice) -> State:
    return tuple(np.ascontiguousarray(part[:, columns]) for part in state)


def _tell(line: str) -> None:
    os.write(2, f"charlm: {line}\n".encode())


def _attempt(function: Callable[[], Any]) -> _Outcome:
    try:
        return function(), None
    except BaseException as error:  # a signal's SystemExit as well
        return None, error
