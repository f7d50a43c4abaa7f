"""The examples of README.md and docs/ run as they stand, and what is written behind them is what they give.

A page's examples follow one another, in one namespace. One that has a line `...` is an excerpt, and left out; so is
docs/cuda.md, which has a test of its own.
"""

import ast
import re
from pathlib import Path

import pytest
from peers import peer

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "docs/njit.md", "docs/training.md", "docs/transforms.md"]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXCERPT = re.compile(r"^\s*\.\.\.$", re.MULTILINE)


def code_of(page):
    """Give a page's examples as one program, each in the lines that it has in the page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [""] * len(text.splitlines())
    for block in BLOCK.finditer(text):
        first = text[: block.start(1)].count("\n")
        if not EXCERPT.search(block[1]):
            lines[first : first + block[1].count("\n")] = block[1].splitlines()
    return "\n".join(lines)


def result_behind(line):
    """Give the result that the comment of a line begins with: what Python understands, up to what explains it."""
    comment = line.partition("  # ")[2]
    written = comment.partition(": ")[0]
    try:
        ast.parse(written, mode="eval")
    except SyntaxError:
        return None
    return written if written[:1] in "([0123456789" or re.match(r"(array|Variable)\(|True$", written) else None


def test_results_are_told_from_remarks():
    assert result_behind("f(x)  # array([1., 2.])") == "array([1., 2.])"
    assert result_behind("f(x)  # (8, 4): a gradient for each example") == "(8, 4)"
    assert result_behind("f(x)  # the Hessian times v") is result_behind("f(x)") is result_behind("f(x)  # 3 colours")


def run(page):
    """Run a page's examples, and hold results that are written behind them against what they give, or its shape."""
    code, namespace = code_of(page), {"__name__": "__main__"}
    file = Path(f"{Path(page).stem}.py")
    file.write_text(code, encoding="utf-8")  # where njit looks for the source of functions
    for statement in ast.parse(code).body:
        written = result_behind(code.splitlines()[statement.end_lineno - 1])
        if not isinstance(statement, ast.Expr) or written is None:
            exec(compile(ast.Module([statement], []), file, "exec"), namespace)
            continue
        value = eval(compile(ast.Expression(statement.value), file, "eval"), namespace)
        told = f"{page}, line {statement.lineno}: {value!r}"
        assert written in (repr(value), repr(getattr(value, "shape", None))), told


@pytest.mark.parametrize("page", PAGES)
def test_examples_give_what_is_written_behind_them(page, tmp_path, monkeypatch, capsys):
    peer("scipy")  # in which sparse Jacobians come
    monkeypatch.chdir(tmp_path)  # where files go that examples write
    run(page)


def test_a_wrong_result_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n```python\nx = 2\nx + 1  # 4: a remark\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md, line 5: 3"):
        run(page)
