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

# --- pipes, files and JSON

# A byte order mark in front of the first line is no text.
cat > "$dir/m/chat_template.jinja" <<'T2'
{{ bos_token }}{% if tools %}[{{ tools[0].function.name }}]{% endif %}{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{% for c in m.tool_calls or [] %}({{ c.function.arguments | tojson }}){% endfor %}{{ eos_token if m.role == 'assistant' else '|' }}{% endfor %}{% if add_generation_prompt %}a:{% endif %}
T2
code=0; chat -n 8 < <(printf '\xef\xbb\xbf/exit\nhello\n')
[ "$code" = 0 ] && [ ! -s "$dir/out" ] || fail "a byte order mark hides a command"
chat -n 8 < <(printf 'hello\n'); cp "$dir/out" "$dir/want"
chat -n 8 < <(printf '\xef\xbb\xbfhello\r\n'); cmp -s "$dir/out" "$dir/want" || fail "a byte order mark is part of a message"

# What stands between two """ is one message.
code=0; chat -n 8 --timing < <(printf '"""\none\n\n/exit\n"""\nmore\n')
[ "$code" = 0 ] && [ "$(grep -c '(prompt' "$dir/err")" = 2 ] || fail 'a block between """'
chat < <(printf '"""\none\n'); grep -q 'ends inside a message that """ opened' "$dir/err" && [ "$code" = 2 ] || fail 'an open block'

# --messages: the answer is that to the same words typed; a list, an object and stdin are the same.
printf '[{"role": "user", "content": "hello"}]' > "$dir/list.json"
printf '\xef\xbb\xbf{"model": "x", "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}' > "$dir/object.json"
for given in "$dir/list.json" "$dir/object.json" -; do
  code=0; chat -n 8 --messages "$given" < "$dir/list.json"
  [ "$code" = 0 ] && cmp -s "$dir/out" "$dir/want" || fail "--messages $given"
done
code=0; chat -n 8 --messages "$dir/list.json" --json
python3 - "$dir/out" "$dir/want" <<'P' || fail "--json"
import json, sys
answer = json.loads(open(sys.argv[1]).read())
assert answer["message"]["role"] == "assistant" and answer["message"]["content"] + "\n" == open(sys.argv[2]).read()
assert answer["finish_reason"] == "length" and answer["answer_tokens"] == 8 and answer["prompt_tokens"] > 3
P
chat -n 8 --json < <(printf 'hello\nmore\n'); [ "$(wc -l < "$dir/out")" = 2 ] || fail "--json of lines"

# The end of the context ends an answer; it is no error.
code=0; chat -n 0 --ctx 24 --json < <(printf 'hello\n')
[ "$code" = 0 ] && grep -q '"finish_reason":"length"' "$dir/out" && grep -q "the context is full" "$dir/err" || fail "the end of the context"

# Tools, calls and results are given to the template.
cat > "$dir/tools.json" <<'J'
{"messages": [{"role": "user", "content": "q"},
              {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{\"x\": 1}"}}]},
              {"role": "tool", "content": "3", "tool_call_id": "1"}],
 "tools": [{"type": "function", "function": {"name": "f"}}]}
J
code=0; chat -n 8 --messages "$dir/tools.json"; cp "$dir/out" "$dir/answer"
[ "$code" = 0 ] || fail "tools"
eos=$(python3 -c 'import json, sys; c = json.load(open(sys.argv[1])); e = c["eos_token_id"]; print(e if isinstance(e, int) else e[0])' "$dir/m/config.json")
ids="$("$fathom" tokenize -m "$dir/m" --ids '[f]u:q|a:({"x": 1})') $eos $("$fathom" tokenize -m "$dir/m" --no-bos --ids 't:3|a:')"
"$fathom" generate -m "$dir/m" -q -t 1 --ids "$ids" -n 8 --temperature 0 > "$dir/want"
cmp -s "$dir/answer" "$dir/want" || fail "the template did not see the tools"

# What is wrong is named before the model is loaded.
expect() {
  code=0; chat --messages "$dir/bad.json"
  grep -qF "$1" "$dir/err" && [ "$code" = 2 ] && [ ! -s "$dir/out" ] || fail "$1, exit code $code"
}
printf '[{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]' > "$dir/bad.json"; expect "messages[1] has the role 'bot'"
printf '[{"role": "assistant", "content": "a"}]' > "$dir/bad.json"; expect "messages[0] (role assistant) is the last"
printf '[]' > "$dir/bad.json"; expect "there is no message to answer"
printf '{"messages": [' > "$dir/bad.json"; expect "ends too early"
rm "$dir/bad.json"; expect "bad.json"
printf '[{"role": "user", "content": "a"}, {"role": "tool", "content": "b"}]' > "$dir/bad.json"
printf '{%% for m in messages if m.role == "user" %%}{{ m.content }}{%% endfor %%}' > "$dir/m/chat_template.jinja"
expect "messages[1] (role tool): the chat template of this model leaves the message out"

# Another template: from a file, or the built-in one; a name that is none is told with those that are.
printf '{{ bos_token }}u:{{ messages[0].content }}|a:' > "$dir/other.jinja"
"$fathom" generate -m "$dir/m" -q -t 1 -p "u:hello|a:" -n 8 --temperature 0 > "$dir/want"
code=0; chat -n 8 --messages "$dir/list.json" --chat-template "$dir/other.jinja"
[ "$code" = 0 ] && cmp -s "$dir/out" "$dir/want" || fail "--chat-template FILE"
"$fathom" generate -m "$dir/m" -q -t 1 -p $'User: hello\n\nAssistant:' -n 8 --temperature 0 | sed '1s/^ //' > "$dir/want"
chat -n 8 --messages "$dir/list.json" --chat-template deepseek-v2
[ "$code" = 0 ] && cmp -s "$dir/out" "$dir/want" || fail "--chat-template deepseek-v2"
chat -n 8 --messages "$dir/list.json" --chat-template defualt
[ "$code" = 2 ] && grep -qF "there is no such file, and the names are: deepseek-v2, default" "$dir/err" || fail "--chat-template NAME"

# /save replaces a conversation that was saved before, and nothing else: no notes, and not the model that is in use.
chat -n 2 < <(printf 'hello\n/save %s\n' "$dir/saved"); cp "$dir/saved" "$dir/saved.1"
code=0; chat -n 2 < <(printf 'hello\nmore\n/save %s\n' "$dir/saved")
[ "$code" = 0 ] && ! cmp -s "$dir/saved" "$dir/saved.1" || fail "/save does not replace what it wrote"
printf 'my notes' > "$dir/notes"
for file in "$dir/notes" "$dir/m/model.safetensors" "$dir/m/config.json"; do
  cp "$file" "$dir/before"
  code=0; chat -n 2 < <(printf 'hello\n/save %s\n' "$file")
  [ "$code" = 2 ] && cmp -s "$file" "$dir/before" || fail "/save replaces $file"
done

# Several templates in one model, in both formats: by name, and the one for tools where there are tools.
cp -r "$dir/m" "$dir/several"; rm "$dir/several/chat_template.jinja"
python3 - "$dir/several/tokenizer_config.json" <<'P'
import json, os, sys
config = json.load(open(sys.argv[1])) if os.path.exists(sys.argv[1]) else {}
config["chat_template"] = [{"name": "default", "template": "{{ bos_token }}u:{{ messages[0].content }}|a:"},
                           {"name": "tool_use", "template": "{{ bos_token }}t:{{ tools[0].function.name if tools }}|a:"}]
json.dump(config, open(sys.argv[1], "w"))
P
printf '{"messages": [{"role": "user", "content": "hello"}], "tools": [{"function": {"name": "f"}}]}' > "$dir/with_tools.json"
"$fathom" convert "$dir/several" "$dir/several.gguf" -q
for model in "$dir/several" "$dir/several.gguf"; do
  answer() { "$fathom" chat -m "$model" --temperature 0 -t 1 -n 8 -q --messages "$@"; }
  want() { "$fathom" generate -m "$model" --temperature 0 -t 1 -n 8 -q -p "$1"; }
  [ "$(answer "$dir/list.json")" = "$(want 'u:hello|a:')" ] || fail "$model: the default template"
  [ "$(answer "$dir/with_tools.json")" = "$(want 't:f|a:')" ] || fail "$model: the template for tools"
  [ "$(answer "$dir/list.json" --chat-template tool_use)" = "$(want 't:|a:')" ] || fail "$model: a template by its name"
done

# The date of today in a template; a template that titles.
printf '{{ strftime_now("%%Y") }}{{ messages[0].role | title }}' > "$dir/m/chat_template.jinja"
code=0; chat -n 8 --messages "$dir/list.json"; 
"$fathom" generate -m "$dir/m" -q -t 1 --ids "$("$fathom" tokenize -m "$dir/m" --no-bos --ids "$(date +%Y)User")" -n 8 --temperature 0 > "$dir/want"
[ "$code" = 0 ] && cmp -s "$dir/out" "$dir/want" || fail "strftime_now"
