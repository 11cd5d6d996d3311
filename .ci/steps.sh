# What the scripts beside this one have in common. They source it, with `$work` as a folder of theirs.

# Sets `cpu` to the seconds of CPU time of all that this shell has waited for.
read_cpu() {
  local file=$work/times.$BASHPID user system
  times > "$file" # in no subshell, which would tell of itself
  read -r user system < <(tail -n 1 "$file" | tr -d s)
  cpu=$((60 * (${user%m*} + ${system%m*})))
  user=${user#*m} system=${system#*m}
  cpu=$((cpu + ${user%.*} + ${system%.*}))
}

# Runs a command under a heading, and says how long it took, and how much of the cores.
step() {
  local title=$1 start=$SECONDS cpu before
  read_cpu
  before=$cpu
  shift
  printf '\n=== %s\n' "$title"
  "$@"
  read_cpu
  printf -- '--- %s: %d s, %d s of CPU time\n' "$title" $((SECONDS - start)) $((cpu - before))
}
