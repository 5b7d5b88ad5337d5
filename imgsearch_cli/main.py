"""The group, its global options, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

import atexit
import errno
import logging
import os
import signal
import sys
import traceback
from typing import NoReturn

import click

from imgsearch_cli import exits
from imgsearch_cli.commands.check import check
from imgsearch_cli.commands.encoders import encoders
from imgsearch_cli.commands.evaluate import evaluate
from imgsearch_cli.commands.explore import explore
from imgsearch_cli.commands.forget import forget
from imgsearch_cli.commands.index import index
from imgsearch_cli.commands.policy import policy
from imgsearch_cli.commands.query import query
from imgsearch_cli.commands.status import status
from imgsearch_cli.commands.study import study
from imgsearch_cli.commands.train import train
from index_store import __version__
from index_store.errors import ImgsearchError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "IMGSEARCH"})
@click.version_option(__version__, prog_name="imgsearch")
@click.option("-v", "--verbose", count=True, help="Tell more on standard error; twice for every detail.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary, no warnings: results and errors only.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, verbose: int, quiet: bool, debug: bool) -> None:
    """Find photographs by a description, on your own machine.

    \b
    imgsearch index ./test_images
    imgsearch query "dog on beach"

    Results go to standard output, everything else to standard error. Exit codes: 0 at least one result, 1 nothing
    found, 2 wrong usage or an error, 3 the answer is the compliance notice.
    """
    context.obj = {"quiet": quiet, "debug": debug}
    level = logging.ERROR if quiet else {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("index_store").setLevel(level)


COMMANDS = (index, query, status, check, forget, policy, encoders, train, evaluate, explore, study)

for command in COMMANDS:
    cli.add_command(command)


def run() -> NoReturn:
    """Run the program and leave with its exit code; the entry point of `imgsearch`."""
    code = _main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = exits.BROKEN_PIPE
    atexit._run_exitfuncs()  # temporary folders go
    # nothing is left to save, and the teardown of the imported libraries would cost a tenth of a second
    os._exit(code)


def _main() -> int:
    debug = "--debug" in sys.argv[1:]
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = cli.main(standalone_mode=False)
        return result if isinstance(result, int) else exits.FOUND
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was written is kept, the next run goes on from there", err=True)
        return exits.INTERRUPTED
    except _Terminated:
        return exits.TERMINATED
    except BrokenPipeError:
        return exits.BROKEN_PIPE
    except ImgsearchError as error:
        return _fail(error, str(error), debug)
    except OSError as error:
        if error.errno == errno.EPIPE:
            return exits.BROKEN_PIPE
        return _fail(error, f"{error.filename or 'imgsearch'}: {(error.strerror or str(error)).lower()}", debug)
    except Exception as error:  # Python's own exit code would be 1, which scripts read as "nothing found"
        return _fail(error, "this is a bug; please report the lines above", debug=True)


class _Terminated(BaseException):
    """SIGTERM came: the way out is that of Ctrl-C."""


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise _Terminated


def _fail(error: Exception, line: str, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    click.echo(f"imgsearch: {line}", err=True)
    return exits.ERROR


if __name__ == "__main__":
    run()
