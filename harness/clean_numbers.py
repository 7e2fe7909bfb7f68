"""Numbers that a calendar, check digits or their form prove: resident numbers, accounts, cards, IP addresses.

Each has a pattern, and a function that looks at a match and says what stands in its place; None: it is none of the kind.
Sources stand in `clean_anonymise.py`.
"""

import re
from datetime import date
from ipaddress import IPv6Address

LATEST = 2039
"""The last year of birth that is believed."""
DASH = r"[-\u2010-\u2015\u2212\uff0d~\uff5e]"
IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}")
RRN = re.compile(rf"(?<!\d)(?<!\d[.-])(\d\d)(\d\d)(\d\d)(\s?{DASH}\s?| ?)(\d)(\d{{6}})(?!\d|\.\d)")
CARD = re.compile(
    r"(?<!\d)(?<!\d[.-])(?<!\d{4} )(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})"
    r"(?!\d|[.-]\d| \d{4}(?!\d))"
)
ISSUERS = re.compile(r"4|5[1-5]|2(?:2[2-9]|[3-6]|7[01]|720)|3(?:4|7|0[0-5]|[689]|5)|6(?:011|4[4-9]|5|2)|9\d")
IP4 = re.compile(r"(?<![\w.])((?:\d{1,3}\.){3}\d{1,3})(?![\w]|\.\d)")
IP6 = re.compile(r"(?<![\w:.*])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f]*:)[0-9A-Fa-f:]{2,39}(?:(?<=:)\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])")
ADDRESS = re.compile(
    r"(?:\bIP|\baddress|\bhost|\bserver|\bping|\bgateway|\blogin|아이피|주소)\W{0,3}(?:\w{1,8}\W{1,2}){0,2}$", re.IGNORECASE
)
VERSION = re.compile(
    r"(?:\bv|\bver|\bversion|\brelease|\bbuild|\bsoftware|\bfirmware|\bsection|\bsect?|\bchapter|\btable|\bfig(?:ure)?|\bEC|\bE\.C|§|"
    r"버전)s?\.?\s{0,2}(?:numbers?|nos?\.?)?[\s:(\"'“]{0,2}$|\bEC\b[^a-z]{0,60}$",
    re.IGNORECASE,
)
LENGTHS = (
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BR29BY28CH21CR22CY28CZ24DE22DK18DO28EE20EG29ES24FI18FO18FR27GB22GE22GI23GL18GR27GT28HR21"
    "HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MR27MT31MU30NL18NO15PK24PL28PS29PT25QA29RO24"
    "RS22SA24SC31SD18SE24SI19SK24SM27ST25SV28TL23TN24TR26UA29VA22VG24XK20"
)
IBANS = {LENGTHS[i : i + 2]: int(LENGTHS[i + 2 : i + 4]) for i in range(0, len(LENGTHS), 4)}

Match = re.Match[str]
Found = str | None
"""What stands in a match's place, its mark within; None: it is none of the kind."""


def rrn(found: Match) -> Found:
    year, month, day, between, century, rest = found.groups()
    whole = [int(digit) for digit in f"{year}{month}{day}{century}{rest}"]
    first = {"9": 1800, "0": 1800, "1": 1900, "2": 1900, "5": 1900, "6": 1900}.get(str(int(century)), 2000)
    if not is_date(first + int(year), int(month), int(day)):
        return None
    weights = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
    checked = (11 - sum(w * d for w, d in zip(weights, whole, strict=False)) % 11) % 10 == whole[12]
    before = found.string[max(0, found.start() - 1) : found.start()]
    weak = between == " " or first == 1800 or (not between and before in set("/_="))
    return "[RRN]" if checked or not weak else None


def is_date(year: int, month: int, day: int) -> bool:
    try:
        return date(year, month, day).year <= LATEST
    except ValueError:
        return False


def iban(found: Match) -> Found:
    length, places = IBANS.get(found[0][:2], 99), [i for i, character in enumerate(found[0]) if character != " "]
    if len(places) < length:
        return None
    end = places[length - 1] + 1
    code, rest = found[0][:end].replace(" ", ""), found[0][end:]
    if rest[:1].isalnum():
        return None
    value = int("".join(str(int(character, 36)) for character in code[4:] + code[:4]))
    return f"[IBAN]{rest}" if value % 97 == 1 else None


def card(found: Match) -> Found:
    digits = [int(character) for character in found[0] if character.isdigit()]
    plain = "".join(map(str, digits))
    doubled = sum(sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    known = ISSUERS.match(plain) and (len(digits) > 13 or plain[0] == "4") and len(set(digits)) > 1
    return "[CARD]" if known and (doubled + sum(digits[-1::-2])) % 10 == 0 else None


def ip4(found: Match) -> Found:
    octets = [int(part) for part in found[1].split(".")]
    before = found.string[max(0, found.start() - 80) : found.start()]
    if max(octets) > 255 or VERSION.search(before):
        return None
    short = 0 < octets[0] < 8 and max(octets[1:3]) < 100  # so are enzymes, versions and sections numbered
    return None if short and not ADDRESS.search(before) else "[IP]"


def ip6(found: Match) -> Found:
    groups = [group for group in found[0].split(":") if group]
    try:
        IPv6Address(found[0])
    except ValueError:
        return None
    plain = "::" not in found[0] and not re.search("[A-Fa-f]", found[0])  # 1:2:4:8:16:32:64:128 are dilutions
    local = bool(groups) and groups[0].lower().startswith(("fe80", "fc", "fd", "200", "2a0", "260", "240"))
    return "[IP]" if not plain and (len(groups) > 2 or (local and len(groups[0]) == 4)) else None
