"""What a shell completes."""

import shutil
import subprocess

import pytest

from minicnn.cli import main
from minicnn.cli.register import VERBS


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    """Return {shell: file of its script}."""
    folder, found = tmp_path_factory.mktemp("scripts"), {}
    with pytest.MonkeyPatch.context() as patch:
        for shell in ("bash", "zsh", "fish"):
            told = []
            patch.setattr("builtins.print", told.append)
            assert main(["completion", shell]) == 0
            found[shell] = folder / shell
            found[shell].write_text("\n".join(told) + "\n")
    return found


def completed(script, *words):
    """Return what bash offers for the last of the words."""
    command = (
        f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; "
        '_minicnn; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_verbs_options_and_their_values(scripts):
    assert completed(scripts["bash"], "minicnn", "sal") == ["saliency"]
    assert set(completed(scripts["bash"], "minicnn", '""')) == set(VERBS)
    assert completed(scripts["bash"], "minicnn", "style", "a.jpg", "--eng") == ["--engine"]
    assert completed(scripts["bash"], "minicnn", "style", "--engine", "lo") == ["low-memory"]
    assert completed(scripts["bash"], "minicnn", "style", "picture") == []  # files, by bash itself


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_its_shell(scripts, shell):
    assert "style-weight" in scripts[shell].read_text()
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    subprocess.run([shell, "-n", scripts[shell]], check=True)
