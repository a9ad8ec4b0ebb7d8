"""The command ``hermes``. What is not needed for the command at hand is not imported."""

from __future__ import annotations

import gc
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hermes.cli.output import Output


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    gc.disable()
    if sys.argv[1:] in (["--version"], ["-V"]):
        from hermes import __version__

        sys.stdout.write(f"hermes {__version__}\n")
        _leave(0)
    from hermes.cli.output import Output

    out = Output()
    _leave(_run(out), out)


def _run(out: Output) -> int:
    import click

    from hermes.cli.output import complain
    from hermes.cli.root import build
    from hermes.contracts.errors import HermesError

    try:
        code = build(sys.argv[1:], out).main(prog_name="hermes", obj=out, standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        with out.protected():
            error.show(sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        complain("Interrupted.")
        return 130
    except BrokenPipeError:
        return 141
    except HermesError as error:
        complain(f"hermes: {error}")
        if error.hint:
            complain(f"  {error.hint}")
        return error.exit_code
    except OSError as error:
        complain(f"hermes: {error}")
        complain("  Check the disk's space and the home's permissions: hermes doctor")
        return 1


def _leave(code: int, out: Output | None = None) -> None:
    """Ends at once: what has to be closed is closed, and tearing the interpreter down takes longer than the rest."""
    try:
        if out is not None:
            out.flush()
        sys.stdout.flush()
        sys.stderr.flush()
    except (BrokenPipeError, ValueError):
        code = code or 141
    os._exit(code)


if __name__ == "__main__":
    main()
