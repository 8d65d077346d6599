# To be sourced. ... | show_progress NAME > LOG: a build's lines go to the log; on a terminal the last one of ninja is
# shown in place, otherwise its [n/total] every 15 seconds.
show_progress() {
  local line said=$SECONDS
  while IFS= read -r line; do
    printf '%s\n' "$line"
    case "$line" in '['*/*'] '*) ;; *) continue ;; esac
    if [ -t 2 ]; then
      printf '\r\033[K%s' "${line:0:78}" >&2
    elif [ $((SECONDS - said)) -ge 15 ]; then
      printf '%s: %s\n' "$1" "${line%%]*}]" >&2
      said=$SECONDS
    fi
  done
  if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}
