"""The words of `simd` as Numba intrinsics that emit LLVM's instructions on vectors; `_plain` says what each means.

The arrays are flat and contiguous, and no index is checked.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from npnets._jit import VECTOR_BYTES

IR: Any = cgutils  # it has no types
INT32, INT64 = ir.IntType(32), ir.IntType(64)
Typed = tuple[Any, Callable[..., Any]]  # what an intrinsic returns: its signature, and what emits its code


class Vector(types.Type):
    """Numba's type of a vector of values of one dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.lanes = dtype, VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(f"Vector({dtype}, {self.lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), vector.lanes))  # type: ignore[no-untyped-call]


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

    def stream(self, value: Any, address: Any) -> None:
        """Only a vector that is a whole line goes past the caches well."""
        if VECTOR_BYTES < 64:
            self.store(value, address)
            return
        written = self.builder.store(value, self.builder.bitcast(address, self.vector.as_pointer()), align=64)
        written.set_metadata("nontemporal", self.builder.module.add_metadata([ir.Constant(INT32, 1)]))

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

    def once(self) -> None:
        """Keep LLVM from unrolling the loop around: it would load ahead more than the registers hold."""
        nothing = self.builder.asm(ir.FunctionType(ir.VoidType(), []), "", "", [], True)
        nothing.attributes.add("convergent")

    def prefetch(self, address: Any) -> None:
        """Ask for the line of the cache around an address; nothing happens where there is no memory."""
        hints = [ir.Constant(INT32, number) for number in (0, 3, 1)]  # to read, keep, data
        kind = ir.FunctionType(ir.VoidType(), [address.type, INT32, INT32, INT32])
        self.builder.call(IR.get_or_insert_function(self.builder.module, kind, "llvm.prefetch.p0"), [address, *hints])

    def at_least(self, x: Any, low: Any) -> Any:
        """Return x, or low where it is less; a comparison with a NaN fails, so that it stays."""
        return self.builder.select(self.builder.fcmp_ordered("<", x, low), low, x)

    def clamp(self, x: Any, low: Any, high: Any) -> Any:
        """Return x inside of the bounds; all comparisons with a NaN fail, so that it stays."""
        x = self.at_least(x, low)
        return self.builder.select(self.builder.fcmp_ordered(">", x, high), high, x)

    def _call(self, name: str, returns: Any, *arguments: Any) -> Any:
        kind = ir.FunctionType(returns, [argument.type for argument in arguments])
        suffix = f".v{self.lanes}f{self.bytes * 8}" + (".p0" if "masked" in name else "")
        return self.builder.call(IR.get_or_insert_function(self.builder.module, kind, name + suffix), arguments)


def _typed(signature: Any, dtype: Any, emit: Callable[..., Any]) -> Typed:
    """Return an intrinsic of this signature; `emit(e, *values)` emits its code and returns the value, if any."""

    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        value = emit(_Emit(context, builder, dtype), *values)
        return context.get_dummy_value() if value is None else value

    return signature, codegen


@intrinsic
def lanes(typing: Any, a: Any) -> Typed:
    return _typed(types.int64(a), a.dtype, lambda e, _: ir.Constant(INT64, e.lanes))


@intrinsic
def load(typing: Any, a: Any, i: Any) -> Typed:
    return _typed(Vector(a.dtype)(a, types.int64), a.dtype, lambda e, array, index: e.load(e.place(a, array, index)))


@intrinsic
def store(typing: Any, a: Any, i: Any, value: Any) -> Typed:
    return _typed(
        types.void(a, types.int64, value),
        a.dtype,
        lambda e, array, index, vector: e.store(vector, e.place(a, array, index)),
    )


@intrinsic
def stream(typing: Any, a: Any, i: Any, value: Any) -> Typed:
    return _typed(
        types.void(a, types.int64, value),
        a.dtype,
        lambda e, array, index, vector: e.stream(vector, e.place(a, array, index)),
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
def largest(typing: Any, x: Any, y: Any) -> Typed:
    def emit(e: _Emit, one: Any, other: Any) -> Any:
        above, nan = e.builder.fcmp_ordered(">", one, other), e.builder.fcmp_unordered("uno", one, one)
        return e.builder.select(e.builder.or_(above, nan), one, other)

    return _typed(x(x, y), x.dtype, emit)


@intrinsic
def weigh_tile(typing: Any, R: Any, a: Any, rows: Any, p: Any, last: Any, a0: Any, taps: Any, t0: Any, K: Any, b: Any,
               b0: Any, out: Any, out_rows: Any, n0: Any, vectors: Any, low: Any,
               high: Any) -> Typed | None:  # fmt: skip
    if not isinstance(R, types.IntegerLiteral):
        return None  # Numba then asks again, with the literal
    r_all, index = range(R.literal_value), types.int64

    def emit(e: _Emit, _r: Any, a_: Any, rows_: Any, p_: Any, last_: Any, a0_: Any, taps_: Any, t0_: Any, K_: Any,
             b_: Any, b0_: Any, out_: Any, out_rows_: Any, n0_: Any, vectors_: Any, low_: Any,
             high_: Any) -> None:  # fmt: skip
        builder, zero, one = e.builder, ir.Constant(INT64, 0), ir.Constant(INT64, 1)
        q = [_least(builder, builder.add(p_, ir.Constant(INT64, r)), last_) for r in r_all]
        row = [e.place(a, a_, e.entry(rows, rows_, q[r]), a0_) for r in r_all]
        there = [e.place(out, out_, e.entry(out_rows, out_rows_, q[r]), n0_) for r in r_all]
        low_, high_, panel = e.splat(low_), e.splat(high_), e.place(b, b_, b0_)
        step = builder.mul(builder.add(K_, one), ir.Constant(INT64, e.lanes))

        # for m: one vector of channels
        above, outer, loop = builder.block, builder.append_basic_block("m"), builder.append_basic_block("k")
        after, end = builder.append_basic_block("sums"), builder.append_basic_block("end")
        builder.branch(outer)
        builder.position_at_end(outer)
        m = _phi(builder, [(zero, above)])
        weights = builder.gep(panel, [builder.mul(m, step)])
        shift = builder.mul(m, ir.Constant(INT64, e.lanes))
        start = e.load(weights)
        builder.branch(loop)

        # for k: one tap
        builder.position_at_end(loop)
        k = _phi(builder, [(zero, outer)])
        carried = [_phi(builder, [(start, outer)]) for _ in r_all]
        tap = builder.add(shift, e.entry(taps, taps_, builder.add(t0_, k)))
        next_k = builder.add(k, one)
        weight = e.load(builder.gep(weights, [builder.mul(next_k, ir.Constant(INT64, e.lanes))]))
        sums = [e.fma(weight, e.load(builder.gep(row[r], [tap])), carried[r]) for r in r_all]
        for r in r_all:
            carried[r].add_incoming(sums[r], loop)
        k.add_incoming(next_k, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, K_), loop, after)

        builder.position_at_end(after)
        for r in r_all:
            e.store(e.clamp(sums[r], low_, high_), builder.gep(there[r], [shift]))
        next_m = builder.add(m, one)
        m.add_incoming(next_m, after)
        builder.cbranch(builder.icmp_signed("<", next_m, vectors_), outer, end)
        builder.position_at_end(end)

    return _typed(
        types.void(R, a, rows, index, index, index, taps, index, index, b, index, out, out_rows, index, index, a.dtype,
                   a.dtype),
        a.dtype,
        emit,
    )  # fmt: skip


@intrinsic
def weigh_row(typing: Any, T: Any, S: Any, a: Any, a0: Any, row: Any, pixel: Any, KH: Any, b: Any, b0: Any, out: Any,
              n0: Any, pitch: Any, vectors: Any, low: Any, high: Any) -> Typed | None:  # fmt: skip
    if not (isinstance(T, types.IntegerLiteral) and isinstance(S, types.IntegerLiteral)):
        return None  # Numba then asks again, with the literals
    t_all, stride, index = range(T.literal_value), S.literal_value, types.int64

    def emit(e: _Emit, _t: Any, _s: Any, a_: Any, a0_: Any, row_: Any, pixel_: Any, KH_: Any, b_: Any, b0_: Any,
             out_: Any, n0_: Any, pitch_: Any, vectors_: Any, low_: Any, high_: Any) -> None:  # fmt: skip
        builder, one, lanes = e.builder, ir.Constant(INT64, 1), ir.Constant(INT64, e.lanes)
        low_, high_ = e.splat(low_), e.splat(high_)
        source, target, panel = e.place(a, a_, a0_), e.place(out, out_, n0_), e.place(b, b_, b0_)
        panel_step = builder.mul(builder.add(builder.mul(KH_, ir.Constant(INT64, 3)), one), lanes)

        # for m: one vector of channels
        above, outer, loop = builder.block, builder.append_basic_block("m"), builder.append_basic_block("i")
        after, end = builder.append_basic_block("sums"), builder.append_basic_block("end")
        builder.branch(outer)
        builder.position_at_end(outer)
        m = _phi(builder, [(ir.Constant(INT64, 0), above)])
        shift = builder.mul(m, lanes)
        top, weights = builder.gep(source, [shift]), builder.gep(panel, [builder.mul(m, panel_step)])
        start, first = e.load(weights), e.further(weights, 1)
        builder.branch(loop)

        # for i: one row of the kernel, whose three columns stay in registers, over one row of pixels
        builder.position_at_end(loop)
        i = _phi(builder, [(ir.Constant(INT64, 0), outer)])
        sums = [_phi(builder, [(start, outer)]) for _ in t_all]
        carried, line = list(sums), builder.gep(top, [builder.mul(i, row_)])
        mine = builder.gep(first, [builder.mul(i, ir.Constant(INT64, 3 * e.lanes))])
        weight = [e.load(e.further(mine, j)) for j in range(3)]
        for c in range((len(t_all) - 1) * stride + 3):
            value = e.load(line)
            line = builder.gep(line, [pixel_])
            for t in t_all:
                if 0 <= c - t * stride < 3:
                    sums[t] = e.fma(weight[c - t * stride], value, sums[t])
        next_i = builder.add(i, one)
        for t in t_all:
            carried[t].add_incoming(sums[t], loop)
        i.add_incoming(next_i, loop)
        builder.cbranch(builder.icmp_signed("<", next_i, KH_), loop, after)

        builder.position_at_end(after)
        there = builder.gep(target, [shift])
        for t in t_all:
            e.store(e.clamp(sums[t], low_, high_), there)
            there = builder.gep(there, [pitch_])
        next_m = builder.add(m, one)
        m.add_incoming(next_m, after)
        builder.cbranch(builder.icmp_signed("<", next_m, vectors_), outer, end)
        builder.position_at_end(end)

    return _typed(
        types.void(T, S, a, index, index, index, index, b, index, out, index, index, index, a.dtype, a.dtype),
        a.dtype,
        emit,
    )


@intrinsic
def sum_tile(typing: Any, R: Any, a: Any, rows: Any, p: Any, a0: Any, taps: Any, t0: Any, K: Any, d: Any, d_rows: Any,
             d0: Any, sums: Any, s0: Any, vectors: Any) -> Typed | None:  # fmt: skip
    if not isinstance(R, types.IntegerLiteral):
        return None  # Numba then asks again, with the literal
    r_all, index = range(R.literal_value), types.int64

    def emit(e: _Emit, _r: Any, a_: Any, rows_: Any, p_: Any, a0_: Any, taps_: Any, t0_: Any, K_: Any, d_: Any,
             d_rows_: Any, d0_: Any, sums_: Any, s0_: Any, vectors_: Any) -> None:  # fmt: skip
        builder, zero, one, lanes = e.builder, ir.Constant(INT64, 0), ir.Constant(INT64, 1), ir.Constant(INT64, e.lanes)
        q = [builder.add(p_, ir.Constant(INT64, r)) for r in r_all]
        row = [e.place(a, a_, e.entry(rows, rows_, q[r]), a0_) for r in r_all]
        there = [e.place(d, d_, e.entry(d_rows, d_rows_, q[r]), d0_) for r in r_all]
        totals, step = e.place(sums, sums_, s0_), builder.mul(K_, lanes)

        # for m: one vector of channels, whose gradients stay in registers
        above, outer, loop = builder.block, builder.append_basic_block("m"), builder.append_basic_block("k")
        after, end = builder.append_basic_block("next"), builder.append_basic_block("end")
        builder.branch(outer)
        builder.position_at_end(outer)
        m = _phi(builder, [(zero, above)])
        shift, mine = builder.mul(m, lanes), builder.gep(totals, [builder.mul(m, step)])
        upstream = [e.load(builder.gep(there[r], [shift])) for r in r_all]
        builder.branch(loop)

        # for k: one tap
        builder.position_at_end(loop)
        k = _phi(builder, [(zero, outer)])
        tap = builder.add(shift, e.entry(taps, taps_, builder.add(t0_, k)))
        place = builder.gep(mine, [builder.mul(k, lanes)])
        total = e.load(place)
        for r in r_all:
            total = e.fma(upstream[r], e.load(builder.gep(row[r], [tap])), total)
        e.store(total, place)
        next_k = builder.add(k, one)
        k.add_incoming(next_k, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, K_), loop, after)

        builder.position_at_end(after)
        next_m = builder.add(m, one)
        m.add_incoming(next_m, after)
        builder.cbranch(builder.icmp_signed("<", next_m, vectors_), outer, end)
        builder.position_at_end(end)

    return _typed(
        types.void(R, a, rows, index, index, taps, index, index, d, d_rows, index, sums, index, index), a.dtype, emit
    )


@intrinsic
def prefetch(typing: Any, a: Any, i: Any) -> Typed:
    return _typed(types.void(a, types.int64), a.dtype, lambda e, array, index: e.prefetch(e.place(a, array, index)))


@intrinsic
def multiply_tile(typing: Any, R: Any, C: Any, a: Any, rows: Any, p: Any, last: Any, a0: Any, taps: Any, t0: Any,
                  K: Any, b: Any, b0: Any, added: Any, added_rows: Any, adds: Any, out: Any, out_rows: Any, n0: Any,
                  columns: Any, low: Any, high: Any, near: Any, reads_at: Any, reads: Any, writes_at: Any,
                  writes: Any) -> Typed | None:  # fmt: skip
    if not (isinstance(R, types.IntegerLiteral) and isinstance(C, types.IntegerLiteral)):
        return None  # Numba then asks again, with the literals
    r_all, c_all, index = range(R.literal_value), range(C.literal_value), types.int64

    def emit(e: _Emit, _r: Any, _c: Any, a_: Any, rows_: Any, p_: Any, last_: Any, a0_: Any, taps_: Any, t0_: Any,
             K_: Any, b_: Any, b0_: Any, added_: Any, added_rows_: Any, adds_: Any, out_: Any, out_rows_: Any, n0_: Any,
             columns_: Any, low_: Any, high_: Any, near_: Any, reads_at_: Any, reads_: Any, writes_at_: Any,
             writes_: Any) -> None:  # fmt: skip
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

        goals = [e.place(out, out_, e.entry(out_rows, out_rows_, q[r]), n0_) for r in r_all]
        # for k: one row of the panel, one value of each row of a
        above, loop, after = builder.block, builder.append_basic_block("k"), builder.append_basic_block("sums")
        builder.branch(loop)
        builder.position_at_end(loop)
        k = _phi(builder, [(ir.Constant(INT64, 0), above)])
        carried = [[_phi(builder, [(sums[r][c], above)]) for c in c_all] for r in r_all]
        for at, count in ((reads_at_, reads_), (writes_at_, writes_)):
            line = builder.mul(_least(builder, k, count), ir.Constant(INT64, 64 // e.bytes))
            e.prefetch(e.place(near, near_, at, line))
        tap = e.entry(taps, taps_, builder.add(t0_, k))
        next_k = builder.add(k, ir.Constant(INT64, 1))
        values = builder.gep(panel, [builder.mul(next_k, ir.Constant(INT64, len(c_all) * e.lanes))])
        b_row = [e.load(e.further(values, c)) for c in c_all]
        for r in r_all:
            value = e.splat(builder.load(builder.gep(row[r], [tap]), align=e.bytes))
            for c in c_all:
                sums[r][c] = e.fma(value, b_row[c], carried[r][c])
                carried[r][c].add_incoming(sums[r][c], loop)
        e.once()
        k.add_incoming(next_k, loop)
        builder.cbranch(builder.icmp_signed("<", next_k, K_), loop, after)

        builder.position_at_end(after)
        lows, highs = e.splat(low_), e.splat(high_)
        bounded = builder.fcmp_ordered("<", high_, ir.Constant(high_.type, float("inf")))
        with builder.if_else(bounded) as (both, one):
            for branch, clamp in ((both, e.clamp), (one, lambda value, low, high: e.at_least(value, low))):
                with branch:
                    for r in r_all:
                        for c in c_all:
                            value = clamp(sums[r][c], lows, highs)
                            if whole[c]:
                                e.store(value, e.further(goals[r], c))
                            else:
                                e.store_masked(value, e.further(goals[r], c), rest)

    return _typed(
        types.void(R, C, a, rows, index, index, index, taps, index, index, b, index, added, added_rows, types.boolean,
                   out, out_rows, index, index, a.dtype, a.dtype, near, index, index, index, index),
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
