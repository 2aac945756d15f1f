"""The command line: reads options, calls the library, prints. stdout is data, stderr is progress.

Exit codes: 0 done; 2 usage or invalid input; 3 answered, but the results could not be stored; 130 Ctrl-C.
Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from ksim import __version__
from ksim.cli.escalate import escalate
from ksim.cli.progress import Progress
from ksim.cli.sweep import best, merge, results, sweep
from ksim.cli.trace import trace
from ksim.cli.words import command_line, file_name, precision_of, settings_of
from ksim.errors import KsimError

if TYPE_CHECKING:
    from ksim.model.loader import Loaded
    from ksim.study.compare import Study
    from ksim.study.engine import Engine

F = TypeVar("F", bound=Callable[..., Any])

FILE_HELP = "FILE is a scenario in TOML or a shipped base: rack-server, vm, large-memory."


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="ksim")
def cli() -> None:
    """What does a Linux kernel failure cost in downtime, and which setting brings the host back sooner?

    Start with:  ksim compare rack-server
    """


def scenario_options(command: F) -> F:
    """FILE and the options that every command takes."""
    options = [
        click.argument("file"),
        click.option(
            "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override any scenario key; repeat."
        ),
        click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Seed of all draws."),
        click.option("--json", "as_json", is_flag=True, help="Print rows and manifest as JSON."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


workers_option = click.option(
    "--workers", type=click.IntRange(1, 1024), help="Processes; the result is the same for any number."
)
engine_option = click.option(
    "--engine", type=click.Choice(["auto", "simulated", "compiled", "exact"]), default="auto", show_default=True,
    help="Who answers: exact solves; simulated (SimPy) and compiled (machine code) sample the same paths and show the "
    "exact values beside; auto is exact where there is an exact value, else compiled.",
)  # fmt: skip
precision_option = click.option(
    "--precision", "precisions", metavar="MEASURE=TARGET", multiple=True,
    help="Replicate until this half-width is reached ('downtime_min_per_year=2 %', '...=0.1 min/y'); repeat.",
)  # fmt: skip
rare_option = click.option(
    "--rare", "rare", metavar="TEXT", multiple=True,
    help="Ask for something rare: 'year_downtime > 4 h', 'vmcore_lost', 'panic without vmcore per panic'; repeat.",
)  # fmt: skip
out_option = click.option("--out", type=click.Path(path_type=Path), help="Directory for the results.")


@cli.command(epilog=FILE_HELP)
@scenario_options
@engine_option
@precision_option
@rare_option
@workers_option
@out_option
def run(
    file: str,
    overrides: tuple[str, ...],
    seed: int | None,
    as_json: bool,
    engine: Engine,
    precisions: tuple[str, ...],
    rare: tuple[str, ...],
    workers: int | None,
    out: Path | None,
) -> None:
    """Downtime of a scenario under its own settings: by cause and phase, per outage, per year."""
    from ksim.study import compare as study

    loaded = _load(file, overrides, seed)
    with Progress() as progress:
        precision = precision_of(precisions, engine)
        found = study.run(loaded, engine=engine, precision=precision, rare=rare, workers=workers, progress=progress)
    _show_measures(loaded, found, as_json)
    if out is not None:
        _store(out, loaded, found, _quiet=as_json)


@cli.command(epilog=FILE_HELP)
@scenario_options
@out_option
def solve(file: str, overrides: tuple[str, ...], seed: int | None, as_json: bool, out: Path | None) -> None:
    """Solve a scenario exactly: no sampling, no interval."""
    from ksim.study import compare as study

    loaded = _load(file, overrides, seed)
    found = study.solve(loaded)
    _show_measures(loaded, found, as_json)
    if out is not None:
        _store(out, loaded, found, _quiet=as_json)


@cli.command(epilog=FILE_HELP)
@scenario_options
@click.option(
    "--strategy", "strategies", multiple=True, metavar="NAME",
    help="Strategy to compare; repeat. The first is the baseline. [full_reboot, kdump, kdump_kexec, kexec_reboot]",
)  # fmt: skip
@click.option(
    "--variant", "variants", multiple=True, metavar="'KEY=VALUE; ...'",
    help="Settings to compare in place of strategies; repeat. The first is the baseline.",
)  # fmt: skip
@engine_option
@precision_option
@rare_option
@workers_option
@out_option
def compare(
    file: str,
    overrides: tuple[str, ...],
    seed: int | None,
    as_json: bool,
    strategies: tuple[str, ...],
    variants: tuple[str, ...],
    engine: Engine,
    precisions: tuple[str, ...],
    rare: tuple[str, ...],
    workers: int | None,
    out: Path | None,
) -> None:
    """Compare recovery strategies, or settings, on one host: per outage, per year, phase by phase.

    All alternatives meet the same faults and draws. Table, picture and manifest go to --out,
    by default results/compare-NAME.
    """
    from ksim.study import compare as study

    if strategies and variants:
        raise click.UsageError("--strategy and --variant: compare either the one or the other")
    loaded = _load(file, overrides, seed)
    with Progress() as progress:
        how: dict[str, Any] = {
            "engine": engine, "precision": precision_of(precisions, engine), "rare": rare, "workers": workers,
            "progress": progress,
        }  # fmt: skip
        if variants:
            alternatives = {text: _load(file, (*overrides, *settings_of(text)), seed) for text in variants}
            if len(alternatives) < len(variants):
                raise click.UsageError("--variant: the same settings twice")
            found = study.compare_variants(alternatives, **how)
        else:
            found = study.compare(loaded, strategies or study.COMPARED, **how)
    if as_json:
        _print_json(loaded, found)
    else:
        from ksim.report.text import Printer, show_comparison

        show_comparison(Printer(), loaded, found)
    _store(out or Path("results") / f"compare-{file_name(loaded.scenario.name)}", loaded, found, _quiet=as_json)


@cli.command(epilog=FILE_HELP)
@scenario_options
@click.option("--strategy", metavar="NAME", help="Instead of the scenario's own strategy.")
@click.option("--format", "kind", type=click.Choice(["dot", "mermaid", "svg"]), default="dot", show_default=True)
def graph(
    file: str, overrides: tuple[str, ...], seed: int | None, as_json: bool, strategy: str | None, kind: str
) -> None:
    """Print the lifecycle of a host as a picture: Graphviz DOT, Mermaid or SVG."""
    from ksim.model.compose import lifecycle
    from ksim.report import graph as pictures
    from ksim.report.graph_svg import svg

    life = lifecycle(_load(file, overrides, seed).scenario, strategy)
    if as_json:
        from ksim.study.results import json_text

        click.echo(json_text(pictures.as_json(life)), nl=False)
    else:
        draw = {"dot": pictures.dot, "mermaid": pictures.mermaid, "svg": svg}[kind]
        click.echo(draw(life), nl=False)


cli.add_command(escalate)
cli.add_command(trace)
cli.add_command(sweep)
cli.add_command(best)
cli.add_command(results)
cli.add_command(merge)


@cli.command(epilog=FILE_HELP)
@scenario_options
def show(file: str, overrides: tuple[str, ...], seed: int | None, as_json: bool) -> None:
    """Show every default that a scenario rests on: value, range, source."""
    loaded = _load(file, overrides, seed)
    if as_json:
        from ksim.study.results import json_text, manifest

        click.echo(json_text(manifest(loaded, command_line())), nl=False)
    else:
        from ksim.report.text import Printer, show_params

        show_params(Printer(), loaded)


# ---------------------------------------------------------------- helpers


def _load(file: str, overrides: tuple[str, ...], seed: int | None) -> Loaded:
    from ksim.model.loader import load

    return load(file, overrides, seed=seed)


def _print_json(loaded: Loaded, found: Study) -> None:
    from ksim.study.results import json_text, manifest

    data = {"schema_version": 1, "manifest": manifest(loaded, command_line()), "notes": found.notes, "rows": found.rows}
    click.echo(json_text(data), nl=False)


def _show_measures(loaded: Loaded, found: Study, as_json: bool) -> None:
    if as_json:
        _print_json(loaded, found)
        return
    from ksim.report.text import Printer, show_measures

    show_measures(Printer(), loaded, found)


def _store(directory: Path, loaded: Loaded, found: Study, *, _quiet: bool) -> None:
    from ksim.report.pages import files_of

    sys.stdout.flush()
    files = files_of(loaded, found, command_line())
    try:
        from ksim.study.results import write

        write(directory, files)
    except OSError as error:
        click.echo(f"ksim: cannot write results to {directory}: {error.strerror or error}", err=True)
        raise SystemExit(3) from None
    if not _quiet:
        click.echo(f"Written to {directory}: {', '.join(files)}")


def main() -> NoReturn:
    """The ``ksim`` command."""
    gc.set_threshold(100_000, 50, 100)  # imports make much and leave little behind: looking through it takes a tenth
    exit_with(lambda: cli.main(prog_name="ksim", standalone_mode=False))


def exit_with(command: Callable[[], object]) -> NoReturn:
    """Runs a command and turns every expected failure into one message and an exit code."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 (closed by the caller: ksim ... >&-)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without "±" is no reason to fail
    stdout = sys.stdout
    try:
        command()
        sys.stdout.flush()
        code: Any = 0
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KsimError as error:
        _say(f"ksim: {error}")
        code = 2
    except (KeyboardInterrupt, click.Abort):
        _say("ksim: interrupted")
        code = 130
    except BrokenPipeError:
        code = _silenced(0)
    except SystemExit as error:
        # a reader that went away: click swaps stdout for a wrapper and exits with 1, but that is no failure
        code = error.code if sys.stdout is stdout else _silenced(0)
    except OSError as error:
        _say(f"ksim: cannot write: {error.strerror or error}")
        code = _silenced(3)
    sys.exit(code)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # where stderr is full or gone, the exit code has to do
        click.echo(text, err=True)


def _silenced(code: int) -> int:
    """Whatever is still buffered for stdout cannot be written: drop it, or the interpreter complains at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
