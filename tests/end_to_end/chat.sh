#!/usr/bin/env bash
# fathom chat with lines from a pipe: turns, commands, the cache between turns, a full context.
set -euo pipefail
fathom=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$fathom" synth --shape tiny --type f32 --seed 1 -q "$dir/m"
cat > "$dir/m/chat_template.jinja" <<'T'
{{ bos_token }}{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{{ eos_token if m.role == 'assistant' else '|' }}{% endfor %}{% if add_generation_prompt %}a:{% endif %}
T

fail() { printf 'chat.sh: %s\n' "$1"; cat "$dir/out" "$dir/err"; exit 1; }
chat() { "$fathom" chat -m "$dir/m" --temperature 0 -t 1 "$@" > "$dir/out" 2> "$dir/err" || code=$?; }
# Tokens found in the cache, and read, of turn $1.
cached() { grep -o '(prompt [0-9]*' "$dir/err" | sed -n "$1{s/[^0-9]//g;p}"; }
read_new() { grep -o '[0-9]* read' "$dir/err" | sed -n "$1{s/[^0-9]//g;p}"; }

# An answer is the greedy continuation of the rendered text.
code=0; chat -n 8 < <(printf 'hello\n')
"$fathom" generate -m "$dir/m" -q -t 1 -p "u:hello|a:" -n 8 --temperature 0 > "$dir/want"
[ "$code" = 0 ] && cmp -s "$dir/out" "$dir/want" || fail "the first answer is not what generate writes"

# The second turn reads the last token of the first answer, and what is new; nothing twice.
code=0; chat -n 8 --timing < <(printf 'hello\nmore\n')
[ "$(cached 1)" = 0 ] || fail "the first turn found something in the cache"
[ "$(cached 2)" = $(($(read_new 1) + 7)) ] || fail "the second turn read the first one again"

# The same question after /clear gets the same answer, whatever came before.
code=0; chat -n 8 < <(printf 'hello\nmore\n/clear\nhello\n')
[ "$code" = 0 ] || fail "exit code $code"
chat -n 8 < <(printf 'hello\n/exit\nmore\n'); cp "$dir/out" "$dir/once"
code=0; chat -n 8 < <(printf 'hello\n/clear\nhello\n')
cat "$dir/once" "$dir/once" | cmp -s - "$dir/out" || fail "/clear left something behind, or /exit did not end"

# A line that ends in a backslash goes on; a system message and /system are the same.
code=0; chat -n 8 < <(printf '/system S\nhello\n'); cp "$dir/out" "$dir/system"
chat -n 8 --system S < <(printf 'hello')
cmp -s "$dir/out" "$dir/system" || fail "/system and --system differ"
chat -n 8 --timing < <(printf 'one\\\ntwo\n')
[ "$(grep -c '(prompt' "$dir/err")" = 1 ] || fail "a continued line was two messages"

# Mistakes are named.
code=0; chat < <(printf '/nope\n')
grep -q "There is no command '/nope'" "$dir/err" && [ "$code" = 0 ] || fail "an unknown command"
code=0; chat --ctx 16 < <(printf 'a message that is too long for so small a context\n')
grep -q "the context is full" "$dir/err" && [ "$code" = 2 ] || fail "a full context, exit code $code"
printf "{{ raise_exception('no thanks') }}" > "$dir/m/chat_template.jinja"
code=0; chat < <(printf 'hello\n')
grep -q "does not accept these messages: 'no thanks'" "$dir/err" && [ "$code" = 2 ] || fail "raise_exception, exit code $code"
