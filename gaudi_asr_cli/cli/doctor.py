"""`gaudi-asr doctor`: what works on this machine."""

import typer

from gaudi_asr_cli.cli.options import Json


def command(json: Json = False) -> None:
    """Show what works here: devices, versions, audio decoders, hub and caches."""
    # Here, not above: what it probes takes a second to import, and `--help` should not wait.
    from gaudi_asr_cli.core.workflows.doctor.run import doctor
    from gaudi_asr_cli.ui.doctor import show_doctor
    from gaudi_asr_cli.ui.json_lines import print_json

    report = doctor()
    print_json(report.to_json()) if json else show_doctor(report)
    raise typer.Exit(report.exit_code)
