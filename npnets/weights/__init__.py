"""Weights and networks for other frameworks, and from them.

::

    net = npnets.from_pretrained("mobilenet_v1_025_224_tf.npz")     # the network that the file is of, in eval mode
    logits = net(net.preprocess(images))                            # bytes, RGB, (B, H, W, 3)
    report = npnets.load_weights(net, "other.safetensors")          # into a network that is there already
    npnets.save_weights(net, "mine.safetensors")                    # with everything that from_pretrained needs
    state = npnets.to_pytorch(net)                                  # load_weights(net, state) is the way back

Sources
-------
Names of arrays tell whose weights they are, and so in what their network differs from the paper's. Pixels are what it
takes, which `net.preprocess` makes of bytes. "same" is TensorFlow's padding: at stride 2 on an even side nothing above
and to the left, 1 below and to the right, where the paper's (and PyTorch's) is 1 on all sides.

==================  ============  =======================================================  =============================
source              network       how it differs from the paper                            pixels
==================  ============  =======================================================  =============================
npnets              both          as the file says (`save_weights`, `npnets train`);       as the file says; of a
                                  a `state_dict` alone says nothing: as for "order"        `state_dict` 0 to 1
keras               MobileNetV1   ReLU6, eps 1e-3, padding "same"                          RGB, -1 to 1
tf-slim             MobileNetV1   ReLU6, eps 1e-3, padding "same";                         RGB, -1 to 1
                                  1001 classes, of which class 0 is the background
tflite              MobileNetV1   batch norm is folded into biases; ReLU or ReLU6,         RGB, as the file says
                                  padding "same"; quantised weights are dequantised;
                                  1001 classes as a rule, class 0 the background
timm                MobileNetV1   ReLU6; channels rounded to multiples of 8                RGB, -1 to 1
pytorchcv           MobileNetV1   not at all                                               RGB, ImageNet's mean and std
pytorchcv           ShuffleNetV1  (branch, shortcut) is the order of the concatenation     RGB, ImageNet's mean and std
megvii              ShuffleNetV1  the authors' own code: shuffles after the depthwise, by  BGR, 0 to 255
                                  the inverse permutation; the classifier has no bias
cifar10-shufflenet  ShuffleNetV1  for 32 x 32 pixels: stem of stride 1, no max pool;       RGB, CIFAR-10's mean and std
                                  stage 2 of stride 1, joined with its unpooled input;
                                  shortcuts pooled 2 x 2; (branch, shortcut)
order               both          as the names tell nothing: matched by order and shape,   RGB, 0 to 1
                                  and taken for the paper's network with PyTorch's
                                  padding 1 and eps 1e-5, which `from_pretrained` warns
                                  of; `to_pytorch` writes such names
==================  ============  =======================================================  =============================

Shapes tell the width, the groups, the channels and the number of classes. They do not tell strides: those are the
paper's, but for what the table says, and MobileNet's blocks must be the paper's 13 (`load_weights` fills any network).
Keras pads a strided depthwise convolution by 1 below and to the right on odd sides too, where TensorFlow's "same" pads
by 1 all around: with images whose sides 32 divides there are none.

No published ImageNet weights of ShuffleNet V1 in a format that can be read here were found: megvii's and pytorchcv's
rules are for files that somebody has.

Files
-----
A file's kind is told by its first bytes, not by its name.

=================================  ===================================================================================
safetensors                        npnets' own (by `save_weights` and `npnets train`), and timm's
.npz                               of arrays by the names of any source; never unpickled
.h5 of Keras                       weights, or a whole model, by the names of its layers
.weights.h5, .keras                of Keras 3, without the names: mapped by type and order of the layers
.pth, .pt, .tar, .bin of PyTorch   a state_dict, or a checkpoint that holds one, through `torch.load(weights_only=True)`
.tflite                            of any width and size, float or quantised: `from_pretrained` only
a state_dict                       the arrays or tensors themselves, by name
a folder                           that holds one of these under its usual name, such as one of `npnets train`
"owner/model", "owner/model/file"  of the Hugging Face hub
=================================  ===================================================================================

A prefix `module.` is dropped. `pip install "npnets[weights]"` brings all of them but PyTorch.
"""

from npnets.weights.load import Report, load_weights
from npnets.weights.pretrained import from_pretrained
from npnets.weights.pytorch import to_pytorch
from npnets.weights.save import save_weights
from npnets.weights.sources import NAMES, SOURCES

__all__ = ["NAMES", "SOURCES", "Report", "from_pretrained", "load_weights", "save_weights", "to_pytorch"]
