"""Run the command line, with `python -m charlm` or as `charlm`."""

import os
import sys


def main() -> None:
    """Run the program; Ctrl-C ends it without a word even while it is still being imported."""
    try:
        import signal

        answers = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if answers:
            # There is nothing to clean up yet, and an exception may get lost in an import.
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))
        if hasattr(signal, "pthread_sigmask"):
            # scripts/charlm holds it back while Python starts and could not be quiet about it.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        from charlm import cli

        if answers:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
