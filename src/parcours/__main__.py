"""`python -m parcours` is `parcours`."""

from parcours.cli import main

if __name__ == "__main__":
    main()
