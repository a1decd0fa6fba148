"""The `vidpred` program: gathers the commands and turns errors into one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import typer

from vidpred.cli.bench import bench_app
from vidpred.cli.convert import convert
from vidpred.cli.demo import demo
from vidpred.cli.evaluate import evaluate
from vidpred.cli.experiment import experiment_app
from vidpred.cli.gen_data import gen_data_app
from vidpred.cli.import_weights import import_weights
from vidpred.cli.info import info
from vidpred.cli.rollout import rollout
from vidpred.cli.search import search
from vidpred.cli.train import train
from vidpred.errors import ExitCode, Interrupted, VidpredError

# Typer exports only subclasses of click's UsageError, and click itself may be part of typer.
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="vidpred",
    help="Predict the future frames of a video.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_shown = SimpleNamespace(traceback=False)


@app.callback(invoke_without_command=True)
def _global_options(
    context: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
) -> None:
    _shown.traceback = debug
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


app.add_typer(gen_data_app, name="gen-data")
app.command()(convert)
app.command()(train)
app.command()(search)
app.command("import-weights")(import_weights)
app.command()(rollout)
app.command()(evaluate)
app.add_typer(experiment_app, name="experiment")
app.add_typer(bench_app, name="bench")
app.command()(info)
app.command()(demo)


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with an `ExitCode`."""
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code. `arguments` defaults to the process's own."""
    _shown.traceback = False
    command = typer.main.get_command(app)
    try:
        code = command.main(args=arguments, prog_name="vidpred", standalone_mode=False)
    except _UsageError as error:
        message: str = error.format_message()  # type: ignore[attr-defined]
        if not message:  # a group of commands without a command has shown its help
            return ExitCode.USAGE
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "vidpred"
        return _say(f"{message} (see '{path} --help')", ExitCode.USAGE)
    except VidpredError as error:
        if _shown.traceback and not isinstance(error, Interrupted):
            raise
        return _say(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    if code == ExitCode.INTERRUPTED:  # Typer makes a code of Ctrl-C, without a word
        return _say("interrupted", code)
    return int(code or ExitCode.DONE)


def _say(sentence: str, code: ExitCode) -> int:
    print(f"vidpred: {sentence}", file=sys.stderr)
    return code
