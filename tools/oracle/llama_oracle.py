"""llama.cpp as an oracle: the prebuilt libraries of npm's node-llama-cpp through a small shim, llama_shim.c.

    npm install --prefix DIR --ignore-scripts node-llama-cpp @node-llama-cpp/linux-x64
    llama = Llama(DIR)
    with llama.open("model.gguf") as model: model.logits([1, 2, 3]); model.greedy(ids, 64); model.tokenize("text")

The npm package also holds the sources of the same release as a git bundle; the shim is compiled against its headers
into DIR once, so no struct layout is assumed here.

What is left of llama.cpp's own rounding is in its dot products. For F32 weights those are float32 sums. For F16 and
BF16 weights llama.cpp rounds the activations to that type before each product, so such files compare by greedy tokens.
"""
import ctypes
import json
import pathlib
import platform
import subprocess

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent


class Llama:
    def __init__(self, folder):
        folder = pathlib.Path(folder)
        modules = folder / "node_modules"
        machine = {"x86_64": "linux-x64", "aarch64": "linux-arm64"}[platform.machine()]
        self.libraries = modules / "@node-llama-cpp" / machine / "bins" / machine
        built_from = json.loads((self.libraries / "_nlcBuildMetadata.json").read_text())["buildOptions"]["llamaCpp"]
        self.release = built_from["release"]
        sources = folder / f"llama.cpp-{self.release}"
        if not sources.exists():
            bundle = modules / "node-llama-cpp" / "llama" / "gitRelease.bundle"
            subprocess.run(["git", "clone", "--quiet", bundle, sources], check=True, stderr=subprocess.DEVNULL)
        self.sources, self.modules = sources, modules
        self.shim = ctypes.CDLL(str(self._compiled(folder, sources)))
        self.shim.shim_open.restype = ctypes.c_void_p

    def _compiled(self, folder, sources):
        source, shim = HERE / "llama_shim.c", folder / f"llama_shim-{self.release}.so"
        if not shim.exists() or shim.stat().st_mtime < source.stat().st_mtime:
            libraries = [next(self.libraries.glob(f"lib{name}.*so*")) for name in ("llama", "ggml", "ggml-base")]
            flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
                     f"-I{sources / 'include'}", f"-I{sources / 'ggml/include'}"]
            subprocess.run(["cc", *flags, "-o", shim, source, *libraries, f"-Wl,-rpath,{self.libraries.resolve()}"],
                           check=True)
        return shim

    def program(self, name):
        """One of llama.cpp's own programs (llama-imatrix, llama-quantize, llama-gguf-split), built once beside links to the
        prebuilt libraries: it looks for the processors' ones in its own folder."""
        folder = self.modules.parent / f"programs-{self.release}"
        built, tool = folder / f"llama-{name}", self.sources / "tools" / name
        if not built.exists():
            folder.mkdir(exist_ok=True)
            for library in self.libraries.glob("*.so*"):
                if not (folder / library.name).exists():
                    (folder / library.name).symlink_to(library.resolve())
            libraries = [next(self.libraries.glob(f"lib{part}.*so*")) for part in ("llama-common", "llama", "ggml", "ggml-base")]
            headers = [f"-I{self.sources / part}" for part in ("include", "ggml/include", "common", "vendor", f"tools/{name}")]
            subprocess.run(["c++", "-std=c++17", "-O1", "-w", *headers, "-o", built, *tool.glob("*.cpp"), *libraries,
                            f"-Wl,-rpath,{self.libraries.resolve()}"], check=True)
        return built

    def open(self, path, context=1024, threads=1, vocab_only=False):
        return LlamaModel(self, path, context, threads, vocab_only)

    def quantize(self, source, out, file_type, importance):
        """file_type: a number of enum llama_ftype. importance: how many columns (of all its matrices) by tensor."""
        names = (ctypes.c_char_p * len(importance))(*(name.encode() for name in importance))
        sizes = (ctypes.c_int64 * len(importance))(*importance.values())
        if self.shim.shim_quantize(str(self.libraries).encode(), str(source).encode(), str(out).encode(), file_type,
                                   len(importance), names, sizes) != 0:
            raise RuntimeError(f"llama.cpp does not quantise {source} to file type {file_type}")


class LlamaModel:
    def __init__(self, llama, path, context, threads, vocab_only):
        self.shim = llama.shim
        handle = self.shim.shim_open(str(llama.libraries).encode(), str(path).encode(), context, threads, vocab_only)
        if not handle:
            raise RuntimeError(f"llama.cpp does not load {path}")
        self.handle = ctypes.c_void_p(handle)
        self.n_vocab = self.shim.shim_vocabulary_size(self.handle)

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.shim.shim_close(self.handle)

    def feed(self, ids, first_position):
        """float32 (len(ids), n_vocab), the ids appended to the cache."""
        rows = np.empty((len(ids), self.n_vocab), np.float32)
        status = self.shim.shim_feed(self.handle, (ctypes.c_int32 * len(ids))(*ids), len(ids), first_position,
                                     rows.ctypes.data_as(ctypes.c_void_p))
        if status:
            raise RuntimeError(f"llama_decode returned {status}")
        return rows

    def logits(self, ids):
        self.shim.shim_clear(self.handle)
        return self.feed(ids, 0)

    def greedy(self, ids, n):
        row, chosen = self.logits(ids)[-1], []
        for position in range(len(ids), len(ids) + n):
            chosen.append(int(row.argmax()))
            if len(chosen) < n:
                row = self.feed(chosen[-1:], position)[0]
        return chosen

    def tokenize(self, text, add_special=False, parse_special=False):
        data = text if isinstance(text, bytes) else text.encode()
        room = len(data) + 8
        ids = (ctypes.c_int32 * room)()
        n = self.shim.shim_tokenize(self.handle, data, len(data), ids, room, add_special, parse_special)
        if n < 0:
            raise RuntimeError(f"llama_tokenize needs {-n} places for {len(data)} bytes")
        return list(ids[:n])

    def detokenize(self, ids):
        room = 64 * len(ids) + 64
        text = ctypes.create_string_buffer(room)
        n = self.shim.shim_detokenize(self.handle, (ctypes.c_int32 * len(ids))(*ids), len(ids), text, room)
        if n < 0:
            raise RuntimeError(f"llama_detokenize needs {-n} bytes")
        return text.raw[:n]
