"""Run the command line with `python -m charlm`."""

from charlm.cli import main

main()
