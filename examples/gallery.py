"""Runs the programs that train models, one after the other, and writes docs/gallery.md with what they found.

python examples/gallery.py
"""

import argparse
import ast
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
PAGE, PICTURES = HERE.parent / "docs" / "gallery.md", HERE.parent / "docs" / "gallery"
PROGRAMS = (
    "lenet", "characters", "vae", "gaussian_process", "hamiltonian", "spikes", "graph", "relaxation",
)  # fmt: skip


def entry(name: str) -> list[str]:
    """Run a program, and give what the page says of it: its first sentence, its last line, its time, its picture."""
    program, picture = HERE / f"{name}.py", PICTURES / f"{name}.png"
    begin = time.perf_counter()
    command = [sys.executable, str(program), "--jit", "--out", str(picture)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - begin
    sentence = (ast.get_docstring(ast.parse(program.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    found = done.stdout.strip().splitlines()[-1]
    return [
        f"## [{name}.py](../examples/{name}.py)",
        sentence,
        f"In {seconds:.0f} s, with the start of Python and of all libraries: *{found}*.",
        f"![{name}](gallery/{name}.png)",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", nargs="*", default=PROGRAMS, help="only these; the page keeps the others' entries")
    chosen = parser.parse_args().programs
    PICTURES.mkdir(exist_ok=True)
    _, *rest = (PAGE.read_text(encoding="utf-8") if PAGE.exists() else "").split("\n## [")
    known = {part.split(".py]")[0]: ["## [" + part.strip()] for part in rest}
    parts = [
        "# Gallery",
        "Whole programs on real data, which comes with Python or with what `pip install 'nbgrad[examples]'` brings. "
        "`python examples/gallery.py` ran each with `--jit`, and wrote this page; what is said in italics is each "
        "program's last line, about data that it was not trained on. Seconds are of a machine with other work besides.",
    ]
    for name in PROGRAMS:
        parts += entry(name) if name in chosen else known.get(name, [])
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
