"""Command lines of the example scripts that this project took over from, and what they mean here.

`flags` has the one table of every flag, `reading` takes words apart as the scripts' own parser
did, `launchers` what stood before the script, and `translating` puts it all together.
"""
