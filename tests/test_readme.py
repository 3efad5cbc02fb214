"""The README's commands are run as they stand: the first block in one shell, the second in another."""

import re
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the commands see of a checkout; what they write stays in the test's folder."""
    for name in (".venv", "services"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_the_commands_of_the_readme_do_what_it_says(checkout: Path) -> None:
    in_one_shell, in_a_second_one = BLOCKS
    with subprocess.Popen(["bash", "-c", f"exec {in_one_shell}"], cwd=checkout, stdout=subprocess.PIPE, text=True) as up:
        try:
            assert up.stdout is not None
            assert '"ready"' in up.stdout.readline()
            second = subprocess.run(["bash", "-ec", in_a_second_one], cwd=checkout, capture_output=True, text=True, check=False)
        finally:
            up.send_signal(signal.SIGINT)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "Создать классы в Системе" in second.stdout
    assert "ClassCreated" in second.stdout or "class-created" in second.stdout
    assert up.returncode == 0


def test_every_make_target_that_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_file_that_the_readme_links_to_exists() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / link).is_file(), link
