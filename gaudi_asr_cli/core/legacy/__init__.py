"""Translate command lines of the example scripts that gaudi-asr replaces.

`lines` finds the call in a line of `shell` text, `launchers` translates the words before the
script, `arguments` parses those after it, `flags` lists every flag, and `scripts` translates them.
"""
