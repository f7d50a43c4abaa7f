"""Text that is being written: blocks indent what is written in them."""

import ast

import pytest

from nbgrad.kernels.text import Text, indented, parsed


def test_blocks_nest():
    text = Text()
    text.put("a = 0")
    with text.block("for i in range(3):"):
        with text.block("if i:", "for j in range(i):"):
            text.put("a += j", "a += 1")
        text.put("a += 10")
    text.put("a += 100")
    assert text.lines == [
        "a = 0",
        "for i in range(3):",
        "    if i:",
        "        for j in range(i):",
        "            a += j",
        "            a += 1",
        "    a += 10",
        "a += 100",
    ]
    names = {}
    exec(str(text), names)
    assert names["a"] == 0 + 1 + (1 + 2) + 30 + 100
    assert str(text).endswith("a += 100\n")


def test_lines_of_a_block_may_come_indented():
    text = Text()
    with text.block("def f():"):
        text.put("if True:", *indented(["return 1"]))
    assert text.lines == ["def f():", "    if True:", "        return 1"]
    assert indented(["x", "  y"], 2) == ["        x", "          y"]


def test_parsing_is_tried_again_where_another_thread_parsed_meanwhile(monkeypatch):
    parse, failures = ast.parse, [SystemError("AST constructor recursion depth mismatch")] * 2

    def disturbed(text):
        if failures:
            raise failures.pop()
        return parse(text)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert ast.unparse(parsed("x = 1")) == "x = 1" and not failures
    with pytest.raises(SyntaxError):
        parsed("x = ")
