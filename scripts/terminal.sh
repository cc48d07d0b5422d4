# shellcheck shell=bash
# How the scripts speak: headings, failures, progress. Sourced, not run. Colour on a terminal alone.

if [[ -t 1 && -z ${NO_COLOR-} && ${TERM-dumb} != dumb ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' plain=''
fi

say() { printf '%s==> %s%s\n' "$bold" "$*" "$plain"; }

fail() {
  printf '%s%s: %s%s\n' "$red" "${0##*/}" "$*" "$plain" >&2
  exit 1
}

# Whole seconds as people say them.
spoken_time() {
  local seconds=$1
  if ((seconds < 60)); then printf '%d s' "$seconds"; else printf '%d min %02d s' $((seconds / 60)) $((seconds % 60)); fi
}

# The process that `with_progress` waits for; whoever traps EXIT ends it with `end_progress`.
progress_child=''

end_progress() {
  [[ -n $progress_child ]] || return 0
  kill "$progress_child" 2>/dev/null || true
  progress_child=''
}

# with_progress WHAT LOG COMMAND…: runs the command with its output in LOG and shows that it moves: every second on a terminal,
# every half minute elsewhere. A failing command's last lines are printed, and its status is returned.
with_progress() {
  local what=$1 log=$2
  shift 2
  "$@" >"$log" 2>&1 </dev/null &
  progress_child=$!
  local started=$SECONDS announced=0 elapsed step status=0
  while kill -0 "$progress_child" 2>/dev/null; do
    sleep 1
    elapsed=$((SECONDS - started))
    step=$(tail -c 4000 "$log" | grep -oE '^\[[0-9]+/[0-9]+\]' | tail -n 1 || true)
    if [[ -t 1 ]]; then
      printf '\r    %s… %s %s\e[K' "$what" "$(spoken_time "$elapsed")" "$step"
    elif ((elapsed >= announced + 30)); then
      announced=$elapsed
      printf '    %s… %s %s\n' "$what" "$(spoken_time "$elapsed")" "$step"
    fi
  done
  wait "$progress_child" || status=$?
  progress_child=''
  if [[ -t 1 ]]; then printf '\r\e[K'; fi
  if ((status != 0)); then
    { grep -E '(error|warning):' "$log" | head -n 20 || true; echo '…'; tail -n 20 "$log"; } >&2
    printf '    %s failed after %s; everything it said is in %s\n' "$what" "$(spoken_time $((SECONDS - started)))" "$log" >&2
    return "$status"
  fi
  printf '    %s: done in %s\n' "$what" "$(spoken_time $((SECONDS - started)))"
}
