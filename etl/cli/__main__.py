"""`python -m etl.cli` is `ndvi-archive`."""

from etl.cli.program import main

if __name__ == "__main__":
    main()
