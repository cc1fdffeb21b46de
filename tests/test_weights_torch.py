"""Weights of PyTorch: other people's networks and their logits, files of torch.save, and the way there and back."""

import sys
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
import torch
import torch_networks
import weight_files
from network_cases import CASES, assert_near, random_state
from pytorchcv.models import mobilenet, shufflenet
from test_weights import FILES, file_of, options_of, same
from uninstalled import uninstall

import npnets
from npnets.weights import from_pretrained, load_weights, to_pytorch

# torchvision registers operators of its compiled part, which is missing beside a PyTorch of another build (CPU only);
# timm imports torchvision, and its networks use none of these.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("torchvision._meta_registrations"))
timm = import_module("timm")


def randomised(module, largest=1.5):
    """Draw everything, running statistics too, in float64, so that signals neither fade nor grow in eval mode."""
    rng = np.random.default_rng(1)
    for name, tensor in module.double().eval().state_dict().items():
        if not tensor.is_floating_point():
            continue
        if name.endswith("running_var"):
            drawn = rng.uniform(1, 5, tensor.shape)
        elif tensor.ndim == 1 and name.endswith("weight"):
            drawn = rng.uniform(0.5, largest, tensor.shape)
        elif tensor.ndim == 1:
            drawn = 0.3 * rng.standard_normal(tensor.shape)
        else:
            drawn = np.sqrt(2 / np.prod(tensor.shape[1:])) * rng.standard_normal(tensor.shape)
        tensor.copy_(torch.from_numpy(drawn.astype(np.float32)))
    return module


def logits(module, x):
    with torch.no_grad():
        return module(torch_networks.tensor(x)).numpy()


PEERS = {
    "timm": lambda: timm.create_model("mobilenetv1_100", num_classes=11),
    "timm, 125": lambda: timm.create_model("mobilenetv1_125", num_classes=11),
    "mobilenet_wd4": mobilenet.mobilenet_wd4,
    **{f"shufflenet_g{g}_w1": getattr(shufflenet, f"shufflenet_g{g}_w1") for g in (1, 2, 3, 4, 8)},
    "shufflenet_g3_wd4": shufflenet.shufflenet_g3_wd4,
}


@pytest.mark.parametrize("name", PEERS)
def test_logits_of_other_peoples_networks(name):
    """Their names, their code, their logits: padding, activation, groups, order of channels are as they are there."""
    module = randomised(PEERS[name]())
    net = from_pretrained(module.state_dict(), dtype=np.float64)
    x = np.random.default_rng(2).standard_normal((1, 193, 193, 3))  # the least that pytorchcv's last pool takes
    with npnets.use("numpy"):
        assert_near(net(x), logits(module, x))


def test_logits_of_the_authors_form():
    """The unit with megvii's names: shuffled by the inverse behind the depthwise, in the tests' own module."""
    case = CASES["shufflenet, authors' code"]
    module = torch_networks.module(case).eval()
    net = case.numpy()
    made = from_pretrained(
        weight_files.renamed(net, weight_files.megvii_names(), weight_files.to_oihw), dtype="float64"
    )
    with npnets.use("numpy"):
        assert_near(made(case.images()), logits(module, case.images()))


# -- to PyTorch and back -----------------------------------------------------------------------------------------------


def test_every_network_to_pytorch_and_back(subtests):
    for name, case in CASES.items():
        with subtests.test(name):
            net = case.numpy()
            module = getattr(torch_networks, case.network)(**case.options).eval()
            state = to_pytorch(net)
            module.load_state_dict(state, strict=True)
            assert list(state) == list(module.state_dict())
            fresh = getattr(npnets, case.network)(**case.options, dtype=np.float64, seed=3)
            report = load_weights(fresh, module.state_dict())
            assert report.by_order
            assert same(fresh, net)
            state["classifier.bias"] += 1  # a copy: nothing is shared
            assert same(fresh, net)
            folded = npnets.fold_batch_norm(net)
            back = npnets.fold_batch_norm(fresh)
            for value in back.parameters().values():
                value[...] = 0
            load_weights(back, to_pytorch(folded))
            assert same(back, folded)


@pytest.mark.parametrize("case", ["mobilenet", "shufflenet, tensorflow"])
def test_the_module_gives_the_same_logits(case):
    case = CASES[case]
    net, module = case.numpy().eval(), getattr(torch_networks, case.network)(**case.options).eval()
    module.load_state_dict(to_pytorch(net))
    with npnets.use("numpy"):
        assert_near(net(case.images()), logits(module, case.images()))


@pytest.mark.parametrize("source", FILES)
def test_every_source_to_pytorch_and_back(source):
    _, arrays = file_of(source)
    net = from_pretrained(arrays)
    with pytest.warns(UserWarning, match="matched by order and shape"):  # a state_dict does not hold the options
        back = from_pretrained(to_pytorch(net))
    state = net.state_dict()
    assert {name: value.tobytes() for name, value in back.state_dict().items()} == {
        name: value.tobytes() for name, value in state.items()
    }
    assert options_of(back)["num_classes"] == options_of(net)["num_classes"]
    fresh = type(net)(**net.arguments)
    load_weights(fresh, to_pytorch(net))
    assert same(fresh, net)


def test_to_pytorch_needs_pytorch(monkeypatch):
    uninstall(monkeypatch, "torch")
    with pytest.raises(ModuleNotFoundError, match=r'^to_pytorch needs `torch`: pip install "npnets\[bench\]"'):
        to_pytorch(npnets.MobileNetV1(width=0.25))


# -- files of torch.save -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("kind", ["state", "checkpoint", "half"])
def test_files_of_torch_save(kind, zipped, tmp_path):
    net, arrays = file_of("megvii")
    state = {f"module.{name}": torch.from_numpy(value) for name, value in arrays.items()}
    if kind == "half":
        state = {name: value.half() for name, value in state.items()}
    held = {"epoch": 3, "state_dict": state, "best": 0.5} if kind == "checkpoint" else state
    path = tmp_path / "1.0x.pth.tar"
    torch.save(held, path, _use_new_zipfile_serialization=zipped)
    made = from_pretrained(path)
    assert options_of(made) == options_of(net)
    expected = net.state_dict()
    for name, value in made.state_dict().items():
        rounded = expected[name].astype(np.float16).astype(np.float32) if kind == "half" else expected[name]
        assert (value == rounded).all()


def test_a_whole_module_is_refused(tmp_path):
    path = tmp_path / "module.pth"
    torch.save(torch.nn.Linear(2, 3), path)
    with pytest.raises(ValueError, match=r"module\.pth cannot be read as weights: it holds more"):
        from_pretrained(path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"it holds a list, not tensors by name"):
        from_pretrained(path)
    torch.save({"a": torch.zeros(3, dtype=torch.bfloat16)}, path)
    with pytest.raises(ValueError, match=r"module\.pth cannot be read as weights: .*BFloat16"):
        from_pretrained(path)
    torch.save({"a": torch.zeros(1).expand(10**10)}, path)
    with pytest.raises(ValueError, match=r"`a` claims 10000000000 numbers, more than it holds"):
        from_pretrained(path)


def test_random_state_is_not_trivial():
    """What the comparisons above rest on: other options give other logits."""
    net = npnets.MobileNetV1(width=0.25, dtype=np.float64).eval()
    net.load_state_dict(random_state(net, 2.0))
    x = np.random.default_rng(2).standard_normal((1, 64, 64, 3))
    with npnets.use("numpy"):
        for other in {"padding": "same"}, {"activation": "relu6"}, {"bn_eps": 1e-3}:
            with pytest.warns(UserWarning, match="npnets' own"):
                changed = from_pretrained(net.state_dict(), dtype=np.float64, **other)
            with pytest.raises(AssertionError):
                assert_near(changed(x), net(x))
