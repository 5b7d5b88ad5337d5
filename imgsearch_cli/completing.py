"""Completion in bash, zsh and fish: the scripts, and how their questions are read and answered.

Names of files are completed by the shell, from the disk: an answer says "a file" or "a folder", and the store is not
opened. The scripts are this program's own where click's lose something: values behind `--option=`, which zsh doubles
and bash gives as words of their own; help with a comma, which fish cuts there; a program that is called by its path.
"""

from __future__ import annotations

import re
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_MOST_HELP = 100
"""Characters of help: what a line of a list in a shell can hold."""

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' program=${1/#\\~\\//$HOME/} answer line
    answer=$(
        env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$program" 2>/dev/null
    )
    COMPREPLY=()
    for line in $answer; do
        case ${line%%%%,*} in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("${line#*,}") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null || complete -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a answer plain described
    local program=${~words[1]} kind value help
    (( $+commands[$program] )) || [[ -x $program ]] || return 1
    answer=("${(@f)$(
        env COMP_WORDS="${(F)words}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete $program 2>/dev/null
    )}")
    [[ $PREFIX == --*=* ]] && compset -P '*='
    for kind value help in $answer; do
        case $kind in
            dir) _path_files -/ ;;
            file) _path_files -f ;;
            plain) [[ $help == _ ]] && plain+=("$value") || described+=("$value:$help") ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described
    (( $#plain )) && compadd -V unsorted -a plain
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    set -l token (commandline --current-token)
    set -l option (string match --regex -- '^--[^=]*=' $token)
    set -l value (string replace --regex -- '^--[^=]*=' '' $token)
    set value (string unescape -- $value; or string trim --left --chars '"\\'' -- $value)
    set -l program (commandline --tokenize --cut-at-cursor)[1]
    set program (string replace --regex '^~/' "$HOME/" -- $program)
    set -lx COMP_WORDS (commandline --cut-at-cursor | string collect)
    set -lx COMP_CWORD $token
    for line in (env %(complete_var)s=fish_complete $program 2>/dev/null)
        set -l parts (string split --max 1 , -- $line)
        switch $parts[1]
            case dir
                printf '%%s\\n' "$option"(__fish_complete_directories $value '')
            case file
                printf '%%s\\n' "$option"(__fish_complete_path $value)
            case plain
                printf '%%s\\n' "$option"$parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


def complete_files(_context: click.Context, _parameter: click.Parameter, value: str) -> list[CompletionItem[str]]:
    """Leave the rest of a value to the shell: it is the name of a file."""
    return [CompletionItem(value, type="file")]


def complete_folders(_context: click.Context, _parameter: click.Parameter, value: str) -> list[CompletionItem[str]]:
    """Leave the rest of a value to the shell: it is the name of a folder."""
    return [CompletionItem(value, type="dir")]


def complete_encoders(context: click.Context, parameter: click.Parameter, value: str) -> list[CompletionItem[str]]:
    """Return the names of known encoders; an encoder may also be a folder."""
    from index_store.encoders.listing import list_encoders  # late: it reads the cards

    names = [each.encoder for each in list_encoders() if each.encoder.startswith(value)]
    return [CompletionItem(name) for name in names] + complete_folders(context, parameter, value)


def complete_languages(_context: click.Context, _parameter: click.Parameter, value: str) -> list[CompletionItem[str]]:
    """Return the codes of languages, with their names."""
    from index_store.encoders.languages.choice import AUTO, ENGLISH, NAMES, OTHER

    codes = {AUTO: "", ENGLISH: "English"} | NAMES | {OTHER: ""}
    return [CompletionItem(code, help=name or None) for code, name in codes.items() if code.startswith(value)]


def first_sentence(text: str) -> str:
    """Return the first sentence of a help text in one line, cut at a word where it is long."""
    sentence = re.split(r"(?<=[.;])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".;")
    if len(sentence) <= _MOST_HELP:
        return sentence
    return sentence[: _MOST_HELP - 3].rsplit(" ", 1)[0] + "..."


def _with_short_help(items: list[CompletionItem[str]]) -> list[CompletionItem[str]]:
    return [CompletionItem(item.value, item.type, first_sentence(item.help or "") or None) for item in items]


class _Bash(BashComplete):
    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """Join what bash has split at `=`: `--format`, `=`, `js` are one word."""
        args, value = super().get_completion_args()
        if args[-1:] == ["="] and args[:-1] and args[-2].startswith("--"):
            args.pop()
        return args, value


class _Zsh(ZshComplete):
    source_template = _ZSH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        return _with_short_help(super().get_completions(args, incomplete))


class _Fish(FishComplete):
    source_template = _FISH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[Any]]:
        return _with_short_help(super().get_completions(args, incomplete))


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def register_shells() -> None:
    """Make click answer the shells through the classes of this file."""
    for name, kind in SHELLS.items():
        add_completion_class(kind, name)
