"""The `gridproof` command line. Each command's module is imported only when the command runs."""

from pathlib import Path

import click

from interfaces.cli.console.lazy_group import LazyGroup

EXAMPLE = """
\b
Examples:
  gridproof demo
  gridproof up
  gridproof --env-file production.env doctor

Exit status: 0 done, 1 failed, 2 wrong usage or settings, 3 a check found something wrong.
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("interfaces.cli.demo:demo", "The main job, end to end, on embedded servers."),
    "init": ("interfaces.cli.init:init", "A folder with a portfolio, settings and secrets to begin with."),
    "up": ("interfaces.cli.up:up", "The whole system in the foreground."),
    "serve": ("interfaces.cli.serve:serve", "The HTTP API alone."),
    "worker": ("interfaces.cli.worker:worker", "One worker process."),
    "migrate": ("interfaces.cli.migrate:migrate", "Bring the database to this release's schema."),
    "facilities": (
        "interfaces.cli.facilities.commands:facilities_group",
        "The portfolio: import it, list it.",
    ),
    "programs": (
        "interfaces.cli.facilities.programs:programs_group",
        "The terms of contracts, and their versions.",
    ),
    "utilities": ("interfaces.cli.facilities.utilities:utilities_group", "Whom we serve."),
    "keys": ("interfaces.cli.keys.commands:keys_group", "API keys."),
    "telemetry": ("interfaces.cli.telemetry.commands:telemetry_group", "Meter history."),
    "forecast": ("interfaces.cli.forecast.commands:forecast_group", "Load forecasts."),
    "baseline": ("interfaces.cli.baseline.commands:baseline_group", "What a facility would have drawn."),
    "settlement": ("interfaces.cli.settlement.commands:settlement_group", "What a DR event pays, and why."),
    "dr-events": ("interfaces.cli.dr_events:dr_events_group", "DR events: list, show, override, cancel."),
    "audit": ("interfaces.cli.audit.commands:audit_group", "Every step of a DR event, and its proof."),
    "projections": ("interfaces.cli.projections:projections_group", "Read models."),
    "alerts": ("interfaces.cli.alerts:alerts_group", "What is wrong, and who looks after it."),
    "dead-letters": ("interfaces.cli.dead_letters:dead_letters_group", "Work that could not be done."),
    "simulate": ("interfaces.cli.simulate.commands:simulate_group", "The outside world, for trying things."),
    "backup": ("interfaces.cli.backup.commands:backup_group", "Backups of the embedded database."),
    "restore": ("interfaces.cli.backup.restore:restore", "Bring the database back to a moment, on record."),
    "settings": (
        "interfaces.cli.settings:settings_command",
        "Every setting: value, origin, default, purpose.",
    ),
    "capacity": ("interfaces.cli.capacity:capacity", "What a system of a given size needs."),
    "doctor": ("interfaces.cli.doctor:doctor", "What is reachable, and what is wrong."),
}
"""Name -> location of the command and its short help."""


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from application.operations.release import RELEASE

    click.echo(f"gridproof {RELEASE}")
    context.exit()


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    epilog=EXAMPLE,
    context_settings={"max_content_width": 100, "help_option_names": ["-h", "--help"]},
)
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="Settings (GRIDPROOF_NAME=value lines) for what the environment does not say. Without it: gridproof.env in "
    "the data folder, then in ~/.config/gridproof.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print it."
)
def main(env_file: Path | None) -> None:
    """Demand response whose every step can be proven."""
    if env_file is not None:
        from interfaces.cli.console.session import adopt_env_file

        adopt_env_file(env_file)
