"""Modules, functions and blocks of LLVM IR text (`irbuilder` says how they are used)."""

from __future__ import annotations

from collections.abc import Sequence

from wengert.backends.irtypes import PTR, Type, Value, constant

_LONG = 200  # lines of a function
_SHARED = 2_000  # values that a block takes over from another one at most
_CALLS_IN = 4  # lines, of which one is a call, make it mostly calls


class Module:
    """What one compilation holds: functions, declarations, global data, metadata.

    `vector_bits` is the width of the registers that code may use: 512 on a processor with AVX-512.
    """

    __slots__ = ("_data", "_declared", "_functions", "_metadata", "_unlikely", "vector_bits")

    def __init__(self, vector_bits: int = 128) -> None:
        self.vector_bits = vector_bits
        self._declared: dict[str, str] = {}
        self._functions: dict[str, Function] = {}
        self._data: dict[str, str] = {}
        self._metadata: list[str] = []
        self._unlikely = ""

    def function(
        self,
        name: str,
        ret: Type,
        args: Sequence[tuple[str, Type] | tuple[str, Type, str]],
        *,
        attributes: str = "",
        linkage: str = "",
    ) -> Function:
        """Begin a function. An argument is (name, type) or (name, type, attributes, e.g. "noalias")."""
        function = Function(self, name, ret, args, attributes, linkage)
        self._functions[name] = function
        return function

    def remove(self, function: Function) -> None:
        """Take back a function that nothing calls."""
        del self._functions[function.name]

    def declare(self, name: str, ret: Type, args: Sequence[Type], attributes: str = "") -> None:
        """Declare an outside function, once."""
        if name not in self._declared:
            listed = ", ".join([t.text for t in args])
            self._declared[name] = f"declare {ret.text} @{name}({listed}) {attributes}"

    def data(self, name: str, type: Type, numbers: Sequence[float | int], align: int = 64) -> Value:
        """A private table of constants in the module, made once for each name; gives its address."""
        if name in self._data:
            return Value(f"@{name}", PTR)
        text = ", ".join([f"{type.text} {constant(type, n).name}" for n in numbers])
        self._data[name] = (
            f"@{name} = private unnamed_addr constant [{len(numbers)} x {type.text}] [{text}], align {align}"
        )
        return Value(f"@{name}", PTR)

    def metadata(self, text: str, *, distinct: bool = False) -> str:
        """Add a metadata node and give its name, e.g. "!3". SELF in the text names the node itself."""
        name = f"!{len(self._metadata)}"
        self._metadata.append(f"{name} = {'distinct ' if distinct else ''}{text.replace('SELF', name)}")
        return name

    def unlikely(self) -> str:
        """A node for a conditional branch (`!prof`) that is seldom taken; one for the module."""
        if not self._unlikely:
            self._unlikely = self.metadata('!{!"branch_weights", i32 1, i32 2000}')
        return self._unlikely

    def loop_metadata(self, *options: str) -> str:
        """A node for `loop(metadata=...)`, from texts such as "llvm.loop.unroll.disable"."""
        nodes = [self.metadata(f'!{{!"{option}"}}') for option in options]
        return self.metadata(f"!{{{', '.join(['SELF', *nodes])}}}", distinct=True)

    def text(self) -> str:
        """The module as LLVM assembly."""
        lines = [*self._data.values(), *self._declared.values()]
        for function in self._functions.values():
            function.write(lines)
        lines += self._metadata
        lines.append("")
        return "\n".join(lines)


class Block:
    """A basic block: its lines, and the pure values that are known in it."""

    __slots__ = ("label", "lines", "memo", "phis", "terminated")

    def __init__(self, label: str, memo: dict[str, Value]) -> None:
        self.label = label
        self.lines: list[str] = []
        self.phis: list[tuple[Value, list[str]]] = []
        self.memo = memo
        self.terminated = False


class Function:
    """A function being written: its arguments, its blocks as they were made, its stack slots."""

    __slots__ = ("allocas", "args", "blocks", "count", "header", "module", "name", "ret")

    def __init__(
        self,
        module: Module,
        name: str,
        ret: Type,
        args: Sequence[tuple[str, Type] | tuple[str, Type, str]],
        attributes: str,
        linkage: str,
    ) -> None:
        self.module = module
        self.name = name
        self.ret = ret
        self.args = [Value(f"%{a[0]}", a[1]) for a in args]
        listed = ", ".join([f"{a[1].text} {a[2] if len(a) > 2 else ''} %{a[0]}" for a in args])
        self.header = f"define {linkage} {ret.text} @{name}({listed}) {attributes} {{"
        self.blocks: list[Block] = []
        self.allocas: list[str] = []
        self.count = 0

    def block(self, name: str = "b", dominator: Block | None = None) -> Block:
        """Add a block. It shares the pure values of `dominator`, which must dominate it and be finished; but for very
        many of them, which would be copied for each block of a long function."""
        self.count += 1
        known = dominator.memo if dominator is not None and len(dominator.memo) < _SHARED else {}
        block = Block(f"{name}{self.count}", known.copy())
        self.blocks.append(block)
        return block

    def is_calls(self) -> bool:
        """Whether it is long and mostly calls: then LLVM's best registers would be saved around each of them, and
        it would take most of the time to find them."""
        if sum([len(b.lines) for b in self.blocks]) < _LONG:
            return False
        lines = [line for b in self.blocks for line in b.lines]
        calls = sum(["call " in line and "@llvm." not in line for line in lines])
        return calls * _CALLS_IN > len(lines)

    def body_text(self) -> str:
        """What it does: the same for functions that differ in their names only."""
        lines: list[str] = []
        self.write(lines)
        return "\n".join([lines[0].replace(f"@{self.name}(", "@(", 1), *lines[1:]])

    def write(self, lines: list[str]) -> None:
        """Append the text of the function to `lines`."""
        lines.append(
            self.header.replace("nounwind", "nounwind optnone noinline", 1)
            if self.is_calls()
            else self.header
        )
        for number, block in enumerate(self.blocks):
            lines.append(f"{block.label}:")
            if number == 0:
                lines += self.allocas
            for value, incoming in block.phis:
                lines.append(f"  {value.name} = phi {value.type.text} {', '.join(incoming)}")
            lines += block.lines
        lines.append("}")
