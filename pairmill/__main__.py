"""`python -m pairmill`: the command of the same name, by the interpreter that is asked."""

from pairmill.cli import app

if __name__ == "__main__":
    app(prog_name="pairmill")
