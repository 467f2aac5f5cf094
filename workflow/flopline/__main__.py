"""`python -m flopline` is the command `flopline`."""

from flopline.cli.program import main

if __name__ == "__main__":
    main(prog_name="flopline")
