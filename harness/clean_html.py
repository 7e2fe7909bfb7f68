"""The cleaner `html`: mark-up out, text and paragraphs kept; what is no mark-up stays as it is."""

import html as entities
import re
from collections.abc import Mapping
from itertools import islice

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]


def _names(text: str) -> set[str]:
    return set(text.split())


BLOCKS = _names(
    "address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption figure footer "
    "form frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html legend li main menu nav ol p pre search section summary table "
    "tbody tfoot thead title tr ul"
)
INLINE = _names(
    "a abbr acronym applet area audio b base basefont bdi bdo big button canvas cite code col colgroup data datalist del "
    "dfn em embed font frame i iframe img input ins kbd label link map mark meta meter noframes noscript object optgroup "
    "option output param picture progress q rp rt ruby s samp script select slot small source span strike strong "
    "style sub sup svg td template textarea th time track tt u var video wbr"
)
UNSEEN = {"script", "style", "template", "svg", "iframe", "noscript"}
NEAR = {"br", "li", "tr", "dt", "dd", "caption", "option"}
"""Blocks that begin a line, and no paragraph."""
PREFIXES = "o|v|w|m|st1|jats|mml"
"""Of elements of word processors, publishers and formulae."""

_VALUE = r"""(?:"[^"]*+"|'[^']*+'|[^\s"'<>=]++)"""
_FLAGS = (
    "async|autoplay|checked|compact|controls|defer|disabled|hidden|itemscope|loop|multiple|nowrap|noshade|open|readonly|required"
    "|reversed|selected"
)
_REST = rf"""(?:\s++(?:[\w:.@-]++\s*+=\s*+{_VALUE}|(?:{_FLAGS})\b(?!\s*+=)))*+\s*+/?>"""
_NAMES = "|".join(sorted(BLOCKS | INLINE, key=len, reverse=True))
TAG = re.compile(rf"<(?:/(?:{_NAMES}|(?:{PREFIXES}):[\w-]++)\s*+>|(?:{_NAMES}|(?:{PREFIXES}):[\w-]++){_REST})", re.IGNORECASE)
"""A whole tag: a known name, and attributes as mark-up has them. `List<int>`, `p <0.05 and n> 30`, `<b and c>` are none."""
DECLARATION = re.compile(r"<(?:!doctype|\?xml)\b[^<>]*+>", re.IGNORECASE)
CLOSED = re.compile(r"</([\w:-]++)\s*+>")
ALONE = re.compile(rf"<(?:br|hr)\s*+/?>|(?<!\w)<(?:p|li)>|<(?:{_NAMES})(?=\s)[^<>]*+=", re.IGNORECASE)
"""What mark-up has without an end tag: breaks, paragraphs and items, or a tag with attributes."""
ENTITY = re.compile(r"&(?:(?:amp|AMP|#0*+38|#[xX]0*+26);)*(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
AMPERSANDS = re.compile(r"&(?:(?:amp|AMP|#0*+38|#[xX]0*+26);)++")
CODE = re.compile(r"^\s*+(?:@\w++|//|/\*|\S.*[;{}]|[})\]]++[;,]?)\s*+$")
"""A line that hardly anything but a program has."""
SURE = re.compile(
    r"^[ \t]*+(?:from [\w.]++ import .|import [\w.]++(?: as \w++)?;?$|(?:async )?def \w++\(|class \w++(?:\([\w., =]*+\))?:"
    r"|#include [<\"]|package [\w.]++;?$|using [\w.:]++;|(?:public|private|protected) (?:static |final )*+"
    r"(?:class|void|int|string|String|bool) |function \w*+\("
    r"|(?:const|let|var) \w++ =|func \w++\(|fn \w++[<(]|#!/)",
    re.MULTILINE,
)
"""How statements begin that no prose has; two of them make a text a program."""
SHARE = 0.3
"""Of the lines that are not blank: so many read as code make a text a program, which is left alone."""
SUPER = str.maketrans("0123456789+-=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿ")
SUB = str.maketrans("0123456789+-=()", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎")
PASSES = 8


def html(text: str) -> str:
    """Take mark-up out: scripts, styles and comments go, blocks become paragraphs, entities become characters.

    A text is mark-up where it has whole tags that HTML knows, closed, with attributes, or of those that stand alone; a `<` that
    begins no such tag is kept as it is. Programs are left alone. Line ends stay where no tag is a block, and within <pre>.
    Mark-up that was escaped (`&lt;p&gt;`) is mark-up too. Digits raised or lowered become their own characters: 10⁹, H₂O.
    """
    for _ in range(PASSES):
        if ("<" not in text and "&" not in text) or _is_code(text):
            break
        before = text
        if _is_markup(text):
            text = _text_of(text)
        text = ENTITY.sub(_character, text)
        if text == before:
            break
    return text


def _is_code(text: str) -> bool:
    if text.lstrip()[:1] == "<":
        return text.lstrip().startswith("<?php")
    if len(list(islice(SURE.finditer(text), 2))) == 2:
        return True
    lines = [line for line in text[:20_000].splitlines() if line.strip()]
    return len(lines) > 2 and sum(bool(CODE.match(line[:300])) for line in lines) >= SHARE * len(lines)


def _is_markup(text: str) -> bool:
    if "<" not in text:
        return False
    if -1 < text.find("<!--") < text.rfind("-->") or DECLARATION.search(text):
        return True
    if any(TAG.match(text, found.start()) for found in ALONE.finditer(text)):
        return True
    closed = {found[1].lower() for found in CLOSED.finditer(text)}
    opened = {re.split(r"[\s/>]", found[0][1:], maxsplit=1)[0].lower() for found in TAG.finditer(text)}
    return bool(closed & opened)


def _character(found: re.Match[str]) -> str:
    """The character of an entity; one that nobody knows, or that no text may hold, stays."""
    one = AMPERSANDS.sub("&", found[0])
    made = entities.unescape(one)
    return one if made in ("", "\x00", "\ufffd") else made


def _text_of(text: str) -> str:
    """What a reader would see of mark-up."""
    seen = Seen(blocks=any(re.match(r"</?([\w:-]+)", tag)[1].lower() in BLOCKS for tag in TAG.findall(text)))  # pyright: ignore
    parser = etree.HTMLParser(target=seen, encoding="utf-8", huge_tree=True)
    parser.feed(b"<html><body>")  # what follows is text, were it blank
    parser.feed(_escaped(text).encode("utf-8", "ignore"))
    return parser.close()


def _escaped(text: str) -> str:
    """The text with every `<` and `&` that belongs to no mark-up escaped, and without what no parser reads."""
    text = text.replace("\x00", "").replace("&", "&amp;")  # entities are resolved afterwards, in one way
    if "<![CDATA[" in text:
        text = text.replace("<![CDATA[", "").replace("]]>", "")
    parts, at, last = [], 0, text.rfind("-->")
    for found in re.finditer("<", text):
        start = found.start()
        if start < at:
            continue
        parts.append(text[at:start])
        if text.startswith("<!--", start) and start < last:
            at = text.index("-->", start) + 3
        elif tag := TAG.match(text, start) or DECLARATION.match(text, start):
            parts.append(tag[0])
            at = tag.end()
        else:
            parts.append("&lt;")
            at = start + 1
    return "".join([*parts, text[at:]])


class Seen:
    """A parser's target that keeps the text: no tree is built, so that no depth is too much.

    blocks   whether the text has any; where it has none its white space is its own
    """

    def __init__(self, blocks: bool) -> None:
        self.blocks = blocks
        self.parts: list[str] = []
        self.hidden = self.kept = 0
        self.shift: Mapping[int, int | str] | None = None

    def start(self, tag: str, attributes: object) -> None:
        """A tag begins."""
        self.hidden += tag in UNSEEN
        self.kept += tag in ("pre", "textarea")
        self.shift = SUPER if tag == "sup" else SUB if tag == "sub" else self.shift
        self._break(tag)

    def end(self, tag: str) -> None:
        """A tag ends."""
        self.hidden -= tag in UNSEEN
        self.kept -= tag in ("pre", "textarea")
        self.shift = None if tag in ("sup", "sub") else self.shift
        if tag in ("td", "th"):
            self.parts.append(" ")
        elif tag not in NEAR and tag != "hr":
            self._break(tag)

    def _break(self, tag: str) -> None:
        if tag in BLOCKS and tag not in ("html", "body"):
            self.parts.append("\n" if tag in NEAR else "\n\n")

    def data(self, text: str) -> None:
        """Text between tags."""
        if self.hidden:
            return
        if self.shift and all(ord(character) in self.shift for character in text):
            text = text.translate(self.shift)
        self.parts.append(text if self.kept or not self.blocks else re.sub(r"[ \t\n\r\f]+", " ", text))

    def comment(self, text: str) -> None:
        """Comments are no text."""

    def close(self) -> str:
        """All of it, with one blank line at most between paragraphs."""
        text = "".join(self.parts)
        return re.sub(r" *\n(?: *\n)++", "\n\n", re.sub(r" +\n", "\n", text)).strip() if self.blocks else text
