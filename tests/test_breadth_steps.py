"""What is particular to single losses and optimizers, beside what the table of cases holds for all.
Each is held against another path to the same number: an identity, a limit, or a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import chainrule as cr

SEEDS = st.integers(0, 2**31)
close = np.testing.assert_allclose
same = np.testing.assert_array_equal


# ---- losses --------------------------------------------------------------------------------------


def log_softmax_then(loss, z, t):
    """Value and dL/dz of a loss behind LogSoftmax."""
    p, cache = cr.LogSoftmax().forward(z)
    value, dp = loss(p, t)
    return value, cr.LogSoftmax().backward(dp, cache)[0]


@given(SEEDS, st.floats(0.01, 100))
def test_huber_lies_between_the_square_and_the_line(seed, delta):
    p, t = np.random.default_rng(seed).standard_normal((2, 6, 2))
    r = np.abs(p - t)
    value, d = cr.Huber(delta)(p, t)
    each = np.where(r <= delta, r * r / 2, delta * (r - delta / 2))
    close(value, each.mean(), rtol=1e-13)
    close(d, (p - t).clip(-delta, delta) / 12, rtol=1e-13)
    squared, d_squared = cr.MeanSquaredError()(p, t)
    absolute, d_absolute = cr.MeanAbsoluteError()(p, t)
    assert value <= min(squared / 2, delta * absolute) * (1 + 1e-13)
    large, d_large = cr.Huber(r.max() + 1)(p, t)
    close(large, squared / 2, rtol=1e-13)
    close(d_large, d_squared / 2, rtol=1e-13)
    small, d_small = cr.Huber(r.min() / 2)(p, t)
    close(small, r.min() / 2 * (absolute - r.min() / 4), rtol=1e-12)
    close(d_small, r.min() / 2 * d_absolute, rtol=1e-13)


@given(SEEDS, st.integers(1, 4), st.integers(2, 6), st.sampled_from([(), (3,)]))
def test_log_likelihood_behind_log_softmax_is_the_cross_entropy(seed, n, classes, between):
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 5, (n, *between, classes))
    t = rng.integers(0, classes, (n, *between))
    value, dz = log_softmax_then(cr.NegativeLogLikelihood(), z, t)
    expected, d = cr.SoftmaxCrossEntropy()(z, t)
    close(value, expected, rtol=1e-12, atol=1e-14)
    close(dz, d, rtol=0, atol=1e-14)


@given(SEEDS, st.integers(1, 4), st.integers(2, 6))
def test_divergence_and_entropy_make_the_cross_entropy(seed, n, classes):
    """KL is a mean over n C entries, cross entropy one over n rows: C KL = CE - H."""
    rng = np.random.default_rng(seed)
    z, t = rng.normal(0, 3, (n, classes)), cr.softmax(rng.normal(0, 3, (n, classes)))
    value, dz = log_softmax_then(cr.KLDivergence(), z, t)
    cross, d = cr.SoftmaxCrossEntropy()(z, t)
    entropy = -(t * np.log(t)).sum() / n
    close(classes * value + entropy, cross, rtol=1e-12)
    close(classes * dz, d, rtol=0, atol=1e-14)
    value, dz = log_softmax_then(cr.KLDivergence(), np.log(t), t)
    close(value, 0, atol=1e-15)
    close(dz, 0, atol=1e-15)
    assert cr.KLDivergence()(np.log(t), np.roll(t, 1, axis=1))[0] >= 0


@given(SEEDS)
def test_hinge_is_zero_from_the_margin_on(seed):
    rng = np.random.default_rng(seed)
    t = rng.choice([-1, 1], 9)
    away = t * np.concatenate([[1.0], 1 + rng.random(8)])
    value, d = cr.Hinge()(away, t)
    assert (value, abs(d).max()) == (0, 0)
    gaps = rng.random(9)
    value, d = cr.Hinge()(t * (1 - gaps), t)
    close(value, gaps.mean(), rtol=1e-13)
    same(d[gaps > 1e-15], (-t / 9)[gaps > 1e-15])


@pytest.mark.parametrize("dtype", ["i1", ">i4", "u8", "bool"])
@pytest.mark.parametrize("loss", [
    cr.MeanAbsoluteError(), cr.Huber(), cr.Hinge(), cr.KLDivergence(), cr.NegativeLogLikelihood(),
], ids=repr)  # fmt: skip
def test_targets_of_whole_numbers_count_as_the_numbers_they_are(loss, dtype):
    t = np.array([[1, 0], [0, 1], [1, 1]])
    if isinstance(loss, cr.Hinge):
        t = t * 0 + 1
    if isinstance(loss, cr.NegativeLogLikelihood):
        t = t[:, 0]
    p = np.random.default_rng(0).standard_normal((3, 2))
    value, d = loss(p, t.astype(dtype))
    full = t if t.ndim > 1 else np.eye(2)[t]
    r = np.abs(p - full)
    expected = {
        "MeanAbsoluteError": r.mean(),
        "Huber": np.where(r < 1, r * r / 2, r - 0.5).mean(),
        "Hinge": (1 - p).clip(0).mean(),
        "KLDivergence": -(full * p).mean(),
        "NegativeLogLikelihood": -(p[0, 1] + p[1, 0] + p[2, 1]) / 3,
    }
    close(value, expected[type(loss).__name__], rtol=1e-14)
    assert d.shape == p.shape


# ---- optimizers ----------------------------------------------------------------------------------


def steps(optimizer, p, gradients, **options):
    p, path = np.array(p), []
    for g in gradients:
        optimizer.step(p, g, **options)
        path.append(p.copy())
    return np.array(path)


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}, {"betas": (0.5, 0.9), "eps": 1e-3}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_adamw_without_decay_is_adam_to_the_bit(options, dtype):
    gradients = np.random.default_rng(0).standard_normal((50, 7)).astype(dtype)
    start = gradients[0] * 3
    one = steps(cr.AdamW(0.1, weight_decay=0.0, **options), start, gradients)
    assert one.tobytes() == steps(cr.Adam(0.1, **options), start, gradients).tobytes()


@given(SEEDS, st.floats(0, 0.99), st.floats(1e-8, 0.1), st.floats(0, 0.5),
       st.sampled_from([0.0, 0.9]), st.booleans())  # fmt: skip
def test_rmsprop_is_its_formula(seed, alpha, eps, decay, momentum, centered):
    rng = np.random.default_rng(seed)
    start, gradients = rng.standard_normal(4), rng.standard_normal((15, 4))
    optimizer = cr.RMSprop(0.01, alpha, eps, decay, momentum, centered and alpha > 0.1)
    path = steps(optimizer, start, gradients)
    for i in range(4):
        w, v, a, b = start[i], 0.0, 0.0, 0.0
        for k, g in enumerate(gradients[:, i]):
            g = g + decay * w
            v = alpha * v + (1 - alpha) * g**2
            a = alpha * a + (1 - alpha) * g
            b = momentum * b + g / (max(v - optimizer.centered * a**2, 0) ** 0.5 + eps)
            w = w - 0.01 * b
            close(path[k, i], w, rtol=1e-9, atol=1e-11)


def test_adagrads_rate_falls_as_one_over_the_root_of_the_steps():
    t = np.arange(1, 101)
    path = steps(cr.Adagrad(0.1, eps=0.0), [0.0, 0.0], np.tile([2.0, -1e-3], (100, 1)))
    close(path, np.cumsum(-0.1 / np.sqrt(t))[:, None] * [1, -1], rtol=1e-12)
    path = steps(cr.Adagrad(0.1, lr_decay=0.5, eps=0.0), [0.0], np.ones((100, 1)))
    close(np.diff(path[:, 0]), -0.1 / np.sqrt(t[1:]) / (1 + 0.5 * (t[1:] - 1)), rtol=1e-9)


@pytest.mark.parametrize("done", [3, 7000])
def test_nadam_goes_on_in_a_fresh_instance_and_in_one_that_is_ahead(done):
    gradients = np.random.default_rng(0).standard_normal((done + 10, 2))
    whole = cr.NAdam(momentum_decay=0.01)
    start = steps(whole, [1.0, -1.0], gradients[:done])[-1]
    state = whole.state_dict()
    path = steps(whole, start, gradients[done:])
    for other in (cr.NAdam(momentum_decay=0.01), whole):
        other.load_state_dict(state)
        assert steps(other, start, gradients[done:]).tobytes() == path.tobytes()
    mu = 0.9 * (1 - 0.5 * 0.96 ** (np.arange(1, done + 2) * 0.01))  # the formula, at that step
    fresh, p = cr.NAdam(1.0, (0.9, 0.0), 0.0, momentum_decay=0.01), np.zeros(1)
    fresh.load_state_dict({"steps": done - 1, "m": np.zeros(1), "v": np.ones(1)})
    fresh.step(p, np.ones(1))  # v_hat = 1, m = 0.1
    ahead = 0.1 * mu[-1] / (1 - np.prod(mu)) + (1 - mu[-2]) / (1 - np.prod(mu[:-1]))
    close(p, -ahead, rtol=1e-12)


def test_nadam_whose_option_is_changed_goes_on_as_one_that_was_made_with_it():
    gradients = np.random.default_rng(1).standard_normal((8, 2))
    changed, other = cr.NAdam(), cr.NAdam(momentum_decay=0.5)
    start = steps(changed, [1.0, -1.0], gradients[:5])[-1]
    other.load_state_dict(changed.state_dict())
    changed.momentum_decay = 0.5
    path = steps(other, start, gradients[5:])
    assert steps(changed, start, gradients[5:]).tobytes() == path.tobytes()


def test_a_state_holds_what_the_options_ask_for():
    optimizer = cr.RMSprop(momentum=0.9)
    steps(optimizer, np.ones(2), np.ones((3, 2)))
    optimizer.momentum = 0.0
    cr.RMSprop().load_state_dict(optimizer.state_dict())
    assert set(optimizer.state_dict()) == {"steps", "v"}


def test_radam_begins_as_momentum_alone():
    gradients = np.random.default_rng(0).standard_normal((8, 3))
    path = steps(cr.RAdam(0.1), np.zeros(3), gradients)
    p, m = np.zeros(3), np.zeros(3)
    for t, g in enumerate(gradients, 1):
        m = 0.9 * m + 0.1 * g
        p = p - 0.1 * m / (1 - 0.9**t)
        rho = 1999 - 2 * t * 0.999**t / (1 - 0.999**t)
        assert (rho <= 5) == (t <= 5)
        if rho > 5:
            assert np.abs(path[t - 1] - p).max() > 1e-3
            break
        close(path[t - 1], p, rtol=1e-12)


@pytest.mark.parametrize("optimizer", [
    cr.AdamW(0.1, weight_decay=0.2),
    cr.NAdam(0.1, weight_decay=0.2, decoupled_weight_decay=True),
    cr.RAdam(0.1, weight_decay=0.2, decoupled_weight_decay=True),
], ids=repr)  # fmt: skip
def test_decoupled_decay_shrinks_each_span_by_its_own(optimizer):
    start = np.random.default_rng(0).standard_normal(7)
    spans = [(slice(0, 2), None), (slice(3, 5), 0.5), (slice(5, 6), 0.0)]
    path = steps(optimizer, start, np.zeros((4, 7)), spans=spans)
    decays = np.array([0.2, 0.2, 0, 0.5, 0.5, 0, 0])
    close(path, [start * (1 - 0.1 * decays) ** k for k in range(1, 5)], rtol=1e-14)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_centred_rmsprop_has_no_roots_of_negative_numbers(momentum):
    """A constant gradient c: v - a^2 = c^2 alpha^t (1 - alpha^t), which rounding takes below 0."""
    c, t = np.array([1, 0.3, 1e-3, 1e-10, 1e-20, -7e4], "f4"), np.arange(1, 2001)
    optimizer = cr.RMSprop(1e-3, centered=True, momentum=momentum)
    path = steps(optimizer, np.zeros(6, "f4"), np.tile(c, (2000, 1)))
    assert np.isfinite(path).all()
    a = 0.99 ** t[:100]
    d = c / (np.abs(c) * np.sqrt(a * (1 - a))[:, None] + 1e-8)
    b = np.zeros(6)
    for k in range(100):
        b = momentum * b + d[k]
        expected = -1e-3 * b + (path[k - 1] if k else 0)
        close(path[k], expected, rtol=1e-3, atol=1e-12)
