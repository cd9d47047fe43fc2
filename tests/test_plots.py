"""Each picture shows the numbers it was given, its words do not overlap, and without matplotlib it
says what to install. One table of cases covers every function of `chainrule.plots`."""

from __future__ import annotations

import itertools
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import chainrule as cr
from chainrule import inspection, plots

plt = pytest.importorskip("matplotlib.pyplot")

GRID = np.linspace(-1.0, 1.0, 21)
BOWL = inspection.Surface(GRID, GRID * 2, (GRID**2 + 4 * GRID[:, None] ** 2 + 0.01))
DIGITS = inspection.weight_images(cr.Model(cr.Dense(64, 24), seed=0), (8, 8))
MOONS = cr.datasets.moons(60)
SPIRALS = cr.datasets.spirals(90)
NET = cr.Model(cr.Dense(2, 6), cr.Tanh(), cr.Dense(6, 1), seed=0)
THREE = cr.Model(cr.Dense(2, 8), cr.ReLU(), cr.Dense(8, 3), seed=0)
HISTORY = {"loss": [0.9, 0.4, 0.2, 0.1], "val_loss": [1.0, 0.7, 0.6, 0.8], "accuracy": [0.1] * 4}
RUNS = np.array([[1.0, 0.5, 0.2], [0.8, 0.6, 0.4]])
RACE = inspection.Race(("SGD", "Adam"), np.arange(3), np.stack([RUNS, RUNS / 2]))
DIVERGED = inspection.Race(
    ("0.001", "0.1", "100"), np.arange(3), np.stack([RUNS, RUNS / 2, RUNS * [1, 1e9, np.nan]])
)
NOISE = inspection.GradientVariance(np.array([1, 10, 100]), np.array([3.0, 0.27, 0.0]), 0.01, 100)
ANGLES = np.arange(10) * 0.2 * np.pi
TEN_CENTRES = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
TEN = lambda x: cr.softmax(8 * x @ TEN_CENTRES.T)  # noqa: E731
CONFUSION = inspection.confusion_matrix(np.arange(200) % 10, np.arange(200) // 7 % 10)
RANGE = cr.find_lr(THREE, *SPIRALS, loss=cr.SoftmaxCrossEntropy(), optimizer=cr.Adam())

CASES = {
    "activation": [lambda **o: plots.activation(inspection.activation(cr.GELU()), **o)],
    "training_curves": [
        lambda **o: plots.training_curves(HISTORY, stop=2, **o),
        lambda **o: plots.training_curves(HISTORY, figures=("accuracy",), **o),
    ],
    "spread": [lambda **o: plots.spread([1, 2, 3], RUNS, label="runs", **o)],
    "race": [lambda **o: plots.race(RACE, **o)],
    "learning_rates": [lambda **o: plots.learning_rates(DIVERGED, **o)],
    "find_lr": [
        lambda **o: plots.find_lr(RANGE, **o),
        lambda **o: plots.find_lr(RANGE._replace(suggestion=np.nan), **o),
    ],
    "gradient_variance": [lambda **o: plots.gradient_variance(NOISE, **o)],
    "decision_regions": [
        lambda **o: plots.decision_regions(
            inspection.decision_regions(NET, MOONS[0]), *MOONS, names=["fail", "pass"], **o
        ),
        lambda **o: plots.decision_regions(
            inspection.decision_regions(THREE, SPIRALS[0]), *SPIRALS, **o
        ),
        lambda **o: plots.decision_regions(inspection.decision_regions(TEN, TEN_CENTRES), **o),
    ],
    "loss_surface": [
        lambda **o: plots.loss_surface(BOWL, path=[[0.9, 0.9], [0.3, 0.3], [0.1, 0]], **o),
        lambda **o: plots.loss_surface(BOWL._replace(loss=BOWL.loss + 10), **o),
    ],
    "loss_landscape": [lambda **o: plots.loss_landscape(BOWL, **o)],
    "weight_images": [lambda **o: plots.weight_images(DIGITS, **o)],
    "histograms": [
        lambda **o: plots.histograms(inspection.histograms(THREE, SPIRALS[0]), **o),
    ],
    "confusion_matrix": [lambda **o: plots.confusion_matrix(CONFUSION, **o)],
    "network": [lambda **o: plots.network(inspection.network(NET), **o)],
}
SOLID = {
    "loss_surface": lambda **o: plots.loss_surface(BOWL, [[0.5, 1], [0, 0]], kind="surface", **o),
    "loss_landscape": lambda **o: plots.loss_landscape(BOWL, kind="surface", **o),
}
EACH = pytest.mark.parametrize(
    "draw", [pytest.param(d, id=f"{n}-{i}") for n, ds in CASES.items() for i, d in enumerate(ds)]
)
NO_PICTURE = {"save", "style"}


def test_every_function_has_a_case():
    assert set(plots.__all__) == set(CASES) | NO_PICTURE


@EACH
@pytest.mark.parametrize("dark", [False, True])
def test_draws_on_the_axes_it_is_given_and_on_new_ones(draw, dark):
    with plots.style(dark):
        figure, ax = plt.subplots()
        assert draw(ax=ax) is ax
        new = draw()
        assert new is not ax
        assert new.figure is not figure


@pytest.mark.parametrize("draw", SOLID.values(), ids=SOLID)
def test_surfaces_need_axes_in_space(draw):
    ax = draw()
    assert ax.name == "3d"
    assert draw(ax=ax) is ax
    with pytest.raises(ValueError, match="projection"):
        draw(ax=plt.subplots()[1])
    with pytest.raises(ValueError, match="plain Axes"):
        plots.loss_surface(BOWL, ax=ax)


def corners(ax):
    """All texts of an Axes in space."""
    return [text for axis in (ax.xaxis, ax.yaxis, ax.zaxis) for text in
            (axis.label, *(tick.label1 for tick in axis.get_major_ticks()))]  # fmt: skip


@pytest.mark.parametrize("draw", SOLID.values(), ids=SOLID)
def test_words_of_surfaces_do_not_overlap(draw):
    with plots.style():
        figure = draw().figure
        figure.canvas.draw()
        renderer = figure.canvas.get_renderer()
        labels = [a.label for a in (figure.axes[0].xaxis, figure.axes[0].yaxis,
                                    figure.axes[0].zaxis)]  # fmt: skip
        for label, text in itertools.product(labels, corners(figure.axes[0])):
            a, b = label.get_window_extent(renderer), text.get_window_extent(renderer)
            overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert label is text or label.get_rotation() % 90 or min(overlap) < 1.0


def words(figure):
    """The boxes of all that is written, and of the legends."""
    renderer = figure.canvas.get_renderer()
    found = []
    for ax in figure.axes:
        texts = [ax.title, *ax.texts]
        if ax.axison:
            texts += [ax.xaxis.label, ax.yaxis.label]
            for axis in (ax.xaxis, ax.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
                ticks = [t for t in ticks if low <= t.get_loc() <= high]
                texts += [label for t in ticks for label in (t.label1, t.label2)]
        for text in texts:
            box = text.get_window_extent(renderer)
            if text.get_visible() and text.get_text().strip():
                found.append((text.get_text(), box))
        if ax.get_legend():
            found.append(("legend", ax.get_legend().get_window_extent(renderer)))
    return found


@EACH
def test_words_do_not_overlap_and_are_inside_the_picture(draw):
    with plots.style():
        figure = draw().figure
        figure.canvas.draw()
        found = words(figure)
        for (one, a), (other, b) in itertools.combinations(found, 2):
            overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
            assert min(overlap) < 1.0, (one, other)
        for text, box in found:
            inside = box.x0 > -1 and box.y0 > -1
            assert inside, text
            assert box.x1 < figure.bbox.width + 1, text
            assert box.y1 < figure.bbox.height + 1, text


@EACH
def test_axes_are_labelled(draw):
    ax = draw()
    assert not ax.axison or (ax.get_xlabel() and ax.get_ylabel()) or draw in CASES["spread"]


# ---- what is drawn are the numbers -------------------------------------------------------------


def curve(ax, label):
    return next(line for line in ax.lines if line.get_label() == label)


def test_activation_and_derivative():
    numbers = inspection.activation(cr.Tanh())
    ax = plots.activation(numbers)
    assert_array_equal(curve(ax, "g(z)").get_xydata(), np.column_stack([numbers.z, numbers.y]))
    assert_array_equal(curve(ax, "g'(z)").get_ydata(), numbers.dy)


def test_training_curves_count_epochs_from_one_and_mark_the_best():
    ax = plots.training_curves(HISTORY, stop=2)
    assert curve(ax, "training").get_xydata().tolist() == [[1, 0.9], [2, 0.4], [3, 0.2], [4, 0.1]]
    assert curve(ax, "best weights, epoch 3").get_xydata().tolist() == [[3, 0.6]]


def test_training_curves_of_a_fit_that_began_later():
    model = cr.Model(cr.Dense(2, 1), seed=0)
    history = model.fit(*MOONS[:1], MOONS[1][:, None], loss=cr.BinaryCrossEntropy(),
                        optimizer=cr.SGD(0.1), initial_epoch=3, epochs=5, verbose=0)  # fmt: skip
    ax = plots.training_curves(history, stop=4)
    assert curve(ax, "training").get_xdata().tolist() == [4, 5]
    assert curve(ax, "best weights, epoch 5").get_ydata().tolist() == [history["loss"][1]]


def test_spread_shows_mean_and_range_and_ends_where_a_run_does():
    ax = plots.spread([1, 2, 3], RUNS)
    assert_allclose(ax.lines[0].get_ydata(), [0.9, 0.55, 0.3])
    corners = ax.collections[0].get_paths()[0].vertices
    assert {(1.0, 0.8), (1.0, 1.0), (3.0, 0.2), (3.0, 0.4)} <= set(map(tuple, corners.tolist()))
    ax = plots.spread([1, 2, 3], RUNS * [1, 1, np.nan])
    assert ax.lines[0].get_xdata().tolist() == [1, 2]
    assert ax.lines[1].get_xydata()[0].tolist() == pytest.approx([2, 0.55])  # the cross


@pytest.mark.parametrize("draw", [plots.race, plots.learning_rates])
def test_an_exploding_run_does_not_hide_the_others(draw):
    losses = np.array([[[1.0, 0.1, 0.01]], [[1.0, 1e200, 1e300]]])
    ax = draw(inspection.Race(("good", "bad"), np.arange(3), losses))
    low, high = ax.get_ylim()
    assert 0.005 < low < 0.01
    assert high == 30
    ax.figure.canvas.draw()  # overflow would warn


@pytest.mark.parametrize("gone", [np.nan, np.inf])
def test_a_run_that_is_no_longer_finite_ends_at_a_cross(gone):
    result = inspection.Race(("a",), np.arange(3), np.array([[[1.0, 0.5, gone]]]))
    line, cross = plots.race(result).lines
    assert line.get_xydata().tolist() == [[0, 1.0], [1, 0.5]]
    assert line.get_label() == "a, diverged"
    assert (cross.get_marker(), cross.get_xydata().tolist()) == ("X", [[1, 0.5]])


@pytest.mark.parametrize("start", [[-1.0, 2.0, 3.0], [0.0, 2.0, 3.0], [-1.0, -2.0, -3.0]])
def test_a_race_may_start_at_zero_or_below(start):
    ax = plots.race(inspection.Race(("a",), np.arange(3), np.array([[start]])))
    low, high = ax.get_ylim()
    assert low <= min(start) < max(start) <= high


def test_colors_and_dashes_are_the_same_outside_the_style():
    ax = plots.race(RACE)
    assert [line.get_color() for line in ax.lines] == ["#0072B2", "#D55E00"]  # Okabe and Ito's
    assert ax.lines[0].get_linestyle() != ax.lines[1].get_linestyle()
    dark = plt.figure(facecolor="black").add_subplot(facecolor="none")
    assert plots.race(RACE, ax=dark).lines[0].get_color() != ax.lines[0].get_color()


def test_ticks_that_were_chosen_stay():
    for draw in (lambda ax: plots.race(RACE, ax), lambda ax: plots.training_curves(HISTORY, ax)):
        ax = plt.subplots()[1]
        ax.set_xticks([0, 2])
        assert draw(ax).get_xticks().tolist() == [0, 2]


def test_rates_that_diverge_say_so():
    ax = plots.learning_rates(DIVERGED)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["0.001", "0.1", "100, diverged"]


def test_rate_finder_shows_its_losses_and_marks_the_suggestion():
    ax = plots.find_lr(RANGE)
    for label, values in (("loss of a batch", RANGE.losses), ("smoothed", RANGE.smoothed)):
        assert_array_equal(curve(ax, label).get_xydata(), np.column_stack([RANGE.rates, values]))
    mark = curve(ax, f"suggestion, {RANGE.suggestion:.2g}").get_xydata()
    at = list(RANGE.rates).index(RANGE.suggestion)
    assert mark.tolist() == [[RANGE.suggestion, RANGE.smoothed[at]]]
    assert ax.get_xscale() == "log"
    assert len(plots.find_lr(RANGE._replace(suggestion=np.nan)).lines) == 2
    with pytest.raises(TypeError, match=r"what chainrule.find_lr\(...\) returns, got 3"):
        plots.find_lr(3)


@pytest.mark.parametrize("burst", [1e3, 1e300])
def test_a_loss_that_bursts_leaves_the_picture(burst):
    losses = np.append(RANGE.losses, burst)
    rates = np.append(RANGE.rates, 2 * RANGE.rates[-1])
    ax = plots.find_lr(RANGE._replace(rates=rates, losses=losses, smoothed=losses))
    low, high = ax.get_ylim()
    assert low < RANGE.losses.min() < RANGE.losses[0] < high < 100
    ax.figure.canvas.draw()


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9])
def test_a_rate_finder_of_one_value(value):
    flat = np.full(len(RANGE.rates), value)
    ax = plots.find_lr(RANGE._replace(losses=flat, smoothed=flat, suggestion=np.nan))
    low, high = ax.get_ylim()
    assert low < value < high


def test_a_rate_that_diverges_at_once_is_still_listed():
    gone = inspection.Race(("1e9",), np.arange(3), np.full((1, 2, 3), np.nan))
    assert plots.learning_rates(gone).get_legend().get_texts()[0].get_text() == "1e9, diverged"


def test_regions_are_the_probabilities_and_the_line_is_at_one_half():
    regions = inspection.decision_regions(NET, MOONS[0], points=31)
    ax = plots.decision_regions(regions, *MOONS)
    assert_array_equal(ax.images[0].get_array(), regions.p[:, :, 0])
    left, right, _, _ = ax.images[0].get_extent()  # pixels stand round their points
    step = regions.x1[1] - regions.x1[0]
    assert_allclose([left, right], [regions.x1[0] - step / 2, regions.x1[-1] + step / 2])
    line = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
    assert_allclose(cr.sigmoid(NET.predict(line)), 0.5, atol=0.02)
    shown = np.concatenate([c.get_offsets() for c in ax.collections[1:]])
    assert_array_equal(np.sort(shown, axis=0), np.sort(MOONS[0], axis=0))


def test_more_than_six_classes_bear_their_names():
    ax = plots.decision_regions(inspection.decision_regions(TEN, TEN_CENTRES))
    assert {text.get_text() for text in ax.texts} == {f"class {k}" for k in range(10)}
    ax = plots.decision_regions(inspection.decision_regions(THREE, SPIRALS[0]))
    assert len(ax.texts) == 0


@pytest.mark.parametrize("kind", ["contour", "surface"])
@pytest.mark.parametrize("values", [[0.0] * 4, [1e17] * 4, [2.3, 2.3, 2.3, 2.3 + 4e-16]])
def test_a_flat_surface_can_be_drawn(values, kind):
    loss = np.reshape(values, (2, 2))
    ax = plots.loss_surface(inspection.Surface(np.arange(2), np.arange(2), loss), kind=kind)
    ax.figure.canvas.draw()


def test_an_exact_zero_leaves_the_scale_logarithmic():
    ax = plots.loss_surface(BOWL._replace(loss=1e4 * (GRID**2 + GRID[:, None] ** 2)))
    assert isinstance(ax.collections[0].norm, plt.matplotlib.colors.LogNorm)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_limits_are_those_that_were_given(scale):
    bowl = BOWL._replace(loss=scale * BOWL.loss)
    ax = plots.loss_surface(bowl, limits=(1e-4, 1e5))
    assert ax.collections[0].get_clim() == pytest.approx((1e-4, 1e5))


def test_gradient_variance_of_all_the_data_is_no_noise():
    noise = inspection.GradientVariance(np.array([100]), np.array([0.0]), 0.01, 100)
    plots.gradient_variance(noise).figure.canvas.draw()


def test_the_theory_goes_through_the_first_point():
    ax = plots.gradient_variance(NOISE)
    B, line = curve(ax, "theory, ∝ (N - B) / B").get_data()
    assert_allclose(line, 3.0 / 99 * (100 - B) / B, rtol=1e-12)


def test_images_keep_their_order_and_zero_is_in_the_middle_of_the_colours():
    ax = plots.weight_images(DIGITS, columns=6)
    mosaic = ax.images[0].get_array()
    assert mosaic.shape == (4 * 9 - 1, 6 * 9 - 1)
    assert_array_equal(mosaic[9:17, 18:26], DIGITS[8])
    low, high = ax.images[0].get_clim()
    assert low == -high


def test_confusion_matrix_writes_the_counts():
    ax = plots.confusion_matrix([[5, 1], [0, 2]], names=["cat", "dog"])
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(0, 0): "5", (1, 0): "1", (1, 1): "2"}
    million = plots.confusion_matrix([[1234567, 0], [0, 1]], names=[1, 2])
    assert million.texts[0].get_text() == "1234567"
    assert_allclose(ax.images[0].get_array(), [[5 / 6, 1 / 6], [0, 1]])


def test_confusion_matrix_takes_names_as_people_have_them():
    ax = plots.confusion_matrix(np.eye(3), names=["$5 and $^", "two\nlines", "w" * 300])
    ax.figure.canvas.draw()  # a formula between dollars would fail here
    shown = [label.get_text() for label in ax.get_xticklabels()]
    assert shown == ["$5 and $^", "two lines", "w" * 23 + "…"]
    assert not any(label.get_parse_math() for label in ax.get_xticklabels() + ax.get_yticklabels())


def test_histograms_stand_one_above_the_other():
    h = inspection.histograms(THREE, SPIRALS[0], bins=7)
    ax = plots.histograms(h)
    heights = ax.patches[0].get_data().values - 2
    assert_allclose(heights, 0.85 * h.counts[0] / h.counts[0].max())


def test_network_has_a_line_for_each_weight_and_two_colours():
    drawn = inspection.network(NET)
    ax = plots.network(drawn)
    lines = [line for line in ax.lines if line.get_label().startswith("_")]
    assert len(lines) == 2 * 6 + 6 * 1
    widths = [line.get_linewidth() for line in lines]
    weights = np.concatenate([W.ravel() for W in drawn.weights])
    assert_array_equal(np.argsort(widths), np.argsort(np.abs(weights)))
    colors = np.array([line.get_color() for line in lines])
    assert len(set(colors[weights > 0])) == len(set(colors[weights < 0])) == 1


# ---- wrong uses --------------------------------------------------------------------------------

TE, VE = TypeError, ValueError
WIDE = inspection.network(cr.Model(cr.Dense(2, 60)))
WRONG = {
    "axes": (lambda: plots.spread([1], [[1]], ax=3), TE, "must be a matplotlib Axes"),
    "curves: no history": (lambda: plots.training_curves([1, 2]), TE, "what fit returns"),
    "curves: no figure": (
        lambda: plots.training_curves({"loss": [1]}, figures=["lr"]), VE, "only ['loss']"),
    "curves: no epochs": (lambda: plots.training_curves({"loss": []}), VE, "no epoch"),
    "curves: no such epoch": (
        lambda: plots.training_curves(HISTORY, stop=9), VE, "0 to 3, got 9"),
    "spread: shapes": (lambda: plots.spread([1, 2], [[1], [2]]), VE, "(seeds, 2), got (2, 1)"),
    "regions: names": (
        lambda: plots.decision_regions(inspection.decision_regions(NET, MOONS[0]), names="a"),
        VE, "2 classes need 2 names"),
    "regions: y missing": (
        lambda: plots.decision_regions(inspection.decision_regions(NET, MOONS[0]), MOONS[0]),
        VE, "their classes of shape (N,)"),
    "regions: classes": (
        lambda: plots.decision_regions(
            inspection.decision_regions(NET, MOONS[0]), MOONS[0], MOONS[1] + 1),
        VE, "classes 0 to 1"),
    "surface: kind": (lambda: plots.loss_surface(BOWL, kind="3d"), VE, '"contour" or "surface"'),
    "surface: path": (lambda: plots.loss_surface(BOWL, [1, 2]), VE, "shape (T, 2)"),
    "surface: limits": (lambda: plots.loss_surface(BOWL, limits=(2, 1)), VE, "(smallest, largest)"),
    "surface: three limits": (
        lambda: plots.loss_surface(BOWL, limits=(0, 1, 2)), VE, "(smallest, largest)"),
    "surface: no path": (lambda: plots.loss_surface(BOWL, np.empty((0, 2))), VE, "shape (T, 2)"),
    "surface: one row": (
        lambda: plots.loss_surface(inspection.Surface(GRID, GRID[:1], BOWL.loss[:1])),
        VE, "two points on each side"),
    "curves: lengths": (
        lambda: plots.training_curves({"loss": [1, 2], "val_loss": [1]}), VE, "of one length"),
    "network: NaN": (
        lambda: plots.network(inspection.Network((1, 1), (np.array([[np.nan]]),), (), ("", ""))),
        VE, "not finite"),
    "landscape: not finite": (
        lambda: plots.loss_landscape(BOWL._replace(loss=BOWL.loss * np.nan)), VE, "finite nowhere"),
    "images: flat": (lambda: plots.weight_images(np.ones((3, 4))), VE, "(units, height, width)"),
    "images: columns": (lambda: plots.weight_images(DIGITS, columns=0), VE, "columns must be"),
    "confusion: not square": (lambda: plots.confusion_matrix([[1, 2]]), VE, "shape (C, C)"),
    "confusion: names": (
        lambda: plots.confusion_matrix([[1]], names=["a", "b"]), VE, "1 classes, but 2 names"),
    "network: wide": (lambda: plots.network(WIDE), VE, "up to 40"),
    "save: no format": (lambda: plots.save(plt.figure, "picture"), VE, "as in picture.png"),
    "save: no function": (lambda: plots.save(3, "a.png"), TE, "must be a function"),
    "style: dark": (lambda: plots.style("dark").__enter__(), TE, "True or False"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "error", "piece"), WRONG.values(), ids=WRONG)
def test_wrong_uses_are_refused_with_a_sentence(call, error, piece):
    with pytest.raises(error) as refusal:
        call()
    assert type(refusal.value) is error
    assert piece in str(refusal.value)


OF_ARRAYS = {"spread", "weight_images", "confusion_matrix", "training_curves"}


@pytest.mark.parametrize("name", sorted(set(plots.__all__) - NO_PICTURE - OF_ARRAYS))
def test_a_model_where_its_numbers_are_wanted_is_refused(name):
    with pytest.raises(TypeError, match=rf"plots\.{name}: .* (inspection|chainrule)\."):
        getattr(plots, name)(NET)


# ---- saving, and doing without -----------------------------------------------------------------


def test_save_writes_and_closes(tmp_path):
    draw = partial(plots.activation, inspection.activation(cr.ReLU()))
    light = plots.save(draw, tmp_path / "new" / "light.png")
    dark = plots.save(draw, tmp_path / "dark.png", dark=True)
    pixels = [plt.imread(path) for path in (light, dark)]
    assert pixels[0][0, 0, :3].min() > 0.95
    assert pixels[1][0, 0, :3].max() < 0.15
    assert plt.get_fignums() == []
    with pytest.raises(TypeError, match="must return an Axes or a Figure, got None"):
        plots.save(lambda: None, tmp_path / "none.png")


def test_save_leaves_no_picture_open_when_it_fails(tmp_path):
    def fails():
        plt.figure()
        raise RuntimeError("in the middle")

    mine = plt.figure()
    with pytest.raises(RuntimeError, match="in the middle"):
        plots.save(fails, tmp_path / "a.png")
    with pytest.raises(ValueError, match="foo"):
        plots.save(lambda: plots.spread([1], [[1]]), tmp_path / "a.foo")
    assert plt.get_fignums() == [mine.number]


def test_save_takes_a_part_of_a_figure(tmp_path):
    def part():
        return plt.figure().subfigures(1, 2)[0].subplots()

    assert plots.save(part, tmp_path / "part.png").exists()


def test_style_ends_with_its_block():
    before = dict(plt.rcParams)
    with plots.style(dark=True):
        assert plt.rcParams["axes.facecolor"] == "#131416"
    assert dict(plt.rcParams) == before


def test_without_matplotlib_the_numbers_are_there_and_plots_say_what_to_install(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')")
    code = (
        "from chainrule import inspection, plots, ReLU\n"
        "curve = inspection.activation(ReLU())\n"
        "for name in ('activation', 'style'):\n"
        "    try:\n"
        "        plots.activation(curve) if name == 'activation' else plots.style().__enter__()\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, check=True,
                         capture_output=True, text=True)  # fmt: skip
    assert run.stdout.count("pip install 'chainrule[plots]'") == 2


def test_importing_the_library_does_not_import_matplotlib():
    code = "import sys, chainrule.plots; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- colours -----------------------------------------------------------------------------------

# G. Machado, M. Oliveira, L. Fernandes, *A Physiologically-based Model for Simulation of Color
# Vision Deficiency*, 2009: what linear RGB becomes, at full severity.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def linear(colors):
    """SRGB to linear RGB, (n, 3)."""
    c = np.array([plt.matplotlib.colors.to_rgb(color) for color in colors])
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    """Linear RGB to CIELAB under D65, in which distances are those that the eye sees."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.clip(rgb, 0, 1) @ np.transpose(to_xyz) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("dark", [False, True])
def test_colors_differ_for_every_kind_of_color_vision_and_from_the_ground(vision, dark):
    with plots.style(dark):
        colors = plt.rcParams["axes.prop_cycle"].by_key()["color"]
        ground = plt.rcParams["axes.facecolor"]
    seen = lab(linear([*colors, ground]) @ np.transpose(VISION[vision]))
    distance = np.linalg.norm(seen[:, None] - seen, axis=2)[np.triu_indices(len(seen), 1)]
    assert distance.min() > 10  # 2.3 is just noticeable; lines also differ in their dashes
