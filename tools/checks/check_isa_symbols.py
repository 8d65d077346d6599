#!/usr/bin/env python3
"""The objects compiled for more than the baseline define their kernel tables and nothing else that a linker can see.

    tools/checks/check_isa_symbols.py BUILD_DIR

An inline function or a template of a shared header, compiled for AVX2, becomes a weak symbol; the linker keeps one copy for the whole
program, and if it is this one, the program crashes on a machine without AVX2. So every symbol that these objects (all of src/kernels/isa) define
must be local, but for their tables; nor may they take functions from outside other than memcpy and its kin, for such a call could be
meant for a header's function that was not inlined. Debug builds keep the rule too. Exits with 1 when it is broken, 2 when there is
nothing to check.
"""
import pathlib
import re
import subprocess
import sys

# What a compiler may call on its own: memory functions, stack protector, sanitizers, profilers.
MAY_NEED = re.compile(r"(mem(cpy|set|move|cmp)|__stack_chk_fail|__(asan|ubsan|tsan|sancov|sanitizer|llvm|gcov)_\w*|_GLOBAL_OFFSET_TABLE_)$")


# The first part of an object's name says what it defines in fathom::<the rest>.
TABLES = {"": ["table"], "gemm_": ["gemm_f32", "gemm_bf16"], "int16_": ["int16"], "bf16_": ["bf16"]}
BFLOAT16_ONLY = {"gemm_avx512_bf16", "gemm_amx"}


def tables_of(name: str):
    kind = next((k for k in TABLES if k and name.startswith(k)), "")
    return name.removeprefix(kind), ["gemm_bf16"] if name in BFLOAT16_ONLY else TABLES[kind]


def symbols(obj: pathlib.Path):
    out = subprocess.run(["nm", "--format=posix", "--demangle", str(obj)], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        match = re.match(r"(.*?) ([A-Za-z?])(?: [0-9a-f ]*)?$", line)
        if match:
            yield match.group(1), match.group(2)


def problems(obj: pathlib.Path):
    isa, names = tables_of(obj.name.split(".")[0])
    missing = {f"fathom::{isa}::{name}" for name in names}
    for name, kind in symbols(obj):
        if name in missing and kind in "DRBGS":
            missing.remove(name)
        elif kind == "U":
            if not MAY_NEED.match(name):
                yield f"{obj}: needs {name}"
        elif kind in "vVwWui" or kind.isupper():
            if not name.startswith(("__asan", "__odr_asan", "asan.", "__tsan")):
                yield f"{obj}: {name} (nm type {kind}) can be seen by the linker"
    for name in sorted(missing):
        yield f"{obj}: does not define {name}"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    # Of the sources that there are: a build folder may keep objects of earlier ones.
    sources = pathlib.Path(__file__).resolve().parents[2].glob("src/kernels/isa/*.cpp")
    objects = sorted(o for source in sources for o in pathlib.Path(sys.argv[1]).rglob(f"kernels/isa/{source.name}.o"))
    if not objects:
        print(f"check_isa_symbols: no object of src/kernels/isa under {sys.argv[1]}; build fathom_kernels first")
        return 2
    found = [line for obj in objects for line in problems(obj)]
    for line in found:
        print(line)
    print(f"check_isa_symbols: {len(found)} problem(s)" if found else f"check_isa_symbols: {len(objects)} objects, only their tables are visible")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
