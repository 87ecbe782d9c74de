"""`python -m ssal`."""

from ssal.cli import main

if __name__ == "__main__":
    main()
