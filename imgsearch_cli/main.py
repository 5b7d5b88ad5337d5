"""The group, its global options, and the one place where an error becomes a line and an exit code."""

from __future__ import annotations

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
from imgsearch_cli.commands.completion import completion
from imgsearch_cli.commands.config import config
from imgsearch_cli.commands.duplicates import duplicates
from imgsearch_cli.commands.encoders import encoders
from imgsearch_cli.commands.evaluate import evaluate
from imgsearch_cli.commands.explore import explore
from imgsearch_cli.commands.forget import forget
from imgsearch_cli.commands.help import help_
from imgsearch_cli.commands.index import index
from imgsearch_cli.commands.move import move
from imgsearch_cli.commands.policy import policy
from imgsearch_cli.commands.query import query
from imgsearch_cli.commands.serve import serve
from imgsearch_cli.commands.status import status
from imgsearch_cli.commands.study import study
from imgsearch_cli.commands.train import train
from imgsearch_cli.configuration import configured, name_variables
from imgsearch_cli.escaping import printable
from imgsearch_cli.group import TopicGroup, all_commands, loudness_options, set_loudness, suggestion
from imgsearch_cli.streams import OutputError, ReaderGone, prepare_streams, say
from index_store import __version__
from index_store.errors import ImgsearchError
from index_store.paths import prepare_home, without_access

PROGRAM = "imgsearch"
_COMPLETES = f"_{PROGRAM.upper()}_COMPLETE"
"""The variable in which a shell says that it completes."""


@click.group(
    cls=TopicGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "IMGSEARCH"}
)
@click.version_option(__version__, prog_name=PROGRAM)
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
    context.obj = {"verbose": 0, "quiet": False, "debug": False}
    _log_to_standard_error()
    set_loudness(context, verbose=verbose, quiet=quiet, debug=debug)
    if context.invoked_subcommand not in {"help", "completion"}:
        context.default_map = configured(cli)


TOPICS = {
    "Search": (query, serve, duplicates),
    "Library": (index, status, check, move, forget, encoders),
    "Compliance": (policy,),
    "This program": (config, completion, help_),
    "For people who train models": (train, evaluate, explore, study),
}
cli.topics = {topic: [str(command.name) for command in commands] for topic, commands in TOPICS.items()}

for command in (command for commands in TOPICS.values() for command in commands):
    cli.add_command(command)
    for each in all_commands(command):
        each.params += loudness_options()
name_variables(cli)


def run() -> NoReturn:
    """Run the program and leave with its exit code; the entry point of `imgsearch`."""
    prepare_streams()
    prepare_home()
    code = _main()
    try:
        sys.stdout.flush()
    except ReaderGone:
        code = exits.BROKEN_PIPE
    except OutputError as error:
        code = _fail(error, str(error), debug=False)
    if (scratch := sys.modules.get("index_store.scratch")) is not None:
        scratch.remove_scratch_folders()
    # nothing else is left to save, and the teardown of the imported libraries would cost a tenth of a second
    os._exit(code)


def _main() -> int:
    if _COMPLETES in os.environ:
        from imgsearch_cli.completing import register_shells

        register_shells()
    debug = "--debug" in sys.argv[1:]
    signal.signal(signal.SIGTERM, _terminate)
    try:
        result = cli.main(prog_name=PROGRAM, standalone_mode=False)
        return result if isinstance(result, int) else exits.FOUND
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        _explain_usage(error)
        return exits.ERROR
    except (click.Abort, KeyboardInterrupt):
        say("interrupted; what was written is kept, the next run goes on from there")
        return exits.INTERRUPTED
    except _Terminated:
        return exits.TERMINATED
    except ReaderGone:
        return exits.BROKEN_PIPE
    except SystemExit as error:
        if _COMPLETES in os.environ:  # how click ends after it has answered the shell
            return error.code if isinstance(error.code, int) else exits.ERROR
        # what click makes of a broken pipe, and standard output's is a ReaderGone
        return _fail(error, "a pipe to another process broke", debug)
    except ImgsearchError as error:
        return _fail(error, str(error), debug)
    except (OSError, MemoryError) as error:
        return _fail(error, _system_line(error), debug)
    except Exception as error:  # Python's own exit code would be 1, which scripts read as "nothing found"
        if line := _used_up(error):
            return _fail(error, line, debug)
        return _fail(error, "this is a bug; please report the lines above", debug=True)


class _Terminated(BaseException):
    """SIGTERM came: the way out is that of Ctrl-C."""


def _terminate(_signal: int, _frame: object) -> NoReturn:
    raise _Terminated


_FEWER_JOBS = "ask for fewer --jobs, or raise the limit"
_NO_MEMORY = (
    *("failed to map segment", "cannot allocate memory", "failed to allocate memory"),
    *("bad_alloc", "bad allocation", "out of memory"),
)
"""What the loader and compiled libraries say where memory is used up; they raise no MemoryError."""

_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}
"""What the system answers where open files, memory or processes are used up."""


def _system_line(error: OSError | MemoryError) -> str:
    """Say what the system refused, and where."""
    if isinstance(error, MemoryError):
        return f"out of memory: {_FEWER_JOBS}"
    what = (error.strerror or str(error) or type(error).__name__).lower()
    if error.errno in _SCARCE:
        what = f"{what}: {_FEWER_JOBS}"
    return what if error.filename is None else f"{os.fsdecode(str(error.filename))}: {what}"


def _used_up(error: Exception) -> str | None:
    """Say what is used up where an error says so in words only, since it has no class of its own."""
    words = str(error).lower()
    if "can't start new thread" in words:
        return f"no thread can be started: {_FEWER_JOBS}"
    return _system_line(MemoryError()) if any(sign in words for sign in _NO_MEMORY) else None


def _explain_usage(error: click.ClickException) -> None:
    """Say in one line what is wrong with the command line, and where its use is explained."""
    message, context = error.format_message(), getattr(error, "ctx", None)
    if context is not None and message == context.get_help():  # a group was named without a command
        for line in message.splitlines():
            say(line)
        return
    if isinstance(error, click.NoSuchOption):
        message = f"there is no option {error.option_name}{suggestion(error)}"
    message = message[:1].lower() + message[1:].rstrip(".")
    say(f"imgsearch: {message}" + (f"; see '{context.command_path} --help'" if context else ""))


def _fail(error: BaseException, line: str, debug: bool) -> int:
    if debug:
        for shown in "".join(traceback.format_exception(error)).splitlines():
            say(without_access(shown))
    if _stands_nowhere():
        line += "; the working directory is gone: change to another folder"
    for shown in f"imgsearch: {line.removeprefix('imgsearch: ')}".split("\n"):
        say(without_access(shown))
    return exits.ERROR


def _stands_nowhere() -> bool:
    """Whether the working directory was deleted, so that no relative path can be found."""
    try:
        os.getcwd()
    except OSError:
        return True
    return False


class _Escaping(logging.Formatter):
    """What is logged may quote names of files and words of servers."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  (the name that logging calls)
        return printable(without_access(super().formatMessage(record)))


def _log_to_standard_error() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Escaping("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


if __name__ == "__main__":
    run()
