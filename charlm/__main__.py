"""Run the command line, with `python -m charlm` or as `charlm`."""

from charlm.cli import main

if __name__ == "__main__":
    main()
