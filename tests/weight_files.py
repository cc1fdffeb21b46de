"""Other frameworks' names for a network's arrays, written from their code and in the order of the forward pass."""

import numpy as np

NORM = ("weight", "bias", "running_mean", "running_var")
KERAS_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
STAGES = ((1,), (2, 3), (4, 5), (6, 7, 8, 9, 10, 11), (12, 13))  # MobileNet's blocks, each stage after a stride


def keras_names():
    yield from ("conv1/kernel", *(f"conv1_bn/{array}" for array in KERAS_NORM))
    for i in range(1, 14):
        yield from (f"conv_dw_{i}/depthwise_kernel", *(f"conv_dw_{i}_bn/{array}" for array in KERAS_NORM))
        yield from (f"conv_pw_{i}/kernel", *(f"conv_pw_{i}_bn/{array}" for array in KERAS_NORM))
    yield from ("conv_preds/kernel", "conv_preds/bias")


def slim_names():
    yield from ("Conv2d_0/weights", *(f"Conv2d_0/BatchNorm/{array}" for array in KERAS_NORM))
    for i in range(1, 14):
        yield f"Conv2d_{i}_depthwise/depthwise_weights"
        yield from (f"Conv2d_{i}_depthwise/BatchNorm/{array}" for array in KERAS_NORM)
        yield from (f"Conv2d_{i}_pointwise/weights", *(f"Conv2d_{i}_pointwise/BatchNorm/{a}" for a in KERAS_NORM))
    yield from ("Logits/Conv2d_1c_1x1/weights", "Logits/Conv2d_1c_1x1/biases")


def timm_names():
    yield from ("conv_stem.weight", *(f"bn1.{array}" for array in NORM))
    for stage, blocks in enumerate(STAGES):
        for block in range(len(blocks)):
            for conv, norm in ("conv_dw", "bn1"), ("conv_pw", "bn2"):
                yield f"blocks.{stage}.{block}.{conv}.weight"
                yield from (f"blocks.{stage}.{block}.{norm}.{array}" for array in NORM)
    yield from ("classifier.weight", "classifier.bias")


def pytorchcv_mobilenet_names():
    yield from ("features.init_block.conv.weight", *(f"features.init_block.bn.{array}" for array in NORM))
    for stage, blocks in enumerate(STAGES, 1):
        for unit in range(1, len(blocks) + 1):
            for part in "dw_conv", "pw_conv":
                yield f"features.stage{stage}.unit{unit}.{part}.conv.weight"
                yield from (f"features.stage{stage}.unit{unit}.{part}.bn.{array}" for array in NORM)
    yield from ("output.weight", "output.bias")


def _shufflenet_names(stem, unit, parts, classifier, units):
    """`unit` names a unit by its stage and its number in it, both from 0, and its number through all stages."""
    yield from (f"{stem[0]}.weight", *(f"{stem[1]}.{array}" for array in NORM))
    through = 0
    for stage, count in enumerate(units):
        for number in range(count):
            for conv, norm in parts:
                prefix = unit(stage, number, through)
                yield from (f"{prefix}.{conv}.weight", *(f"{prefix}.{norm}.{array}" for array in NORM))
            through += 1
    yield from (f"{classifier}.weight", f"{classifier}.bias")


def pytorchcv_shufflenet_names(units=(4, 8, 4)):
    parts = (("compress_conv1", "compress_bn1"), ("dw_conv2", "dw_bn2"), ("expand_conv3", "expand_bn3"))
    stem = "features.init_block.conv", "features.init_block.bn"
    return _shufflenet_names(stem, lambda s, n, _: f"features.stage{s + 1}.unit{n + 1}", parts, "output", units)


def megvii_names(units=(4, 8, 4)):
    parts = (
        ("branch_main_1.0", "branch_main_1.1"), ("branch_main_1.3", "branch_main_1.4"),
        ("branch_main_2.0", "branch_main_2.1"),
    )  # fmt: skip
    stem = "first_conv.0", "first_conv.1"
    return _shufflenet_names(stem, lambda _, __, through: f"features.{through}", parts, "classifier.0", units)


def cifar_names(units=(4, 8, 4)):
    parts = ("gconv1", "bn1"), ("dwconv", "bn"), ("gconv2", "bn2")
    return _shufflenet_names(("conv1", "bn1"), lambda s, n, _: f"stage{s + 2}.{n}", parts, "fc", units)


def to_oihw(name, value):
    """Turn an array of npnets into the order of PyTorch."""
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    if value.ndim == 3:
        return value.transpose(2, 0, 1)[:, None]
    if value.ndim == 2:
        return value.T if name.startswith("classifier") else value.T[:, :, None, None]
    return value


def to_hwio(name, value):
    """Turn an array of npnets into the order of Keras and TensorFlow."""
    if value.ndim == 3:
        return value[..., None]
    return value[None, None] if value.ndim == 2 else value


def renamed(net, names, turn):
    """Return the arrays of a network as another framework would hold them."""
    state = net.state_dict()
    return {
        there: np.array(turn(own, value), order="C") for (own, value), there in zip(state.items(), names, strict=True)
    }
