"""`npnets`: what it says, what it leaves, how it stops and goes on, and each error on one line."""

import csv
import io
import os
import re
import signal
import subprocess
import sys

import pytest
import rich.console
from training import IMPLEMENTATION, USE, python, tiny, untimed, write_idx

import npnets
from npnets import cli
from npnets.train import Settings, Trainer, run

TINY = ("train", *USE, "--data", "tiny", "--batch-size", "8", "--lr", "0.1", "--crop", "1", "--flip", "1")
SMALL = (*TINY, "--width", "0.25")

FILES = ["checkpoint.safetensors", "confusion.png", "curves.png", "log.csv"]


@pytest.fixture
def drawn():
    """Let the pictures be drawn, which takes longer than these trainings; without it their content is written."""


@pytest.fixture
def folder(request, tmp_path):
    """Make an empty folder with the tiny data set the current one; the settings of a run are not to outlive it."""
    write_idx(tmp_path / "tiny", tiny())
    threads = npnets.get_threads()
    with npnets.use(IMPLEMENTATION), pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        if "drawn" not in request.fixturenames:
            patch.setattr(
                run, "draw_curves", lambda path, rows, title: path.write_text(f"{untimed_rows(rows)} {title}")
            )
            patch.setattr(run, "draw_confusion", lambda path, matrix, classes: path.write_text(f"{matrix} {classes}"))
        yield tmp_path
    npnets.set_threads(threads)


def untimed_rows(rows):
    return [row[:6] for row in rows]


@pytest.fixture
def npnets_(folder, capsys):
    """Run a command in this process, and return its exit status, its output and its errors."""

    def call(*arguments):
        if arguments[:1] == ("train",):
            arguments = "train", *USE, *arguments[1:]
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = error.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def interrupt(monkeypatch):
    """Send SIGINT to this process in the given step of the training, or in its first evaluation."""

    def at(step):
        count, method = 0, "evaluate" if step == "evaluation" else "step"
        original = getattr(Trainer, method)

        def interrupted(self):
            nonlocal count
            count += 1
            if count == (1 if step == "evaluation" else step):
                signal.raise_signal(signal.SIGINT)
            return original(self)

        monkeypatch.setattr(Trainer, method, interrupted)

    return at


def error(npnets_, *arguments):
    """Return the one line of an error, and make sure that nothing was left behind."""
    before = sorted(os.listdir())
    status, out, err = npnets_(*arguments)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert err.startswith("npnets: error: ")
    assert sorted(os.listdir()) == before
    return err.removeprefix("npnets: error: ").rstrip("\n")


# ---- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help(npnets_, monkeypatch, arguments):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = npnets_(*arguments)
    assert (status, err) == (0, "")
    assert out.startswith("usage: npnets [-h] [--version] COMMAND ...")
    assert "MobileNet V1 and ShuffleNet V1 from scratch" in out
    assert "train" in out
    assert "`npnets COMMAND --help` explains a command." in out


@pytest.mark.quick
def test_version(npnets_):
    assert npnets_("--version") == (0, f"npnets {npnets.__version__}\n", "")


@pytest.mark.quick
def test_help_of_train(npnets_, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    status, out, err = npnets_("train", "--help")
    assert (status, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    text = " ".join(out.split())
    for phrase in (
        "--model {mobilenet,shufflenet} which of the two (default: mobilenet)",
        "--width ALPHA MobileNet's width multiplier (default: 0.5)",
        "--scale S ShuffleNet's scale factor (default: 1.0)",
        "--groups G ShuffleNet's groups (default: 3)",
        "--data NAME|DIR fashion-mnist (a tenth of it comes with npnets), fashion-mnist-full, digits, cifar10, a",
        "--init FILE begin with these weights, and the network that they are of",
        "--freeze NAMES with --init: layers that stay as they are, such as stem,block1 or all-but-classifier",
        "--epochs N how often each image is seen",
        "--batch-size N images a step (default: 64)",
        "--lr RATE the highest learning rate (default: 0.2)",
        "--schedule {constant,step,linear,cosine,one-cycle}",
        "--crop PIXELS move each image at random by up to so many pixels (default: 0)",
        "--flip 0|1 mirror images at random: 1 or 0 (default: 0)",
        "--skip-decay {depthwise,1d} [{depthwise,1d} ...] parameters without weight decay",
        "--seed N of weights, order, crops and flips: the same seed, the same bits (default: 0)",
        "--threads N of the kernels (default: one for each core)",
        "--out DIR folder for the results (default: a new one in runs)",
        "--resume DIR go on with the training that stopped in this folder",
        "Ctrl-C saves, and says how to go on.",
        "npnets train --resume runs/shuffle --epochs 20",
    ):
        assert phrase in text, phrase


@pytest.mark.quick
def test_the_examples_of_the_help_can_be_parsed():
    lines = [line.split()[1:] for line in cli.train.EXAMPLES.splitlines() if line.startswith("  npnets ")]
    assert len(lines) == 6
    for line in lines:
        assert cli._parser().parse_args(line).command is cli.train.run


# ---- a training ------------------------------------------------------------------------------------------------------

INTRODUCTION = """\
MobileNet V1, small body, width 0.25
    9,476 parameters, 63,744 mult-adds an image
    tiny: 56 training and 20 test images, 8 x 8 x 1, 4 classes
    2 epochs of 7 steps of 8 images, lr 0.1 (one-cycle), seed 3, 1 thread
    ready after 0.0 s; expected: 0 s, 0 MB for arrays

epoch       lr  train loss  train acc.  test loss  test acc.  images/s  seconds
"""


def test_what_a_training_says_and_leaves(npnets_, folder, drawn):
    status, out, err = npnets_(*SMALL, "--epochs", 2, "--seed", 3, "--threads", 1, "--out", "a/b")
    assert (status, err) == (0, "")
    assert npnets.get_threads() == 1
    introduction, table = out.split("seconds\n")
    expected = INTRODUCTION.partition("seconds\n")[0]
    shape = re.compile(r"\d[\d,.]*")
    assert shape.sub("#", introduction) == shape.sub("#", expected)
    for line in expected.splitlines():
        assert line in introduction or "expected" in line or "parameters" in line
    net = Trainer.resume(folder / "a/b" / run.CHECKPOINT, npnets.data.load("tiny")).net
    count = npnets.cost(net, (8, 8, 1))
    assert f"    {count.parameters:,} parameters, {count.mult_adds:,} mult-adds an image\n" in introduction

    lines = table.splitlines()
    assert lines[0].startswith("epoch 1/2  step 1/7  loss ")
    assert re.fullmatch(r"epoch 1/2  step 1/7  loss \d\.\d{3}  accuracy +\d+\.\d %  +\d+ images/s", lines[0]), lines[0]
    rows = [line for line in lines if re.match(r" +\d+ ", line)]
    assert len(rows) == 2
    assert max(map(len, out.splitlines())) < 80
    history = Trainer.resume(folder / "a/b" / run.CHECKPOINT, npnets.data.load("tiny")).history
    last = [line.split("step 7/7")[1].split() for line in lines if "  step 7/7  " in line]
    assert [(line[1], line[3], line[5]) for line in last] == [  # the whole epoch: as in its row
        (f"{row.train_loss:.3f}", f"{100 * row.train_accuracy:.1f}", f"{row.images_per_second:.0f}") for row in history
    ]

    assert sorted(os.listdir(folder / "a/b")) == FILES
    with open(folder / "a/b/log.csv", newline="") as file:
        log = list(csv.DictReader(file))
    assert [row["epoch"] for row in log] == ["1", "2"]
    for row, shown in zip(log, rows, strict=True):
        assert f"{100 * float(row['test_accuracy']):.1f} %" in shown
        assert f"{float(row['train_loss']):.4f}" in shown
    accuracy = f"test accuracy {100 * float(log[-1]['test_accuracy']):.1f} %"
    assert [line for line in lines if "accuracy" in line][-1] == accuracy == lines[-1]


@pytest.mark.parametrize(
    "of_model", [{"model": "shufflenet", "scale": 0.5, "groups": 2}, {"model": "mobilenet", "width": 0.75}], ids=str
)
def test_each_option_reaches_the_settings(npnets_, folder, monkeypatch, of_model):
    seen = []
    monkeypatch.setattr(
        cli.train, "run_training", lambda trainer, out, note: seen.append((trainer.settings, out)) or True
    )
    options = {
        **of_model, "body": "small", "data": "tiny", "epochs": 7, "batch_size": 14, "lr": 0.125, "schedule": "step",
        "momentum": 0.5, "weight_decay": 0.25, "label_smoothing": 0.1, "crop": 2, "flip": True, "seed": 9,
        "side": 8, "resized_crop": 0.25,
    }  # fmt: skip
    arguments = [text for name, value in options.items()
                 for text in ("--" + name.replace("_", "-"), str(int(value) if value is True else value))]  # fmt: skip
    assert npnets_("train", *arguments, "--skip-decay", "depthwise", "1d", "--use", "numpy")[0] == 0
    settings, out = seen[0]
    assert vars(settings) == {**vars(Settings()), **options, "skip_decay": ("depthwise", "1d")}
    assert str(out) == os.path.join("runs", f"{of_model['model']}-tiny")
    assert not (folder / "runs").exists()  # nothing was put into it


def test_results_never_go_over_other_results(npnets_, folder):
    for name in "mobilenet-tiny", "mobilenet-tiny-2", "mobilenet-tiny-3":
        assert npnets_(*SMALL, "--epochs", 1)[0] == 0
        assert sorted(os.listdir(folder / "runs" / name)) == FILES
    message = "holds a training already: see --resume, or name another folder"
    assert message in error(npnets_, *SMALL, "--out", "runs/mobilenet-tiny")


def test_the_log_and_the_folder_may_look_like_markup(npnets_, folder, drawn, interrupt):
    """[red] and [/b] are rich's, :smile: too, and $ is matplotlib's; here they are names."""
    write_idx(folder / "[red]$a^$", tiny())
    interrupt(2)
    name = os.path.join("x[", "b] :smile: $")
    status, out, _ = npnets_(*SMALL, "--data", "[red]$a^$", "--out", name)
    assert status == 130
    assert "    [red]$a^$: 56 training" in out
    assert f'    npnets train --resume "{name}"\n' in out
    status, out, err = npnets_("train", "--resume", name)
    assert (status, err) == (0, "")
    assert f"in {name}: log.csv" in out


# ---- Ctrl-C and --resume ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 5, 7, "evaluation", 10])
def test_ctrl_c_saves_and_going_on_gives_the_same_bytes(npnets_, folder, interrupt, monkeypatch, step):
    assert npnets_(*SMALL, "--epochs", 3, "--out", "whole")[0] == 0
    interrupt(step)
    status, out, err = npnets_(*SMALL, "--epochs", 3, "--out", "parts")
    assert (status, err) == (130, "")
    epoch, position = {1: (1, 1), 5: (1, 5), 7: (2, 0), "evaluation": (2, 0), 10: (2, 3)}[step]
    assert out.endswith(
        f"stopped in epoch {epoch} after step {position}, and saved. Go on with\n    npnets train --resume parts\n"
    )
    monkeypatch.undo()
    status, out, err = npnets_("train", "--resume", "parts", "--threads", 1)
    assert (status, err) == (0, "")
    assert f"    goes on in epoch {epoch} after step {position}\n" in out
    assert sum(bool(re.match(r" +\d+ +\d", line)) for line in out.splitlines()) == 3  # all rows are shown
    assert untimed("whole/checkpoint.safetensors") == untimed("parts/checkpoint.safetensors")
    for name in "confusion.png", "curves.png":
        assert (folder / "whole" / name).read_bytes() == (folder / "parts" / name).read_bytes()
    logs = [list(csv.reader((folder / part / "log.csv").read_text().splitlines())) for part in ("whole", "parts")]
    assert untimed_rows(logs[0]) == untimed_rows(logs[1])


@pytest.mark.skipif(os.name == "nt", reason="SIGINT to another process is POSIX's")
def test_sigint_to_a_process(npnets_, folder):
    """The signal that a terminal sends, at some moment of some step."""
    arguments = [*SMALL, "--epochs", "20"]
    child = subprocess.Popen(
        [sys.executable, "-u", "-m", "npnets", *arguments, "--out", "parts"], stdout=subprocess.PIPE, cwd=folder
    )
    seen = b""
    while b"\n    1 " not in seen:  # the row of the first epoch
        part = child.stdout.readline()
        assert part, "it ended before it was interrupted"
        seen += part
    child.send_signal(signal.SIGINT)
    rest = child.communicate(timeout=60)[0].decode()
    assert child.returncode == 130
    assert "and saved. Go on with\n    npnets train --resume parts\n" in rest
    assert npnets_("train", "--resume", "parts")[0] == npnets_(*arguments, "--out", "whole")[0] == 0
    assert untimed(folder / "whole/checkpoint.safetensors") == untimed(folder / "parts/checkpoint.safetensors")


def test_a_second_ctrl_c_ends_it_at_once_and_loses_nothing(npnets_, folder, monkeypatch):
    save = Trainer.save

    def saving(self, path):
        if self.epoch == 2:
            signal.raise_signal(signal.SIGINT)
            assert self.position == 0  # the first one waits for the next step, the second does not
            signal.raise_signal(signal.SIGINT)
        save(self, path)

    monkeypatch.setattr(Trainer, "save", saving)
    status, out, err = npnets_(*SMALL, "--out", "a")
    assert (status, err) == (130, "npnets: interrupted\n")
    assert "stopped" not in out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert "    goes on in epoch 2 after step 0\n" in npnets_("train", "--resume", "a")[1]


def test_ctrl_c_before_the_first_step_leaves_nothing(npnets_, folder, monkeypatch):
    def probe(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "probe", probe)
    status, _, err = npnets_(*SMALL)
    assert (status, err) == (130, "npnets: interrupted\n")
    assert os.listdir() == ["tiny"]


def test_it_saves_within_long_epochs(npnets_, folder, monkeypatch):
    monkeypatch.setattr(run, "SECONDS_BETWEEN_SAVES", 0)
    seen, save = [], Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda self, path: (seen.append(self.steps_done), save(self, path)))
    assert npnets_(*SMALL, "--epochs", 1)[0] == 0
    assert seen == [*range(1, 8), 7]


def test_resume_of_a_training_that_is_complete(npnets_, folder):
    assert npnets_(*SMALL, "--epochs", 1, "--schedule", "constant", "--out", "a")[0] == 0
    for name in FILES[1:]:  # as after a kill -9 right behind the last save
        os.remove(folder / "a" / name)
    accuracy = npnets_("train", "--resume", "a/checkpoint.safetensors")[1].splitlines()
    assert "    complete already; --epochs with a larger number trains on" in accuracy
    assert accuracy[-1].startswith("test accuracy ")
    assert sorted(os.listdir("a")) == FILES
    assert npnets_("train", "--resume", "a", "--epochs", 2)[0] == 0
    assert npnets_(*SMALL, "--epochs", 2, "--schedule", "constant", "--out", "b")[0] == 0
    assert untimed("a/checkpoint.safetensors") == untimed("b/checkpoint.safetensors")
    message = error(npnets_, "train", "--resume", "a", "--epochs", 1)
    assert message.endswith("`epochs` (=1) must be at least those begun already (=2)")


# ---- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lr", "-1"), "`lr` (=-1.0) must be at least 0 and finite"),
        (("--lr", "nan"), "`lr` (=nan) must be at least 0 and finite"),
        (("--lr", "inf"), "`lr` (=inf) must be at least 0 and finite"),
        (("--lr", "1e999"), "`lr` (=inf) must be at least 0 and finite"),
        (("--width", "0"), "`width` (=0.0) must be greater than 0 and at most 16"),
        (("--model", "shufflenet", "--groups", "0"), "`groups` (=0) must be at least 1"),
        (("--epochs", "0"), "`epochs` (=0) must be at least 1"),
        (("--batch-size", "57"), "`batch_size` (=57) must be at most the number of training images (=56)"),
        (("--batch-size", "1"), "`batch_size` (=1) must be at least 2"),
        (("--crop", "9"), "`crop` (=9) must be less than the images' shorter side (=8)"),
        (("--seed", "-1"), "`seed` (=-1) must be at least 0"),
        (("--threads", "0"), "`--threads` (=0) must be at least 1"),
        (
            ("--model", "shufflenet", "--width", "0.5"),
            "`--width` (=0.5) goes with --model mobilenet, and the model is s",
        ),
        (("--groups", "4"), "`--groups` (=4) goes with --model shufflenet, and the model is mobilenet"),
        (("--model", "mobilenet", "--scale", "2"), "`--scale` (=2.0) goes with --model shufflenet, and the model is m"),
        (("--body", "paper", "--model", "shufflenet", "--groups", "5"), "`groups` (=5) at `scale` (=1.0) is not in"),
        (
            ("--data", "cifar"),
            "`--data` (='cifar') must be one of 'fashion-mnist', 'fashion-mnist-full', 'digits', 'cifar10', or",
        ),
        (("--data", "empty"), "(data_batch_1.bin and so on), or with a folder of pictures for each class"),
        (("--data", "file"), "`--data` (='file') must be one of"),
        (("--data", "cut"), "train-images-idx3-ubyte"),
        (("--out", "file"), "`--out` (=file) is not a folder, or one above it is not"),
        (("--out", "file/a/b"), "is not a folder, or one above it is not"),
        (("--resume", "nothing"), "there is no checkpoint nothing"),
        (("--resume", "empty"), f"there is no checkpoint {os.path.join('empty', 'checkpoint.safetensors')}"),
        (("--resume", "file"), "file is not a checkpoint of npnets, or a damaged one: "),
        (("--resume", "empty", "--out", "a"), "`--out` (=a) cannot go with --resume, which goes on in its folder"),
    ],
    ids=str,
)
def test_errors_are_one_line_and_leave_nothing(npnets_, folder, arguments, message):
    (folder / "empty").mkdir()
    (folder / "file").write_bytes(b"npnets" * 20)
    write_idx(folder / "cut", tiny())
    (folder / "cut/train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03")
    given = ("train",) if "--resume" in arguments else TINY if "shufflenet" in arguments else SMALL
    assert message in error(npnets_, *given, *arguments)


@pytest.mark.quick
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tain",), "npnets: error: argument COMMAND: invalid choice: 'tain' (choose from"),
        (("train", "--model", "resnet"), "argument --model: invalid choice: 'resnet' (choose from"),
        (("train", "--epochs", "many"), "argument --epochs: invalid int value: 'many'"),
        (("train", "--flip", "yes"), "argument --flip: must be 0 or 1, not 'yes'"),
        (("train", "--schedule", "up"), "argument --schedule: invalid choice: 'up'"),
        (("train", "--skip-decay", "2d"), "argument --skip-decay: invalid choice: '2d'"),
        (("train", "--depth", "3"), "unrecognized arguments: --depth 3"),
    ],
    ids=str,
)
def test_what_cannot_be_parsed(npnets_, arguments, message):
    status, out, err = npnets_(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: npnets")
    assert message in err.splitlines()[-1]
    assert os.listdir() == ["tiny"]


def test_resume_takes_the_settings_that_it_began_with(npnets_, interrupt):
    interrupt(3)
    assert npnets_(*SMALL, "--out", "a")[0] == 130
    before = untimed("a/checkpoint.safetensors")
    message = error(npnets_, "train", "--resume", "a", "--lr", "0.2", "--batch-size", "8")
    assert message == (
        "--batch-size, --lr cannot go with --resume: the checkpoint holds the settings; only --epochs may change"
    )
    os.rename("tiny", "gone")
    assert "`data` (='tiny') must be one of" in error(npnets_, "train", "--resume", "a")
    write_idx(npnets.data.idx.Path("tiny"), tiny(images=64))
    assert "it was trained on other images than those of 'tiny'" in error(npnets_, "train", "--resume", "a")
    assert untimed("a/checkpoint.safetensors") == before


@pytest.mark.filterwarnings("error")
def test_a_training_that_diverges(npnets_, folder):
    for out in ("--out", "deep/er"), ():
        status, _, err = npnets_(*SMALL, *out, "--lr", "1e30", "--schedule", "constant")
        assert status == 1
        assert re.fullmatch(
            r"npnets: error: the training has diverged: the loss is (nan|inf) in epoch 1, step \d; a smaller `lr` "
            r"\(=1e\+30\) may help\n",
            err,
        )
        assert os.listdir() == ["tiny"]  # also not an empty folder


def test_a_constant_image_is_an_error(npnets_, folder):
    data = tiny()
    data.x_train[...] = 7
    write_idx(folder / "grey", data)
    status, _, err = npnets_(*SMALL, "--data", "grey")
    assert (status, err.count("\n")) == (1, 1)
    assert "a channel that is constant has none" in err
    assert sorted(os.listdir()) == ["grey", "tiny"]


def test_a_folder_that_cannot_be_written_to(npnets_, folder, monkeypatch):
    """As `os.access` says: for root, who runs the tests in containers, no folder is."""
    (folder / "a").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert "`--out` (=a) is a folder that cannot be written to" in error(npnets_, *SMALL, "--out", "a")


def test_a_full_disk(npnets_, folder, monkeypatch):
    assert npnets_(*SMALL, "--epochs", 1, "--schedule", "constant", "--out", "a")[0] == 0
    before = untimed("a/checkpoint.safetensors")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = npnets_("train", "--resume", "a", "--epochs", 2)
    assert (status, err) == (1, "npnets: error: [Errno 28] No space left on device: 'a/checkpoint.safetensors'\n")
    assert untimed("a/checkpoint.safetensors") == before
    assert sorted(os.listdir("a")) == FILES


WITHOUT = """
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {0!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
from npnets.cli import main
sys.exit(main({1!r}))
"""


@pytest.mark.parametrize("package", ["rich", "matplotlib", "safetensors", "sklearn"])
def test_without_an_optional_package(folder, package):
    """It is named before anything is done, with the command that installs it; and help does not need it."""
    arguments = ["train", "--data", "digits" if package == "sklearn" else "tiny"]
    done = python("-c", WITHOUT.format(package, arguments), cwd=folder, code=1)
    assert done.stdout == b""
    assert re.fullmatch(
        rf'npnets: error: .+ needs `{package}`: pip install "npnets\[demos\]" \(in a clone: .+\)\n',
        done.stderr.decode().replace("\r", ""),
    )
    assert os.listdir() == ["tiny"]


@pytest.mark.quick
def test_errors_without_a_text_have_one(npnets_, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(cli.train, "load_named", fail)
    assert error(npnets_, *SMALL) == "out of memory"


# ---- terminals and encodings -----------------------------------------------------------------------------------------

HELPS = """
from npnets.cli import main
for arguments in [], ["--help"], ["train", "--help"]:
    try:
        main(arguments)
    except SystemExit as error:
        assert error.code == 0
"""


@pytest.mark.parametrize("encoding", ["cp1252", "cp949", "ascii"])
def test_help_in_every_encoding(tmp_path, encoding):
    done = python("-c", HELPS, cwd=tmp_path, PYTHONIOENCODING=encoding, COLUMNS="40")
    text = done.stdout.decode(encoding)
    assert text.count("usage: npnets") == 3
    assert "?" not in text
    assert done.stderr == b""


DIGITS = ("train", *USE, "--data", "digits", "--epochs", "1", "--width", "0.25", "--batch-size", "128")
ONE_EPOCH = (*SMALL, "--epochs", "1")


def test_a_training_in_a_pipe(tmp_path):
    done = python("-m", "npnets", *DIGITS, cwd=tmp_path, PYTHONIOENCODING="cp1252", COLUMNS="40")
    text = done.stdout.decode("cp1252")
    assert re.fullmatch(r"test accuracy \d+\.\d %", text.splitlines()[-1])
    assert text.count("epoch 1/1  step ") == 5  # of 11 steps each second one
    assert "\x1b" not in text
    assert "\r" not in text.replace("\r\n", "")
    assert done.stderr == b""


@pytest.mark.parametrize(("encoding", "shown"), [("cp1252", "??"), ("cp949", "\uc2e0\ubc1c"), ("ascii", "??")])
def test_a_name_that_the_encoding_may_not_have(folder, monkeypatch, encoding, shown):
    """It is shown with question marks, and does not end the training."""
    write_idx(folder / "\uc2e0\ubc1c", tiny())
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding) for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)
    statuses = [cli.main([*ONE_EPOCH, "--data", name]) for name in ("\uc2e0\ubc1c", "\uc2e0")]
    monkeypatch.undo()
    out, err = (stream.buffer.getvalue() for stream in streams.values() if stream.flush() is None)
    assert statuses == [0, 1]
    assert f"    {shown}: 56 training".encode(encoding) in out
    assert f"(='{shown[0]}') must be one of".encode(encoding) in err
    assert sorted(os.listdir(folder / "runs" / "mobilenet-\uc2e0\ubc1c")) == FILES


@pytest.mark.skipif(os.name == "nt", reason="there is no pty")
@pytest.mark.parametrize(("encoding", "columns", "arguments"), [("cp1252", 40, ONE_EPOCH), ("cp949", 80, DIGITS)])
def test_a_training_in_a_terminal(folder, encoding, columns, arguments):
    """A live bar with loss, accuracy and speed, erased in the end; the rest as in a pipe."""
    text = in_terminal(folder, arguments, encoding, columns)
    assert re.search(r"test accuracy \d+\.\d %\s*$", text)
    assert "epoch 1/1  step" not in text
    assert "\x1b[2K" in text
    assert "?" not in text.replace("\x1b[?25", "")  # nothing that the encoding does not have
    if columns == 80:
        assert re.search(r"epoch 1/1 .*loss .*\d\.\d{3}.*accuracy .*\d %.* images/s.* left", text)
        assert "left\r\n\x1b[?25h\r\x1b[1A\x1b[2K" in text  # one line up, and erased


def test_a_terminal_that_can_do_nothing_gets_plain_lines():
    file = io.StringIO()
    console = rich.console.Console(file=file, force_terminal=True, _environ={"TERM": "dumb"}, soft_wrap=True)
    with run._status(console, "waiting"), run._bar(console, "epoch 1/1", 8, 0) as show:
        for step in range(1, 9):
            show(step, "loss 1")
    assert file.getvalue() == "".join(f"epoch 1/1  step {step}/8  loss 1\n" for step in (2, 4, 6, 8))


def in_terminal(cwd, arguments, encoding, columns, **environment):
    import pty  # Windows has none

    master, slave = pty.openpty()
    environment = {"TERM": "xterm-256color", **environment, "PYTHONIOENCODING": encoding, "COLUMNS": str(columns)}
    child = subprocess.Popen(
        [sys.executable, "-m", "npnets", *arguments], cwd=cwd, stdout=slave, stderr=slave, env=os.environ | environment
    )
    os.close(slave)
    seen = b""
    try:
        while part := os.read(master, 65536):
            seen += part
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(master)
    assert child.wait(60) == 0, seen.decode(encoding)
    return seen.decode(encoding)


@pytest.mark.quick
def test_what_is_shown_of_the_settings():
    for settings, text in (
        (npnets.train.Settings(), "MobileNet V1, small body, width 0.5"),
        (
            npnets.train.Settings(model="shufflenet", body="paper", groups=8, scale=2.0),
            "ShuffleNet V1, paper body, 8 groups, scale 2",
        ),
    ):
        assert run.describe(settings) == text
    assert [run._duration(seconds) for seconds in (3.4, 99, 100, 5999, 9000)] == [
        "3 s", "99 s", "2 min", "100 min", "2.5 h",
    ]  # fmt: skip
