"""`python -m gaudi_asr_cli` is the `gaudi-asr` command."""

from gaudi_asr_cli.cli.app import main

if __name__ == "__main__":
    main()
