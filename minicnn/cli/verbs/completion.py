"""The verb `completion`: a script by which a shell completes verbs, options and their values."""

import argparse
from dataclasses import dataclass

from minicnn.cli.register import VERBS
from minicnn.runs.options import add_settings
from minicnn.runs.settings import Declared, choice, setting, settings_of

example = "minicnn completion bash"
INSTALL = (
    "bash: source <(minicnn completion bash); zsh: into a file _minicnn of a folder of $fpath; "
    "fish: into ~/.config/fish/completions/minicnn.fish"
)


@dataclass(frozen=True)
class CompletionSettings(Declared):
    """Which shell."""

    shell: str = setting(
        choice(("bash", "zsh", "fish")), help=f"whose script to print; {INSTALL}", argument=True
    )


def add(parser) -> None:
    """Declare the argument."""
    add_settings(parser, CompletionSettings)


def run(args) -> int:
    """Print the script."""
    shell = settings_of(CompletionSettings, args).shell
    print({"bash": bash, "zsh": zsh, "fish": fish}[shell]({name: options(name) for name in VERBS}))
    return 0


def options(verb):
    """Return the options of a verb, a list of argparse actions with help."""
    from minicnn.cli import command_parser

    (verbs,) = command_parser([verb])._subparsers._group_actions
    actions = verbs.choices[verb]._actions
    return [a for a in actions if a.option_strings and a.help is not argparse.SUPPRESS]


def words(action):
    """Return the values that an option may have, where they are few."""
    return [str(value) for value in action.choices or ()]


def bash(verbs):
    """Return the script for bash; where nothing of ours fits, it completes files."""
    values = [
        f'    "{verb} {spelling}") words="{" ".join(words(action))}" ;;'
        for verb, actions in verbs.items()
        for action in actions
        if words(action)
        for spelling in action.option_strings
    ]
    spelt = [
        f'      {verb}) words="{" ".join(s for a in actions for s in a.option_strings)}" ;;'
        for verb, actions in verbs.items()
    ]
    return "\n".join(
        [
            "_minicnn() {",
            "  local current=${COMP_WORDS[COMP_CWORD]} words=",
            '  case "${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD - 1]}" in',
            *values,
            "  esac",
            "  if ((COMP_CWORD == 1)); then",
            f'    words="{" ".join(verbs)}"',
            "  elif [[ $current == -* ]]; then",
            "    case ${COMP_WORDS[1]} in",
            *spelt,
            "    esac",
            "  fi",
            '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
            "}",
            "complete -o default -F _minicnn minicnn",
        ]
    )


def zsh(verbs):
    """Return the script for zsh."""

    def argument(action, spelling):
        what = _without(action.help or "", "[]:'\\")
        value = ""
        if action.nargs != 0:
            allowed = f"({' '.join(words(action))})" if words(action) else "_files"
            value = f":value:{allowed}"
        return f"      '{spelling}[{what}]{value}' \\"

    lines = [
        "#compdef minicnn",
        "_minicnn() {",
        "  if ((CURRENT == 2)); then",
        "    local -a verbs",
    ]
    told = [f"'{verb}:{_without(VERBS[verb][1], ':' + chr(39))}'" for verb in verbs]
    lines += [f"    verbs=({' '.join(told)})", "    _describe verb verbs", "    return", "  fi"]
    lines += ["  local verb=$words[2]", "  shift words", "  ((CURRENT -= 1))", "  case $verb in"]
    for verb, actions in verbs.items():
        lines += [f"    {verb}) _arguments \\"]
        lines += [argument(a, spelling) for a in actions for spelling in a.option_strings]
        lines += ["      '*:file:_files' ;;"]
    return "\n".join([*lines, "  esac", "}", '_minicnn "$@"'])


def fish(verbs):
    """Return the script for fish."""
    lines = []
    for verb, actions in verbs.items():
        lines.append(
            f"complete -c minicnn -n __fish_use_subcommand -a {verb} -d {_quoted(VERBS[verb][1])}"
        )
        for action in actions:
            spelt = " ".join(
                f"-l {s[2:]}" if s.startswith("--") else f"-s {s[1:]}"
                for s in action.option_strings
            )
            value = "" if action.nargs == 0 else " -r"
            if words(action):
                value = f" -x -a {_quoted(' '.join(words(action)))}"
            where = f"-n '__fish_seen_subcommand_from {verb}'"
            what = _quoted((action.help or "").replace("%%", "%"))
            lines.append(f"complete -c minicnn {where} {spelt}{value} -d {what}")
    return "\n".join(lines)


def _without(text, characters):
    return "".join(c for c in text.replace("%%", "%") if c not in characters)


def _quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
