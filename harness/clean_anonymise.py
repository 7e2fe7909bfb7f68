"""The cleaner `anonymise`: numbers and addresses that name a person become marks of their type, and are counted.

Source: RRN: Korean resident registration act, YYMMDD-SBBBBNC with S century and sex, and a check digit modulo 11 in numbers
issued until September 2020 (since October 2020 all behind S is drawn at random); cards: ISO/IEC 7812 (Luhn); IBAN: ISO 13616
(modulo 97, a length a country); phones: ITU E.164, North American and Korean numbering plans.
Cost: a dozen linear passes over a text that has digits.

Names, places and anything that has no form of its own are not found here; see `presidio`.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from harness.clean import Marked
from harness.clean_numbers import CARD, IBAN, IP4, IP6, RRN, Found, Match, card, iban, ip4, ip6, is_date, rrn

KEPT = re.compile(
    r"\b10\.\d{4,9}/[\w.()/:;<>-]++"  # DOI
    r"|\b(?:NCT|ISRCTN|ACTRN|CRD|KCT|ChiCTR[-A-Z]*|UMIN|DRKS|PMC|PROSPERO|CTRI/|GSE|GSM|SRR|EudraCT\D{0,9})\s?[\d/-]++"
    r"|\b(?:PMID|PMCID|ISBN(?:-1[03])?|ISSN|EAN|GTIN|arXiv)\b\s*+(?:no\.?|number)?\s*+[:#]?\s*+[\dXx](?:[. -]?[\dXx])*+",
    re.IGNORECASE,
)
"""Numbers of literature, trials and data, which name nobody."""
LONG = re.compile(r"\d(?:[\s.()/~\u2010-\u2015\u2212\uff0d\uff5e-]{0,3}\d){6}")
MARK = re.compile(r"\[(?:RRN|EMAIL|PHONE|CARD|IBAN|IP|BIRTH_DATE|RECORD)\]")
REACH, CUT = 180, 100
"""Characters on both sides of a mark that are looked at again, and of them those at the ends where nothing is changed."""
YEARS = re.compile(r"(?:19|20)\d\d\W{1,3}(?:19|20)\d\d")
EMAIL = re.compile(
    r"(?<![\w.!#$%&*+/=?^`{|}~'-])[\w.!#$%&*+/=?^`{|}~'-]++@(?:[\w-]{1,63}\.)+(?:xn--[A-Za-z0-9-]{2,59}|[A-Za-z]{2,24}|[^\W\d_]{2,24})"
)
_NUMBER = r"(?:\s*+(?:no|nr|number|num|id|#|번호)\b\.?)"
RECORD = re.compile(
    r"((?:\bMRN|\bmedical record|\bhealth record|\bchart|\bhospital|\bpatient|\brecord|\bcase)(?:(?<=MRN)|"
    rf"{_NUMBER})|(?:등록|차트|챠트|병록|환자|의무기록|진료)\s?번호)"
    r"(\s*+(?:[:#=：]|은|는|is|no\.?|number)?\s*+[:#]?\s*+)((?!NCT|KCT|ISRCTN)[A-Za-z]{0,4}-?\d(?:[\dA-Za-z]|[-/](?=[\dA-Za-z])){2,24})(?!\w)",
    re.IGNORECASE,
)
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}\.?"
_DATE = (
    r"(?:\d{4}\s?[-./년]\s?\d{1,2}\s?[-./월]\s?\d{1,2}(?:\s?일)?|\d{1,2}[-./]\s?\d{1,2}[-./]\s?(?:\d{4}|\d{2})"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?[\s.-]{{1,2}}(?:of\s)?{_MONTH}[\s,.-]{{1,2}}(?:\d{{4}}|\d{{2}})|{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?,?\s\d{{4}}"
    r"|(?:19|20)\d{6}|\d{6})(?![\d])"
)
BORN = re.compile(
    r"((?:\bDOB|\bD\.O\.B\.?|\bdate of birth|\bbirth ?date|\bbirthday|\bborn(?:\son)?|생년월일|생일|출생일?|생년)"
    rf"\s*+(?:\(DOB\))?\s*+(?:[:=：-]|is|was|은|는|이)?\s*+)({_DATE})",
    re.IGNORECASE,
)
BORN_KOREAN = re.compile(rf"(?<!\d)({_DATE})(?=\s?\.?\s?(?:생(?!존|성|산|리|물|식)|출생))", re.IGNORECASE)
_SEP = r"[ .\u00a0-]"
_END = r"(?!\w|[.-]\d|,\d(?!\d\d?[-.) ]|\d{8}))"  # behind a comma may stand the next one
PHONE = re.compile(
    rf"(?<![\w+.-])\+\d{{1,3}}(?:[ \u00a0-]?\(0?\d{{0,4}}\))?(?:[ \u00a0-]?\d{{1,14}}(?!\d)){{1,6}}(?!\w|\.\d)"  # international
    r"|(?<![\w+.-])\+\d{1,3}(?:\.\d{2,4}){2,5}(?![\w.])"
    r"|(?<![\w-])(?<!\d[./, ])(?:(?:82-)?01[016789]|82-1[016789]|070|080|050\d)"  # Korean
    rf"{_SEP}?\d{{3,4}}{_SEP}?\d{{4}}{_END}"
    rf"|(?<![\w-])(?<!\d[./, ])(?:\(0(?:2|[3-6][1-5])\) ?|0(?:2|[3-6][1-5])[-) ])\d{{3,4}}-\d{{4}}{_END}"
    rf"|(?<![\w-])(?<!\d[./, ])(?:\+?1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d-)\d{{3}}[-.]\d{{4}}{_END}"  # North American
    rf"|(?<![\w-])(?<!\d[./, ])(?:\+?1\.)?[2-9]\d\d\.[2-9]\d\d\.\d{{4}}{_END}"
)
CALLED = re.compile(
    r"((?:\b(?:tel|telephone|phone|fax|mobile|hotline|call)\b|전화|연락처|휴대폰|휴대전화|핸드폰|팩스)(?:\s?(?:번호|number|no))?"
    r"\s*+[.:#=：)(]{0,2}(?:는|은)?\s*+)(\+?\(?\d(?:[ .()/\u00a0-]{0,2}\d){6,14})(?!\w)",
    re.IGNORECASE,
)


def anonymise(text: str) -> Marked:
    """Put [RRN], [EMAIL], [PHONE], [CARD], [IBAN], [IP], [BIRTH_DATE] and [RECORD] where such a number or address stands.

    RRN: 13 digits whose first six are a date and whose seventh is a century, with a hyphen or without; the check digit decides
    only where the form is weak (a blank between, after / _ or =, born before 1900), since new numbers have none. EMAIL, CARD
    (Luhn and issuer), IBAN (country, length, modulo 97). PHONE: Korean, North American and international forms; bare digits
    after a word such as tel or 전화. IP: versions and enzyme numbers (EC 1.1.1.1) are none. BIRTH_DATE and RECORD only after a
    word that says so: DOB, born, 생년월일; MRN, chart no., 등록번호. DOI, PMID, ISBN and trial numbers are kept.
    """
    marks: Counter[str] = Counter()
    text = _once(text, marks)
    places = [found.start() for found in MARK.finditer(text)] if marks else []
    while places:  # a mark may lay bare what stood against a number before
        text, start, new = _near(text, places.pop(), marks)
        while places and places[-1] > start + CUT:  # those were looked at with it
            places.pop()
        places += new
    return Marked(text, marks)


def _near(text: str, place: int, marks: Counter[str]) -> tuple[str, int, list[int]]:
    """With what stands near a mark looked at once more; from where on that was, and where marks were put."""
    reach = REACH
    while True:
        start, end = max(0, place - reach), min(len(text), place + reach)
        part, found = text[start:end], Counter[str]()
        made = _once(part, found)
        if made == part:
            return text, start, []
        before = _alike(part, made)
        after = _alike(part[before:][::-1], made[before:][::-1])
        if (start == 0 or before > CUT) and (end == len(text) or after > CUT):
            break
        reach *= 4  # what is cut through is not what it looks like
    marks.update(found)
    new = [start + one.start() for one in MARK.finditer(made) if before <= one.end() and one.start() <= len(made) - after]
    return text[:start] + made + text[end:], start, new


def _alike(one: str, other: str) -> int:
    """Characters at the beginning that are the same."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _once(text: str, marks: Counter[str]) -> str:
    if "@" in text:
        text = _marked(text, EMAIL, "EMAIL", lambda found: "[EMAIL]", marks)
    if _numbers(text, Counter()) == text:
        return text
    parts, at = [], 0
    for kept in KEPT.finditer(text):  # what stands between literature and trials
        parts += [_numbers(text[at : kept.start()], marks), kept[0]]
        at = kept.end()
    return "".join([*parts, _numbers(text[at:], marks)])


def _numbers(text: str, marks: Counter[str]) -> str:
    """With every kind marked, of those that the text can have at all."""
    lower, long = text.lower(), bool(LONG.search(text))
    for kind in KINDS:
        if (long or not kind.long) and (not kind.words or any(word in lower for word in kind.words)):
            text = _marked(text, kind.pattern, kind.mark, kind.look, marks)
    return text


def _marked(text: str, pattern: re.Pattern[str], mark: str, look: Callable[[Match], Found], marks: Counter[str]) -> str:
    def put(found: Match) -> str:
        if (made := look(found)) is None:
            return found[0]
        marks[mark] += 1
        return made

    return pattern.sub(put, text)


def _record(found: Match) -> Found:
    return f"{found[1]}{found[2]}[RECORD]" if sum(c.isdigit() for c in found[3]) > 3 else None


def _born(found: Match) -> Found:
    return f"{found[1]}[BIRTH_DATE]" if _in_calendar(found[2]) else None


def _born_korean(found: Match) -> Found:
    return "[BIRTH_DATE]" if _in_calendar(found[1]) else None


def _in_calendar(text: str) -> bool:
    """Whether six or eight digits without anything between them can be a date; others can."""
    if not re.fullmatch(r"\d{6}|\d{8}", text):
        return True
    years = [int(text[:-4])] if len(text) == 8 else [1900 + int(text[:2]), 2000 + int(text[:2])]
    return any(is_date(year, int(text[-4:-2]), int(text[-2:])) for year in years)


def _phone(found: Match) -> Found:
    digits = sum(character.isdigit() for character in found[0])
    return "[PHONE]" if (8 if found[0][0] != "+" else 9) <= digits <= 15 else None


def _called(found: Match) -> Found:
    return None if YEARS.fullmatch(found[2]) else f"{found[1]}[PHONE]"


class Kind(NamedTuple):
    """What is looked for.

    look    what stands in a match's place
    long    it has seven digits at least, close together
    words   one of them stands in the text, in lower case
    """

    mark: str
    pattern: re.Pattern[str]
    look: Callable[[Match], Found]
    long: bool = True
    words: tuple[str, ...] = ()


KINDS = (
    Kind("IBAN", IBAN, iban, False),
    Kind("RRN", RRN, rrn),
    Kind("RECORD", RECORD, _record, False, ("mrn", "record", "chart", "hospital", "patient", "case", "번호")),
    Kind("BIRTH_DATE", BORN, _born, False, ("dob", "d.o.b", "birth", "born", "생일", "생년", "출생")),
    Kind("BIRTH_DATE", BORN_KOREAN, _born_korean, False, ("생",)),
    Kind("CARD", CARD, card),
    Kind("IP", IP6, ip6, False, (":",)),
    Kind("IP", IP4, ip4, False),
    Kind("PHONE", PHONE, _phone),
    Kind("PHONE", CALLED, _called),
)
