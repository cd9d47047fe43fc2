"""The arrays behind the pictures, each against a formula or a computation of another kind; and
that a model is the same after it was looked at."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr
from chainrule import inspection


def bits(model):
    """Everything of a model that looking must not change."""
    arrays = [*model.state_dict().values(), model.gradients]
    return [array.tobytes() for array in arrays], model.shuffle_rng.bit_generator.state


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    return rng.normal(size=(40, 2)).astype(np.float32), np.arange(40) % 3


def classifier(seed=0, dtype="float64"):
    return cr.Model(cr.Dense(2, 7), cr.Tanh(), cr.Dense(7, 3), seed=seed, dtype=dtype)


# ---- curves and planes ---------------------------------------------------------------------------


def test_activation_is_the_function_and_its_derivative():
    z, y, dy, name = inspection.activation(cr.Tanh(), -3, 3, points=13)
    assert_allclose(y, np.tanh(z), rtol=1e-15)
    assert_allclose(dy, 1 / np.cosh(z) ** 2, rtol=1e-13)
    assert (z[0], z[-1], name) == (-3, 3, "Tanh()")


def test_regions_of_the_lectures_neuron():
    model = cr.Model(cr.Dense(2, 1), seed=0)
    model.layers[0].W, model.layers[0].b = [[3.0], [-2.0]], [1.0]
    regions = inspection.decision_regions(model, [[-4, -4], [4, 4]], points=9, margin=0)
    x1, x2 = np.meshgrid(np.linspace(-4, 4, 9), np.linspace(-4, 4, 9))
    assert_allclose(regions.p[:, :, 0], 1 / (1 + np.exp(-(1 + 3 * x1 - 2 * x2))), rtol=1e-5)
    assert regions.p[6, 3, 0] == pytest.approx(0.00247, abs=5e-6)  # x = [-1, 2]


@pytest.mark.parametrize("end", [(), (cr.Softmax(),), (cr.LogSoftmax(),)])
def test_regions_are_softmax_of_logits_whatever_the_model_ends_with(end, data):
    plain = classifier()
    ended = cr.Model(cr.Dense(2, 7), cr.Tanh(), cr.Dense(7, 3), *end, seed=0, dtype="float64")
    one, other = (inspection.decision_regions(m, data[0], points=12) for m in (plain, ended))
    assert_allclose(one.p, other.p, rtol=1e-12)
    assert_allclose(one.p.sum(axis=2), 1, rtol=1e-12)
    logits = plain.predict(np.stack(np.meshgrid(one.x1, one.x2), axis=-1).reshape(-1, 2))
    e = np.exp(logits)
    assert_allclose(one.p.reshape(-1, 3), e / e.sum(axis=1, keepdims=True), rtol=1e-9)


@pytest.mark.parametrize("end", [(cr.Sigmoid(),), (cr.LogSigmoid(),), (cr.Reshape(),)])
def test_regions_of_one_output(end):
    plain, ended = cr.Model(cr.Dense(2, 1), seed=3), cr.Model(cr.Dense(2, 1), *end, seed=3)
    x = [[0, 0], [1, 2]]
    one, other = (inspection.decision_regions(m, x, points=5) for m in (plain, ended))
    assert_allclose(one.p, other.p, rtol=1e-5)


def test_regions_of_a_model_that_overflows_are_refused_without_a_warning():
    model = cr.Model(cr.Dense(2, 2), seed=0)
    model.layers[0].W = [[1e38, -1e38], [1e38, 1e38]]
    with pytest.raises(ValueError, match="not numbers"):
        inspection.decision_regions(model, [[0, 0], [1e3, 1e3]])


def test_regions_of_a_function_cover_the_points_with_their_margin():
    x = np.array([[0.0, 10.0], [2.0, 30.0]])
    regions = inspection.decision_regions(lambda x: x[:, 0] > 1, x, points=11, margin=0.5)
    assert_allclose([regions.x1[0], regions.x1[-1]], [-1, 3])
    assert_allclose([regions.x2[0], regions.x2[-1]], [0, 40])
    assert_array_equal(regions.p[0, :, 0], regions.x1 > 1)


def test_confusion_matrix_counts():
    rng = np.random.default_rng(0)
    scores, target = rng.normal(size=(200, 4)), rng.integers(0, 4, 200)
    counted = np.zeros((4, 4), int)
    for row, t in zip(scores, target, strict=True):
        counted[t, list(row).index(max(row))] += 1
    assert_array_equal(inspection.confusion_matrix(scores, target), counted)
    assert_array_equal(inspection.confusion_matrix(scores, np.eye(4)[target]), counted)
    assert_array_equal(inspection.confusion_matrix(scores.argmax(1), target, classes=4), counted)
    assert inspection.confusion_matrix([True, False], [True, True]).tolist() == [[0, 0], [1, 1]]


def test_the_width_of_scores_is_the_number_of_classes():
    assert inspection.confusion_matrix(np.eye(3), [0, 1, 2]).shape == (3, 3)
    assert inspection.confusion_matrix([0, 1], np.eye(4)[[0, 1]]).shape == (4, 4)


# ---- landscapes ----------------------------------------------------------------------------------


def test_loss_surface_of_a_line_is_the_formula():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 1))
    y = 2 * x - 1
    model = cr.Model(cr.Dense(1, 1), seed=0, dtype="float64")
    a, b = np.linspace(-3, 3, 5), np.linspace(-2, 2, 4)
    before = bits(model)
    surface = inspection.loss_surface(model, x, y, loss=cr.MeanSquaredError(), a=a, b=b)
    formula = [[np.mean((p * x + q - y) ** 2) for p in a] for q in b]
    assert_allclose(surface.loss, formula, rtol=1e-12)
    swapped = inspection.loss_surface(
        model, x, y, loss=cr.MeanSquaredError(), weights=(1, 0), a=b, b=a
    )
    assert_allclose(swapped.loss, surface.loss.T, rtol=1e-12)
    assert bits(model) == before


def test_landscape_has_the_network_in_its_middle(data):
    x, y = data
    model = cr.Model(cr.Dense(2, 5), cr.BatchNorm(5), cr.ReLU(), cr.Dropout(), cr.Dense(5, 3),
                     seed=0, dtype="float64")  # fmt: skip
    before = bits(model)
    loss = cr.SoftmaxCrossEntropy()
    surface = inspection.loss_landscape(model, x, y, loss=loss, points=7, span=0.5)
    assert surface.loss[3, 3] == model.evaluate(x, y, loss=loss)["loss"]
    assert_allclose(surface.a, np.linspace(-0.5, 0.5, 7), atol=1e-15)
    assert surface.a[3] == surface.b[3] == 0
    assert bits(model) == before


def test_landscape_is_that_of_the_function_not_of_its_scale(data):
    """A ReLU network rescaled layer by layer computes the same: Li et al.'s reason for filters."""
    x, y = data
    layers = lambda: (cr.Dense(2, 6), cr.ReLU(), cr.Dense(6, 3))  # noqa: E731
    one, other = (cr.Model(*layers(), seed=1, dtype="float64") for _ in range(2))
    one.layers[0].b = other.layers[0].b = np.linspace(-1, 1, 6)
    other.layers[0].W = one.layers[0].W * 10
    other.layers[0].b = one.layers[0].b * 10
    other.layers[2].W = one.layers[2].W / 10
    loss = cr.SoftmaxCrossEntropy()
    landscapes = [inspection.loss_landscape(m, x, y, loss=loss, points=5) for m in (one, other)]
    assert_allclose(landscapes[0].loss, landscapes[1].loss, rtol=1e-10)
    assert landscapes[0].loss.std() > 0.01


def test_parameters_of_norms_do_not_move_in_a_landscape():
    model = cr.Model(cr.LayerNorm((3, 4)), cr.Flatten(), cr.Dense(12, 2), seed=0, dtype="float64")
    model.layers[2].W = np.zeros((12, 2))  # a unit without length does not move either
    x = np.random.default_rng(0).normal(size=(6, 3, 4))
    surface = inspection.loss_landscape(
        model, x, np.arange(6) % 2, loss=cr.SoftmaxCrossEntropy(), points=3
    )
    assert_allclose(surface.loss, np.log(2), rtol=1e-12)


def test_landscape_of_an_embedding_scales_rows(data):
    model = cr.Model(cr.Embedding(5, 4), cr.Flatten(), cr.Dense(8, 3), seed=0, dtype="float64")
    model.layers[0].W[0] = 0  # a word without length does not move
    x = np.zeros((6, 2), int)
    bias_only = inspection.loss_landscape(
        model, x, np.arange(6) % 3, loss=cr.SoftmaxCrossEntropy(), points=3
    )
    assert_allclose(bias_only.loss, np.log(3), rtol=1e-12)


def test_a_loss_that_fails_leaves_the_weights(data):
    x, y = data
    calls = []

    def loss(p, t, w=None):
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("no more")
        return 0.0, p

    model = classifier()
    before = bits(model)
    with pytest.raises(RuntimeError, match="no more"):
        inspection.loss_landscape(model, x, y, loss=loss, points=3)
    assert bits(model) == before


def test_an_overflowing_loss_is_not_finite_and_warns_of_nothing():
    model = cr.Model(cr.Dense(1, 1), seed=0)
    x = np.ones((3, 1))
    surface = inspection.loss_surface(model, x, x, loss=cr.MeanSquaredError(), a=[0, 1e30], b=[0.0])
    assert np.isfinite(surface.loss[0, 0])
    assert not np.isfinite(surface.loss[0, 1])


# ---- inside ------------------------------------------------------------------------------------


def test_weight_images_are_columns_and_copies():
    model = cr.Model(cr.Flatten(), cr.Dense(12, 5), seed=0)
    images = inspection.weight_images(model, (3, 4), layer=1)
    for unit in range(5):
        assert_array_equal(images[unit].ravel(), model.layers[1].W[:, unit])
    images[:] = 0
    assert model.layers[1].W.any()
    assert inspection.weight_images(model, (2, 2, 3), layer=1).shape == (5, 2, 2, 3)


def test_histograms_of_activations_count_what_numpy_counts(data):
    model = classifier()
    h = inspection.histograms(model, data[0], bins=9)
    assert h.names == ("0 Dense", "1 Tanh", "2 Dense")
    z = data[0] @ model.layers[0].W + model.layers[0].b
    for row, values in zip(h.counts, (z, np.tanh(z)), strict=False):
        assert_array_equal(row, np.histogram(values, h.edges)[0])
    assert_allclose(h.std[:2], [z.std(), np.tanh(z).std()], rtol=1e-6)


def test_histograms_of_gradients_are_those_of_the_chain_rule(data):
    x, y = data
    model = classifier()
    before = bits(model)
    loss = cr.SoftmaxCrossEntropy()
    h = inspection.histograms(model, x, y, loss=loss, of="gradients", bins=9)
    z = x.astype(np.float64) @ model.layers[0].W + model.layers[0].b
    logits = np.tanh(z) @ model.layers[2].W + model.layers[2].b
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    d2 = (p - np.eye(3)[y]) / len(x)
    d1 = d2 @ model.layers[2].W.T
    d0 = d1 * (1 - np.tanh(z) ** 2)
    for row, std, values in zip(h.counts, h.std, (d0, d1, d2), strict=True):
        assert std == pytest.approx(values.std(), rel=1e-6)
        assert_array_equal(row, np.histogram(values, h.edges)[0])
    assert bits(model) == before


@pytest.mark.parametrize("value", [0.0, 1.0, 1e20, -3e-9])
def test_histograms_of_constant_values_have_bins(value):
    model = cr.Model(cr.Identity(), dtype="float64")
    h = inspection.histograms(model, np.full((5, 2), value), bins=7)
    assert (np.diff(h.edges) > 0).all()
    assert h.counts.sum() == 10


def test_histograms_reach_down_to_an_embedding():
    model = cr.Model(cr.Reshape(2), cr.Embedding(5, 4), cr.Flatten(), cr.Dense(8, 3), seed=0)
    h = inspection.histograms(model, np.ones((6, 2), int), np.arange(6) % 3,
                              loss=cr.SoftmaxCrossEntropy(), of="gradients")  # fmt: skip
    assert h.names == ("1 Embedding", "2 Flatten", "3 Dense")


def test_network_has_sizes_weights_and_labels():
    model = cr.Model(cr.Dense(2, 3, bias=False), cr.Tanh(), cr.Dropout(), cr.Dense(3, 1), seed=0)
    drawn = inspection.network(model)
    assert drawn.sizes == (2, 3, 1)
    assert drawn.labels == ("input", "Dense\nTanh\nDropout", "Dense")
    assert_array_equal(drawn.weights[1], model.layers[3].W)
    assert_array_equal(drawn.biases[0], np.zeros(3))
    drawn.weights[0][:] = 0
    assert model.layers[0].W.any()


# ---- comparisons -------------------------------------------------------------------------------


def test_race_is_what_separate_fits_give(data):
    x, y = data
    loss = cr.SoftmaxCrossEntropy()
    result = inspection.race(
        classifier,
        {"slow": lambda: cr.SGD(0.01), "fast": lambda: cr.Adam(0.05)},
        x, y, loss=loss, epochs=3, batch_size=16, seeds=[4, 2],
    )  # fmt: skip
    assert result.names == ("slow", "fast")
    assert result.losses.shape == (2, 2, 4)
    assert_array_equal(result.losses[0, :, 0], result.losses[1, :, 0])  # the same starts
    for j, seed in enumerate([4, 2]):
        for epochs in (0, 3):
            model = classifier(seed)
            model.fit(x, y, loss=loss, optimizer=cr.Adam(0.05), epochs=epochs, batch_size=16,
                      verbose=0)  # fmt: skip
            assert result.losses[1, j, epochs] == model.evaluate(x, y, loss=loss)["loss"]


def test_a_race_goes_on_when_one_diverges(data):
    x, _ = data
    result = inspection.race(
        lambda seed: cr.Model(cr.Dense(2, 1), seed=seed),
        {1e30: lambda: cr.SGD(1e30), 0.1: lambda: cr.SGD(0.1)},
        x, x[:, :1], loss=cr.MeanSquaredError(), epochs=4,
    )  # fmt: skip
    assert result.names == ("1e+30", "0.1")
    assert np.isnan(result.losses[0, :, -1]).all()
    assert np.isfinite(result.losses[0, :, 0]).all()
    assert np.isfinite(result.losses[1]).all()


def test_gradient_variance_is_the_formula(data):
    x, _ = data
    y = (x[:, :1] > 0).astype(float)
    model = cr.Model(cr.Dense(2, 1), seed=0, dtype="float64")
    before = bits(model)
    sizes = [1, 5, 20, 40]
    noise = inspection.gradient_variance(
        model, x, y, loss=cr.BinaryCrossEntropy(), batch_sizes=sizes, draws=4000, seed=1
    )
    # by hand: dL/dw = (sigmoid(z) - y) x for each row
    rows = np.hstack([x, np.ones((40, 1))]).astype(np.float64)
    z = rows @ model.parameters
    g = (1 / (1 + np.exp(-z)) - y[:, 0])[:, None] * rows
    sigma2 = ((g - g.mean(axis=0)) ** 2).sum(axis=1).mean()
    B = np.array(sizes)
    assert_allclose(noise.variance, (40 - B) / 39 * sigma2 / B, rtol=0.06, atol=1e-25)
    assert noise.squared_norm == pytest.approx((g.mean(axis=0) ** 2).sum(), rel=1e-9)
    assert bits(model) == before


def test_gradient_variance_of_more_rows_than_a_piece(data):
    x, y = np.repeat(data[0], 60, axis=0), np.repeat(data[1], 60)  # 2,400 rows
    noise = [
        inspection.gradient_variance(classifier(), *rows, loss=cr.SoftmaxCrossEntropy(),
                                     batch_sizes=[1], draws=1)
        for rows in ((x, y), data)
    ]  # fmt: skip
    assert noise[0].squared_norm == pytest.approx(noise[1].squared_norm, rel=1e-9)


# ---- wrong uses --------------------------------------------------------------------------------

ONE_MODEL, ONE_OPTIMIZER = classifier(), cr.Adam()
TE, VE, X, Y = TypeError, ValueError, np.ones((6, 2)), np.arange(6) % 3
CE = cr.SoftmaxCrossEntropy()
WRONG = {
    "activation: a class": (lambda: inspection.activation(cr.ReLU), TE, "write ReLU()"),
    "activation: a name": (lambda: inspection.activation("relu"), TE, "must be a layer"),
    "activation: no interval": (lambda: inspection.activation(cr.ReLU(), 2, 2), VE, "high must be"),
    "activation: one point": (lambda: inspection.activation(cr.ReLU(), points=1), VE, "points"),
    "activation: two to three": (
        lambda: inspection.activation(cr.Dense(1, 3)), VE, "a function of one number"),
    "regions: not a plane": (
        lambda: inspection.decision_regions(classifier(), np.ones((4, 3))), VE, "shape (N, 2)"),
    "regions: no points": (
        lambda: inspection.decision_regions(classifier(), np.ones((0, 2))), VE, "shape (N, 2)"),
    "regions: NaN": (
        lambda: inspection.decision_regions(classifier(), [[0, np.nan]]), VE, "not finite"),
    "regions: points": (
        lambda: inspection.decision_regions(classifier(), X, 10**6), VE, "up to 10000"),
    "regions: no model": (lambda: inspection.decision_regions(3, X), TE, "Model or a function"),
    "regions: logits": (
        lambda: inspection.decision_regions(lambda x: 3 * x[:, 0], X), VE, "chainrule.sigmoid"),
    "regions: one number": (
        lambda: inspection.decision_regions(lambda x: 0.5, X), VE, "one row of probabilities"),
    "regions: three inputs": (
        lambda: inspection.decision_regions(cr.Model(cr.Dense(3, 1)), X), VE, "does not fit"),
    "confusion: lengths": (
        lambda: inspection.confusion_matrix([0, 1], [0]), VE, "2 predictions, but 1 targets"),
    "confusion: floats": (
        lambda: inspection.confusion_matrix([0.0, 1.0], [0, 1]), TE, "must be integers"),
    "confusion: one logit": (
        lambda: inspection.confusion_matrix([[0.3], [1.0]], [0, 1]), VE, "prediction[:, 0] > 0"),
    "confusion: too many": (
        lambda: inspection.confusion_matrix([0, 3], [0, 1], classes=3), VE, "from 0 to 2, got 0"),
    "confusion: beyond the scores": (
        lambda: inspection.confusion_matrix(np.eye(3), [0, 1, 5]), VE, "from 0 to 2, got 0 to 5"),
    "confusion: swapped": (
        lambda: inspection.confusion_matrix([0, 1], [[0.3, 2.0], [1.5, -1.0]]), VE, "comes first"),
    "confusion: NaN": (
        lambda: inspection.confusion_matrix([[np.nan, 1.0]], [0]), VE, "holds NaN"),
    "confusion: a billion classes": (
        lambda: inspection.confusion_matrix([0, 1], [0, 10**9]), VE, "1000000001 classes"),
    "confusion: beyond integers": (
        lambda: inspection.confusion_matrix([0], np.array([2**63], np.uint64)), VE, "cannot be a"),
    "confusion: negative": (
        lambda: inspection.confusion_matrix([0, -1], [0, 1]), VE, "got -1 to 0"),
    "surface: no model": (
        lambda: inspection.loss_surface(3, X, Y, loss=CE, a=[0], b=[0]), TE, "must be a Model"),
    "surface: one weight": (
        lambda: inspection.loss_surface(classifier(), X, Y, loss=CE, weights=(1,), a=[0], b=[0]),
        VE, "two positions"),
    "surface: the same twice": (
        lambda: inspection.loss_surface(classifier(), X, Y, loss=CE, weights=(1, 1), a=[0], b=[0]),
        VE, "two different positions below 45"),
    "surface: beyond": (
        lambda: inspection.loss_surface(classifier(), X, Y, loss=CE, weights=(1, 45), a=[0], b=[0]),
        VE, "two different positions below 45"),
    "surface: an axis": (
        lambda: inspection.loss_surface(classifier(), X, Y, loss=CE, a=[[0]], b=[0]),
        VE, "np.linspace"),
    "surface: an axis with NaN": (
        lambda: inspection.loss_surface(classifier(), X, Y, loss=CE, a=[0], b=[np.nan]),
        VE, "b must be finite"),
    "surface: descending": (
        lambda: inspection.loss_surface(classifier(), X, Y, loss=CE, a=[1, 0], b=[0]),
        VE, "a must be ascending"),
    "surface: rows": (
        lambda: inspection.loss_surface(classifier(), X, Y[:3], loss=CE, a=[0], b=[0]),
        VE, "x has 6 rows, but y has 3"),
    "landscape: a loss's name": (
        lambda: inspection.loss_landscape(classifier(), X, Y, loss="ce"), TE, "be an instance"),
    "landscape: span": (
        lambda: inspection.loss_landscape(classifier(), X, Y, loss=CE, span=0), VE, "span must be"),
    "landscape: points": (
        lambda: inspection.loss_landscape(classifier(), X, Y, loss=CE, points=2.5), TE, "points"),
    "landscape: seed": (
        lambda: inspection.loss_landscape(classifier(), X, Y, loss=CE, seed=-1), VE, "seed must"),
    "images: no Dense": (
        lambda: inspection.weight_images(classifier(), (1, 2), layer=1), TE, "must be a Dense"),
    "images: no layer": (
        lambda: inspection.weight_images(classifier(), (1, 2), layer=9), VE, "has 3 layers"),
    "images: pixels": (
        lambda: inspection.weight_images(classifier(), (8, 8)), VE, "sees 2 pixels"),
    "images: one size": (
        lambda: inspection.weight_images(classifier(), (2,)), VE, "(height, width)"),
    "histograms: of what": (
        lambda: inspection.histograms(classifier(), X, of="weights"), VE, '"activations" or'),
    "histograms: no loss": (
        lambda: inspection.histograms(classifier(), X, of="gradients"), VE, "need targets"),
    "histograms: empty": (
        lambda: inspection.histograms(classifier(), X[:0]), VE, "x is empty"),
    "histograms: NaN": (
        lambda: inspection.histograms(classifier(), X * np.nan), VE, "layer 0 Dense are not all"),
    "network: other layers": (
        lambda: inspection.network(cr.Model(cr.Dense(2, 2), cr.BatchNorm(2))), VE, "BatchNorm"),
    "network: no Dense": (
        lambda: inspection.network(cr.Model(cr.ReLU())), VE, "no Dense layer"),
    "race: a model": (
        lambda: inspection.race(classifier(), {"a": cr.Adam}, X, Y, loss=CE), TE, "a new one"),
    "race: an optimizer": (
        lambda: inspection.race(classifier, {"a": cr.Adam()}, X, Y, loss=CE), TE, "lambda: Adam()"),
    "race: one model for all": (
        lambda: inspection.race(
            lambda seed: ONE_MODEL, {"a": cr.Adam}, X, Y, loss=CE, epochs=1),
        VE, "'a' with seed 1 got a model or an optimizer that ran before"),
    "race: one optimizer for all": (
        lambda: inspection.race(
            classifier, {"a": cr.Adam, "b": lambda: ONE_OPTIMIZER}, X, Y, loss=CE, epochs=1),
        VE, "make a new one in each call"),
    "race: a list": (
        lambda: inspection.race(classifier, [cr.Adam], X, Y, loss=CE), TE, "by name"),
    "race: no seeds": (
        lambda: inspection.race(classifier, {"a": cr.Adam}, X, Y, loss=CE, seeds=[]), TE, "seed"),
    "race: seeds": (
        lambda: inspection.race(classifier, {"a": cr.Adam}, X, Y, loss=CE, seeds=3),
        TE, "seeds must be a list"),
    "race: a class of models": (
        lambda: inspection.race(lambda seed: 3, {"a": cr.Adam}, X, Y, loss=CE), TE, "be a Model"),
    "variance: sizes": (
        lambda: inspection.gradient_variance(classifier(), X, Y, loss=CE, batch_sizes=[7]),
        VE, "from 1 to 6 rows"),
    "variance: no sizes": (
        lambda: inspection.gradient_variance(classifier(), X, Y, loss=CE, batch_sizes=[]),
        VE, "from 1 to 6 rows"),
    "variance: a number": (
        lambda: inspection.gradient_variance(classifier(), X, Y, loss=CE, batch_sizes=4),
        TE, "batch_sizes must be a list"),
    "variance: draws": (
        lambda: inspection.gradient_variance(classifier(), X, Y, loss=CE, batch_sizes=[1], draws=0),
        VE, "draws must be"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "piece"), WRONG.values(), ids=WRONG)
def test_wrong_uses_are_refused_with_a_sentence(call, error, piece):
    with pytest.raises(error) as refusal:
        call()
    assert type(refusal.value) is error
    assert piece in str(refusal.value)
