"""Every frame counts, doubtful photos are looked at again, and the work goes out in two calls."""

from __future__ import annotations

import numpy as np
import pytest

from index_store.compliance import looks
from index_store.compliance.looks import DISCOUNT, LOOKS, MIRRORED, judge_looks, mirrored, to_the_left, to_the_right
from index_store.compliance.policy import load_policy
from index_store.records import OpenedPhoto, PhotoFile, PhotoInput, Verdict

SIDE = 8
THRESHOLD = 0.13


class CornerEncoder:
    """Encodes a photo as the brightness of its upper left corner, of its middle, and of all; counts its calls."""

    name = "corners-1"
    dimension = 3
    photo_input = PhotoInput(side=SIDE)

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode_photos(self, photos):
        self.calls.append(len(photos))
        return np.asarray([[p[0, 0, 0], p[4, 4, 0], p.mean()] for p in photos], dtype=np.float32) / 255


def judge_corner(embeddings) -> list[Verdict]:
    """Take the corner's brightness as the probability."""
    return [
        Verdict(bool(p >= THRESHOLD), float(p), f"probability {p:.2f}", "rule-1", "policy-1") for p in embeddings[:, 0]
    ]


def picture(corner: float, others: float = 0.0, right: float | None = None) -> np.ndarray:
    """Return a picture with a bright corner; `right` comes there when it is mirrored or turned to the left."""
    pixels = np.full((SIDE, SIDE, 3), round(255 * others), dtype=np.uint8)
    pixels[0, 0] = round(255 * corner)
    pixels[0, -1] = round(255 * (others if right is None else right))
    return pixels


def photo(pixels, *frames, unseen: bool = False) -> OpenedPhoto:
    return OpenedPhoto(PhotoFile("a", 1, 1, "h"), pixels, SIDE, SIDE, frames=frames, unseen=unseen)


def test_the_strictest_frame_holds_and_the_embedding_is_that_of_the_first():
    encoder = CornerEncoder()
    photos = [
        photo(picture(0.0), picture(0.02), picture(0.5), picture(0.01)),
        photo(picture(0.0)),
        photo(picture(0.9), picture(0.0)),
    ]
    embeddings, verdicts = judge_looks(encoder, judge_corner, photos, THRESHOLD)
    assert np.allclose(embeddings[:, 0], [0.0, 0.0, 230 / 255])
    assert [verdict.withheld for verdict in verdicts] == [True, False, True]
    assert verdicts[0].reason == "frame 3 of those looked at: probability 0.50"
    assert verdicts[2].reason == "probability 0.90"
    assert encoder.calls == [7]


@pytest.mark.parametrize("frames", [(), (picture(0.0),)])
def test_what_could_not_be_looked_at_in_full_is_withheld(frames):
    _, [verdict] = judge_looks(CornerEncoder(), judge_corner, [photo(picture(0.0), *frames, unseen=True)], THRESHOLD)
    assert (verdict.withheld, verdict.probability, verdict.rule) == (True, 1.0, "rule-1")
    assert verdict.reason == "some of its frames cannot be looked at"


def test_a_doubtful_photo_is_looked_at_again_and_says_which_look_decided():
    encoder = CornerEncoder()
    doubtful, sure, harmless = picture(0.08, right=0.6), picture(0.6), picture(0.01, right=0.6)
    embeddings, verdicts = judge_looks(encoder, judge_corner, [photo(p) for p in (doubtful, sure, harmless)], THRESHOLD)
    assert [verdict.withheld for verdict in verdicts] == [True, True, False]
    assert verdicts[0].reason == "turned to the left: probability 0.60"
    assert verdicts[0].probability == pytest.approx(0.6 / DISCOUNT, abs=0.01)
    assert embeddings[0, 0] == pytest.approx(20 / 255)
    assert encoder.calls == [3, 1]


@pytest.mark.parametrize(("corner", "right", "withheld"), [(0.15, 0.105, False), (0.11, 0.165, True)])
def test_near_the_threshold_the_mean_with_the_mirror_image_decides(corner, right, withheld):
    """Without it the first would be withheld and the second shown, and their mirror images the other way about."""
    found = [
        judge_looks(CornerEncoder(), judge_corner, [photo(pixels)], THRESHOLD)
        for pixels in (picture(corner, right=right), mirrored(picture(corner, right=right)))
    ]
    for _, [verdict] in found:
        assert verdict.withheld is withheld
        assert verdict.probability == pytest.approx((corner + right) / 2, abs=0.01)
        assert verdict.reason.startswith("with its mirror image: probability")
    assert [rows[0, 0] for rows, _ in found] == pytest.approx([corner, right], abs=0.01)


@pytest.mark.parametrize("share", [MIRRORED.least - 0.05, MIRRORED.most + 0.05])
def test_far_from_the_threshold_there_is_no_mean(share):
    [verdict] = judge_looks(CornerEncoder(), judge_corner, [photo(picture(share * THRESHOLD))], THRESHOLD)[1]
    assert verdict.reason == f"probability {round(255 * share * THRESHOLD) / 255:.2f}"


def test_a_frame_that_is_withheld_is_not_shown_for_the_mirror_image_of_another():
    encoder = CornerEncoder()
    [verdict] = judge_looks(encoder, judge_corner, [photo(picture(0.0), picture(0.15))], THRESHOLD)[1]
    assert (verdict.withheld, encoder.calls) == (True, [2])


def test_all_further_looks_of_a_batch_go_out_in_one_call():
    encoder = CornerEncoder()
    judge_looks(encoder, judge_corner, [photo(picture(0.12)) for _ in range(5)], THRESHOLD)
    assert encoder.calls == [5, 5 * (1 + len(LOOKS))]


def test_a_further_look_that_is_as_doubtful_as_the_first_changes_nothing():
    _, [verdict] = judge_looks(
        CornerEncoder(), judge_corner, [photo(picture(0.065, right=THRESHOLD * DISCOUNT - 0.01))], THRESHOLD
    )
    assert (verdict.withheld, verdict.reason) == (False, "probability 0.07")


def test_the_band_follows_the_threshold():
    encoder = CornerEncoder()
    strict = [Verdict(False, 0.4, "", "r", "p")]
    judge_looks(encoder, lambda rows: strict * len(rows), [photo(picture(0.0))], threshold=0.5)
    assert encoder.calls == [1, 1 + len(LOOKS)]
    judge_looks(encoder, lambda rows: strict * len(rows), [photo(picture(0.0))], threshold=0.9)
    assert encoder.calls == [1, 1 + len(LOOKS), 1]


def test_a_photo_without_a_rule_is_looked_at_once():
    encoder = CornerEncoder()
    withheld = Verdict(True, 1.0, "not judged", "none", "p")
    assert judge_looks(encoder, lambda rows: [withheld] * len(rows), [photo(picture(0.1))])[1] == [withheld]
    assert encoder.calls == [1]


def test_the_turns_are_those_that_their_names_say():
    pixels = np.arange(SIDE * SIDE * 3, dtype=np.uint8).reshape(SIDE, SIDE, 3)
    assert np.array_equal(mirrored(pixels)[0, 0], pixels[0, -1])
    assert np.array_equal(mirrored(pixels)[-1, 0], pixels[-1, -1])
    assert np.array_equal(to_the_left(pixels)[0, 0], pixels[0, -1])
    assert np.array_equal(to_the_right(pixels)[0, 0], pixels[-1, 0])


def test_the_band_lies_by_the_threshold_of_the_policy_that_ships():
    assert load_policy().photo_threshold == looks.THRESHOLD
