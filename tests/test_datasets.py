"""Wrong data spoil every experiment silently, so what the datasets promise is checked here.

The network is never used: downloads are played by small fake files with their own sha256.
"""

from __future__ import annotations

import email.message
import gzip
import hashlib
import http.client
import io
import os
import pickle
import subprocess
import sys
import urllib.error
import urllib.request
import urllib.response

import numpy as np
import pytest

from chainrule import _mnist, datasets

REAL = os.environ.get("CHAINRULE_DATA")
FETCH = _mnist._fetch
NAMES = {part: name for part, (name, _) in _mnist.PARTS.items()}


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Give each test its own empty cache folder, no CHAINRULE_DATA and no network."""
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))

    def no_network(url):
        raise AssertionError(f"a test tried to open {url}")

    monkeypatch.setattr(_mnist, "_fetch", no_network)
    return tmp_path / "cache" / "chainrule"


# ---------------------------------------------------------------- digits


def test_digits_shapes_types_and_ranges():
    (x_train, y_train), (x_test, y_test) = datasets.digits()
    assert x_train.shape == (1437, 64)
    assert y_train.shape == (1437,)
    assert x_test.shape == (360, 64)
    assert y_test.shape == (360,)
    for x, y in ((x_train, y_train), (x_test, y_test)):
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.min() == 0
        assert x.max() == 1
        assert np.array_equal(x * 16, np.rint(x * 16))
        assert set(y.tolist()) == set(range(10))


def test_digits_are_the_published_test_set():
    (x_train, y_train), (x_test, y_test) = datasets.digits()
    counts = np.bincount(y_train) + np.bincount(y_test)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    first = "0 0 5 13 9 1 0 0 0 0 13 15 10 15 5 0 0 3 15 2 0 11 8 0 0 4 12 0 0 8 8 0"
    assert (x_test[0, :32] * 16).tolist() == [float(pixel) for pixel in first.split()]
    assert y_test[0] == 0
    everything = np.concatenate([x_train, x_test])
    assert len(np.unique(everything, axis=0)) == 1797  # no row occurs twice or on both sides


def test_digits_split_is_fixed_stratified_and_mixed():
    (x_train, y_train), (_, y_test) = datasets.digits()
    train, test = np.bincount(y_train), np.bincount(y_test)
    assert np.all(np.abs(test - (train + test) / 5) < 1)
    again = datasets.digits()
    assert np.array_equal(x_train, again[0][0])
    assert np.array_equal(y_test, again[1][1])
    for y in (y_train, y_test):  # any hundred rows in a row hold all ten classes
        assert all(len(set(y[i : i + 100].tolist())) == 10 for i in range(len(y) - 99))


def test_digits_are_learnable():
    (x_train, y_train), (x_test, y_test) = datasets.digits()
    distance = (x_train**2).sum(axis=1) - 2 * x_test @ x_train.T
    assert np.mean(y_train[distance.argmin(axis=1)] == y_test) > 0.97


# ---------------------------------------------------------------- drawn sets


def test_the_ten_students():
    x, y = datasets.will_i_pass()
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    passed = [[6.7, 1.9], [5.0, 6.2], [2.8, 4.7], [6.3, 5.3], [2.2, 6.7], [5.0, 2.0], [7.4, 3.4]]
    failed = [[1.0, 1.2], [2.0, 1.6], [0.8, 2.6]]
    assert np.array_equal(x[y == 1], np.array(passed, np.float32))
    assert np.array_equal(x[y == 0], np.array(failed, np.float32))
    sums = x.sum(axis=1)
    assert (sums[y == 1].min() + sums[y == 0].max()) / 2 == pytest.approx(5.3)


def test_drawn_students_follow_the_rule():
    x, y = datasets.will_i_pass(5000, seed=1)
    assert x.shape == (5000, 2)
    assert x.min() >= 0
    assert x.max() <= 8
    assert x.mean(axis=0) == pytest.approx([4, 4], abs=0.15)
    margin = x.sum(axis=1) - 5.3
    assert np.array_equal(y[np.abs(margin) > 3], (margin > 0)[np.abs(margin) > 3])
    assert 0 < np.mean(y != (margin > 0)) < 0.05  # a little noise near the line
    near = np.abs(margin) < 0.5
    chance = 1 / (1 + np.exp(-4 * margin[near]))
    assert y[near].mean() == pytest.approx(chance.mean(), abs=0.06)


def test_xor_corners_and_clouds():
    x, y = datasets.xor()
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    assert x.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert y.tolist() == [0, 1, 1, 0]
    x, y = datasets.xor(400, noise=0.05)
    assert np.array_equal(y, (x[:, 0] > 0.5) ^ (x[:, 1] > 0.5))
    assert (x - np.rint(x)).std() == pytest.approx(0.05, rel=0.1)
    x, y = datasets.xor(8, noise=0)
    assert np.unique(x, axis=0, return_counts=True)[1].tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_spirals_lie_on_their_arms(classes):
    x, y = datasets.spirals(600, classes, noise=0)
    radius = np.hypot(x[:, 0], x[:, 1])
    assert radius.max() <= 1.0001
    assert radius.mean() == pytest.approx(0.5, abs=0.05)
    angle = 2 * np.pi * y / classes + 4 * radius
    expected = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    assert x == pytest.approx(expected, abs=1e-5)


def test_spirals_noise_turns_the_angle_only():
    x, y = datasets.spirals(3000, 3, noise=0.2)
    radius = np.hypot(x[:, 0], x[:, 1])
    turn = np.arctan2(x[:, 1], x[:, 0]) - 2 * np.pi * y / 3 - 4 * radius
    turn = (turn + np.pi) % (2 * np.pi) - np.pi
    assert turn.std() == pytest.approx(0.2, rel=0.1)


def test_moons_lie_on_their_half_circles():
    x, y = datasets.moons(300, noise=0)
    centres = np.array([[0, 0], [1, 0.5]])[y]
    assert np.hypot(*(x - centres).T) == pytest.approx(np.ones(300), abs=1e-5)
    assert x[y == 0, 1].min() >= -1e-6  # the upper half of one circle
    assert x[y == 1, 1].max() <= 0.5 + 1e-6  # the lower half of the other
    noisy, y = datasets.moons(3000, noise=0.1)
    distance = np.hypot(*(noisy - np.array([[0, 0], [1, 0.5]])[y]).T)
    assert distance.std() == pytest.approx(0.1, rel=0.1)


def test_blobs_spread_and_centres():
    x, y = datasets.blobs(3000, classes=4, features=3, spread=0.5, seed=2)
    assert x.shape == (3000, 3)
    for k in range(4):
        assert x[y == k].std(axis=0) == pytest.approx(np.full(3, 0.5), rel=0.1)
        assert np.abs(x[y == k].mean(axis=0)).max() < 10.1
    x, y = datasets.blobs(30, classes=5, spread=0)
    assert len(np.unique(x, axis=0)) == 5


@pytest.mark.parametrize("n", [1, 2, 7, 100, 301])
@pytest.mark.parametrize(
    ("draw", "classes"),
    [(datasets.spirals, 3), (datasets.moons, 2), (datasets.blobs, 3), (datasets.xor, 2)],
)
def test_drawn_sets_have_exactly_n_balanced_rows(draw, classes, n):
    x, y = draw(n)
    assert x.shape == (n, 2)
    assert x.dtype == np.float32
    assert y.shape == (n,)
    assert y.dtype == np.int64
    counts = np.bincount(y, minlength=classes)
    assert len(counts) == classes
    assert counts.max() - counts.min() <= 1
    if n >= 100:  # rows are shuffled, neither sorted nor in turn
        assert np.any(np.diff(y) < 0)
        assert np.any(np.diff(y) == 0)


@pytest.mark.parametrize(
    "draw",
    [datasets.will_i_pass, datasets.xor, datasets.spirals, datasets.moons, datasets.blobs],
)
def test_the_seed_alone_decides(draw):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first, second, other = draw(50, seed=3), draw(50, seed=3), draw(50, seed=4)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    assert not np.array_equal(first[0], other[0])
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("function", "option", "values"),
    [
        ("will_i_pass", "n", [0, -1, 2.5, "3", True, [1]]),
        ("will_i_pass", "seed", [-1, 0.5, None]),
        ("xor", "n", [0, 2.5]),
        ("xor", "noise", [-0.1, np.nan, np.inf, "1", None]),
        ("spirals", "n", [0, 2.5, None]),
        ("spirals", "classes", [1, 0, 2.5]),
        ("spirals", "noise", [-0.1, np.nan]),
        ("moons", "n", [0, 2.5, np.nan]),
        ("moons", "noise", [-0.1, np.inf, True]),
        ("moons", "seed", [-1]),
        ("blobs", "n", [0]),
        ("blobs", "classes", [1]),
        ("blobs", "features", [0, 1.5]),
        ("blobs", "spread", [-1, np.nan]),
    ],
)
def test_bad_arguments_are_refused_by_name(function, option, values):
    for value in values:
        with pytest.raises((TypeError, ValueError), match=rf"^datasets\.{function}: {option} must"):
            getattr(datasets, function)(**{option: value})


# ---------------------------------------------------------------- MNIST: reading


def small_mnist(rows=5):
    rng = np.random.default_rng(rows)
    arrays = {}
    for side, n in (("train", rows), ("test", 2)):
        arrays[f"x_{side}"] = rng.integers(0, 256, (n, 28, 28), np.uint8)
        arrays[f"y_{side}"] = rng.integers(0, 10, n, np.uint8)
    return arrays


def idx(array):
    header = np.array([2048 + array.ndim, *array.shape], ">u4")
    return header.tobytes() + array.tobytes()


def write_idx(folder, arrays, zipped=False, old=False):
    folder.mkdir(exist_ok=True)
    for part, array in arrays.items():
        name = NAMES[part].replace("-idx", ".idx") if old else NAMES[part]
        data = gzip.compress(idx(array)) if zipped else idx(array)
        (folder / (name + ".gz" * zipped)).write_bytes(data)
    return folder


def assert_holds(loaded, arrays):
    for (x, y), side in zip(loaded, ("train", "test"), strict=True):
        images, labels = arrays[f"x_{side}"], arrays[f"y_{side}"]
        assert x.dtype == np.float32
        assert y.dtype == np.int64
        assert x.shape == (len(images), 784)
        assert x == pytest.approx(images.reshape(-1, 784) / 255, abs=1e-7)
        assert x.max() <= 1
        assert y.tolist() == labels.tolist()


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("old", [False, True])
def test_idx_folder(tmp_path, zipped, old):
    arrays = small_mnist()
    folder = write_idx(tmp_path / "idx", arrays, zipped, old)
    assert_holds(datasets.mnist(folder), arrays)
    assert_holds(datasets.mnist(str(folder)), arrays)


def test_unzipped_file_that_kept_its_gz_name(tmp_path):
    arrays = small_mnist()
    folder = write_idx(tmp_path / "idx", arrays, zipped=True)
    (folder / f"{NAMES['x_train']}.gz").write_bytes(idx(arrays["x_train"]))
    assert_holds(datasets.mnist(folder), arrays)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_file_and_its_folder(tmp_path, save):
    arrays = small_mnist()
    arrays["x_train"] = np.asfortranarray(arrays["x_train"])
    save(tmp_path / "mnist.npz", **arrays)
    assert_holds(datasets.mnist(tmp_path / "mnist.npz"), arrays)
    write_idx(tmp_path, small_mnist(rows=3))
    assert_holds(datasets.mnist(tmp_path), arrays)  # mnist.npz comes first


def test_path_then_environment_then_cache(tmp_path, monkeypatch):
    mine, shared = small_mnist(rows=3), small_mnist(rows=4)
    write_idx(tmp_path / "mine", mine)
    write_idx(tmp_path / "shared", shared, zipped=True)
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path / "shared"))
    assert_holds(datasets.mnist(), shared)
    assert_holds(datasets.mnist(tmp_path / "mine"), mine)
    cached = fake_server(monkeypatch, small_mnist(rows=6))
    assert_holds(datasets.mnist(), shared)
    monkeypatch.setenv("CHAINRULE_DATA", "")
    assert_holds(datasets.mnist(), cached.arrays)


def test_missing_places_say_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"path names .*nowhere.*no such file or folder"):
        datasets.mnist(tmp_path / "nowhere")
    monkeypatch.setenv("CHAINRULE_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"CHAINRULE_DATA names the folder .*mnist\.npz"):
        datasets.mnist()  # and nothing is downloaded
    folder = write_idx(tmp_path / "idx", small_mnist())
    (folder / NAMES["y_test"]).unlink()
    with pytest.raises(FileNotFoundError, match="no t10k-labels-idx1-ubyte"):
        datasets.mnist(folder)


def header(*numbers):
    return np.array(numbers, ">u4").tobytes()


@pytest.mark.parametrize(
    ("part", "damage", "sentence"),
    [
        ("x_train", lambda data: data[:-1], "3920 bytes after its header.*only 3919"),
        ("x_train", lambda data: data + b"\0", "3920 bytes after its header.*more"),
        ("x_train", lambda data: data[:10], "header of 16 bytes.*10 bytes"),
        ("y_test", lambda data: b"", "header of 8 bytes.*0 bytes"),
        ("x_train", lambda data: b"\1" + data[1:], "magic number 2051"),
        ("y_train", lambda data: header(2051, 5) + data[8:], "magic number 2049.*2051"),
        ("x_train", lambda data: header(2051, 5, 14, 56) + data[16:], r"\(5, 14, 56\)"),
        ("x_train", lambda data: header(2051, 2**32 - 1, 28, 28) + data[16:], "only 3920"),
        ("x_train", lambda data: header(2051, 0, 28, 28), "n at least 1"),
        ("y_train", lambda data: data[:-1] + b"\n", "the label 10"),
        ("y_train", lambda data: header(2049, 4) + data[8:-1], "5 images and 4 labels"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_damaged_idx_files_are_refused(tmp_path, part, damage, sentence, zipped):
    folder = write_idx(tmp_path / "idx", small_mnist(), zipped)
    target = folder / (NAMES[part] + ".gz" * zipped)
    data = target.read_bytes()
    damaged = damage(gzip.decompress(data) if zipped else data)
    target.write_bytes(gzip.compress(damaged) if zipped else damaged)
    with pytest.raises(ValueError, match=rf"^datasets\.mnist: .*{sentence}.*Put a sound copy"):
        datasets.mnist(folder)


@pytest.mark.parametrize("keep", [20, 500, -1])
def test_truncated_gzip_is_refused(tmp_path, keep):
    folder = write_idx(tmp_path / "idx", small_mnist(), zipped=True)
    target = folder / f"{NAMES['x_train']}.gz"
    target.write_bytes(target.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"train-images.*a whole gzip file"):
        datasets.mnist(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x_train": np.zeros((5, 784), np.uint8)}, r"uint8 of shape \(n, 28, 28\).*\(5, 784\)"),
        ({"x_train": np.zeros((5, 28, 28), np.float32)}, "float32"),
        ({"x_train": np.uint8(1)}, r"shape \(\)"),
        ({"y_train": np.zeros(5, np.int64)}, "int64"),
        ({"y_train": np.zeros((5, 10), np.uint8)}, r"\(5, 10\)"),
        ({"y_train": np.full(5, 11, np.uint8)}, "the label 11"),
        ({"y_test": np.zeros(3, np.uint8)}, "2 images and 3 labels"),
        ({"y_test": np.array([1, None], object)}, "plain arrays"),
        ({"y_test": None}, "KeyError"),
    ],
)
def test_wrong_npz_arrays_are_refused(tmp_path, change, sentence):
    arrays = {key: value for key, value in (small_mnist() | change).items() if value is not None}
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(ValueError, match=sentence):
        datasets.mnist(tmp_path / "mnist.npz")


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("a pickle was run",))


def test_other_files_are_not_taken_for_npz(tmp_path):
    np.savez(tmp_path / "good.npz", **small_mnist())
    good = (tmp_path / "good.npz").read_bytes()
    path = tmp_path / "mnist.npz"
    for data in (b"", b"text", good[:100], good[:-30], pickle.dumps(Bomb()), idx(np.zeros(3))):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"mnist\.npz should hold an \.npz archive"):
            datasets.mnist(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(4))
    with pytest.raises(ValueError, match=r"mnist\.npz should hold an \.npz archive"):
        datasets.mnist(path)


# ---------------------------------------------------------------- MNIST: fetching


class FakeServer:
    """Answers with the four files, gzipped; `broken` maps a base URL to what it gives instead."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.files = {part: gzip.compress(idx(array), mtime=0) for part, array in arrays.items()}
        self.parts = {
            part: (NAMES[part], hashlib.sha256(data).hexdigest())
            for part, data in self.files.items()
        }
        self.broken = {}
        self.urls = []

    def fetch(self, url):
        self.urls.append(url)
        base, name = url.rsplit("/", 1)
        answer = self.broken.get(base + "/")
        if isinstance(answer, Exception):
            raise answer
        part = next(part for part in NAMES if f"{NAMES[part]}.gz" == name)
        return self.files[part] if answer is None else answer


def fake_server(monkeypatch, arrays):
    server = FakeServer(arrays)
    monkeypatch.setattr(_mnist, "PARTS", server.parts)
    monkeypatch.setattr(_mnist, "_fetch", server.fetch)
    return server


def test_download_fills_the_cache_once(cache, monkeypatch):
    server = fake_server(monkeypatch, small_mnist())
    assert_holds(datasets.mnist(), server.arrays)
    assert server.urls == [f"{_mnist.URLS[0]}{NAMES[part]}.gz" for part in NAMES]
    assert sorted(os.listdir(cache)) == sorted(f"{name}.gz" for name in NAMES.values())
    assert_holds(datasets.mnist(), server.arrays)
    assert len(server.urls) == 4
    assert_holds(datasets.mnist(cache), server.arrays)  # the cache folder is a folder like others


@pytest.mark.parametrize(
    "trouble",
    [b"something else", urllib.error.URLError("down"), http.client.IncompleteRead(b"")],
)
def test_second_address_is_used(monkeypatch, trouble):
    server = fake_server(monkeypatch, small_mnist())
    server.broken = {_mnist.URLS[0]: trouble}
    assert_holds(datasets.mnist(), server.arrays)
    assert len(server.urls) == 8


def test_wrong_hash_leaves_no_file(cache, monkeypatch):
    server = fake_server(monkeypatch, small_mnist())
    server.broken = dict.fromkeys(_mnist.URLS, server.files["x_train"][:-1])
    with pytest.raises(ConnectionError, match="does not match the sha256"):
        datasets.mnist()
    assert os.listdir(cache) == []


def test_no_network_says_which_files_go_where(cache, monkeypatch):
    server = fake_server(monkeypatch, small_mnist())
    server.broken = dict.fromkeys(_mnist.URLS, urllib.error.URLError("no route to host"))
    with pytest.raises(ConnectionError) as caught:
        datasets.mnist()
    message = str(caught.value)
    for part in (*NAMES.values(), *_mnist.URLS, "no route to host", str(cache)):
        assert part in message
    assert os.listdir(cache) == []


def test_failed_write_leaves_no_litter(cache, monkeypatch):
    fake_server(monkeypatch, small_mnist())

    def full(*names):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        datasets.mnist()
    assert os.listdir(cache) == []


def test_damaged_cache_is_downloaded_again_with_a_warning(cache, monkeypatch):
    server = fake_server(monkeypatch, small_mnist())
    datasets.mnist()
    target = cache / f"{NAMES['y_train']}.gz"
    target.write_bytes(gzip.compress(idx(np.zeros(5, np.uint8))))
    with pytest.warns(UserWarning, match=r"train-labels.*does not match its sha256") as record:
        loaded = datasets.mnist()
    assert record[0].filename == __file__
    assert_holds(loaded, server.arrays)
    assert len(server.urls) == 5
    assert target.read_bytes() == server.files["y_train"]


def answer(url, code, body=b"", **headers):
    message = email.message.Message()
    for key, value in headers.items():
        message[key] = value
    response = urllib.response.addinfourl(io.BytesIO(body), message, url, code)
    response.msg = "answer"
    return response


def test_redirects_stay_on_https(monkeypatch):
    opened = []

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req):
            opened.append(req.full_url)
            if req.full_url == "https://a.example/up":
                return answer(req.full_url, 302, Location="https://b.example/file")
            if req.full_url == "https://a.example/down":
                return answer(req.full_url, 302, Location="http://b.example/file")
            return answer(req.full_url, 200, b"body")

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req):
            raise AssertionError("plain http was used")

    monkeypatch.setattr(urllib.request, "HTTPSHandler", Https)
    monkeypatch.setattr(urllib.request, "HTTPHandler", Http)
    assert FETCH("https://a.example/up") == b"body"
    assert opened == ["https://a.example/up", "https://b.example/file"]
    with pytest.raises(urllib.error.HTTPError, match="leaves https and is refused"):
        FETCH("https://a.example/down")


def test_the_published_files_and_addresses():
    assert all(url.startswith("https://") and url.endswith("/") for url in _mnist.URLS)
    assert all(len(bytes.fromhex(sha256)) == 32 for _, sha256 in _mnist.PARTS.values())


def test_import_is_light():
    code = (
        "import sys; before = set(sys.modules); import numpy; known = set(sys.modules)\n"
        "import chainrule.datasets\n"
        "slow = {'urllib.request', 'http.client', 'ssl', 'tempfile', 'gzip'}\n"
        "assert not slow & (set(sys.modules) - known), slow & (set(sys.modules) - known)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# ---------------------------------------------------------------- MNIST: the real one


@pytest.mark.skipif(not REAL, reason="CHAINRULE_DATA is not set")
def test_real_mnist():
    try:
        (x_train, y_train), (x_test, y_test) = datasets.mnist(REAL)
    except FileNotFoundError:
        pytest.skip("CHAINRULE_DATA names no place with MNIST")
    assert x_train.shape == (60000, 784)
    assert x_test.shape == (10000, 784)
    pixels = np.rint(x_train * 255).astype(np.uint8)
    digest = hashlib.md5(header(2051, 60000, 28, 28), usedforsecurity=False)
    digest.update(pixels.tobytes())
    assert digest.hexdigest() == "6bbc9ace898e44ae57da46a324031adb"
    assert np.bincount(y_train).tolist() == [
        *(5923, 6742, 5958, 6131, 5842),
        *(5421, 5918, 6265, 5851, 5949),
    ]
    assert y_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
