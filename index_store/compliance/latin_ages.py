"""Find ages in German, French, Spanish, Portuguese and Italian: "zehnjährig", "de dix ans", "cumple doce años".

The number words, from one to nineteen, and the small words that tie a number of years to somebody are the grammar of
each language. A span is no age ("vor zehn Jahren", "hace diez años"), and neither is the age of what a policy lists as
a thing, where it stands by the number: "ein zehn Jahre altes Auto", "un vino de diez años". Standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import cache
from itertools import takewhile
from typing import NamedTuple

from index_store.compliance.reading import WORD

_NUMBERS_TEXT = (
    "ein zwei drei vier funf sechs sieben acht neun zehn elf zwolf dreizehn vierzehn funfzehn sechzehn siebzehn "
    "achtzehn neunzehn",
    "un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept dix-huit "
    "dix-neuf",
    "un dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciseis diecisiete "
    "dieciocho diecinueve",
    "um dois tres quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete dezoito "
    "dezenove",
    "un due tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici "
    "diciassette diciotto diciannove",
)
_NUMBERS = {word: years for text in _NUMBERS_TEXT for years, word in enumerate(text.split(), start=1)}
_NUMBERS |= {"fuenf": 5, "zwoelf": 12, "fuenfzehn": 15, "zwo": 2, "einem": 1, "duas": 2, "anderthalb": 1}
_NUMBERS |= {"eineinhalb": 1, "zweieinhalb": 2, "dreieinhalb": 3, "viereinhalb": 4, "funfeinhalb": 5}
_PLACES_TEXT = (
    "erst zweit dritt viert funft sechst siebt acht neunt zehnt elft zwolft dreizehnt vierzehnt funfzehnt",
    "premier deuxieme troisieme quatrieme cinquieme sixieme septieme huitieme neuvieme dixieme onzieme douzieme "
    "treizieme quatorzieme quinzieme",
    "primer segundo tercer cuarto quinto sexto septimo octavo noveno decimo undecimo duodecimo",
    "primeiro segundo terceiro quarto quinto sexto setimo oitavo nono decimo",
    "primo secondo terzo quarto quinto sesto settimo ottavo nono decimo undicesimo dodicesimo tredicesimo",
)
_PLACES = {word: years for text in _PLACES_TEXT for years, word in enumerate(text.split(), start=1)}
_FEMININE = {f"{word.removesuffix('o')}a": years for word, years in _PLACES.items() if years < 7}
_ITALIAN_TEXT = "sett ott nov dec undic dodic tredic quattordic quindic"
_ITALIAN_STEMS = {stem: years for years, stem in enumerate(_ITALIAN_TEXT.split(), start=7)}


def _either(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_TENS = (
    "vingt|trente|quarante|cinquante|soixante|cent|vinte|trinta|quarenta|cinquenta|cento|veinte|treinta|cuarenta|"
    "cincuenta|cien"
)
_N = (
    rf"(?<![\w.,$€£-])(?P<tens>(?:{_TENS})(?:[- ]et|[- ]und| e| y)?[- ])?(?P<n>\d{{1,2}}|{_either(_NUMBERS)})"
    r"(?:[ -](?:et demi|y medio|e meio|e mezzo))?"
)
_HEDGES = (
    r"(?:(?:solo|apenas|casi|unos|unas|quase|soli|appena|seulement|environ|presque|a peine|quasi|circa|erst|nur|knapp|"
    r"etwa|fast|ungefahr|gerade|schon|bald|zarten|kaum) )*"
)
_LESS = frozenset(("moins", "menos", "meno", "menor", "menores", "minori", "unter", "sotto", "under", "mineurs"))
_ROUGHLY_LESS = 3
"""People under ten are taken to be seven, as the English "under-10s" are."""


class _Way(NamedTuple):
    """How a language ties a number of years to somebody; patterns of words without accents."""

    years: str
    parts: str
    """Months, weeks and days: an age only where `old` or `aged` says so, else a span."""
    firm: str
    """Before a number, ties it whatever follows: "im Alter von", "de", "compie"."""
    loose: str
    """Before a number, ties it unless a noun follows: "mit zehn Jahren", but "mit zehn Jahren Erfahrung"."""
    old: str
    aged: str
    spans: str
    """Before a tie, says that it is none: "il y a dix ans", "a lo largo de diez años"."""
    later: str
    """After it, the same: "fa", "atrás"."""
    links: str
    """What may follow a loose tie."""


_WAYS = (
    _Way(
        years=r"jahr(?:en?|chen)?",
        parts=r"monaten?|wochen?|tagen?",
        firm=r"im alter von|alter:?|von|zwischen",
        loose=r"mit|unter|ab|bis|wird|wurde|werden|ist|sind|bin|hochstens",
        old=r"alte[rnms]?|alt|jung|junge[rnms]?",
        aged=r"im alter von",
        spans="vor seit nach innerhalb alle uber mehr als dauer zeitraum her",
        later=r"her|lang|spater|danach|zuvor|garantie",
        links="am im in auf an mit und oder der die das spielt sitzt steht lauft springt rennt liest malt vor bei beim",
    ),
    _Way(
        years=r"ans?|annees?",
        parts=r"mois|semaines?|jours?",
        firm=r"agee?s? d[e']|de|d'|d'avoir|fete ses|fetent leurs|entre",
        loose=r"a|avait|aura|ont|ses|leurs|pas|aux",
        old=r"d'age|revolus",
        aged=r"agee?s? d[e']",
        spans="y plus bout long cours pres depuis pendant apres partir d'ici",
        later=r"plus tard|apres|avant|auparavant|durant",
        links="a au aux avec dans sur et ou en qui sous devant derriere pres joue jouent court sourit saute chante lit",
    ),
    _Way(
        years=r"an(?:os?|itos?|inhos?)",
        parts=r"mes(?:es)?|semanas?|dias?",
        firm=r"de|entre(?: los| os)?|(?:que|quien|ela|ele|hoje) faz|edad:?|idade:?|"
        r"cumple|cumplen|cumplio|cumpliendo|cumplir|completa|completando",
        loose=r"con|com|tiene|tienen|tenia|tem|tinha|a los|aos|sus|seus",
        old=r"de edad|de idade|de vida|cumplidos|completos",
        aged=r"(?:edad|idade) de|edad:?|idade:?",
        spans="mas mais largo longo cabo mayores maiores hace desde cerca dentro partir fim",
        later=r"atras|antes|despues|depois",
        links="en na no nas nos em con com y e o ou que sobre bajo sob ante junto juega juegan joga brinca corre canta "
        "sonrie sorri salta lee",
    ),
    _Way(
        years=r"ann(?:o|i|etti)",
        parts=r"mes[ei]|settiman[ae]|giorn[oi]",
        firm=r"di|tra(?: i| gli)?|fra(?: i| gli)?|eta:?|compiere|compie|compiono|compira|sotto i|sotto gli",
        loose=r"con|a|ha|hanno|aveva|suoi|ai|gli",
        old=r"di eta|d'eta|di vita|compiuti",
        aged=r"eta di|eta:?",
        spans="piu giro arco corso da dopo partire",
        later=r"fa|dopo|prima|or sono",
        links="in al alla ai con e o che su sul sulla sotto gioca giocano corre sorride salta canta legge",
    ),
)
_NEAR = 2
"""So many words after an age, and one more before it, are asked whether they are a thing: "vino tinto de diez años"."""

_HINT_TEXT = (
    r"j(?:ae?h|äh)r(?!zehnt|hundert|es)|klass|geburtstag|im alter von"
    r"|\b(?:ans|annees?|anos?|anitos?|aninhos?|ann[oi]|annetti)\b"
    r"|\b(?:un|1) an\b|\d ?(?:ans?|anos?|anni|enn[ei])\b"
    r"|(?:sett|ott|nov|dec|dic)enne\b|aner[oa]s?\b|anniversaire|cumplean|aniversario|complean|primaria|elementare"
    r"|\b(?:monaten?|wochen?|tagen?|mois|semaines?|jours?|mes(?:es|i|e)?|semanas?|dias?|settiman[ae]|giorn[oi])\b"
    r"|\b(?:sie|er|wird|bin) |\bc(?:p|e1|e2|m1|m2)\b|\d[ao.]? serie|[oa] serie"
)
_BIRTHDAYS = ("geburtstag", "anniversaire", "cumpleanos", "aniversario", "compleanno")
_STOPS_TEXT = (
    "und mit bei neben vor hinter im in am auf an beim zum vom y e et con com avec dans sur en em na no su sul "
    "sulla nel nella junto pres vicino al alla au aux sous unter sobre"
)
_STOPS = frozenset(_STOPS_TEXT.split())
"""Where the search for a thing by a number ends: "ein Auto und ein zehnjähriger Gitarrist"."""


_PARTS_TEXT = (
    "jahr jaehr klass geburtstag alter an enn mois mes mana giorn jour dia monat woche tage cumple primaria element "
    "serie er bin wird sie ce1 ce2 cm1 cm2 cp"
)
_PARTS = tuple(_PARTS_TEXT.split())
"""One of these is in every text that `_hint` finds; most texts have none, and need no pattern compiled."""


@cache
def _hint() -> re.Pattern[str]:
    return re.compile(_HINT_TEXT)


def find_latin_age(read: str, things: Collection[str], limit: int) -> str | None:
    """Return the reason where a text, as `plain` reads it, tells the age of a person under the limit, else None.

    `things` are the nouns, as `plain` reads them, whose age is no person's.
    """
    if not any(part in read for part in _PARTS) or not _hint().search(read):
        return None
    for way, pattern, in_years in _tied():
        for match in pattern.finditer(read):
            last, before, after = _around(match, read)
            years = (20 if match["tens"] else _number(match["n"])) if in_years else 0
            if not _LESS.isdisjoint([*last, *match[0].split()[:1]]):
                years -= _ROUGHLY_LESS
            if years < limit and not {*last} & {*way.spans.split()} and not _is_thing([*before, *after], things):
                return _reason(match, limit)
    for pattern, more in _others():
        for match in pattern.finditer(read):
            after = WORD.findall(read[match.end() :].replace("'", " "))[: _NEAR + 1]
            if not any(birthday in match[0] for birthday in _BIRTHDAYS):  # "zehnter Geburtstag der Firma"
                after = _until_stop(after)
            if _years(match) + more < limit and not _is_thing(after, things):
                return _reason(match, limit)
    return None


def age_words() -> frozenset[str]:
    """Return the words that state ages, for those who look for their misspellings."""
    endings = ("", "e", "er", "es", "en", "em")
    compounds = {f"{number}jahrig{ending}" for number in _NUMBERS_TEXT[0].split() for ending in endings}
    pupils = {f"{place}klassler{ending}" for place in _PLACES_TEXT[0].split() for ending in ("", "in", "n", "innen")}
    years = ("jahre", "jahren", "anos", "anni", "anniversaire", "geburtstag", "primaria", "cumpleanos")
    ties = ("de", "di", "von", "mit", "con", "com", "tiene", "im")
    return frozenset((*compounds, *pupils, *years, *ties, *(word for word in _NUMBERS if len(word) > len("un"))))


@cache
def _tied() -> list[tuple[_Way, re.Pattern[str], bool]]:
    """Return the patterns that tie a number to somebody, each with its language and whether the number is of years."""
    found: list[tuple[_Way, re.Pattern[str], bool]] = []
    for way in _WAYS:
        end = rf"(?= *(?:$|[,.;:!?)]|(?:{way.links.replace(' ', '|')})\b))"
        span = rf"{_N}(?: ?(?:-|a|bis|et|y|e|o|ou|und|oder)(?: i| gli| os| los)? ?\d{{1,2}})?[ -]?(?:{way.years})\b"
        not_later = rf"(?! (?:{way.later})\b)"
        tie = r"(?: |(?<=')|(?<=:))" + _HEDGES
        for pattern, in_years in (
            (rf"(?<!\w)(?:{way.firm}){tie}{span}{not_later}", True),
            (rf"(?<!\w)(?:{way.loose}){tie}{span}{end}", True),
            (rf"(?:^|[,(;:] ?){_HEDGES}{span}{end}", True),
            (rf"{span} (?:{way.old})\b", True),
            (rf"{_N} (?:{way.parts}) (?:{way.old})\b", False),
            (rf"(?<!\w)(?:{way.aged}){tie}{_N} (?:{way.parts})\b", False),
        ):
            found.append((way, re.compile(pattern), in_years))
    return found


@cache
def _others() -> list[tuple[re.Pattern[str], int]]:
    """Return patterns of ages in one word, of birthdays and of school years, each with what is added to its number."""
    number, place = rf"(?P<n>\d{{1,2}}|{_either(_NUMBERS)})", rf"(?P<place>{_either(_PLACES)})"
    early = _either(word for word, years in _PLACES.items() if years < 10)
    girls = _either(_FEMININE)
    patterns = (
        (rf"(?<![\w-]){number}[ .-]*j(?:ae?|ä)hrig(?:e[rnms]?|er?innen)?\b", 0),
        (rf"\bim alter von {_HEDGES}{number}(?! (?:monat|woche|tag))\b", 0),
        (r"(?<![\w-])(?:halbjahrig|dreivierteljahrig)(?:e[rnms]?)?\b", 0),
        (rf"\b(?P<stem>{_either(_ITALIAN_STEMS)})enne\b|\b(?P<n>\d{{1,2}}) ?enn[ei]\b", 0),
        (r"\b(?P<n>once|doce|trece|catorce|quince)aner[oa]s?\b", 0),
        (rf"\b(?:{place}(?:e[rnms]?)?|(?P<n>\d{{1,2}})\.?) geburtstag", 0),
        (rf"\b{place}e? anniversaire\b", 0),
        (rf"\b{place}o? (?:cumpleanos|aniversario|compleanno)\b", 0),
        (
            rf"\b(?:geburtstag|anniversaire|cumpleanos|aniversario|compleanno)\w*\b.{{0,40}}?\b{number} "
            r"(?:kerzen|bougies|velas|velinhas|candeline)\b",
            0,
        ),
        (rf"\b(?P<place>{early})klass?ler(?:in|innen|n)?\b", 5),
        (rf"\b(?:(?P<n>[2-9])\.|(?!erst)(?P<place>{early})e[rn]?) klasse\b|\bklasse (?P<digit>[1-9])\b", 5),
        (rf"\b(?:(?P<n>[1-9]) ?[ao.]? ?|(?P<place>{early}|{girls})o?) ?(?:de primaria|elementare|serie)\b", 5),
        (r"\b(?:classes?|eleves?) d[e'](?: )?(?:cp|ce1|ce2|cm1|cm2|sixieme|cinquieme|quatrieme)\b", 0),
        (rf"(?<!\w)(?:sie|er|wird|ich bin) {_HEDGES}(?:ist |wird )?{_HEDGES}{number}(?= *(?:$|[,.;!?)]))", 0),
    )
    return [(re.compile(pattern), more) for pattern, more in patterns]


def _years(match: re.Match[str]) -> int:
    groups = {name: value for name, value in match.groupdict().items() if value}
    if place := groups.get("place"):
        return _PLACES.get(place) or _FEMININE[place]
    if stem := groups.get("stem"):
        return _ITALIAN_STEMS[stem]
    return _number(groups.get("n") or groups.get("digit") or "0")


def _number(word: str) -> int:
    return int(word) if word.isdigit() else _NUMBERS[word]


def _around(match: re.Match[str], read: str) -> tuple[list[str], list[str], list[str]]:
    """Return the last word before a match, and the words before and after it among which a thing would stand."""
    before = WORD.findall(read[: match.start()].replace("'", " "))
    after = WORD.findall(read[match.end() :].replace("'", " "))
    return before[-1:], _until_stop(before[::-1][: _NEAR + 1]), _until_stop(after[:_NEAR])


def _until_stop(words: list[str]) -> list[str]:
    return list(takewhile(lambda word: word not in _STOPS, words))


def _is_thing(words: Iterable[str], things: Collection[str]) -> bool:
    """Return whether a word is listed, or ends as German joins nouns: "rennwagen"."""
    return any(word in things or any(word[place:] in things for place in range(2, len(word) - 3)) for word in words)


def _reason(match: re.Match[str], limit: int) -> str:
    return f"{match[0].strip(' ,(;:')!r}: an age under {limit}"
