"""``ksim trace``: one crash in full, from the system call that met the fault to the first answer afterwards."""

from __future__ import annotations

from pathlib import Path

import click

from ksim.cli.progress import Progress


def _epilog() -> str:
    from ksim.micro.causes import CAUSES, FAULTS

    lines = ["\b", "Faults, NAME[@POINT][:N] (the N-th time that the kernel comes by):"]
    for cause, title in CAUSES.items():
        lines.append(f"  {title}:")
        lines += [f"    {f.name:<24}{f.what} (at {f.point})" for f in FAULTS.values() if f.cause == cause]
    lines += [
        "",
        "\b",
        "Examples:",
        "  ksim trace rack-server --fault null_deref",
        "  ksim trace rack-server --fault null_deref@napi_poll:5 --set micro.workload=database --console",
        "  ksim trace vm --fault memory_leak --set micro.workload=idle --set micro.span='200 s'",
        "  ksim trace rack-server --fault lock_inversion:5 --set micro.workload=file-server --set micro.span='300 s'",
        "  ksim trace rack-server --fault disk_dies --perfetto crash.json",
    ]
    return "\n".join(lines)


class _Trace(click.Command):
    """The list of faults is long to make: only when somebody asks for help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.epilog = _epilog()
        super().format_epilog(ctx, formatter)


@click.command(cls=_Trace)
@click.argument("file")
@click.option("--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override any scenario key; repeat.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), help="Seed of all draws.")
@click.option("--replication", type=click.IntRange(0, 10**9), default=0, help="Another boot of the same seed.  [0]")
@click.option("--fault", "faults", metavar="FAULT", multiple=True, help="What strikes, and where; repeat.")
@click.option("--strategy", metavar="NAME", help="Way back, instead of the scenario's own.")
@click.option("--console", "as_console", is_flag=True, help="Print the kernel log, as a serial console shows it.")
@click.option("--perfetto", type=click.Path(path_type=Path, dir_okay=False), help="Write a trace for the Perfetto UI.")
@click.option("--json", "as_json", is_flag=True, help="Print the story as data.")
def trace(
    file: str,
    overrides: tuple[str, ...],
    seed: int | None,
    replication: int,
    faults: tuple[str, ...],
    strategy: str | None,
    as_console: bool,
    perfetto: Path | None,
    as_json: bool,
) -> None:
    """Show one crash: the kernel at work, the fault, the panic, and the way back.

    FILE is a scenario in TOML or a shipped base; its [micro] table says what the host does.
    """
    if as_console and as_json:
        raise click.UsageError("--console and --json: print either the one or the other")
    from ksim.micro.causes import parse_fault
    from ksim.model.loader import load
    from ksim.study.story import console, tell

    asked = tuple(parse_fault(text) for text in faults)
    scenario = load(file, overrides, seed=seed).scenario
    with Progress("seconds of the boot") as progress:
        story = tell(
            scenario,
            asked,
            replication=replication,
            strategy=strategy,
            record=perfetto is not None,
            progress=progress,
        )
    if perfetto is not None:
        from ksim.report.story_trace import trace as picture
        from ksim.study.results import write

        try:
            write(perfetto.parent, {perfetto.name: picture(story).text()})
        except OSError as error:
            click.echo(f"ksim: cannot write the trace to {perfetto}: {error.strerror or error}", err=True)
            raise SystemExit(3) from None
    if as_json:
        from ksim.report.story import as_data
        from ksim.study.results import json_text

        click.echo(json_text(as_data(story)), nl=False)
    elif as_console:
        for line in console(story):
            click.echo(line)
    else:
        from ksim.report.story import show_story
        from ksim.report.text import Printer

        show_story(Printer(), story)
        if perfetto is not None:
            click.echo(f"Written to {perfetto}: open it at ui.perfetto.dev, or offline with vizviewer.")
