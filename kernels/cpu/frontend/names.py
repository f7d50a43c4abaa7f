"""What becomes of the names in a function of kernels' text."""

from __future__ import annotations

import ast


class Names:
    """What becomes of the names in a function: one look at its syntax tree."""

    def __init__(self, tree: ast.FunctionDef) -> None:
        #: The names that are assigned to in a block, by the list of its statements.
        self.changed: dict[int, set[str]] = {}
        self._stored: dict[str, list[tuple[int, ...]]] = {}
        self._loaded: dict[str, list[tuple[int, ...]]] = {}
        self._counters: set[str] = set()
        #: All that are assigned to.
        self.stored = self._block(tree.body, ())
        arguments = {argument.arg for argument in tree.args.args}
        once_only = {
            name
            for name, places in self._stored.items()
            if len(places) == 1 and all(path[: len(places[0])] == places[0] for path in self._loaded.get(name, ()))
        }
        #: Those that are assigned to once, where all that reads them comes after, in the same block or inside.
        self.single = (once_only | self._counters) - (arguments & self.stored)
        self.single -= {name for name in self._counters if name in self._stored}

    def _block(self, statements: list[ast.stmt], path: tuple[int, ...]) -> set[str]:
        path = (*path, id(statements))
        changed: set[str] = set()
        for statement in statements:
            self._visit(statement, path, changed)
        self.changed[id(statements)] = changed
        return changed

    def _visit(self, node: ast.AST, path: tuple[int, ...], changed: set[str]) -> None:
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                changed.add(node.id)
                self._stored.setdefault(node.id, []).append(path)
            else:
                self._loaded.setdefault(node.id, []).append(path)
            return
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._stored.setdefault(node.target.id, []).append(path)  # besides the one that follows
        if isinstance(node, ast.For):
            assert isinstance(node.target, ast.Name)
            self._counters.add(node.target.id)
            changed.add(node.target.id)
            self._visit(node.iter, path, changed)
            changed |= self._block(node.body, path)
            return
        for name in node._fields:
            value = getattr(node, name)
            if isinstance(value, list):
                if name in ("body", "orelse"):
                    changed |= self._block(value, path)
                else:
                    for child in value:
                        if isinstance(child, ast.AST):
                            self._visit(child, path, changed)
            elif isinstance(value, ast.AST):
                self._visit(value, path, changed)
