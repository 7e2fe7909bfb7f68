"""The cleaner `anonymise`: what must go, with what must not be touched beside it."""

import json
import os
import re
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.clean_anonymise import anonymise
from harness.clean_numbers import IBANS

SHARED = Path(os.environ.get("HARNESS_SHARED") or Path(__file__).parents[3] / "shared")
SMALL = settings(deadline=None)

GONE = {
    "RRN": [
        ("주민등록번호 900101-1234567", "주민등록번호 [RRN]"),
        ("9001011234567 is hers", "[RRN] is hers"),  # the check digit is wrong, as in half of those issued since October 2020
        ("(021231-4123456), 주민-900101-1234567번", "([RRN]), 주민-[RRN]번"),
        ("850229-1234567, 840229-1234567", "850229-1234567, [RRN]"),  # 1984 was a leap year
        ("901301-1234567 901200-1234567 421231-4123456", "901301-1234567 901200-1234567 421231-4123456"),
        ("870511 1456787, 870511 1456785", "870511 1456787, [RRN]"),  # the check digit decides where a blank is between
        ("９００１０１－１２３４５６７", "[RRN]"),
        ("9001011234567890 0.9001011234567 x9001011234567890", "9001011234567890 0.9001011234567 x9001011234567890"),
        ("1609459200000", "1609459200000"),  # a time in milliseconds: no 45th day
    ],
    "EMAIL": [
        ("Write to a.b+c@sub.example.co.kr.", "Write to [EMAIL]."),
        ("kim@example.com으로", "[EMAIL]으로"),
        ("<j_doe@x-y.org>, mailto:j@x.io", "<[EMAIL]>, mailto:[EMAIL]"),
        ("@property, user@localhost, a @ b, 5@3.2", "@property, user@localhost, a @ b, 5@3.2"),
    ],
    "PHONE": [
        ("010-1234-5678, 01012345678, 010.1234.5678", "[PHONE], [PHONE], [PHONE]"),
        ("02-123-4567; (031) 123-4567; 070-1234-5678", "[PHONE]; [PHONE]; [PHONE]"),
        ("+82-10-1234-5678 / +44 20 7946 0958 / +49 (0)30 901820", "[PHONE] / [PHONE] / [PHONE]"),
        ("(555) 234-5678 or 555-234-5678 or 1-800-555-1234", "[PHONE] or [PHONE] or [PHONE]"),
        (
            "(555) 123-4567, 555-123-4567 (of the form, whether or not that exchange is given out)",
            "[PHONE], [PHONE] (of the form, whether or not that exchange is given out)",
        ),
        ("Tel: 2345678, fax no. 030 1234567, 전화번호: 1588-1234", "Tel: [PHONE], fax no. [PHONE], 전화번호: [PHONE]"),
        ("전화 (02) 123-4567, 82-10-1234-5678, TEL)02-123-4567", "전화 [PHONE], [PHONE], TEL)[PHONE]"),
        (
            "by telephone (2004-2005), Cell 118 (2004) 229-242, pH 7.4 7.5 7.6 7.7",
            "by telephone (2004-2005), Cell 118 (2004) 229-242, pH 7.4 7.5 7.6 7.7",
        ),
        ("telephone interviews of 1200, call 911, 2010-01-02", "telephone interviews of 1200, call 911, 2010-01-02"),
        ("12 345 678 | 123 456 789 | 555 123 4567", "12 345 678 | 123 456 789 | 555 123 4567"),
        ("120-130-1500, 100-200-3000, 123-45-6, +1.2345678", "120-130-1500, 100-200-3000, 123-45-6, +1.2345678"),
    ],
    "CARD": [
        ("4111 1111 1111 1111, 4111-1111-1111-1111, 5555555555554444", "[CARD], [CARD], [CARD]"),
        ("3782 822463 10005", "[CARD]"),
        ("4111 1111 1111 1111 12/25 123", "[CARD] 12/25 123"),
        (
            "4111 1111 1111 1111 2222 | 1000 4111 1111 1111 1111",
            "4111 1111 1111 1111 2222 | 1000 4111 1111 1111 1111",
        ),  # columns
        ("PMID 4111111111111111, EAN: 4222222222222 or 4222222222222", "PMID 4111111111111111, EAN: 4222222222222 or [CARD]"),
        ("4111 1111 1111 1112, 1234567812345670, 0000000000000000", "4111 1111 1111 1112, 1234567812345670, 0000000000000000"),
    ],
    "IBAN": [
        ("DE89 3704 0044 0532 0130 00 BIC X", "[IBAN] BIC X"),
        ("GB82WEST12345698765432.", "[IBAN]."),
        ("GB82 WEST 1234 5698 7654 33", "GB82 WEST 1234 5698 7654 33"),
        ("XX82WEST12345698765432 NM00000000000000000", "XX82WEST12345698765432 NM00000000000000000"),
    ],
    "IP": [
        ("from 192.168.0.1 and 10.0.0.1; IP address: 1.2.3.4", "from [IP] and [IP]; IP address: [IP]"),
        ("2001:0db8:85a3::8a2e:0370:7334, fe80::1", "[IP], [IP]"),
        ("version 11.20.30.40 (v10.20.30.40), SPSS 1.2.3.4", "version 11.20.30.40 (v10.20.30.40), SPSS 1.2.3.4"),
        ("EC 1.14.13.39, EC 3.4.21.4 and 3.4.21.5", "EC 1.14.13.39, EC 3.4.21.4 and 3.4.21.5"),
        ("300.1.1.1, 1.2.3.4.5, section 4.1.2.3", "300.1.1.1, 1.2.3.4.5, section 4.1.2.3"),
        ("BCR::ABL1, a::b, 12:30:45, 1:2:4:8:16:32:64:128", "BCR::ABL1, a::b, 12:30:45, 1:2:4:8:16:32:64:128"),
        ("HLA-A*02:01:01:02", "HLA-A*02:01:01:02"),
    ],
    "BIRTH_DATE": [
        ("DOB: 01/02/1980; date of birth 1980-03-12", "DOB: [BIRTH_DATE]; date of birth [BIRTH_DATE]"),
        ("born on 12 March 1980, born March 12, 1980", "born on [BIRTH_DATE], born [BIRTH_DATE]"),
        ("생년월일: 1980년 3월 12일, 생년월일 800312", "생년월일: [BIRTH_DATE], 생년월일 [BIRTH_DATE]"),
        ("1980.03.12생 (만 44세)", "[BIRTH_DATE]생 (만 44세)"),
        ("born in 1980, born between 1 January 1990 and 2000", "born in 1980, born between 1 January 1990 and 2000"),
        ("seen 01/02/1980, 1980-1990, 2010.03.12 생존", "seen 01/02/1980, 1980-1990, 2010.03.12 생존"),
    ],
    "RECORD": [
        ("MRN 123456, MRN: A-12345", "MRN [RECORD], MRN: [RECORD]"),
        ("chart no. 12-3456, Chart #12345, patient ID 0012345", "chart no. [RECORD], Chart #[RECORD], patient ID [RECORD]"),
        ("등록번호: 12345678, 차트번호 A1234", "등록번호: [RECORD], 차트번호 [RECORD]"),
        ("patient number 12, hospital records of 12345 patients", "patient number 12, hospital records of 12345 patients"),
        ("등록번호 NCT01234567, case number 3, patient no. 123", "등록번호 NCT01234567, case number 3, patient no. 123"),
    ],
}


@pytest.mark.parametrize(("kind", "text", "wanted"), [(kind, *pair) for kind, pairs in GONE.items() for pair in pairs])
def test_numbers_and_addresses_become_marks_that_are_counted(kind: str, text: str, wanted: str) -> None:
    found = anonymise(text)
    assert found.text == wanted
    assert dict(found.marks) == ({kind: wanted.count(f"[{kind}]")} if f"[{kind}]" in wanted else {})


UNTOUCHED = """
PMID: 12345678. 12345678 [PubMed]. doi:10.1016/j.cell.2010.01.012 doi 10.1016/9001011234567 PMC1234567
ISBN 978-3-16-148410-0; ISBN 9783161484100; ISSN 1234-5678; arXiv:1612.00796; EAN 4006381333931
NCT01234567, NCT01012345678, ISRCTN12345678, EudraCT 2005-001234-12, CRD42012002345, KCT0001234
5 mg/kg, 0.25-0.5 mg, 1,234,567 cells, p = 0.0001, p<0.001, 95% CI 1.2-3.4 (0.97-1.03), n=123456, 1990-2000, 1:1000
CYP3A4, IL-6, p53, BRCA1, HbA1c, rs1801133, NM_000059.4:c.68-7T>A, chr7:140453136, CD4+/CD25+, 10.5 +/- 2.25
ratio 120/80, 37.5 C, 2-3-4, T1-2N0M0, ICD-10 E11.9, J45.909, 12345-6, 2004;291(12):1457-1465, 24/7, 2 x 10(9)/L
born preterm, newborns of 2500 g, reborn, at birth: 3200 g; case 12, chart review of 5000 records; in the case of 2003
""".strip().splitlines()


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_names_nobody_is_kept(text: str) -> None:
    assert anonymise(text) == (text, {})


def test_nothing_in_real_abstracts_is_taken_for_a_number_of_a_person() -> None:
    files = sorted((SHARED / "data" / "medical").glob("pubmed_*.jsonl"))
    if not files:
        pytest.skip(f"{SHARED / 'data'} is not here; HARNESS_SHARED names the folder with trial data")
    for line in (line for file in files for line in file.read_text(encoding="utf-8").splitlines()):
        text = json.loads(line)["text"]
        assert anonymise(text) == (text, {})


FREE = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)
BIRTHS = st.dates(date(1900, 1, 1), date(2029, 12, 31))


@SMALL
@given(FREE, st.emails(), FREE)
def test_no_address_that_was_put_in_is_left(before: str, mail: str, after: str) -> None:
    found = anonymise(f"{before} {mail} {after}")
    assert mail not in found.text
    assert found.marks["EMAIL"] >= 1


@SMALL
@given(BIRTHS, st.integers(0, 999_999), st.sampled_from(["", "-", " - ", "–"]), st.booleans())
def test_every_resident_number_is_found_whatever_its_last_digits(born: date, rest: int, between: str, woman: bool) -> None:
    century = (1 if born.year < 2000 else 3) + woman
    number = f"{born:%y%m%d}{between}{century}{rest:06}"
    assert anonymise(f"환자 {number} 내원") == ("환자 [RRN] 내원", {"RRN": 1})


@SMALL
@given(BIRTHS, st.integers(0, 9_999_999))
def test_thirteen_digits_whose_first_are_no_date_are_none(born: date, rest: int) -> None:
    text = f"{(born + timedelta(1)):%y}13{born:%d}-{rest:07}"
    assert "RRN" not in anonymise(text).marks


@SMALL
@given(st.integers(10**14, 10**15 - 1))
def test_a_card_is_what_its_check_digit_says(front: int) -> None:
    digits = [4, *map(int, str(front)[1:])]
    twice = [sum(divmod(2 * digit, 10)) if i % 2 == 0 else digit for i, digit in enumerate(digits)]
    check = -sum(twice) % 10
    shown = "".join(map(str, digits))
    if len(set(f"{shown}{check}")) > 1:
        assert anonymise(f"card {shown}{check}, {shown}{(check + 1) % 10}") == (
            f"card [CARD], {shown}{(check + 1) % 10}",
            {"CARD": 1},
        )


@SMALL
@given(st.sampled_from(sorted(IBANS)), st.data())
def test_an_account_is_what_its_check_digits_say(country: str, data: st.DataObject) -> None:
    account = data.draw(st.text("0123456789ABCDEFGH", min_size=IBANS[country] - 4, max_size=IBANS[country] - 4))
    check = 98 - int("".join(str(int(c, 36)) for c in f"{account}{country}00")) % 97
    assert anonymise(f"to {country}{check:02}{account} now") == ("to [IBAN] now", {"IBAN": 1})


@SMALL
@given(st.text(max_size=200) | st.text("0123456789.:-@ abkr[]+()생", max_size=80))
def test_nothing_raises_and_a_second_time_changes_nothing(text: str) -> None:
    found = anonymise(text)
    assert anonymise(found.text) == (found.text, {})


ENDLESS = [
    *("1", "1 ", "1-", "@", "a@", "a.", "a@a.", " ", "4111 ", "1.", "1:", ":", "+1", "+1 ", "a", "A1", "010-", "born ", "MRN "),
    *("생", "1.1.1.1", "GB82", "10.1234/a", "PMID 1 ", "case no ", "tel ", "1생", "12 March ", "-", "(0", "ISBN 1-"),
]


@pytest.mark.parametrize("unit", ENDLESS)
def test_time_grows_with_length_and_no_faster(unit: str) -> None:
    """100,000 characters of what patterns begin with; quadratic ones take minutes."""
    began = time.process_time()
    anonymise(unit * (100_000 // len(unit)))
    assert time.process_time() - began < 2


def test_what_a_mark_lays_bare_is_marked_too() -> None:
    assert anonymise("192.168.0.1-900101-1234567") == ("[IP]-[RRN]", {"IP": 1, "RRN": 1})


ROWS = ["900101-1234567-", "4111111111111111 ", "born 1.1.1990", "010-1234-5678,", "+82 10 1234 5678,", "212-555-0100,"]


@pytest.mark.parametrize("unit", ROWS)
def test_a_row_of_numbers_that_hide_one_another_is_marked_whole_and_soon(unit: str) -> None:
    began = time.process_time()
    found = anonymise("x" * 1000 + " " + unit * 500)
    assert time.process_time() - began < 3
    assert sum(found.marks.values()) == 500
    assert not re.search(r"\d{4}", found.text)


def test_digits_without_end_behind_a_plus_are_passed_over_soon() -> None:
    began = time.process_time()
    assert not anonymise(("+" + "1" * 80 + "x ") * 200).marks
    assert time.process_time() - began < 2


def test_a_phone_is_found_before_another_number() -> None:
    assert anonymise("+82 10 1234 5678 4111111111111111").text == "[PHONE] [CARD]"


def test_marks_are_counted_by_type() -> None:
    found = anonymise("a@b.org, c@d.org; 010-1234-5678")
    assert dict(found.marks) == {"EMAIL": 2, "PHONE": 1}
    assert re.findall(r"\[\w+\]", found.text) == ["[EMAIL]", "[EMAIL]", "[PHONE]"]
