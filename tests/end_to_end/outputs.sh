#!/usr/bin/env bash
# What -o writes to: files whole or not at all, links followed, FIFOs, devices and descriptors written through; interrupted, without room or beside a second writer.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
echo leak:libfontconfig > "$dir/leaks"  # about a kilobyte, once a process; only a sanitised program asks
export LSAN_OPTIONS="suppressions=$dir/leaks:print_suppressions=0"
export FATHOM_TUNE=off
unset FATHOM_MODEL
fail() { printf 'outputs.sh: %s\n' "$1"; exit 1; }
run() { timeout 100 "$fathom" "$@"; }
same() { cmp -s "$dir/$1" "$dir/$2" || fail "$2 is not $1"; }
no_partial() { [ -z "$(find "$dir" -name '*.partial*')" ] || fail "half-written: $(find "$dir" -name '*.partial*')"; }
refuses() { # the sentence has $1; the rest is the command
  local code=0 part=$1; shift
  run "$@" > "$dir/out" 2> "$dir/error" || code=$?
  [ "$code" = 2 ] && grep -q -- "$part" "$dir/error" || fail "$*: exit code $code without '$part': $(cat "$dir/error")"
  no_partial
}

synth() { run synth -q --shape tiny --type q8_0 --seed 1 "$@"; }
synth "$dir/tiny.gguf"
ln "$dir/tiny.gguf" "$dir/hard link"

# Devices, FIFOs, links, descriptors.
logits() { run logits -q --ids "1 2 3" "$@"; }
logits > "$dir/logits"
for device in null full; do ln -s /dev/$device "$dir/$device"; done
logits -o "$dir/null"
[ -L "$dir/null" ] && [ -c /dev/null ] || fail "a link to a device was replaced"
refuses "No space left" logits -q --ids 1 -o "$dir/full"
mkfifo "$dir/fifo"
cat "$dir/fifo" > "$dir/through" & logits -o "$dir/fifo"; wait $!
same logits through
[ -p "$dir/fifo" ] || fail "a FIFO was replaced"
mkdir "$dir/other"
ln -s other/file "$dir/link"
logits -o "$dir/link"; logits -o "$dir/link"
[ -L "$dir/link" ] && same logits other/file
for name in /dev/stdout /dev/fd/1 /proc/self/fd/1 -; do
  { printf 'before\n'; logits -o "$name"; printf 'after\n'; } > "$dir/whole"
  { printf 'before\n'; cat "$dir/logits"; printf 'after\n'; } | cmp -s - "$dir/whole" || fail "-o $name"
  logits -o "$name" | cmp -s - "$dir/logits" || fail "-o $name into a pipe"
done
logits -o >(cat > "$dir/substituted"); for _ in $(seq 100); do cmp -s "$dir/logits" "$dir/substituted" && break; sleep 0.1; done
same logits substituted
refuses "is a directory" logits -q --ids 1 -o "$dir/other"
refuses "is also an input" logits -q -m "$dir/tiny.gguf" --ids 1 -o "$dir/hard link"
run inspect "$dir/tiny.gguf" > /dev/null || fail "logits destroyed its model"
refuses "there is no folder" logits -q --ids 1 -o "$dir/none/file"

printf '{"step":1,"tokens":1,"time":1,"loss":2}\n{"step":2,"tokens":2,"time":2,"loss":1}\n' > "$dir/metrics.jsonl"
run plot "$dir/metrics.jsonl" -o "$dir/plot.svg" > /dev/null
run plot "$dir/metrics.jsonl" -o /dev/stdout | cmp -s - "$dir/plot.svg" || fail "plot to stdout"
ln -s metrics.jsonl "$dir/metrics.svg"
refuses "is also an input" plot "$dir/metrics.jsonl" -o "$dir/metrics.svg"
refuses "there is no folder" bench --plot "$dir/none/speed.svg"

# A model as GGUF is written in order, so it can go anywhere; a folder cannot.
cat "$dir/fifo" > "$dir/piped" & synth "$dir/fifo"; wait $!
same tiny.gguf piped
synth /dev/stdout | cmp -s - "$dir/tiny.gguf" || fail "synth to stdout"
run convert -q "$dir/tiny.gguf" "$dir/null"
run quantize -q --requantize -m "$dir/tiny.gguf" --type q4_0 -o "$dir/null"
[ -L "$dir/null" ] || fail "a link to a device was replaced"
for command in "convert -q $dir/tiny.gguf -" "synth -q --shape tiny --type q8_0 --seed 1 -"; do
  run $command | cmp -s - "$dir/tiny.gguf" || fail "$command"
done
run quantize -q --requantize -m "$dir/tiny.gguf" --type q4_0 -o "$dir/as-file.gguf"
run quantize -q --requantize -m "$dir/tiny.gguf" --type q4_0 -o - | cmp -s - "$dir/as-file.gguf" || fail "quantize -o -"
python3 - "$fathom" "$dir/tiny.gguf" <<'END' || fail "a model on a terminal"
import os, pty, subprocess, sys
primary, terminal = pty.openpty()
p = subprocess.run([sys.argv[1], "convert", sys.argv[2], "-"], stdout=terminal, stderr=subprocess.PIPE, text=True)
assert p.returncode == 2 and "no terminal shows" in p.stderr, p
END
refuses "both go to stdout" convert --json "$dir/tiny.gguf" -
refuses "both go to stdout" quantize --json --requantize -m "$dir/tiny.gguf" --type q4_0 -o -
refuses "both go to stdout" bench -m "$dir/tiny.gguf" --plot -
run plot "$dir/metrics.jsonl" -o - | cmp -s - "$dir/plot.svg" || fail "plot -o -"
printf 'some words of text, some words of text' > "$dir/words"
refuses "cannot go to stdout" tokenizer train -i "$dir/words" -n 300 -o -
refuses "cannot go to stdout" data build --tokenizer "$dir/tiny.gguf" -i "$dir/words" -o -

# A tokenizer's folder is made before any text is read, and gone again when there is nothing to put into it.
refuses "is a file; name a folder" tokenizer train -i "$dir/words" -n 300 -o "$dir/words"
refuses "deeper: cannot be made" tokenizer train -i "$dir/words" -n 300 -o "$dir/words/deeper"
mkdir -p "$dir/in use/tokenizer.json"
refuses "tokenizer.json: is a directory" tokenizer train -i "$dir/words" -n 300 -o "$dir/in use"
refuses "nowhere" tokenizer train -i "$dir/nowhere" -n 300 -o "$dir/new tokenizer"
[ ! -e "$dir/new tokenizer" ] || fail "a refused tokenizer left its folder"
run tokenizer train -q -i "$dir/words" -n 300 -o "$dir/new tokenizer" > "$dir/out"
refuses "exists already; name another folder, or give --force" tokenizer train -q -i "$dir/words" -n 300 -o "$dir/new tokenizer"
run tokenizer train -q -i "$dir/words" -n 300 --force -o "$dir/new tokenizer" > "$dir/out" || fail "the two files are not replaced"
refuses "cannot be split" convert -q "$dir/tiny.gguf" "$dir/null" --max-shard-size 20KB
refuses "exists already" convert -q "$dir/tiny.gguf" "$dir/tiny.gguf"
refuses "exists already" quantize -q --requantize -m "$dir/tiny.gguf" --type q4_0 -o "$dir/tiny.gguf"

# Descriptors that are closed at the start are no files that are opened later.
for closed in '0<&-' '1>&-' '2>&-' '0<&- 1>&- 2>&-'; do
  eval "timeout 100 \"\$fathom\" quantize --requantize -m \"\$dir/tiny.gguf\" --type q4_0 -o \"\$dir/q.gguf\" $closed" 2> "$dir/log" || fail "$closed: $(cat "$dir/log")"
  [ -e "$dir/q4.gguf" ] || mv "$dir/q.gguf" "$dir/q4.gguf"
  [ ! -e "$dir/q.gguf" ] || same q4.gguf q.gguf
  rm -f "$dir/q.gguf"
done
run inspect "$dir/q4.gguf" --check > "$dir/out" 2>&1 || fail "$(cat "$dir/out")"
code=0; run tokenize hello >&- 2> "$dir/error" || code=$?
[ "$code" = 2 ] || fail "ids written to nowhere: exit code $code"

# A file that may not become larger: a sentence, and nothing left.
code=0; (ulimit -f 8; "$fathom" synth -q --shape tiny --type f32 --seed 1 "$dir/big.gguf") 2> "$dir/error" || code=$?
[ "$code" = 2 ] && grep -q "File too large" "$dir/error" || fail "ulimit -f: exit code $code: $(cat "$dir/error")"
code=0; (ulimit -f 8; "$fathom" synth -q --shape tiny --type f32 --seed 1 "$dir/big") 2> "$dir/error" || code=$?
[ "$code" = 2 ] && [ ! -e "$dir/big" ] && [ ! -e "$dir/big.gguf" ] || fail "ulimit -f, a folder: exit code $code: $(ls "$dir")"
no_partial

# Half-written: what a killed run left is written over; Ctrl-C, SIGTERM and SIGHUP leave nothing; a second writer is refused.
printf 'half' > "$dir/again.gguf.partial"
synth "$dir/again.gguf"; same tiny.gguf again.gguf; no_partial
run synth -q --shape tiny --type f32 --seed 1 "$dir/shape"
python3 - "$dir/shape/config.json" > "$dir/large.json" <<'END'
import json, sys
config = json.load(open(sys.argv[1]))
config["intermediate_size"] = config["moe_intermediate_size"] = 1 << 14
print(json.dumps(config))
END
for signal in INT TERM HUP; do
  for out in large.gguf large; do
    # A job in the background ignores SIGINT; python starts one that does not.
    python3 - "$signal" "$fathom" "$dir/$out" "$dir/large.json" <<'END' || fail "$out, SIG$signal"
import os, pathlib, signal, subprocess, sys, time
name, fathom, out, shape = sys.argv[1:]
command = [fathom, "synth", "-q", "--shape", shape, "--type", "f32", out]
started = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
folder = pathlib.Path(out).parent
deadline = time.time() + 60
while not list(folder.rglob("*.partial")):
    assert started.poll() is None and time.time() < deadline, "no partial file"
    time.sleep(0.002)
if name == "HUP":
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 2 and "another process is writing it" in second.stderr, second
    assert list(folder.rglob("*.partial")), "the second writer removed the first one's file"
started.send_signal(getattr(signal, "SIG" + name))
assert started.wait(60) == -getattr(signal, "SIG" + name), started.returncode
assert not os.path.exists(out), os.listdir(folder)
END
    no_partial
  done
done
