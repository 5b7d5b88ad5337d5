"""Say what is known of each photo: does it show a person, is somebody under 16, and how far the answer is trusted.

Captions answer first, as the rule for texts reads them. Who looked at a photo knows better: a table of labels made by
eye wins over its captions. A caption that names grown-ups may be silent about the child beside them, and a class name
about everybody, so these count half.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from index_store.compliance.policy import load_policy
from index_store.compliance.texts import TextRule
from index_store.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from index_store.training.data.captions import CaptionedPhoto

    Floats = NDArray[np.float32]

HARD_LABELS = Path(__file__).with_name("labels.tsv")
"""Labels that we made by looking at what a rule withheld; its first lines say how. They fit, and never measure."""

_ANSWERS = ("yes", "perhaps", "no")
_WELL_DESCRIBED = 3
"""From so many captions on, what none of them names is not there."""

_PEOPLE_TEXT = (
    "man men woman women people person persons player players guy guys lady ladies gentleman gentlemen couple "
    "couples crowd crowds family families someone somebody rider riders biker bikers cyclist cyclists skier skiers "
    "snowboarder snowboarders surfer surfers skateboarder skateboarders swimmer swimmers runner runners dancer "
    "dancers actor actress actors artist artists singer singers musician musicians band team teams he she his her "
    "they their him himself herself model models bride brides groom grooms soldier soldiers police policeman "
    "officer officers worker workers student students teacher teachers doctor doctors nurse nurses fan fans friend "
    "friends mother father mom dad parent parents brother brothers sister sisters husband wife politician "
    "politicians president minister athlete athletes coach performer performers performs poses posing attends "
    "speaks celebrates celebrity hand hands face faces adult adults human humans farmer farmers chef chefs hiker "
    "hikers climber climbers driver drivers pilot pilots priest king queen prince princess smiling wearing member "
    "members group groups individual individuals figure figures portrait selfie body hair wrestler wrestlers "
    "wrestling boxer boxers boxing gymnast gymnasts competitor competitors tourist tourists visitor visitors "
    "customer customers comedian rapper dj guitarist drummer pedestrian pedestrians passenger passengers protester "
    "protesters competes fighter fighters goalkeeper midfielder striker participant participants shopper shoppers "
    "commuter commuters leader director author designer racer weightlifter fencing audience"
)
_PEOPLE = frozenset(_PEOPLE_TEXT.split())


@dataclass(frozen=True, slots=True)
class Trust:
    """How much an answer weighs in fitting, by where it comes from."""

    seen_yes: float = 3.0
    seen_no: float = 1.0
    told: float = 1.0
    silent: float = 0.5


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of n photos, each shape (n,): targets in [0, 1] and the weights with which they count.

    The target of a photo is the share of its captions that speak of a child, where nobody looked; `truth` is whether
    that is enough to count. `seen` is what somebody who looked at photos drawn without a rule says, or "" for nobody;
    `looked` is whether anybody looked, at photos that a rule chose too.
    """

    child: Floats
    child_weight: Floats
    person: Floats
    person_weight: Floats
    truth: NDArray[np.bool_]
    seen: NDArray[np.str_]
    looked: NDArray[np.bool_]

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Labels:
        return Labels(
            self.child[chosen],
            self.child_weight[chosen],
            self.person[chosen],
            self.person_weight[chosen],
            self.truth[chosen],
            self.seen[chosen],
            self.looked[chosen],
        )


def label_photos(
    photos: Sequence[CaptionedPhoto],
    tables: Sequence[Path],
    positive_share: float,
    trust: Trust | None = None,
    hard: Path = HARD_LABELS,
) -> Labels:
    """Return what captions and tables of labels say about photos; a later table wins over an earlier one.

    `positive_share`: of a photo's captions, how many must speak of a child for it to count. `hard`: labels of photos
    that a rule chose, so that figures on them would say nothing about others; any of `tables` wins over it.

    Raises:
        DataError: a table cannot be read, or holds something else than labels.
    """
    trust = trust or Trust()
    captions = [photo.captions for photo in photos]
    shares = caption_shares(captions)
    person = np.array([np.mean([_names_people(text) for text in texts]) for texts in captions]) >= positive_share
    person |= shares >= positive_share
    described = np.array([len(texts) >= _WELL_DESCRIBED for texts in captions])
    weight = np.where((shares > 0) | described, trust.told, trust.silent)
    drawn: dict[str, tuple[str, str]] = {}
    for table in tables:
        drawn.update(read_labels(table))
    looked_at, names = {**read_labels(hard), **drawn}, [_name_of(photo) for photo in photos]
    answers, persons = (np.array([looked_at.get(name, ("", ""))[place] for name in names]) for place in (0, 1))
    known = [answers == answer for answer in _ANSWERS]
    return Labels(
        np.select(known, [1, 0.5, 0], shares).astype(np.float32),
        np.select(known, [trust.seen_yes, 0, trust.seen_no], weight).astype(np.float32),
        np.where(persons == "", person, persons == "yes").astype(np.float32),
        np.where((persons != "") | described, trust.told, trust.silent).astype(np.float32),
        np.select(known, [True, False, False], shares >= positive_share),
        np.array([answer if name in drawn else "" for name, answer in zip(names, answers, strict=True)]),
        answers != "",
    )


def caption_shares(captions: Sequence[Sequence[str]]) -> Floats:
    """Return for each photo the share of its captions that speak of a child by the shipped policy, shape (n,)."""
    rule = TextRule(load_policy())
    known: dict[str, bool] = {}  # hundreds of photos of a class share one caption
    for texts in captions:
        for text in texts:
            if text not in known:
                known[text] = rule.check(text).withheld
    return np.array([np.mean([known[text] for text in texts]) for texts in captions], np.float32)


def read_labels(table: Path) -> Mapping[str, tuple[str, str]]:
    """Return the answers (under 16, a person) for each photo of a table, by folder and name: "coco_val/a.webp".

    The table is separated by tabs and has the columns image, under16 and person; lines that begin with # are notes.

    Raises:
        DataError: it cannot be read, or a line has another answer than yes, perhaps or no.
    """
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader((line for line in file if not line.startswith("#")), delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as a table of labels ({error})") from error
    labels: dict[str, tuple[str, str]] = {}
    for row in rows:
        image, under16, person = (row.get(name) or "" for name in ("image", "under16", "person"))
        if not image or under16 not in _ANSWERS or person not in _ANSWERS:
            raise DataError(
                f"{table}: {image or 'a line without image'} has under16 {under16!r} and person {person!r}; write yes, "
                "perhaps or no"
            )
        parts = Path(image).parts
        labels[f"{parts[0]}/{parts[-1]}"] = (under16, person)
    return labels


def _name_of(photo: CaptionedPhoto) -> str:
    """Return a photo's folder of data and name, as tables of labels name it."""
    folder = photo.path.parent
    return f"{(folder.parent if folder.name == 'images' else folder).name}/{photo.image}"


def _names_people(text: str) -> bool:
    return not _PEOPLE.isdisjoint(re.findall(r"[a-z]+", text.lower()))
