"""Split shell text into commands and words, without running or expanding anything."""

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
    """A word without its quotation marks.

    Args:
        text: The word; parts that only a shell can expand are unchanged.
        unknown: Those parts: `$NAME`, `${NAME:-x}`, `$(command)`, backquotes.
        glob: Whether a shell may replace the word by file names.
        quoted: Whether any part of it is quoted or escaped.
    """

    text: str
    unknown: tuple[str, ...] = ()
    glob: bool = False
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a line.

    Args:
        words: Its words, with leading assignments.
        redirections: `> log.txt`, `2>&1` and the like, as written.
        before: The operator between it and the previous command; empty for the first.
        after: The operator after it; empty for the last.
        line: The line number of its first word, from 1.
        joined_lines: Line numbers of lines that continue it because they begin with an option.
    """

    words: tuple[Word, ...]
    redirections: tuple[str, ...] = ()
    before: str = ""
    after: str = ""
    line: int = 1
    joined_lines: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)


@dataclass(frozen=True, slots=True)
class _Operator:
    text: str
    line: int


def read_commands(text: str) -> list[Command]:
    """Split shell text into commands as a shell does, without comments.

    A line that begins with an option continues the previous line, whose backslash is missing.

    Raises:
        UsageError: A quotation mark, `$(` or `${` is not closed.
    """
    commands: list[Command] = []
    for command in _split(list(_Scanner(text).scan())):
        if commands and command.before == "\n" and command.words[0].text.startswith("--"):
            commands[-1] = _join(commands[-1], command)
        else:
            commands.append(command)
    return commands


def _join(first: Command, second: Command) -> Command:
    return replace(
        first,
        words=(*first.words, *second.words),
        redirections=(*first.redirections, *second.redirections),
        after=second.after,
        joined_lines=(*first.joined_lines, second.line, *second.joined_lines),
    )


def _split(tokens: Sequence[Word | _Operator]) -> Iterator[Command]:
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
    """Return the `2` of `2> log`, which the scanner emits as a word that begins with a null."""
    if words and words[-1].text.startswith("\0"):
        return words.pop().text[1:]
    return ""


class _Scanner:
    """A scanner over the text; `_parts` is the current word, None between words."""

    def __init__(self, text: str) -> None:
        # An option at the beginning of a line is a separate word even without leading space.
        self.text = re.sub(r"\\[ \t]*\n(?=--)", "\\\\\n ", text.replace("\r\n", "\n"))
        self.position = 0
        self._parts: list[str] | None = None
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
        while self.position < len(self.text):
            char = self.text[self.position]
            operator = _OPERATOR.match(self.text, self.position)
            if char in " \t":
                yield from self._end_word()
                self.position += 1
            elif char == "#" and self._parts is None:
                self._skip_comment()
            elif self.text.startswith(("<(", ">("), self.position):
                self._take_unknown(self._closing(self.position + 1, "(", ")"))
            elif operator is not None:
                yield from self._end_word(operator.group())
                yield _Operator(operator.group(), self._line())
                self.position = operator.end()
            else:
                self._readers.get(char, self._read_plain)()
        yield from self._end_word()

    def _line(self) -> int:
        return self.text.count("\n", 0, self.position) + 1

    def _end_word(self, operator: str = "") -> Iterator[Word]:
        if self._parts is None:
            return
        text = "".join(self._parts)
        # Digits directly before a redirection are its file descriptor, not a word.
        is_descriptor = operator[:1] in {"<", ">"} and text.isdigit() and not self._quoted
        text = "\0" + text if is_descriptor else text
        glob = self._glob and len(text) > 1
        yield Word(text, tuple(self._unknown), glob, self._quoted)
        self._parts, self._unknown = None, []
        self._glob = self._quoted = False

    def _add(self, text: str, *, quoted: bool = False) -> None:
        if self._parts is None:
            self._parts = []
        self._parts.append(text)
        self._quoted |= quoted

    def _skip_comment(self) -> None:
        end = self.text.find("\n", self.position)
        self.position = len(self.text) if end < 0 else end

    def _read_plain(self) -> None:
        found = _PLAIN.match(self.text, self.position)
        text = found.group() if found is not None else self.text[self.position]
        self._glob |= _GLOB.search(text) is not None
        # A null character cannot occur in a command line.
        self._add(text.replace("\0", ""))
        self.position += len(text)

    def _read_backslash(self) -> None:
        continuation = _CONTINUATION.match(self.text, self.position)
        if continuation is not None:
            self.position = continuation.end()
            return
        self._add(self.text[self.position + 1 : self.position + 2] or "\\", quoted=True)
        self.position += 2

    def _read_single(self) -> None:
        end = self.text.find("'", self.position + 1)
        if end < 0:
            raise self._unclosed("'")
        self._add(self.text[self.position + 1 : end], quoted=True)
        self.position = end + 1

    def _read_double(self) -> None:
        start = self.position
        self._add("", quoted=True)
        self.position += 1
        while self.position < len(self.text):
            char = self.text[self.position]
            if char == '"':
                self.position += 1
                return
            if char == "\\":
                self._read_backslash_in_double()
            elif char in "$`":
                self._readers[char]()
            else:
                self._add(char)
                self.position += 1
        self.position = start
        raise self._unclosed('"')

    def _read_backslash_in_double(self) -> None:
        after = self.text[self.position + 1 : self.position + 2]
        if after != "\n":
            self._add(after if after in _IN_DOUBLE_QUOTES else f"\\{after}")
        self.position += 2

    def _read_dollar(self) -> None:
        after = self.text[self.position + 1 : self.position + 2]
        variable = _VARIABLE.match(self.text, self.position)
        if after == "{":
            self._take_unknown(self._closing(self.position + 1, "{", "}"))
        elif after == "(":
            self._take_unknown(self._closing(self.position + 1, "(", ")"))
        elif after == "'" and not self._quoted:
            self._read_ansi_c()
        elif variable is not None:
            self._take_unknown(variable.end())
        else:
            self._add("$")
            self.position += 1

    def _read_ansi_c(self) -> None:
        """Read an ANSI-C quoted string: a dollar sign before single quotation marks."""
        found = re.compile(r"\$'((?:[^'\\]|\\.)*)'", re.DOTALL).match(self.text, self.position)
        if found is None:
            raise self._unclosed("$'")
        plain = re.sub(
            r"\\(.)", lambda match: _ANSI_C.get(match[1], match[1]), found[1], flags=re.DOTALL
        )
        self._add(plain.replace("\0", ""), quoted=True)
        self.position = found.end()

    def _read_backquote(self) -> None:
        end = self.text.find("`", self.position + 1)
        if end < 0:
            raise self._unclosed("`")
        self._take_unknown(end + 1)

    def _take_unknown(self, end: int) -> None:
        self._add(self.text[self.position : end])
        self._unknown.append(self.text[self.position : end])
        self.position = end

    def _closing(self, start: int, opening: str, closing: str) -> int:
        """Return the index after the mark that closes the one at `start`, skipping quotations."""
        depth = 0
        part = re.compile(rf"\\.|'[^']*'|\"(?:[^\"\\]|\\.)*\"|[{opening}{closing}]", re.DOTALL)
        for found in part.finditer(self.text, start):
            depth += (found.group() == opening) - (found.group() == closing)
            if depth == 0 and found.group() == closing:
                return found.end()
        raise self._unclosed(self.text[self.position : start + 1])

    def _unclosed(self, mark: str) -> UsageError:
        kind = "quotation mark" if mark in {"'", '"', "$'"} else "mark"
        text = self.text[self.position : self.position + 24].split("\n")[0]
        return UsageError(
            f"The line cannot be parsed: the {kind} {mark} that opens in line {self._line()} at "
            f"{text!r} is not closed.",
            remedy=f"Close it, or write \\{mark} for the character itself.",
        )
