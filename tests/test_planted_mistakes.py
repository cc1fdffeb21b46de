"""The tests must be able to fail: a mistake planted in a copy of the package is caught by the tests meant for it.

Each mistake is one that people make. It is planted where its old text stands, which must be in one place only, so that
this list cannot rot; then the tests run in a process of their own and must fail, and neither break nor find nothing.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import npnets

TESTS = Path(__file__).parent
PACKAGE = Path(npnets.__file__).parent


class Mistake(NamedTuple):
    """In `file` the text `old` becomes `new`; `test` must fail under the implementation that the code belongs to."""

    file: str
    old: str
    new: str
    test: str
    implementation: str


def adjoint(op):
    return f"test_adjoint.py::test_adjoint[{op}]"


def exact(op):
    return f"test_exact.py::test_as_pytorch[{op}]"


def named(case):
    return f"test_exact.py::test_named_case[{case}]"


def finetune(what):
    return f"test_finetune.py::test_{what}"


def simd(what):
    return f"test_simd.py::test_{what}"


MISTAKES = {
    # -- loops
    "conv2d: groups interleaved": Mistake(
        "ops/conv2d.py",
        "G[b, k, l, n] += K[i, j, m, n] * F[b, r, c, q + m]",
        "G[b, k, l, n] += K[i, j, m, n] * F[b, r, c, m * g + q // M]",
        adjoint("group_conv2d"),
        "loops",
    ),
    "conv2d dx: groups and their channels swapped": Mistake(
        "ops/conv2d.py",
        "m, first = q % M, q // M * (N // g)",
        "m, first = q // g, q % g * (N // g)",
        adjoint("group_conv2d"),
        "loops",
    ),
    "conv2d dweight: the first group's input for all": Mistake(
        "ops/conv2d.py",
        "dK[i, j, m, n] += dG[b, k, l, n] * F[b, r, c, q + m]",
        "dK[i, j, m, n] += dG[b, k, l, n] * F[b, r, c, m]",
        adjoint("group_conv2d"),
        "loops",
    ),
    "conv2d dx: the first row of outputs dropped": Mistake(
        "ops/conv2d.py", "if met and 0 <= k <", "if met and 0 < k <", adjoint("conv2d"), "loops"
    ),
    "depthwise: the kernel flipped": Mistake(
        "ops/depthwise.py",
        "G[b, k, l, m] += K[i, j, m] *",
        "G[b, k, l, m] += K[KH - 1 - i, KW - 1 - j, m] *",
        adjoint("depthwise_conv2d"),
        "loops",
    ),
    "depthwise dx: the vertical padding for both": Mistake(
        "ops/depthwise.py", "(c + p[1] - d[1] * j) // s[1]\n", "(c + p[0] - d[1] * j) // s[1]\n",
        adjoint("depthwise_conv2d"), "loops",
    ),
    "pointwise dx: the first group's kernel for all": Mistake(
        "ops/pointwise.py", "K[q % M, n] * dG", "K[q % M, n - first] * dG", adjoint("pointwise_conv2d"), "loops"
    ),
    "linear: the bias taken for the sum": Mistake(
        "ops/linear.py", "G[b, n] += v[n]", "G[b, n] = v[n]", adjoint("linear"), "loops"
    ),
    "relu: gradient 1 at 0": Mistake(
        "ops/activation.py", "0.0 if F[e] <= 0.0 else dG[e]", "0.0 if F[e] < 0.0 else dG[e]",
        "test_special_values.py::test_derivative_at_the_kink", "loops",
    ),
    "max pool: ties to the last": Mistake(
        "ops/pool.py", "seen > F[b, r_max, c_max, m]", "seen >= F[b, r_max, c_max, m]", exact("max_pool2d"), "loops"
    ),
    "max pool: a NaN replaced by what follows": Mistake(
        "ops/pool.py", "if seen > G[b, k, l, m] or np.isnan(seen):", "if not seen <= G[b, k, l, m]:",
        "test_special_values.py::test_max_pool_as_pytorch", "loops",
    ),
    "global average pool: a side squared": Mistake(
        "ops/pool.py", "G[b, m] /= H * W", "G[b, m] /= H * H", adjoint("global_avg_pool"), "loops"
    ),
    "batch norm: the unbiased variance": Mistake(
        "ops/batch_norm.py", "v += c * c / n", "v += c * c / (n - 1)",
        "test_rounding.py::test_batch_norm_train", "loops",
    ),
    "batch norm dx: a power of r missing": Mistake(
        "ops/batch_norm.py", "dv = -r[m] * r[m] * r[m] / 2 * dr", "dv = -r[m] * r[m] / 2 * dr",
        "test_derivatives.py::test_batch_norm_train", "loops",
    ),
    "batch norm dx: the mean's part divided once too often": Mistake(
        "ops/batch_norm.py", "dx[e, m] += dmu / n", "dx[e, m] += dmu / n / n",
        "test_derivatives.py::test_batch_norm_train", "loops",
    ),
    "loss: smoothing without the right class": Mistake(
        "ops/loss.py", "(n == y[b]) + e / N", "(n == y[b]) + (n != y[b]) * e / N",
        "test_rounding.py::test_softmax_cross_entropy", "loops",
    ),
    # -- numpy
    "conv2d: the last column of taps dropped": Mistake(
        "ops/conv2d.py",
        "for i, j in np.ndindex(weight.shape[:2]):\n        # (g, BH'W', M) @ (g, M, N/g)",
        "for i, j in np.ndindex(weight.shape[0], weight.shape[1] - 1):\n        # (g, BH'W', M) @ (g, M, N/g)",
        adjoint("conv2d"),
        "numpy",
    ),
    "conv2d dx: overlapping windows replace each other": Mistake(
        "ops/conv2d.py", "+= spread.transpose", "= spread.transpose", adjoint("conv2d"), "numpy"
    ),
    "depthwise: dilation forgotten": Mistake(
        "ops/depthwise.py", "out += padded[tap(i, j, sides, s, d)]", "out += padded[tap(i, j, sides, s, (1, 1))]",
        adjoint("depthwise_conv2d"), "numpy",
    ),
    "depthwise dx: overlapping windows replace each other": Mistake(
        "ops/depthwise.py", "dpadded[tap(i, j, sides, s, d)] += dout", "dpadded[tap(i, j, sides, s, d)] = dout",
        adjoint("depthwise_conv2d"), "numpy",
    ),
    "all windows: the vertical dilation for both": Mistake(
        "ops/_taps.py", "starts = d[0] * i, d[1] * j", "starts = d[0] * i, d[0] * j", exact("depthwise_conv2d"), "numpy"
    ),
    "shuffle: its inverse": Mistake(
        "ops/channel_shuffle.py",
        "out.reshape(B, H, W, C // g, g)[...] = x.reshape(B, H, W, g, C // g)",
        "out.reshape(B, H, W, g, C // g)[...] = x.reshape(B, H, W, C // g, g)",
        exact("channel_shuffle"),
        "numpy",
    ),
    "bias: the mean for the sum": Mistake(
        "ops/bias.py", "np.sum(dout, 0, out=dbias)", "np.mean(dout, 0, out=dbias)", adjoint("bias_add"), "numpy"
    ),
    "relu6: gradient 1 at 6": Mistake(
        "ops/activation.py", "np.where((F <= 0) | (F >= 6)", "np.where((F <= 0) | (F > 6)",
        "test_special_values.py::test_derivative_at_the_kink", "numpy",
    ),
    "leaky relu: gradient 1 at 0": Mistake(
        "ops/activation.py", "np.where(F > 0, dG", "np.where(F >= 0, dG",
        "test_special_values.py::test_derivative_at_the_kink", "numpy",
    ),
    "max pool: zeros around the image": Mistake(
        "ops/pool.py", "s, p, ONE, -np.inf)", "s, p, ONE)", exact("max_pool2d"), "numpy"
    ),
    "average pool: padding counted": Mistake(
        "ops/pool.py", "out /= n[:, :, None]", "out /= size[0] * size[1]", adjoint("avg_pool2d"), "numpy"
    ),
    "batch norm: the mean not taken off": Mistake(
        "ops/batch_norm.py", "np.mean((x - mu) ** 2, 0", "np.mean(x**2, 0",
        "test_rounding.py::test_batch_norm_train", "numpy",
    ),
    "batch norm dx: the part along h missing": Mistake(
        "ops/batch_norm.py", " - h * (dgamma / len(x)))", ")", "test_derivatives.py::test_batch_norm_train", "numpy"
    ),
    "batch norm after training: the gradient not scaled": Mistake(
        "ops/batch_norm.py", "dx[...] = gamma * r * dy\n", "dx[...] = r * dy\n",
        "test_derivatives.py::test_batch_norm_eval", "numpy",
    ),
    "loss: 1 / B forgotten": Mistake(
        "ops/loss.py", "dz[...] = (exps / total - t) / B", "dz[...] = exps / total - t",
        "test_derivatives.py::test_softmax_cross_entropy", "numpy",
    ),
    # -- what all three share
    "shuffle: its gradient not the inverse": Mistake(
        "ops/channel_shuffle.py", "dout.shape[3] // _check.groups(", "_check.groups(",
        adjoint("channel_shuffle"), "numba",
    ),
    "same padding: the odd row above": Mistake(
        "_check.py", "(total[0] // 2, total[0] - total[0] // 2)", "(total[0] - total[0] // 2, total[0] // 2)",
        exact("depthwise_conv2d"), "numba",
    ),
    "average pool: margins before the image counted": Mistake(
        "ops/pool.py", "- np.maximum(first, 0))", "- first)", exact("avg_pool2d"), "numba"
    ),
    "leaky relu: slope forgotten in the gradient": Mistake(
        "ops/activation.py", "run(dout.ravel(), x.ravel(), dx.reshape(-1), a)",
        "run(dout.ravel(), x.ravel(), dx.reshape(-1), a * a)", "test_derivatives.py::test_activations", "numba",
    ),
    # -- folded batch norm, and networks of others
    "fold: the mean not scaled": Mistake(
        "layers.py", "return scale, bias - mean * scale", "return scale, bias - mean",
        "test_fold.py::test_exact[shufflenet, shuffle after]", "numpy",
    ),
    "fold: a bias from before not scaled": Mistake(
        "models/fold.py", "(bias * scale + shift)", "(bias + shift)",
        "test_fold.py::test_a_bias_before_batch_norm", "numpy",
    ),
    "fused step: a bias ignored": Mistake(
        "train/fused.py", 'isinstance(layer, BiasedLayer) and "bias" in layer.params', "False",
        "test_fold_peers.py::test_a_bias_beside_batch_norm_is_left_to_the_layers", "numpy",
    ),
    "onnx: a bias left out": Mistake(
        "weights/onnx.py", 'values = {**layer.params, "weight"', 'values = {"weight"',
        "test_fold_peers.py::test_exported[mobilenet, grey, own rows]", "numpy",
    ),
    "tflite: the zero point forgotten": Mistake(
        "weights/tflite.py", "(values - zero.reshape(along)) *", "values *",
        "test_tflite.py::test_the_state_is_that_of_the_file[uint8-{}]", "numpy",
    ),
    "tflite: rows and columns exchanged": Mistake(
        "weights/tflite.py", "values.transpose(1, 2, 3, 0)", "values.transpose(2, 1, 3, 0)",
        "test_tflite.py::test_each_layer_of_quantised_files[int8]", "numpy",
    ),
    "tflite: the same padding on all sides": Mistake(
        "weights/tflite.py", '"padding": "same"', '"padding": 1',
        "test_tflite.py::test_each_layer_of_quantised_files[uint8]", "numpy",
    ),
    "tflite: signed bytes taken for unsigned ones": Mistake(
        "weights/tflite.py", "int(images.zero[0]) - RANGES[images.kind][0]", "int(images.zero[0])",
        "test_tflite.py::test_preprocessing", "numpy",
    ),
    "weights: rows and columns of a depthwise kernel exchanged": Mistake(
        "weights/layout.py", "weight.transpose(2, 3, 1, 0)[:, :, 0]", "weight.transpose(3, 2, 1, 0)[:, :, 0]",
        "test_weights.py::test_from_pretrained_builds_the_network_that_the_names_are_of[timm]", "numpy",
    ),
    "weights: block 10 before block 2": Mistake(
        "weights/match.py", "if p.numbers}), 1)", "if p.numbers}, key=str), 1)",
        "test_weights.py::test_load_weights_says_what_it_mapped[tf-slim]", "numpy",
    ),
    "weights: a width rounded down": Mistake(
        "models/geometry.py", "math.ceil(least * 10**digits)", "int(least * 10**digits)",
        "test_weights.py::test_width_is_the_shortest_decimal_that_gives_the_channels[0.123-0.123]", "numpy",
    ),
    "weights: a description believed": Mistake(
        "models/geometry.py", "if said != held:", "if False:",
        "test_weights.py::test_descriptions_that_do_not_fit", "numpy",
    ),
    "to_pytorch: a max pool where there is none": Mistake(
        "weights/pytorch.py", 'stem = 3 + ("pool" in net.children["stem"].children)', "stem = 4",
        "test_weights_torch.py::test_every_network_to_pytorch_and_back", "numpy",
    ),
    # -- kernels
    "windows: entries in reverse from the input's side": Mistake(
        "kernels/windows.py", "-(d * period // s)", "d * period // s", adjoint("conv2d"), "numba"
    ),
    "windows: the padding on the wrong side": Mistake(
        "kernels/windows.py", "first = (d * i - p) % s", "first = (d * i + p) % s", adjoint("depthwise_conv2d"), "numba"
    ),
    "windows: dilated entries that meet something left out": Mistake(
        "kernels/windows.py", "period = s // gcd(s, d)", "period = s", adjoint("depthwise_conv2d"), "numba"
    ),
    "windows: even kernels taken for products of pixels": Mistake(
        "kernels/windows.py", "axis[TAPS] == 1 and ", "",
        named("an even kernel with as many outputs as pixels"), "numba",
    ),
    "windows: shifted pixels taken for products of pixels": Mistake(
        "kernels/windows.py", "axis[FIRST] == 0 and ", "", named("as many windows as pixels of each kind"), "numba"
    ),
    "pack: the first panel for all": Mistake(
        "kernels/product.py", "g * step_g + n0 * step_n", "g * step_g", adjoint("conv2d"), "numba"
    ),
    "tile: the first columns added to all": Mistake(
        "kernels/_plain.py", "total += added[added_rows[q] + n0 + n]", "total += added[added_rows[q] + n]",
        named("more terms than are summed at once"), "numba",
    ),
    "tile: one tap for all rows' terms": Mistake(
        "kernels/_plain.py",
        "total += a[rows[q] + a0 + taps[t0 + k]] * b",
        "total += a[rows[q] + a0 + taps[t0] + k] * b",
        adjoint("conv2d"),
        "numba",
    ),
    "conv2d kernel: what is outside not 0": Mistake(
        "kernels/conv2d.py", "splat(out, 0.0)", "splat(out, 1.0)", adjoint("conv2d"), "numba"
    ),
    "conv2d kernel: a window's row continued in the next of the image": Mistake(
        "kernels/conv2d.py", "left + KW <= W\n", "left < W\n", adjoint("conv2d"), "numba"
    ),
    "conv2d kernel: a block of windows begins with the first of its row": Mistake(
        "kernels/conv2d.py", "columns[FIRST] + u * advance", "columns[FIRST]",
        named("more windows than are gathered at once"), "numba",
    ),
    "conv2d kernel: the weights not transposed in dx": Mistake(
        "kernels/conv2d.py", "(M * N, 1, N, N // groups)", "(M * N, N, 1, N // groups)", adjoint("conv2d"), "numba"
    ),
    "conv2d kernel: the first group's weights for all": Mistake(
        "kernels/conv2d.py", "g * steps[3] + n0 * steps[2]", "n0 * steps[2]", adjoint("group_conv2d"), "numba"
    ),
    "conv2d kernel: the first columns' weights for all": Mistake(
        "kernels/conv2d.py", "g * steps[3] + n0 * steps[2]", "g * steps[3]",
        named("more columns than a task has"), "numba",
    ),
    "conv2d kernel: the last terms alone": Mistake(
        "kernels/conv2d.py", "part > 0", "False", named("more terms than are summed at once"), "numba"
    ),
    "conv2d kernel: pixels between two tasks dropped": Mistake(
        "kernels/conv2d.py", "whole * (part + 1) // parts", "whole // parts * (part + 1)",
        named("more pixels than are summed at once, in two parts"), "numba",
    ),
    "conv2d kernel of the weight: the first pixels again and again": Mistake(
        "kernels/conv2d.py", "for p in range(first + span, last, SUMMED)", "for p in range(first, last, SUMMED)",
        named("more pixels than are summed at once, in two parts"), "numba",
    ),
    "conv2d kernel of the weight: one part's sums alone": Mistake(
        "kernels/conv2d.py", "np.sum(sums, 0, out=dK)", "dK[...] = sums[0]",
        named("more pixels than are summed at once, in two parts"), "numba",
    ),
    "depthwise kernel: the image before in the buffer": Mistake(
        "kernels/depthwise.py", "row = b * rows[SIDE] + r\n", "row = r\n", adjoint("depthwise_conv2d"), "numba"
    ),
    "depthwise kernel: the first rows stay in the buffer": Mistake(
        "kernels/depthwise.py", "if held[slot] != row:", "if held[slot] < 0:", adjoint("depthwise_conv2d"), "numba"
    ),
    "depthwise kernel: what is beside the image not 0": Mistake(
        "kernels/depthwise.py", "room[:] = 0.0\n    row_out", "room[:] = 1.0\n    row_out",
        adjoint("depthwise_conv2d"), "numba",
    ),
    "depthwise kernel: one kind of columns' weights for all in dx": Mistake(
        "kernels/depthwise.py",
        "(kind * phases + phase) * panel\n            K,",
        "kind * phases * panel\n            K,",
        adjoint("depthwise_conv2d"),
        "numba",
    ),
    "depthwise kernel: an image's first row in the thread before": Mistake(
        "kernels/depthwise.py", "for item in range(start, stop):", "for item in range(start + (start > 0), stop):",
        adjoint("depthwise_conv2d"), "threads",
    ),
    "depthwise kernel of the weight: the last pixel of a row dropped": Mistake(
        "kernels/depthwise.py", "range(sevens, count)", "range(sevens, count - 1)", adjoint("depthwise_conv2d"), "numba"
    ),
    "depthwise kernel of the weight: one part's sums alone": Mistake(
        "kernels/depthwise.py", "sums.sum(0)", "sums[0]", named("pixels of 1 KB"), "numba"
    ),
    "bias kernel: each thread sums all": Mistake(
        "kernels/elementwise.py", "for chunk in range(start, stop):", "for chunk in range(0, stop):",
        adjoint("bias_add"), "threads",
    ),
    "relu6 kernel: gradient above 6": Mistake(
        "kernels/elementwise.py", "(x[e] <= zero) | (x[e] >= six)", "(x[e] <= zero)",
        "test_derivatives.py::test_activations", "numba",
    ),
    "max pool kernel: a NaN replaced by what follows": Mistake(
        "kernels/pool.py", "(seen[m] <= pixel[m]) | (pixel[m] != pixel[m])", "(seen[m] <= pixel[m])",
        "test_special_values.py::test_max_pool_as_pytorch", "numba",
    ),
    "max pool kernel: ties to the last": Mistake(
        "kernels/pool.py", "seen[m] > largest[m]", "seen[m] >= largest[m]", exact("max_pool2d"), "numba"
    ),
    "batch norm kernel: the unbiased variance": Mistake(
        "kernels/batch_norm.py", "middle) ** 2).sum(0) / n", "middle) ** 2).sum(0) / (n - 1)",
        "test_rounding.py::test_batch_norm_train", "numba",
    ),
    "batch norm kernel: blocks that know nothing of those before": Mistake(
        "kernels/batch_norm.py", "squares[m] += weight * distance", "squares[m] += 0 * distance",
        "test_rounding.py::test_batch_norm_train_over_many_rows", "numba",
    ),
    "batch norm kernel: two sums swapped": Mistake(
        "kernels/batch_norm.py", "dgamma_n, dbeta_n = (sums / n)", "dbeta_n, dgamma_n = (sums / n)",
        "test_derivatives.py::test_batch_norm_train", "numba",
    ),
    "loss kernel: the whole of the right class taken off": Mistake(
        "kernels/loss.py", "dz[right] -= (one - e) / B", "dz[right] -= one / B",
        "test_derivatives.py::test_softmax_cross_entropy", "numba",
    ),
    # -- vectors
    "plain where_inside: what is on the bound inside": Mistake(
        "kernels/_plain.py", "(x <= low) | (x >= high)", "(x < low) | (x >= high)", simd("words"), "numba"
    ),
    "plain where_inside: infinity less infinity": Mistake(
        "kernels/_plain.py", "type(value)(0)", "value - value", simd("words"), "numba"
    ),
    "plain largest: a NaN replaced by what follows": Mistake(
        "kernels/_plain.py", "(x > y) | (x != x)", "x > y", simd("words"), "numba"
    ),
    "plain clamp: a NaN becomes the bound": Mistake(
        "kernels/_plain.py", "low if x < low else (high if x > high else x)", "max(low, min(x, high))",
        simd("words"), "numba",
    ),
    "plain tile: a row that is repeated added to twice": Mistake(
        "kernels/_plain.py", "for q in range(p, min(p + R, last + 1)):",
        "for q in [min(p + r, last) for r in range(R)]:", simd("any_number_of_rows"), "numba",
    ),
    "plain tile: the start taken for the first term": Mistake(
        "kernels/_plain.py", "b[b0 + (k + 1) * C + n]", "b[b0 + k * C + n]", simd("multiply_tile"), "numba"
    ),
    "plain depthwise tile: no room for the start": Mistake(
        "kernels/_plain.py", "b[b0 + m * (K + 1) + k + 1]", "b[b0 + m * K + k + 1]", simd("weigh_tile"), "numba"
    ),
    "plain depthwise row: the stride forgotten": Mistake(
        "kernels/_plain.py", "(S * t + j) * pixel", "(t + j) * pixel", simd("weigh_row"), "numba"
    ),
    "depthwise tile of the weight: a row replaces the one before": Mistake(
        "kernels/_plain.py", "sums[s0 + m * K + k] +=", "sums[s0 + m * K + k] =", simd("sum_tile"), "numba"
    ),
    "pack: the first of the terms that no vector moves dropped": Mistake(
        "kernels/product.py", "for row in range(k, K):", "for row in range(k + 1, K):", simd("pack"), "numba"
    ),
    "pack: the first group's start for all": Mistake(
        "kernels/product.py", "start[g * N + n]", "start[n]", simd("pack"), "numba"
    ),
    "panels: one vector beside four": Mistake(
        "kernels/product.py", "return COLUMNS - 1", "return COLUMNS",
        simd("panels_are_as_wide_as_a_tile_may_be"), "numba",
    ),
    "panel product: panels of another width than packed": Mistake(
        "kernels/product.py", "C = panel_vectors(vectors)\n        columns",
        "C = min(vectors, COLUMNS)\n        columns", simd("multiply"), "numba",
    ),
    "panel product: the next panel without its start": Mistake(
        "kernels/product.py", "b0 += (K + 1) * C * W", "b0 += K * C * W", simd("multiply"), "numba"
    ),
    "panel product: the rows after the last whole tile dropped": Mistake(
        "kernels/product.py", "(last - first + 5) // 6", "(last - first) // 6", simd("any_number_of_rows"), "numba"
    ),
    "panel product: a row between two tiles left out": Mistake(
        "kernels/product.py", "p += 6 if six else 5", "p += 6", simd("any_number_of_rows"), "numba"
    ),
    "panel product: the row behind the last repeated": Mistake(
        "kernels/product.py", "end, n = last - 1, 0", "end, n = last, 0", simd("any_number_of_rows"), "numba"
    ),
    "pack: columns beyond the last not cleared": Mistake(
        "kernels/product.py", "if column < N else 0.0", "if column < N else out[0]", simd("pack"), "vectors"
    ),
    "pack: the next row's values beyond the last column": Mistake(
        "kernels/product.py", "load(w, i) if n + W <= N else load_part(w, i, N - n)", "load(w, i)",
        simd("pack"), "vectors",
    ),
    "transpose: the halves exchanged": Mistake(
        "kernels/_vectors.py", "for mask in (low, high)", "for mask in (high, low)", simd("transpose"), "vectors"
    ),
    "vector fma: rounded twice": Mistake(
        "kernels/_vectors.py", 'self._call("llvm.fma", self.vector, x, y, z)',
        "self.builder.fadd(self.builder.fmul(x, y), z)", simd("fma"), "vectors",
    ),
    "vector clamp: a NaN becomes the bound": Mistake(
        "kernels/_vectors.py", 'fcmp_ordered("<", x, low)', 'fcmp_unordered("<", x, low)', simd("words"), "vectors"
    ),
    "vector where_inside: what is on the bound inside": Mistake(
        "kernels/_vectors.py", 'fcmp_ordered("<=", seen, least)', 'fcmp_ordered("<", seen, least)',
        simd("words"), "vectors",
    ),
    "vector largest: a NaN replaced by what follows": Mistake(
        "kernels/_vectors.py", "e.builder.or_(above, nan)", "above", simd("words"), "vectors"
    ),
    "store of a part: without its mask": Mistake(
        "kernels/_vectors.py", "e.store_masked(vector, e.place(a, array, index), e.first(first))",
        "e.store(vector, e.place(a, array, index))", simd("moves"), "vectors",
    ),
    "parts: one lane too many": Mistake(
        "kernels/_vectors.py", 'icmp_signed("<", numbers', 'icmp_signed("<=", numbers', simd("moves"), "vectors"
    ),
    "vector tile: the next vector one lane further": Mistake(
        "kernels/_vectors.py", "ir.Constant(INT64, vectors * self.lanes)", "ir.Constant(INT64, vectors)",
        simd("multiply_tile"), "vectors",
    ),
    "vector tile: the first row added to all": Mistake(
        "kernels/_vectors.py", "e.entry(added_rows, added_rows_, q[r])", "e.entry(added_rows, added_rows_, q[0])",
        simd("multiply_tile"), "vectors",
    ),
    "vector tile: the upper bound forgotten": Mistake(
        "kernels/_vectors.py", 'bounded = builder.fcmp_ordered("<", high_', 'bounded = builder.fcmp_ordered(">", high_',
        simd("multiply_tile"), "vectors",
    ),
    "vector depthwise row: the stride forgotten": Mistake(
        "kernels/_vectors.py",
        "if 0 <= c - t * stride < 3:\n                    sums[t] = e.fma(weight[c - t * stride]",
        "if 0 <= c - t < 3:\n                    sums[t] = e.fma(weight[c - t]", simd("weigh_row"), "vectors",
    ),
    "vector depthwise tile of the weight: the first entry's sums for all": Mistake(
        "kernels/_vectors.py", "place = builder.gep(mine, [builder.mul(k, lanes)])", "place = mine",
        simd("sum_tile"), "vectors",
    ),
    "vector depthwise tile: the weights of the first vector for all": Mistake(
        "kernels/_vectors.py", "weights = builder.gep(panel, [builder.mul(m, step)])", "weights = panel",
        simd("weigh_tile"), "vectors",
    ),
    # -- data and training
    "SGD: frozen layers moved": Mistake(
        "train/sgd.py", "if name in frozen:", "if name in ():",
        finetune("what_is_frozen_stays_and_the_rest_moves[first]"), "numpy",
    ),
    "training mode: frozen batch norms too": Mistake(
        "models/network.py", "training and not layer.frozen", "training",
        finetune("what_is_frozen_stays_and_the_rest_moves[first]"), "numpy",
    ),
    "frozen first layers: the last of them trained": Mistake(
        "train/step.py", "frozen[name] = trained.pop(name)", "frozen[name] = trained.pop(name)\n        break",
        finetune("features_once_are_what_the_layers_compute"), "numpy",
    ),
    "a crop of random size: always in the corner": Mistake(
        "data/augment.py", "rng.integers(0, H - sides + 1)", "rng.integers(0, H - sides + 1) * 0",
        "test_data.py::test_resized_crops_have_all_sizes_shapes_and_places", "numpy",
    ),
    "a folder's split: by the place in the list": Mistake(
        "data/folder.py", "{name}/{file.name}", "{name}/{files.index(file)}",
        "test_folder.py::test_a_picture_stays_in_its_half", "numpy",
    ),
}  # fmt: skip


def run(folder, tests, implementations):
    """Run tests on the package in `folder`; return pytest's exit code and what it wrote.

    Numba's compiler is off but for "vectors", which are nothing without it: for them it has the form that any CPU runs.
    """
    off = implementations != "vectors"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NUMBA_DISABLE_JIT": str(int(off)),
        "NUMBA_CACHE_DIR": str(folder / "cache"),
        "NPNETS_SIMD": "plain" if off else "neon",
        "NPNETS_EXAMPLES": "20",
        "NPNETS_IMPLEMENTATIONS": implementations,
    }
    options = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "--hypothesis-profile=unshrunk"]
    command = [sys.executable, "-m", "pytest", *options, *(str(TESTS / test) for test in tests)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def copy(folder):
    """Copy the package, but for its data."""
    shutil.copytree(PACKAGE, folder / "npnets", ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    return folder


def plant(mistake, folder):
    """Copy the package with the mistake, and run its test."""
    file = copy(folder) / "npnets" / mistake.file
    text = file.read_text("utf-8")
    assert text.count(mistake.old) == 1, f"{mistake.old!r} must be in {mistake.file} once"
    file.write_text(text.replace(mistake.old, mistake.new), "utf-8")
    return run(folder, [mistake.test], mistake.implementation)


@pytest.mark.parametrize("implementations", ["loops numpy numba threads", "vectors"])
def test_no_mistake(implementations, tmp_path):
    """Without a mistake the same tests pass, so that what fails below fails because of it."""
    tests = {mistake.test for mistake in MISTAKES.values() if mistake.implementation in implementations}
    code, output = run(copy(tmp_path), sorted(tests), implementations)
    assert code == pytest.ExitCode.OK, output


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught(name, tmp_path):
    code, output = plant(MISTAKES[name], tmp_path)
    assert code == pytest.ExitCode.TESTS_FAILED, output
