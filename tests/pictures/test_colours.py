"""Colours given to another picture: moments, luminance, and pictures that have none to give."""

import numpy as np
import pytest

from minicnn.errors import MinicnnError
from minicnn.pictures.colours import (
    MATCHES,
    grey,
    luminance,
    match_covariance,
    match_luminance,
    with_luminance,
)


def draw(rng, shape=(20, 30), offset=(120, 90, 60)):
    mixing = rng.uniform(-20, 20, (3, 3))
    return rng.standard_normal((*shape, 3)) @ mixing + offset


def covariance(rgb):
    return np.cov(rgb.reshape(-1, 3).T, bias=True)


@pytest.mark.parametrize("how", ["mean-cov", "cholesky"])
def test_mean_and_covariance_are_those_of_the_other(how, rng):
    rgb, like = draw(rng), draw(rng, (15, 11), (10, 200, 100))
    matched = MATCHES[how](rgb, like)
    np.testing.assert_allclose(matched.mean((0, 1)), like.mean((0, 1)))
    scale = np.abs(covariance(like)).max()
    np.testing.assert_allclose(covariance(matched), covariance(like), atol=1e-3 * scale)
    assert matched.shape == rgb.shape


def test_the_roots_are_those_of_scipy_and_a_picture_like_itself_stays(rng):
    from scipy.linalg import sqrtm

    rgb, like = draw(rng), draw(rng)
    A = sqrtm(covariance(like)) @ np.linalg.inv(sqrtm(covariance(rgb)))
    expected = (rgb - rgb.mean((0, 1))) @ A.T + like.mean((0, 1))
    np.testing.assert_allclose(match_covariance(rgb, like), expected, atol=0.05)
    for how in MATCHES.values():
        np.testing.assert_allclose(how(rgb, rgb), rgb, atol=0.05)


@pytest.mark.parametrize("how", MATCHES)
def test_a_grey_picture_can_be_given_colours_and_a_coloured_one_grey(how, rng):
    like = draw(rng)
    lines = grey(rng.uniform(0, 255, (12, 13)))
    matched = MATCHES[how](lines, like)
    assert np.isfinite(matched).all()
    # one line of colours through the mean, as long as the other picture's spread at most
    assert np.trace(covariance(matched)) < 1.01 * np.trace(covariance(like))
    back = MATCHES[how](like, lines)
    np.testing.assert_allclose(back.std((0, 1)), lines.std((0, 1)), rtol=0.05)


def test_a_flat_picture_has_nothing_to_stretch(rng):
    with pytest.raises(MinicnnError, match="one flat colour"):
        match_covariance(np.full((4, 5, 3), 7, np.uint8), draw(rng))
    flat = np.full((4, 5, 3), 7.0)
    np.testing.assert_allclose(match_covariance(draw(rng), flat), 7, atol=1e-3)


def test_luminance_is_that_of_yiq_and_leaves_i_and_q(rng):
    rgb = rng.uniform(0.2, 0.8, (3, 4, 3))
    y = rng.uniform(0.3, 0.6, (3, 4))
    changed = with_luminance(rgb, y)
    yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    before, after = rgb @ yiq.T, changed @ yiq.T
    np.testing.assert_allclose(after[..., 0], y)
    np.testing.assert_allclose(after[..., 1:], before[..., 1:], atol=1e-12)
    np.testing.assert_allclose(luminance(rgb), before[..., 0])
    np.testing.assert_allclose(luminance(changed), y)
    np.testing.assert_allclose(luminance(grey(y)), y)


@pytest.mark.smoke
def test_luminance_is_matched_in_mean_and_deviation(rng):
    y, like = rng.uniform(0, 9, (5, 6)), rng.uniform(40, 200, (7, 3))
    matched = match_luminance(y, like)
    assert (matched.mean(), matched.std()) == pytest.approx((like.mean(), like.std()))
    np.testing.assert_allclose(match_luminance(np.full((2, 2), 3.0), like), like.mean())
