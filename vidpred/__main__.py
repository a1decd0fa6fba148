"""Lets `python -m vidpred` do what `vidpred` does."""

from vidpred.cli import main

if __name__ == "__main__":
    main()
