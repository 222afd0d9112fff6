"""``netdemo completion``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from twisted.python import usage

from netdemo.cli.options import Options
from netdemo.cli.stdio import StandardOutput, check_standard_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeAlias

    Commands: TypeAlias = Iterable[tuple[str, str | None, Callable[[], Any], str]]

SHELLS: Final = ("bash", "zsh")

BASH: Final = """\
# Completion of netdemo in bash: eval "$(netdemo completion bash)"
_netdemo() {
    local option=$3 IFS=$' \\t\\n'
    if [ "$option" = = ]; then option=${COMP_WORDS[COMP_CWORD - 2]}; fi
    COMPREPLY=()
    case "$COMP_CWORD ${COMP_WORDS[1]} $option $2" in
RULES
    esac
}
complete -F _netdemo netdemo
"""

ZSH: Final = """\
# Completion of netdemo in zsh, after compinit: eval "$(netdemo completion zsh)"
_netdemo() {
    eval "$("${words[@]}" --_shell-completion zsh:$CURRENT 2>/dev/null)"
}
compdef _netdemo netdemo
"""
"""Twisted's ``usage.Options`` say what can stand where the cursor is, each time anew."""


class CompletionOptions(Options):
    """Options of ``netdemo completion``."""

    synopsis = "bash|zsh"
    longdesc = (
        "Prints what has a shell complete the commands and options of netdemo. "
        'Example: eval "$(netdemo completion bash)"'
    )
    compData = usage.Completions(extraActions=[usage.CompleteList(SHELLS, descr="shell")])

    def parseArgs(self, shell: str | None = None) -> None:
        if shell not in SHELLS:
            raise usage.UsageError(f"bad shell {shell!r}: expected {' or '.join(SHELLS)}")
        self["shell"] = shell

    async def run(self, reactor: Any) -> None:
        """Print the script."""
        check_standard_output()
        command: Any = self.parent
        script = bash(command.subCommands) if self["shell"] == "bash" else ZSH
        output = StandardOutput(reactor)
        try:
            output.write(script.encode())
            await output.flush()
        finally:
            output.close()


def bash(commands: Commands) -> str:
    """Return the script for bash, which completes what ``commands`` have now."""
    rules = [_rule("'1 '*", _words(name for name, *_ in commands))]
    for name, _, make, _ in commands:
        rules += _rules(name, make())
    return BASH.replace("RULES", "\n".join(rules))


def _rules(command: str, options: Options) -> Iterator[str]:
    """Yield rules for "POSITION COMMAND WORD-BEFORE WORD", of which the first that fits is taken.

    Arguments are counted as if all options came after them.
    """
    completions = options.compData
    for name, completer in completions.optActions.items():
        yield _rule(f"*' {command} --{name} '*", _completing(completer))
    names = sorted("--" + name.removesuffix("=").replace("_", "-") for name in options.longOpt)
    yield _rule(f"*' {command} '*' -'*", _words(names))
    for position, completer in enumerate(completions.extraActions, 2):
        yield _rule(f"'{position} {command} '*", _completing(completer))


def _rule(pattern: str, action: str) -> str:
    return f"        {pattern}) {action} ;;"


def _completing(completer: usage.Completer) -> str:
    match completer:
        case usage.CompleteList():
            return _words(completer._items)
        case usage.CompleteDirs():
            return _paths("-d")
        case usage.CompleteFiles():
            return _paths("-f")
    return ":"


def _words(words: Iterable[str]) -> str:
    return f"""COMPREPLY=($(compgen -W '{" ".join(words)}' -- "$2"))"""


def _paths(kind: str) -> str:
    """Complete names that may hold spaces; bash 3 has no ``compopt``, and adds no slash."""
    return f"compopt -o filenames 2>/dev/null; IFS=$'\\n'; COMPREPLY=($(compgen {kind} -- \"$2\"))"
