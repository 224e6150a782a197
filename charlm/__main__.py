"""Run the command line, with `python -m charlm` or as `charlm`."""

import sys


def main() -> None:
    """Run the program; Ctrl-C ends it without a word even while it is still being imported."""
    try:
        from charlm import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
