"""The command, also as `python -m pairmill`, by the interpreter that is asked."""

from pairmill.cli import app
from pairmill.console import leave


def main() -> None:
    """The command as a process, which ends with it."""
    try:
        app(prog_name="pairmill")
    except SystemExit as ended:
        leave(ended.code)
        raise


if __name__ == "__main__":
    main()
