"""Write MobileNets by Keras itself, in every format that it has: a script, since Keras is slow to start.

Usage: keras_files.py FOLDER. The folder then holds the weights of one small network with random weights and statistics
in each format, and in logits.npz images `x` and the logits that Keras gives for them, in float32.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "torch"
import keras
import numpy as np

SIDE = 32


def model(**options):
    return keras.applications.MobileNet(
        input_shape=(SIDE, SIDE, 3), alpha=0.25, weights=None, classes=7, classifier_activation=None, **options
    )


def drawn(weights, rng):
    """Draw everything so that signals neither fade nor grow; variances are what is last in a batch norm."""
    for weight in weights:
        name, shape = weight.path.rpartition("/")[2], weight.shape
        if name == "moving_variance":
            yield rng.uniform(1, 5, shape)
        elif name == "gamma":
            yield rng.uniform(0.5, 2.5, shape)
        elif len(shape) == 1:
            yield 0.3 * rng.standard_normal(shape)
        else:
            fan_in = 9 if shape[-1] == 1 else np.prod(shape[:-1])
            yield np.sqrt(2 / fan_in) * rng.standard_normal(shape)


def main(folder):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, SIDE, SIDE, 3)).astype(np.float32)
    net = model()
    net.set_weights([value.astype(np.float32) for value in drawn(net.weights, rng)])
    net.save(f"{folder}/whole.keras")
    net.save_weights(f"{folder}/numbered.weights.h5")
    net.save(f"{folder}/whole.h5")
    net.compile("adam", "mse")  # beside the weights then stand those of the optimiser
    net.optimizer.build(net.trainable_variables)
    net.save(f"{folder}/compiled.keras")
    net.save(f"{folder}/compiled.h5")
    wrapped = keras.Sequential([keras.Input((SIDE, SIDE, 3)), net])
    wrapped.save(f"{folder}/wrapped.keras")
    np.savez(f"{folder}/names.npz", **{weight.path: weight.numpy() for weight in net.weights})
    np.savez(f"{folder}/logits.npz", x=x, logits=net(x).detach().numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
