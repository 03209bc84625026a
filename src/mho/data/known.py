"""What `mho data` knows: data sets and published weights, where they come from, and how they are recognised.

Every address and checksum stands in a public source, which the entry names. What its source does not say is None here and
"not stated" on the screen.
"""

from __future__ import annotations

from dataclasses import dataclass

from mho.errors import WrongSetting
from mho.models.published import FOLDER, by_hand
from mho.models.published_table import NETWORKS


@dataclass(frozen=True)
class Remote:
    """A file that can be fetched.

    Attributes:
        name: Its name.
        addresses: Where it is served; the first that answers is taken.
        checksum: ``algorithm:digits``.
        megabytes: Its size as the source gives it.
    """

    name: str
    addresses: tuple[str, ...]
    checksum: str
    megabytes: float


@dataclass(frozen=True)
class Known:
    """A data set, or the weights of a network.

    Attributes:
        name: What `mho.data.load` or ``published:NAME`` calls it.
        what: In a few words.
        folder: Where it lies below `data_root`.
        page: The authors' page, or repository and commit.
        licence: As the authors state it.
        source: Where addresses, checksums and sizes stand.
        files: What is fetched; nothing where there is no file of its authors that `mho` reads.
        inside: Checksums of the files that unpacking leaves, by their path below `folder`; an archive is deleted then.
        otherwise: What to do where nothing can be fetched.
    """

    name: str
    what: str
    folder: str
    page: str
    licence: str
    source: str
    files: tuple[Remote, ...] = ()
    inside: tuple[tuple[str, str], ...] = ()
    otherwise: str = ""

    @property
    def weights(self) -> bool:
        """True for the weights of a network."""
        return self.folder == FOLDER

    @property
    def megabytes(self) -> float | None:
        """Size of what is fetched."""
        return sum(file.megabytes for file in self.files) if self.files else None


_KRIZ = "https://www.cs.toronto.edu/~kriz"
_TORCHVISION = "torchvision"
_CIFAR_LICENCE = "none stated by the authors; in common use for research, with a citation of Krizhevsky (2009)"
_OSSCI = "https://ossci-datasets.s3.amazonaws.com/mnist"
_LECUN = "http://yann.lecun.com/exdb/mnist"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_RAW = "https://raw.githubusercontent.com"


def _mnist(name: str, md5: str, megabytes: float) -> Remote:
    # The authors' own server has answered 404 since 2025 (github pytorch/pytorch pull 164238); torch hosts the copy.
    return Remote(name, (f"{_OSSCI}/{name}", f"{_LECUN}/{name}"), f"md5:{md5}", megabytes)


def _fashion(name: str, md5: str, megabytes: float) -> Remote:
    return Remote(name, (f"{_FASHION}/{name}",), f"md5:{md5}", megabytes)


_DATA = (
    Known(
        "cifar10", "60,000 photographs of ten classes, 32 × 32", "cifar10", f"{_KRIZ}/cifar.html", _CIFAR_LICENCE,
        f"md5 and size of the archive: the authors' page; md5 of what is in it: {_TORCHVISION}, datasets/cifar.py",
        files=(
            Remote(
                "cifar-10-python.tar.gz", (f"{_KRIZ}/cifar-10-python.tar.gz",), "md5:c58f30108f718f92721af3b95e74349a",
                163,
            ),
        ),
        inside=(
            ("cifar-10-batches-py/data_batch_1", "md5:c99cafc152244af753f735de768cd75f"),
            ("cifar-10-batches-py/data_batch_2", "md5:d4bba439e000b95fd0a9bffe97cbabec"),
            ("cifar-10-batches-py/data_batch_3", "md5:54ebc095f3ab1f0389bbae665268c751"),
            ("cifar-10-batches-py/data_batch_4", "md5:634d18415352ddfa80567beed471001a"),
            ("cifar-10-batches-py/data_batch_5", "md5:482c414d41f54cd18b22e5b47cb7c3cb"),
            ("cifar-10-batches-py/test_batch", "md5:40351d587109b95175f43aff81a1287e"),
        ),
    ),
    Known(
        "cifar100", "60,000 photographs of a hundred classes, 32 × 32", "cifar100", f"{_KRIZ}/cifar.html", _CIFAR_LICENCE,
        f"size: the authors' page; md5 of the archive and of what is in it: {_TORCHVISION}, datasets/cifar.py",
        files=(
            Remote(
                "cifar-100-python.tar.gz", (f"{_KRIZ}/cifar-100-python.tar.gz",),
                "md5:eb9058c3a382ffc7106e4002c42a8d85", 161,
            ),
        ),
        inside=(
            ("cifar-100-python/train", "md5:16019d7e3df5f24257cddd939b257f8d"),
            ("cifar-100-python/test", "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"),
            ("cifar-100-python/meta", "md5:7973b15100ade9c7d40fb424638fde48"),
        ),
    ),
    Known(
        "mnist", "70,000 handwritten digits, 28 × 28", "mnist", f"{_LECUN}/",
        "not stated by the authors; copies usually say CC BY-SA 3.0",
        f"addresses and md5: {_TORCHVISION}, datasets/mnist.py; sizes: the authors' page",
        files=(
            _mnist("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9.912422),
            _mnist("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432", 0.028881),
            _mnist("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3", 1.648877),
            _mnist("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c", 0.004542),
        ),
    ),
    Known(
        "fashion-mnist", "70,000 articles of clothing in ten classes, 28 × 28", "fashion-mnist",
        "https://github.com/zalandoresearch/fashion-mnist", "MIT", "the authors' README (addresses, md5, sizes)",
        files=(
            _fashion("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26),
            _fashion("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe", 0.029),
            _fashion("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79", 4.3),
            _fashion("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310", 0.0051),
        ),
    ),
    Known(
        "kws", "1,000 spoken words as MFCC maps (MLPerf Tiny)", "kws01",
        "github eembc/energyrunner 00bc683, datasets/kws01; from Google Speech Commands v2", "CC BY 4.0 (the recordings)",
        "the repository; it states no checksum", otherwise=(
            "its authors publish one file a recording: put their maps (1000, 49, 10) of int8 as 'q' and their classes (1000,) "
            "as 'y' into kws01/kws01_mfcc.npz"
        ),
    ),
    Known(
        "vww01", "1,000 photographs with or without a person, 96 × 96 (MLPerf Tiny)", "vww01",
        "github eembc/energyrunner 00bc683, datasets/vww01; from COCO 2014", "that of each photograph on Flickr (COCO)",
        "the repository; it states no checksum", otherwise=(
            "copy datasets/vww01 of github eembc/energyrunner at commit 00bc683 (later ones lack the images) into vww01: "
            "y_labels.csv and 1,000 files of 27,648 bytes"
        ),
    ),
    Known(
        "tinystories", "five real stories, 1,804 tokens, and the tokenizer of 512 pieces", "tinystories",
        "https://huggingface.co/karpathy/tinyllamas (stories260K); https://huggingface.co/datasets/roneneldan/TinyStories",
        "not stated here", "the pages; no checksum is known", otherwise=(
            "put the tokenizer of stories260K as tinystories/tok512.bin, and stories with <|endoftext|> between them as "
            "tinystories/tinystories_sample.txt"
        ),
    ),
    Known(
        "tinystories-self", "200 samples of 256 tokens that stories260k wrote itself", "tinystories",
        "made with the network, at temperature 1; published nowhere else", "that of the network", "no checksum is known",
        otherwise="put tokens (200, 256) as tinystories/self_samples.npy, with tinystories/tok512.bin",
    ),
)  # fmt: skip

# Repository, commit and folder of checkpoints that are read as they are. The sizes and checksums are those of the files at that
# commit, whose values were compared with the weights whose accuracy was measured; akamaster's file names begin with the
# first digits of the sha256, as `torch.hub` has it.
_AKAMASTER = ("akamaster/pytorch_resnet_cifar10", "d5489e8995e81e91ce6b1d69dcc98ad579b0b153", "pretrained_models")
_CROSSSIM = (
    "sandialabs/cross-sim", "0a2eb1eda183326ef4d98d792995c721105d3726", "applications/dnn/torch/cifar10_resnet/models",
)  # fmt: skip
_CHECKPOINTS = {
    "cifar10_resnet20": (_AKAMASTER, "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8", 1.099231),
    "cifar10_resnet32": (_AKAMASTER, "d509ac1820d7f25398913559d7e81a13229b1e7adc5648e3bfa5e22dc137f850", 1.890043),
    "cifar10_resnet44": (_AKAMASTER, "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4", 2.680855),
    "cifar10_resnet56": (_AKAMASTER, "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367", 3.471733),
    "cifar10_resnet14b_crosssim": (
        _CROSSSIM, "f30508a8c689ae09b79066ff3efe08e27fbb0d8459099dd316baed95a1a867aa", 0.742466,
    ),
    "cifar10_resnet20b_crosssim": (
        _CROSSSIM, "8ef7992ee3561f7f73bd56dc2d9ab1af719d6185527cc1e93406ee8f2b70699f", 1.144826,
    ),
}  # fmt: skip


def _network(name: str) -> Known:
    entry = NETWORKS[name]
    what = f"weights: {entry.accuracy:.2%} of {entry.measured_on}"
    if entry.checkpoint is None:
        return Known(
            name, what, FOLDER, entry.source, entry.licence, "the repository; no checksum of these files is known",
            otherwise=by_hand(name),
        )  # fmt: skip
    (repository, commit, folder), sha256, megabytes = _CHECKPOINTS[name]
    address = f"{_RAW}/{repository}/{commit}/{folder}/{entry.checkpoint}"
    return Known(
        name, what, FOLDER, f"https://github.com/{repository}", entry.licence,
        f"the file at commit {commit[:7]} (size; sha256 computed from it)",
        files=(Remote(entry.checkpoint, (address,), f"sha256:{sha256}", megabytes),),
    )  # fmt: skip


KNOWN: dict[str, Known] = {one.name: one for one in (*_DATA, *map(_network, NETWORKS))}
"""By name."""


def known(name: str) -> Known:
    """The entry of this name; ``published:NAME`` and a data set with options are understood.

    Raises:
        WrongSetting: There is none.
    """
    short = name.strip().removeprefix("published:").partition("?")[0]
    if short in KNOWN:
        return KNOWN[short]
    if short == "digits":
        raise WrongSetting("'digits' comes with scikit-learn", "pip install 'mho[demo]'; there is nothing to fetch")
    raise WrongSetting(f"nothing is known of '{name}'", f"names are {', '.join(KNOWN)}")
