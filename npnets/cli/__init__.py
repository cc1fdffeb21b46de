"""The command `npnets`: a module for each subcommand, with its help, its arguments and what it runs."""

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from npnets import __version__
from npnets.cli import bench, check, classify, evaluate, exercise, explain, export, summary, tables, train, warmup
from npnets.cli._arguments import INTERRUPTED

COMMANDS = {
    "train": train,
    "classify": classify,
    "evaluate": evaluate,
    "export": export,
    "summary": summary,
    "tables": tables,
    "explain": explain,
    "check": check,
    "exercise": exercise,
    "bench": bench,
    "warmup": warmup,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `npnets` with these arguments, or with the process's own, and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal in cp1252 or cp949 shows "?" for what it cannot show
            stream.reconfigure(errors="replace")
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help()
        return 0
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            status: int = arguments.command(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # as in `npnets summary mobilenet --json | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, OSError, ModuleNotFoundError, FloatingPointError, MemoryError) as error:
        text = " ".join(str(error).splitlines()) or "out of memory"  # the only one without a text
        print(f"npnets: error: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("npnets: interrupted", file=sys.stderr)
        return INTERRUPTED
    return status


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as an error is printed, without the line of code that it comes from."""
    print(f"npnets: warning: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="npnets",
        description="MobileNet V1 and ShuffleNet V1 from scratch, in NumPy and Numba.",
        epilog="`npnets COMMAND --help` explains a command.",
    )
    parser.add_argument("--version", action="version", version=f"npnets {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    parser.set_defaults(command=None)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.arguments(command)
        command.set_defaults(command=module.run)
    return parser
