"""Compile the shipped policy with spaCy: `python -m index_store.compliance.compiling`.

Writes `compiled.json`: the checked policy, every inflected form of its words, and the English words one letter away
from a form (WordNet's words, as spaCy's lemmatizer carries them), which must not be taken for misspellings. Run it
after each change of policy.toml; a test fails until then.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from index_store.compliance import policy as policies
from index_store.compliance.lemmas import english_words, inflected
from index_store.compliance.reading import plain
from index_store.compliance.spelling import SHORT, Spelling
from index_store.compliance.texts import is_gluable, regular_plural
from index_store.encoders.cards import TOKENIZER_FILE
from index_store.encoders.encoder_models import SHIPPED

# Names and slang that WordNet lacks.
_VOCABULARY = SHIPPED / "encoder" / TOKENIZER_FILE  # its whole words are the common ones, with names and abbreviations
_IN_WORDS = ("boy", "kid", "teen")  # of these, "busboy", "kidney" and "teenie" are made
_MORE_REAL_WORDS = [
    "cassie",
    "chile",
    "keens",
    "ladie",
    "minot",
    "kidd",
    "ladd",
    "todd",
    "babb",
    "sonny",
    "boyfriends",
    "girlfriends",
]
_MORE_REAL_WORDS += ["childress", "childers", "babybel", "girlguides", "playboys", "showgirls"]


def compile_policy() -> dict[str, Any]:
    """Return the content of compiled.json for policy.toml as it is now."""
    source = policies.SHIPPED_POLICY.read_text(encoding="utf-8")
    content = policies.parse(source, policies.SHIPPED_POLICY)
    lemmas = {lemma for group in content["words"] for lemma in group["lemmas"]}
    paired = {lemma for pair in content["pairs"] for lemma in (*pair["first"], *pair["second"]) if lemma.isalpha()}
    forms = {lemma: inflected(lemma) for lemma in sorted(lemmas | paired)}
    return {
        "source": source,
        "digest": policies.digest_of(source),
        "content": content,
        "forms": forms,
        "unaccented": {
            word: read for each in content["languages"] for word in each["words"] if (read := plain(word)) != word
        },
        "compounds": _words_with(
            {form for lemma in lemmas for form in forms[lemma] if is_gluable(form) or form in _IN_WORDS}
        ),
        "real_words": _real_words_near({form for lemma in lemmas for form in forms[lemma]}),
    }


def _real_words_near(listed: set[str]) -> list[str]:
    spelling = Spelling(listed, (), short=SHORT)
    return sorted(
        word for word in _known() - listed if word.isalpha() and (spelling.meant(word) or spelling.drawn_out(word))
    )


def _words_with(listed: set[str]) -> list[str]:
    """Return the English words, "cowboy" or "babysitter", that begin or end with a listed form and are no two words."""
    return sorted(
        word
        for word in _known() - listed
        if len(word) >= 6 and any(word.startswith(form) or word.endswith(form) for form in listed)
    )


def _known() -> set[str]:
    words = {form for kind, word in english_words() for form in _with_endings(kind, word)} | set(_MORE_REAL_WORDS)
    words |= json.loads(_VOCABULARY.read_bytes())["model"]["vocab"].keys()
    return {word for word in words if word.isalpha()}


def _with_endings(kind: str, word: str) -> Iterable[str]:
    stem = word.removesuffix("e")
    if kind == "noun":
        return (word, *regular_plural(word))
    if kind == "verb":
        return (
            word,
            *regular_plural(word),
            stem + "ed",
            stem + "ing",
            stem + "er",
            stem + "ers",
            word + word[-1] + "ed",
        )
    return (word, stem + "er", stem + "est") if kind == "adj" else (word,)


if __name__ == "__main__":
    policies.COMPILED_POLICY.write_text(
        json.dumps(compile_policy(), ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8"
    )
