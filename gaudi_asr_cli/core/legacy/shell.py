"""A line of shell taken apart into commands and words, without running or expanding anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from gaudi_asr_cli.core.errors import UsageError

_OPERATOR = re.compile(r"&>>|<<<|<<-|;;|&&|\|\||\|&|&>|<<|<&|<>|>>|>&|>\||[|&;()<>\n]")
_CONTINUATION = re.compile(r"\\[ \t]*\r?\n")
_VARIABLE = re.compile(r"\$(?:[A-Za-z_]\w*|[0-9@*#?$!-])")
_PLAIN = re.compile(r"[^\s\\'\"$`|&;()<>]+")
_GLOB = re.compile(r"[*?]")
_IN_DOUBLE_QUOTES = frozenset('$`"\\')
_ANSI_C = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its quotation marks removed.

    Args:
        text: The word; what only a shell could expand stands in it as it was written.
        unknown: Those parts: `$NAME`, `${NAME:-x}`, `$(command)`, backquotes.
        glob: Whether a shell may replace it by names of files.
        quoted: Whether any of it stood in quotation marks or behind a backslash.
    """

    text: str
    unknown: tuple[str, ...] = ()
    glob: bool = False
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a line.

    Args:
        words: Its words, the assignments in front included.
        redirections: `> log.txt`, `2>&1` and the like, as they were written.
        before: The operator between it and the command before it; empty for the first.
        after: The operator behind it; empty for the last.
        line: The number of the line on which it begins, from 1.
        glued: Lines that were joined to it because they begin with an option.
    """

    words: tuple[Word, ...]
    redirections: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    line: int = 1
    glued: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class _Operator:
    text: str
    line: int


def read_commands(text: str) -> list[Command]:
    """Take shell text apart as a shell would, comments left out.

    A line that begins with an option goes on from the one before, whose backslash is missing.

    Raises:
        UsageError: A quotation mark, `$(` or `${` is never closed.
    """
    commands: list[Command] = []
    for command in _commands(list(_Scanner(text).scan())):
        if commands and command.before == "\n" and command.words[0].text.startswith("--"):
            commands[-1] = _joined(commands[-1], command)
        else:
            commands.append(command)
    return commands


def _joined(first: Command, second: Command) -> Command:
    return replace(
        first,
        words=(*first.words, *second.words),
        redirections=(*first.redirections, *second.redirections),
        after=second.after,
        glued=(*first.glued, second.line, *second.glued),
    )


def _commands(tokens: Sequence[Word | _Operator]) -> Iterator[Command]:
    words: list[Word] = []
    redirections: list[str] = []
    before, line = "", 1
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if isinstance(token, Word):
            words.append(token)
        elif token.text[0] in "<>" or token.text[-1] in "<>" or ">" in token.text:
            target = rest.pop(0).text if rest and isinstance(rest[0], Word) else ""
            space = "" if token.text.endswith("&") else " "
            redirections.append(f"{_descriptor(words)}{token.text}{space}{target}".strip())
        else:
            if words:
                yield Command(tuple(words), tuple(redirections), before, token.text, line)
                words, redirections, before = [], [], token.text
            elif before in {"", "\n"}:
                before = token.text if before else before
            line = token.line + (token.text == "\n")
    if words:
        yield Command(tuple(words), tuple(redirections), before, "", line)


def _descriptor(words: list[Word]) -> str:
    """The `2` of `2> log`, which the scanner has left behind the other words."""
    if words and words[-1].text.startswith("\0"):
        return words.pop().text[1:]
    return ""


class _Scanner:
    """Walks through the text once; `_piece` is the word that is being read, None between words."""

    def __init__(self, text: str) -> None:
        # An option at the beginning of a line is a word of its own, blank in front or not.
        self.text = re.sub(r"\\[ \t]*\n(?=--)", "\\\\\n ", text.replace("\r\n", "\n"))
        self.at = 0
        self._piece: list[str] | None = None
        self._unknown: list[str] = []
        self._glob = self._quoted = False
        self._readers: dict[str, Callable[[], None]] = {
            "\\": self._read_backslash,
            "'": self._read_single,
            '"': self._read_double,
            "$": self._read_dollar,
            "`": self._read_backquote,
        }

    def scan(self) -> Iterator[Word | _Operator]:
        while self.at < len(self.text):
            char = self.text[self.at]
            operator = _OPERATOR.match(self.text, self.at)
            if char in " \t":
                yield from self._end_word()
                self.at += 1
            elif char == "#" and self._piece is None:
                self._skip_comment()
            elif self.text.startswith(("<(", ">("), self.at):
                self._take_unknown(self._closing(self.at + 1, "(", ")"))
            elif operator is not None:
                yield from self._end_word(operator.group())
                yield _Operator(operator.group(), self._line())
                self.at = operator.end()
            else:
                self._readers.get(char, self._read_plain)()
        yield from self._end_word()

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _end_word(self, operator: str = "") -> Iterator[Word]:
        if self._piece is None:
            return
        text = "".join(self._piece)
        # Digits that touch a redirection say of what: they are no word.
        numbered = operator[:1] in {"<", ">"} and text.isdigit() and not self._quoted
        text = "\0" + text if numbered else text
        glob = self._glob and len(text) > 1
        yield Word(text, tuple(self._unknown), glob, self._quoted)
        self._piece, self._unknown = None, []
        self._glob = self._quoted = False

    def _add(self, text: str, *, quoted: bool = False) -> None:
        if self._piece is None:
            self._piece = []
        self._piece.append(text)
        self._quoted |= quoted

    def _skip_comment(self) -> None:
        end = self.text.find("\n", self.at)
        self.at = len(self.text) if end < 0 else end

    def _read_plain(self) -> None:
        found = _PLAIN.match(self.text, self.at)
        text = found.group() if found is not None else self.text[self.at]
        self._glob |= _GLOB.search(text) is not None
        # No word of a command line can hold a null character.
        self._add(text.replace("\0", ""))
        self.at += len(text)

    def _read_backslash(self) -> None:
        goes_on = _CONTINUATION.match(self.text, self.at)
        if goes_on is not None:
            self.at = goes_on.end()
            return
        self._add(self.text[self.at + 1 : self.at + 2] or "\\", quoted=True)
        self.at += 2

    def _read_single(self) -> None:
        end = self.text.find("'", self.at + 1)
        if end < 0:
            raise self._unclosed("'")
        self._add(self.text[self.at + 1 : end], quoted=True)
        self.at = end + 1

    def _read_double(self) -> None:
        opened = self.at
        self._add("", quoted=True)
        self.at += 1
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == '"':
                self.at += 1
                return
            if char == "\\":
                self._read_backslash_in_double()
            elif char in "$`":
                self._readers[char]()
            else:
                self._add(char)
                self.at += 1
        self.at = opened
        raise self._unclosed('"')

    def _read_backslash_in_double(self) -> None:
        after = self.text[self.at + 1 : self.at + 2]
        if after != "\n":
            self._add(after if after in _IN_DOUBLE_QUOTES else f"\\{after}")
        self.at += 2

    def _read_dollar(self) -> None:
        after = self.text[self.at + 1 : self.at + 2]
        variable = _VARIABLE.match(self.text, self.at)
        if after == "{":
            self._take_unknown(self._closing(self.at + 1, "{", "}"))
        elif after == "(":
            self._take_unknown(self._closing(self.at + 1, "(", ")"))
        elif after == "'" and not self._quoted:
            self._read_ansi_c()
        elif variable is not None:
            self._take_unknown(variable.end())
        else:
            self._add("$")
            self.at += 1

    def _read_ansi_c(self) -> None:
        """Read an ANSI-C quotation: a dollar sign before single quotation marks."""
        found = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL).match(self.text, self.at)
        if found is None:
            raise self._unclosed("$'")
        plain = re.sub(r"\\(.)", lambda one: _ANSI_C.get(one[1], one[1]), found[1], flags=re.DOTALL)
        self._add(plain.replace("\0", ""), quoted=True)
        self.at = found.end()

    def _read_backquote(self) -> None:
        end = self.text.find("`", self.at + 1)
        if end < 0:
            raise self._unclosed("`")
        self._take_unknown(end + 1)

    def _take_unknown(self, end: int) -> None:
        self._add(self.text[self.at : end])
        self._unknown.append(self.text[self.at : end])
        self.at = end

    def _closing(self, start: int, opening: str, closing: str) -> int:
        """The place behind the mark that closes the one at `start`, quotations jumped over."""
        depth = 0
        part = re.compile(rf"\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\"|[{opening}{closing}]", re.DOTALL)
        for found in part.finditer(self.text, start):
            depth += (found.group() == opening) - (found.group() == closing)
            if depth == 0 and found.group() == closing:
                return found.end()
        raise self._unclosed(self.text[self.at : start + 1])

    def _unclosed(self, mark: str) -> UsageError:
        kind = "quotation mark" if mark in {"'", '"', "$'"} else "mark"
        text = self.text[self.at : self.at + 24].split("\n")[0]
        return UsageError(
            f"The line cannot be taken apart: the {kind} {mark} that opens line {self._line()} at "
            f"{text!r} is never closed.".replace("opens line", "opens in line"),
            remedy=f"Close it, or write \\{mark} where the character itself is meant.",
        )
