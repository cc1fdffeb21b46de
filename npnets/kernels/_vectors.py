"""The words of `simd` as Numba intrinsics that emit LLVM's instructions on vectors; `_plain` says what each means.

The arrays are flat and contiguous, and no index is checked.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from npnets._jit import VECTOR_BYTES

INT32, INT64 = ir.IntType(32), ir.IntType(64)
Typed = tuple[Any, Callable[..., Any]]  # what an intrinsic returns: its signature, and what emits its code


class Vector(types.Type):  # type: ignore[misc]
    """Numba's type of a vector of values of one dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.lanes = dtype, VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(f"Vector({dtype}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), vector.lanes))


class _Emit:
    """Emits instructions on vectors of one dtype."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context, self.builder = context, builder
        self.bytes, self.lanes = dtype.bitwidth // 8, VECTOR_BYTES * 8 // dtype.bitwidth
        self.vector = ir.VectorType(context.get_value_type(dtype), self.lanes)
        self.integers = ir.VectorType(INT32, self.lanes)
        self.zero = ir.Constant(self.vector, None)

    def place(self, array_type: Any, array: Any, *indices: Any) -> Any:
        """Return the address of a[i + j + …]."""
        address = self.context.make_array(array_type)(self.context, self.builder, array).data
        for index in indices:
            address = self.builder.gep(address, [index])
        return address

    def entry(self, table_type: Any, table: Any, *indices: Any) -> Any:
        """Return an entry of a table of int64."""
        return self.builder.load(self.place(table_type, table, *indices), align=8)

    def further(self, address: Any, vectors: int) -> Any:
        """Return the address so many vectors behind this one."""
        return self.builder.gep(address, [ir.Constant(INT64, vectors * self.lanes)])

    def load(self, address: Any) -> Any:
        return self.builder.load(self.builder.bitcast(address, self.vector.as_pointer()), align=self.bytes)

    def store(self, value: Any, address: Any) -> None:
        self.builder.store(value, self.builder.bitcast(address, self.vector.as_pointer()), align=self.bytes)

    def splat(self, value: Any, kind: Any = None) -> Any:
        """Return a vector (of the kind `integers`, if asked for) with one value in all lanes."""
        empty = ir.Constant(kind or self.vector, ir.Undefined)
        first = self.builder.insert_element(empty, value, ir.Constant(INT32, 0))
        return self.builder.shuffle_vector(first, empty, ir.Constant(self.integers, None))

    def fma(self, x: Any, y: Any, z: Any) -> Any:
        return self._call("llvm.fma", self.vector, x, y, z)

    def first(self, count: Any) -> Any:
        """Return a mask of the first `count` lanes."""
        numbers = ir.Constant(self.integers, list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, self.splat(self.builder.trunc(count, INT32), self.integers))

    def load_masked(self, address: Any, mask: Any) -> Any:
        pointer = self.builder.bitcast(address, self.vector.as_pointer())
        return self._call("llvm.masked.load", self.vector, pointer, ir.Constant(INT32, self.bytes), mask, self.zero)

    def store_masked(self, value: Any, address: Any, mask: Any) -> None:
        pointer = self.builder.bitcast(address, self.vector.as_pointer())
        self._call("llvm.masked.store", ir.VoidType(), value, pointer, ir.Constant(INT32, self.bytes), mask)

    def clamp(self, x: Any, low: Any, high: Any) -> Any:
        """All comparisons with a NaN fail, so that it stays."""
        x = self.builder.select(self.builder.fcmp_ordered("<", x, low), low, x)
        return self.builder.select(self.builder.fcmp_ordered(">", x, high), high, x)

    def _call(self, name: str, returns: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(returns, [argument.type for argument in arguments])
        suffix = f".v{self.lanes}f{self.bytes * 8}" + (".p0" if "masked" in name else "")
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name + suffix), arguments)


def _typed(signature: Any, dtype: Any, emit: Callable[..., Any]) -> Typed:
    """Return an intrinsic of this signature; `emit(e, *values)` emits its code and returns the value, if there is one."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        value = emit(_Emit(context, builder, dtype), *values)
        return context.get_dummy_value() if value is None else value

    return signature, codegen


@intrinsic
def lanes(typing: Any, a: Any) -> Typed:
    return _typed(types.int64(a), a.dtype, lambda e, _: ir.Constant(INT64, e.lanes))


@intrinsic
def load(typing: Any, a: Any, i: Any) -> Typed:
    return _typed(
        Vector(a.dtype)(a, types.int64), a.dtype, lambda e, array, index: e.load(e.place(a, array, index))
    )


@intrinsic
def store(typing: Any, a: Any, i: Any, value: Any) -> Typed:
    return _typed(
        types.void(a, types.int64, value),
        a.dtype,
        lambda e, array, index, vector: e.store(vector, e.place(a, array, index)),
    )


@intrinsic
def load_part(typing: Any, a: Any, i: Any, count: Any) -> Typed:
    return _typed(
        Vector(a.dtype)(a, types.int64, types.int64),
        a.dtype,
        lambda e, array, index, first: e.load_masked(e.place(a, array, index), e.first(first)),
    )


@intrinsic
def store_part(typing: Any, a: Any, i: Any, value: Any, count: Any) -> Typed:
    return _typed(
        types.void(a, types.int64, value, types.int64),
        a.dtype,
        lambda e, array, index, vector, first: e.store_masked(vector, e.place(a, array, index), e.first(first)),
    )


@intrinsic
def splat(typing: Any, a: Any, value: Any) -> Typed:
    return _typed(Vector(a.dtype)(a, a.dtype), a.dtype, lambda e, _, number: e.splat(number))


@intrinsic
def transpose(typing: Any, a: Any, i: Any, step: Any, out: Any, o: Any, out_step: Any) -> Typed:
    def emit(e: _Emit, a_: Any, i_: Any, step_: Any, out_: Any, o_: Any, out_step_: Any) -> None:
        def line(index: int, width: Any) -> Any:
            return e.builder.mul(ir.Constant(INT64, index), width)

        lines = [e.load(e.place(a, a_, i_, line(index, step_))) for index in range(e.lanes)]
        # Merging the lines like two halves of a pack of cards, log2(lanes) times, turns rows into columns.
        low = ir.Constant(e.integers, [index // 2 + index % 2 * e.lanes for index in range(e.lanes)])
        high = ir.Constant(e.integers, [(e.lanes + index) // 2 + index % 2 * e.lanes for index in range(e.lanes)])
        for _ in range(e.lanes.bit_length() - 1):
            pairs = zip(lines[: e.lanes // 2], lines[e.lanes // 2 :], strict=True)
            lines = [e.builder.shuffle_vector(x, y, mask) for x, y in pairs for mask in (low, high)]
        for index, value in enumerate(lines):
            e.store(value, e.place(out, out_, o_, line(index, out_step_)))

    index = types.int64
    return _typed(types.void(a, index, index, out, index, index), a.dtype, emit)


@intrinsic
def add(typing: Any, x: Any, y: Any) -> Typed:
    return _typed(x(x, y), x.dtype, lambda e, one, other: e.builder.fadd(one, other))


@intrinsic
def subtract(typing: Any, x: Any, y: Any) -> Typed:
    return _typed(x(x, y), x.dtype, lambda e, one, other: e.builder.fsub(one, other))


@intrinsic
def multiply(typing: Any, x: Any, y: Any) -> Typed:
    return _typed(x(x, y), x.dtype, lambda e, one, other: e.builder.fmul(one, other))


@intrinsic
def fma(typing: Any, x: Any, y: Any, z: Any) -> Typed:
    return _typed(x(x, y, z), x.dtype, lambda e, *factors: e.fma(*factors))


@intrinsic
def clamp(typing: Any, x: Any, low: Any, high: Any) -> Typed:
    return _typed(x(x, low, high), x.dtype, lambda e, *bounds: e.clamp(*bounds))


@intrinsic
def where_inside(typing: Any, x: Any, low: Any, high: Any, value: Any) -> Typed:
    def emit(e: _Emit, seen: Any, least: Any, most: Any, kept: Any) -> Any:
        below, above = e.builder.fcmp_ordered("<=", seen, least), e.builder.fcmp_ordered(">=", seen, most)
        return e.builder.select(e.builder.or_(below, above), e.zero, kept)

    return _typed(x(x, low, high, value), x.dtype, emit)


@intrinsic
def filter_tile(typing: Any, R: Any, x: Any, seen: Any, x0: Any, advance: Any, number: Any, w: Any, taps: Any, w0: Any,
                out: Any, o: Any, step: Any, count: Any) -> Typed | None:  # fmt: skip
    if not isinstance(R, types.IntegerLiteral):
        return None
    r_all, index = range(R.literal_value), types.int64

    def emit(e: _Emit, _r: Any, x_: Any, seen_: Any, x0_: Any, advance_: Any, number_: Any, w_: Any, taps_: Any,
             w0_: Any, out_: Any, o_: Any, step_: Any, count_: Any) -> None:  # fmt: skip
        builder, mask = e.builder, e.first(count_)
        first = e.place(x, x_, x0_)
        columns = [builder.mul(ir.Constant(INT64, r), advance_) for r in r_all]
        above, loop, after = builder.block, builder.append_basic_block("t"), builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        t = _phi(builder, [(ir.Constant(INT64, 0), above)])
        carried = [_phi(builder, [(e.zero, above)]) for _ in r_all]
        entry = e.load(e.place(w, w_, w0_, e.entry(taps, taps_, t)))
        here = builder.gep(first, [e.entry(seen, seen_, t)])
        sums = [e.fma(entry, e.load(builder.gep(here, [columns[r]])), carried[r]) for r in r_all]
        for r in r_all:
            carried[r].add_incoming(sums[r], loop)
        next_t = builder.add(t, ir.Constant(INT64, 1))
        t.add_incoming(next_t, loop)
        builder.cbranch(builder.icmp_signed("<", next_t, number_), loop, after)
        builder.position_at_end(after)
        for r in r_all:
            e.store_masked(sums[r], e.place(out, out_, o_, builder.mul(ir.Constant(INT64, r), step_)), mask)

    return _typed(
        types.void(R, x, seen, index, index, index, w, taps, index, out, index, index, index), x.dtype, emit
    )


@intrinsic
def sum_tile(typing: Any, R: Any, x: Any, seen: Any, x0: Any, advance: Any, number: Any, dout: Any, o: Any, step: Any,
             sums: Any, taps: Any, s0: Any, count: Any) -> Typed | None:  # fmt: skip
    if not isinstance(R, types.IntegerLiteral):
        return None
    r_all, index = range(R.literal_value), types.int64

    def emit(e: _Emit, _r: Any, x_: Any, seen_: Any, x0_: Any, advance_: Any, number_: Any, dout_: Any, o_: Any,
             step_: Any, sums_: Any, taps_: Any, s0_: Any, count_: Any) -> None:  # fmt: skip
        builder, mask = e.builder, e.first(count_)
        first = e.place(x, x_, x0_)
        columns = [builder.mul(ir.Constant(INT64, r), advance_) for r in r_all]
        upstream = [e.load_masked(e.place(dout, dout_, o_, builder.mul(ir.Constant(INT64, r), step_)), mask) for r in r_all]
        above, loop, after = builder.block, builder.append_basic_block("t"), builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        t = _phi(builder, [(ir.Constant(INT64, 0), above)])
        place = e.place(sums, sums_, s0_, e.entry(taps, taps_, t))
        here = builder.gep(first, [e.entry(seen, seen_, t)])
        total = e.load(place)
        for r in r_all:
            total = e.fma(upstream[r], e.load(builder.gep(here, [columns[r]])), total)
        e.store(total, place)
        next_t = builder.add(t, ir.Constant(INT64, 1))
        t.add_incoming(next_t, loop)
        builder.cbranch(builder.icmp_signed("<", next_t, number_), loop, after)
        builder.position_at_end(after)

    return _typed(
        types.void(R, x, seen, index, index, index, dout, index, index, sums, taps, index, index), x.dtype, emit
    )


@intrinsic
def multiply_tile(typing: Any, R: Any, C: Any, a: Any, rows: Any, p: Any, last: Any, a0: Any, taps: Any, t0: Any,
                  K: Any, b: Any, b0: Any, added: Any, added_rows: Any, adds: Any, out: Any, out_rows: Any, n0: Any,
                  columns: Any, low: Any, high: Any) -> Typed | None:  # fmt: skip
    if not (isinstance(R, types.IntegerLiteral) and isinstance(C, types.IntegerLiteral)):
        return None  # Numba then asks again, with the literals
    r_all, c_all, index = range(R.literal_value), range(C.literal_value), types.int64

    def emit(e: _Emit, _r: Any, _c: Any, a_: Any, rows_: Any, p_: Any, last_: Any, a0_: Any, taps_: Any, t0_: Any,
             K_: Any, b_: Any, b0_: Any, added_: Any, added_rows_: Any, adds_: Any, out_: Any, out_rows_: Any, n0_: Any,
             columns_: Any, low_: Any, high_: Any) -> None:  # fmt: skip
        builder, panel = e.builder, e.place(b, b_, b0_)
        q = [_least(builder, builder.add(p_, ir.Constant(INT64, r)), last_) for r in r_all]
        row = [e.place(a, a_, e.entry(rows, rows_, q[r]), a0_) for r in r_all]
        # only the last vector of a row can be a part
        rest = e.first(builder.sub(columns_, ir.Constant(INT64, (len(c_all) - 1) * e.lanes)))
        whole = [True] * (len(c_all) - 1) + [False]

        # the sums start from the panel's first row, and from what is added
        start = [e.load(e.further(panel, c)) for c in c_all]
        sums = [list(start) for _ in r_all]
        before = builder.block
        with builder.if_then(adds_):
            more = []
            for r in r_all:
                there = e.place(added, added_, e.entry(added_rows, added_rows_, q[r]), n0_)
                more.append([
                    builder.fadd(start[c], e.load(at) if whole[c] else e.load_masked(at, rest))
                    for c in c_all for at in [e.further(there, c)]
                ])  # fmt: skip
            adding = builder.block
        for r in r_all:
            for c in c_all:
                sums[r][c] = _phi(builder, [(start[c], before), (more[r][c], adding)])

        # for k: one row of the panel, one value of each row of a
        above, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = _phi(builder, [(ir.Constant(INT64, 0), above)])
        carried = [[_phi(builder, [(sums[r][c], above)]) for c in c_all] for r in r_all]
        tap = e.entry(taps, taps_, builder.add(t0_, k))
        next_k = builder.add(k, ir.Constant(INT64, 1))
        values = builder.gep(panel, [builder.mul(next_k, ir.Constant(INT64, len(c_all) * e.lanes))])
        b_row = [e.load(e.further(values, c)) for c in c_all]
        for r in r_all:
            value = e.splat(builder.load(builder.gep(row[r], [tap]), align=e.bytes))
            for c in c_all:
                sums[r][c] = e.fma(value, b_row[c], carried[r][c])
                carried[r][c].add_incoming(sums[r][c], loop)
        k.add_incoming(next_k, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, K_), loop, after)

        builder.position_at_end(after)
        low_, high_ = e.splat(low_), e.splat(high_)
        for r in r_all:
            there = e.place(out, out_, e.entry(out_rows, out_rows_, q[r]), n0_)
            for c in c_all:
                value = e.clamp(sums[r][c], low_, high_)
                if whole[c]:
                    e.store(value, e.further(there, c))
                else:
                    e.store_masked(value, e.further(there, c), rest)

    return _typed(
        types.void(R, C, a, rows, index, index, index, taps, index, index, b, index, added, added_rows, types.boolean,
                   out, out_rows, index, index, a.dtype, a.dtype),
        a.dtype,
        emit,
    )  # fmt: skip


def _least(builder: Any, x: Any, y: Any) -> Any:
    return builder.select(builder.icmp_signed("<", x, y), x, y)


def _phi(builder: Any, incoming: list[tuple[Any, Any]]) -> Any:
    phi = builder.phi(incoming[0][0].type)
    for value, block in incoming:
        phi.add_incoming(value, block)
    return phi
